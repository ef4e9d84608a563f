"""The files below a folder, and which links among them are followed: a link can bring in what nobody meant to be a document."""

from collections.abc import Iterator
from pathlib import Path

Reached = tuple[Path, str]  # a file, and why it is not read


def walk(root: Path, follow_links: bool = False, depth: int | None = None) -> Iterator[Reached]:
    """All below a folder, hidden files and folders aside. A link that stays inside of the folder is one of its files.

    Args:
        follow_links: whether links out of the folder are followed, too.
        depth: how many folders deep at most, 1 for the folder itself; None for all.
    """
    home = root.resolve()
    entered = {home}  # by a link, which leads to a folder once: otherwise links to each other would have no end
    waiting = [(root, 1)]
    while waiting:
        folder, level = waiting.pop()
        try:
            entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
        except OSError as error:
            yield folder, f"the folder cannot be opened: {error.strerror}"
            continue
        for path in entries:
            if reason := _reason_against(path, home, entered, follow_links):
                yield path, reason
            elif not path.is_dir():
                yield from [(path, "")] if path.is_file() else []
            elif depth is None or level < depth:
                waiting.append((path, level + 1))


def _reason_against(path: Path, home: Path, entered: set[Path], follow_links: bool) -> str:
    """Why a link is not followed; "" where it is, or for what is none. Notes the folder that it leads to."""
    if not path.is_symlink():
        return ""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # a loop of links is the latter
        return "it is a link that leads nowhere"
    if not target.is_relative_to(home) and not follow_links:
        return f"it is a link out of the folder of documents, to {str(target)!r}; the setting follow_links lets it in"
    if not target.is_dir():
        return ""
    if target in entered or path.absolute().is_relative_to(target) or path.parent.resolve().is_relative_to(target):
        return "it is a link to a folder that is read already"
    entered.add(target)
    return ""
