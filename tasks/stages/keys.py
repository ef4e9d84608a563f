"""What names an artifact: a key over all that decides what its stage computes.

The source that decides is found from the imports alone, at any depth, so that nothing has to be imported to look an artifact up.
"""

import ast
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from storage.artifacts import ArtifactRef, content_key
from storage.files import sha256_of
from tasks.models.reference import ResolvedModel
from tasks.settings import StageSettings
from tasks.stages.spec import StageSpec, function

ROOT = Path(__file__).resolve().parents[2]
OURS = ("tasks", "storage")
# Files that a body reaches and that yet never change what it computes, as patterns of paths. What they import is followed all the same.
EXCLUDED = {
    "tasks/errors.py": "an exception class",
    "tasks/progress.py": "shows how far a stage is",
    "tasks/settings.py": "checks settings; their values are in the key",
    "*/spec.py": "how stages are declared; what counts of a declaration is in the key",
    "tasks/models/reference.py": "finds and fetches models; what they hold is in the key by their checksum",
    "tasks/models/nano_e5.py": "makes a folder of a model; what it holds is in the key by its checksum",
    "tasks/models/wheels.py": "unpacks models; what they hold is in the key by their checksum",
    "tasks/processes.py": "what a process that is started may know of its environment",
    "tasks/stages/keys.py": "makes the key; a change of it shows in the key itself",
    "tasks/stages/execute.py": "decides whether a body runs",
    "tasks/stages/spent.py": "measures what a body takes",
    "tasks/stages/opening.py": "refuses models, or leaves them as they are",
    "tasks/stages/distributed.py": "starts a body's processes; what they share out among them is in tasks/models",
    "storage/home.py": "where things lie",
    "storage/locks.py": "who waits for whom",
    "storage/catalog.py": "enters what was computed; what index reads of the catalog is in its key by content",
    "storage/engine.py": "opens the file that this lies in",
    "storage/rows.py": "checks rows on their way there",
    "storage/tables.py": "says what is checked of them",
    "storage/table.py": "how that is said",
    "storage/chat_tables.py": "no stage has rows of these",
    "storage/registry.py": "enters what was computed",
}
# Libraries that compute, by the module that is imported; a library that another calls comes with it.
LIBRARIES = {
    "torch": ("torch",),
    "transformers": ("transformers", "tokenizers", "torch"),
    "peft": ("peft",),
    "trl": ("trl",),
    "bitsandbytes": ("bitsandbytes",),
    "tokenizers": ("tokenizers",),
    "sentence_transformers": ("sentence-transformers", "transformers", "tokenizers", "torch"),
}


@dataclass(frozen=True)
class Ingredients:
    """What a key is made of. Device, home, paths and logging are no part of it.

    Attributes:
        code: SHA-256 of each source file by its path.
        versions: of the libraries that compute, without local parts such as `+cpu`.
        inputs: artifact ids by role.
        models: checksums by role.
        files: what the files hold that the settings name.
    """

    stage: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    files: Any
    models: dict[str, str]
    code: dict[str, str]
    versions: dict[str, str]

    @classmethod
    def of(
        cls, spec: StageSpec, settings: StageSettings, inputs: dict[str, ArtifactRef], models: dict[str, ResolvedModel]
    ) -> "Ingredients":
        """Of a stage with its own settings (`StageSpec.counting`)."""
        return cls(
            stage=spec.name,
            settings=settings.model_dump(mode="json", exclude=settings.PATHS),
            inputs={role: ref.id for role, ref in inputs.items()},
            files=function(spec.fingerprint)(settings) if spec.fingerprint else {},
            models={role: model.checksum for role, model in models.items()},
            code=sources(spec.module),
            versions=versions(spec.module),
        )

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON of all of it."""
        return content_key(asdict(self))


def code_hash(module: str) -> str:
    """SHA-256 over the sources that `module` reaches."""
    return content_key(sources(module))


def sources(module: str) -> dict[str, str]:
    """SHA-256 by path of `module`'s file and of every first-party file that it imports, directly or not, inside functions too, less `EXCLUDED`."""
    names = {path.relative_to(ROOT).as_posix(): path for path in reach(module)}
    return {name: sha256_of(names[name]) for name in sorted(names) if not is_excluded(name)}


def is_excluded(path: str) -> bool:
    """Whether a source file, told by its path from the root, is in no key."""
    return any(fnmatch(path, pattern) for pattern in EXCLUDED)


def versions(module: str) -> dict[str, str]:
    """Versions of the libraries that `module` and what it reaches import, less `EXCLUDED`, of those that compute."""
    files = [path for path in reach(module) if not is_excluded(path.relative_to(ROOT).as_posix())]
    packages = {package for path in files for name in _imported(path) for package in LIBRARIES.get(name.partition(".")[0], ())}
    return {package: version(package).partition("+")[0] for package in sorted(packages)}


def reach(module: str) -> set[Path]:
    """The first-party files that are loaded with `module`, itself and the packages that they lie in included."""
    reached: set[Path] = set()
    todo = list(_files(module))
    while todo:
        path = todo.pop()
        if path not in reached:
            reached.add(path)
            todo += _leads_to(path, path.stat().st_mtime_ns)
            todo += [file for use in _languages(path) for file in (ROOT / "tasks/text/languages").glob(f"*/{use}.py")]
    return reached


@cache
def _leads_to(path: Path, changed: int) -> frozenset[Path]:
    """The first-party files that a file imports, and the packages that it lies in. A run that reuses every stage asks this of most files for each of them."""
    files = {file for name in _read(path, changed)[0] for file in _files(name)}
    return frozenset(files | {package for parent in path.relative_to(ROOT).parents if (package := ROOT / parent / "__init__.py").exists()})


def _files(name: str) -> Iterator[Path]:
    """The file of a first-party module, if the name is one."""
    if name.partition(".")[0] in OURS:
        place = ROOT / name.replace(".", "/")
        yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists())


def _imported(path: Path) -> frozenset[str]:
    return _read(path, path.stat().st_mtime_ns)[0]


def _languages(path: Path) -> frozenset[str]:
    return _read(path, path.stat().st_mtime_ns)[1]


@cache
def _read(path: Path, _changed: int) -> tuple[frozenset[str], frozenset[str]]:
    """(names of modules and of what is taken from them, uses of `load_languages`) in a file; what only type checkers import is no part of it."""
    modules, uses = set(), set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and "load_languages" in (getattr(node.func, "id", ""), getattr(node.func, "attr", "")):
            uses |= {word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)}
        todo += ast.iter_child_nodes(node)
    return frozenset(modules), frozenset(uses)
