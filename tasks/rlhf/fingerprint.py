"""What the code and the models hold that align's settings name: another rule or reward model makes another artifact."""

import ast
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from storage.files import sha256_of
from storage.home import Home
from tasks.models.reference import resolve
from tasks.rlhf.rules import find_module
from tasks.rlhf.settings import AnswerSettings


def named_rewards(settings: AnswerSettings) -> dict[str, Any]:
    """The sources of the rule rewards' modules, and the checksum of the separate reward model."""
    separate = {"reward_model": resolve(settings.reward_model, Home.current()).checksum} if settings.reward_model else {}
    return rule_sources(settings.rule_rewards) | separate


def rule_sources(specs: list[str]) -> dict[str, Any]:
    """Of each rule's module, SHA-256 of its file and of those beside it that it imports, directly or not; of an installed one also its package's version.

    Raises:
        MigakiError: a module is missing.
    """
    return {module: _module_sources(module) for module in sorted({spec.partition(":")[0] for spec in specs})}


def _module_sources(module: str) -> dict[str, Any]:
    file = find_module(module)[0]
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
