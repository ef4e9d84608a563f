"""Where the files lie that the safety classifier learns from."""

from pathlib import Path

from tasks.errors import MigakiError

ROOT = Path(__file__).resolve().parents[3]


def located(path: str) -> Path:
    """The file of that name, here or, for the examples of this repository, there.

    Raises:
        MigakiError: there is none.
    """
    place = next((place for place in (Path(path), ROOT / path) if place.is_file()), None)
    if place is None:
        raise MigakiError(
            f"safety: {path!r} is no file (looked from {str(Path.cwd())!r}); accepted are files of requests as safety.examples, or "
            "safety.examples=[] for rules alone"
        )
    return place
