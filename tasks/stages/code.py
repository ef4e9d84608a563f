"""A hash of the source that decides what a stage computes, found from the imports alone (nothing is imported to get it)."""

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What these do never changes what a stage computes, only when and where it runs and how it is shown.
PLUMBING = {
    "tasks/__init__.py",
    "tasks/stages/stage.py",
    "tasks/progress.py",
    "tasks/errors.py",
    "tasks/stages/code.py",
    "tasks/settings.py",
}


def code_hash(module: str) -> str:
    """SHA-256 over the sources of `module` and of every `tasks.*` module that it imports, directly or not, at any level of nesting."""
    sources = sorted(_reach(ROOT / (module.replace(".", "/") + ".py")))
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _reach(start: Path) -> set[Path]:
    found, todo = set(), [start]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += _imports(path)
    return found


@cache
def _imports(path: Path) -> list[Path]:
    """The files below tasks/ that the file at `path` imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tasks"):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("tasks")}
    candidates = [ROOT / (name.replace(".", "/") + suffix) for name in names for suffix in (".py", "/__init__.py")]
    return [file for file in candidates if file.exists() and file.relative_to(ROOT).as_posix() not in PLUMBING]
