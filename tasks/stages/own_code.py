"""Functions of the user, named `module:function` in a setting: where they are found, how they are run, and what their sources are.

Nothing here needs torch: the names are also read when a finished stage is looked up.
"""

import ast
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from storage.files import sha256_of
from tasks.errors import MigakiError


def load_functions(names: Sequence[str], setting: str) -> list[Callable[..., Any]]:
    """The functions of these names (`module:function`), from their sources as they are now.

    Args:
        setting: where somebody named them, such as `align.rule_rewards`.

    Raises:
        MigakiError: a module or function is missing, a module cannot be imported, or a function is named twice.
    """
    functions = list[Callable[..., Any]]()
    modules: dict[str, ModuleType] = {}
    for place, name in enumerate(names):
        module, _, function = name.partition(":")
        if name in names[:place]:
            raise MigakiError(f"{setting} names {name!r} twice; accepted is once")
        modules[module] = modules.get(module) or _run(module, setting)
        functions.append(_function(modules[module], module, function, setting))
    return functions


def find_module(module: str, setting: str) -> tuple[Path, str | None]:
    """The file of a module and the package it belongs to: in the folder where the command runs, else among the installed packages.

    Raises:
        MigakiError: there is none.
    """
    importlib.invalidate_caches()  # the file may be younger than Python's listing of its folder
    with _working_folder_first():
        # PathFinder alone would miss packages installed as editable, find_spec alone would give what was imported from elsewhere before.
        try:
            spec = ("." not in module and PathFinder.find_spec(module)) or find_spec(module)
        except (ModuleNotFoundError, ValueError):
            spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise MigakiError(
            f"{setting} names the module {module!r}, and there is no {module.replace('.', '/')}.py in {str(Path.cwd())!r}, where the command runs, "
            "and no such module among the installed packages"
        )
    return Path(spec.origin), spec.parent


class _FromSource(SourceFileLoader):
    """Python's own loader, without the compiled code that it takes where size and second of the source are the same."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _run(module: str, setting: str) -> ModuleType:
    """The module, executed from its source as it is now: neither an earlier import nor compiled code that seems new enough counts."""
    source, package = find_module(module, setting)
    made = ModuleType(f"{module} of {setting}")
    made.__file__, made.__package__ = str(source), package
    sys.modules[made.__name__] = made  # where dataclasses and the like look for their own module
    try:
        with _working_folder_first():
            _FromSource(made.__name__, str(source)).exec_module(made)
    except Exception as error:
        raise MigakiError(f"the module {module!r} of {setting} cannot be imported: {type(error).__name__}: {error}") from error
    return made


def _function(made: ModuleType, module: str, name: str, setting: str) -> Callable[..., Any]:
    function: Callable[..., Any] | None = getattr(made, name, None)
    if not callable(function):
        defined = [key for key, value in vars(made).items() if callable(value) and getattr(value, "__module__", None) == made.__name__]
        raise MigakiError(
            f"{setting} names {module}:{name}, and that module has no function {name!r}; it has {', '.join(defined) or 'none'}"
        )
    return function


@contextmanager
def _working_folder_first() -> Iterator[None]:
    """A command that pip installed does not look for modules where it runs, other than `python -m`."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def own_sources(names: Sequence[str], setting: str) -> dict[str, Any]:
    """Of each function's module, SHA-256 of its file and of those beside it that it imports, directly or not; of an installed one also its package's version.

    Raises:
        MigakiError: a module is missing.
    """
    return {module: _module_sources(module, setting) for module in sorted({name.partition(":")[0] for name in names})}


def _module_sources(module: str, setting: str) -> dict[str, Any]:
    file = find_module(module, setting)[0]
    root = file.parents[module.count(".") + (file.name == "__init__.py")]
    top = module.partition(".")[0]
    installed = any(root.is_relative_to(place) for place in (sys.prefix, sys.base_prefix))  # beside it lie other people's packages
    files = {path.relative_to(root).as_posix(): sha256_of(path) for path in sorted(_reached(file, root, top if installed else ""))}
    packages = {name: version(name) for name in sorted(packages_distributions().get(top, []))}
    return {"files": files} | ({"packages": packages} if packages else {})


def _reached(start: Path, root: Path, package: str) -> set[Path]:
    """The files below `root` that a file imports, itself included; of that package alone where one is named."""
    reached, todo = set[Path](), [start]
    while todo:
        path = todo.pop()
        if path in reached:
            continue
        reached.add(path)
        for name in _imported(path, root):
            place = root / name.replace(".", "/")
            if not package or name.partition(".")[0] == package:
                todo += [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    return reached


def _imported(path: Path, root: Path) -> set[str]:
    """Names of modules, and of what is taken from them, that a file imports; relative ones told from `root`."""
    names: set[str] = set()
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # what is wrong with it is told where it is run
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(root).parts[: -node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names - {""}
