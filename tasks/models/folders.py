"""Model folders that would run code when they are opened: refused before anything in them is read as more than text.

Code comes as Python files that a configuration names (`auto_map`), as modules of other packages that one asks for, and inside
pickled weights. What is accepted is data: safetensors and GGUF, the configuration and the tokenizer.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from tasks.errors import MigakiError

CODE = frozenset({".dll", ".dylib", ".py", ".pyc", ".pyd", ".so"})
PICKLED = frozenset({".bin", ".ckpt", ".dill", ".h5", ".joblib", ".keras", ".mar", ".pickle", ".pkl", ".pt", ".pt2", ".pth"})
INDEX = ".index.json"  # of weights in several files
BESIDE = "beside"  # folder inside of a model's, with an adapter that no weights can hold (`tasks.models.beside`)
HEADER = 8  # bytes before the header of a safetensors file, which is JSON


def refuse_unsafe(folder: Path) -> None:
    """Nothing, where a model folder holds data alone.

    Raises:
        MigakiError: it holds or names code of its own, or pickled weights; names the file.
    """
    for path in sorted(folder.rglob("*")):
        name, suffix = path.relative_to(folder).as_posix(), path.suffix.lower()
        if suffix in PICKLED:
            _refuse(
                folder, f"{name!r} may hold pickled code; accepted are weights as safetensors or GGUF: save them so, and remove this file"
            )
        if suffix in CODE:
            _refuse(
                folder, f"{name!r} is code of its own, which is never run (trust_remote_code=False); remove it if the model opens without"
            )
        if suffix == ".safetensors" and path.is_file():
            _check_header(folder, name, path)
        if suffix == ".json" and path.is_file() and path.name not in ("vocab.json", "tokenizer.json"):
            _check_configuration(folder, name, path)


def _refuse(folder: Path, why: str) -> NoReturn:
    raise MigakiError(f"the model folder {str(folder)!r} is refused: {why}")


def _check_header(folder: Path, name: str, path: Path) -> None:
    """Something else under the name of safetensors would be found out late, by another library."""
    with path.open("rb") as file:
        size, first = int.from_bytes(file.read(HEADER), "little"), file.read(1)
    if first != b"{" or size > path.stat().st_size - HEADER:
        _refuse(folder, f"{name!r} is no safetensors file")


def _check_configuration(folder: Path, name: str, path: Path) -> None:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise MigakiError(f"the model folder {str(folder)!r} is refused: {name!r} cannot be read as JSON: {error}") from error
    for key, value in _entries(held):
        if key in ("auto_map", "custom_pipelines", "custom_generate") and value:
            _refuse(
                folder,
                f"{name!r} names code of its own ({key}), which is never run (trust_remote_code=False); remove the entry if the model opens without",
            )
        if (key == "activation_function" or (key, path.name) == ("type", "modules.json")) and isinstance(value, str) and _imports(value):
            _refuse(folder, f"{name!r} asks for {value!r} as {key!r}; accepted are classes of sentence_transformers and torch.nn")
        if path.name == "modules.json" and key == "path" and isinstance(value, str):
            _check_inside(folder, name, value)
    if path.name.endswith(INDEX):
        shards = held.get("weight_map", {}) if isinstance(held, dict) else {}
        for shard in set(map(str, shards.values() if isinstance(shards, dict) else [])):
            _check_inside(folder, name, shard)
            if not shard.endswith(".safetensors"):
                _refuse(folder, f"{name!r} names the weights {shard!r}; accepted are weights as safetensors")


def _entries(held: Any) -> list[tuple[str, Any]]:
    """All keys and values of a JSON document, at any depth."""
    found: list[tuple[str, Any]] = []
    waiting = [held]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found += value.items()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found


def _imports(value: str) -> bool:
    """Whether a class's name would import another package's module."""
    return "." in value and not value.startswith(("sentence_transformers.", "torch.nn."))


def _check_inside(folder: Path, name: str, value: str) -> None:
    if value and (PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts or "\\" in value):
        _refuse(folder, f"{name!r} names {value!r}, which lies outside of the folder")
