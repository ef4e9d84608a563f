"""The rules of the house: arrows run one way and never in a circle, algorithms know neither Prefect nor the store, functions fit on a screen."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests import ROOT

LAYERS = ("flows", "tasks", "storage")
# Of tasks/, these alone may know Prefect and the store, besides each stage's `task*.py` and `fingerprint.py`, and the kernel.
KNOW_THE_STORE = {"tasks/models/reference.py", "tasks/training/fitting.py"}
LIGHT = {
    "storage.files",
    "storage.kinds",
    "storage.calibrated",
    "storage.choice",
    "storage.parts",
}  # of storage, what anybody may use: what is done to files, and the records of artifacts


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


MODULES = {module_of(path): path for layer in LAYERS for path in files(layer)}


@cache
def imported(path: Path) -> frozenset[str]:
    """Modules that a file imports, at its top or inside functions, as `package.module`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {name if (name := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names}
    return frozenset(names)


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def folder_of(module: str) -> str:
    return MODULES[module].parent.relative_to(ROOT).as_posix()


def test_arrows_run_from_flows_over_tasks_to_storage():
    above = {"storage": {"tasks", "flows", "torch", "transformers", "prefect"}, "tasks": {"flows"}, "flows": set()}
    assert [str(path) for layer in LAYERS for path in files(layer) if tops(path) & above[layer]] == []


def test_no_circle_between_folders():
    arrows = defaultdict(set)
    for module, path in MODULES.items():
        arrows[folder_of(module)] |= {folder_of(name) for name in imported(path) if name in MODULES} - {folder_of(module)}

    def reached(folder: str) -> set[str]:
        found, todo = set(), [folder]
        while todo:
            new = arrows[todo.pop()] - found
            found |= new
            todo += new
        return found

    assert [folder for folder in sorted(arrows) if folder in reached(folder)] == []


@pytest.mark.parametrize("room", ["tasks/text", "tasks/documents", "tasks/inference", "tasks/models", "tasks/stages"])
def test_shared_rooms_know_no_stage(room):
    stages = {folder_of(module) for module in MODULES if module.endswith(".spec") and module != "tasks.stages.spec"}
    assert len(stages) >= 7
    assert [str(path) for path in files(room) if {folder_of(name) for name in imported(path) if name in MODULES} & stages] == []


def test_no_stage_uses_evaluation():
    users = [str(path) for path in files("tasks") if any(name.startswith("tasks.evaluation") for name in imported(path))]
    assert [path for path in users if "/tasks/evaluation/" not in path] == []


def test_the_catalogue_imports_no_other_folder_of_flows():
    assert {
        name for path in files("flows/catalogue") for name in imported(path) if name.startswith("flows") and "catalogue" not in name
    } == set()


def test_algorithms_know_neither_prefect_nor_the_store():
    def may(path: Path) -> bool:
        name = path.relative_to(ROOT).as_posix()
        return path.name.startswith("task") or path.name == "fingerprint.py" or name.startswith("tasks/stages/") or name in KNOW_THE_STORE

    def knows(path: Path) -> bool:
        return any(name.partition(".")[0] in ("prefect", "duckdb", "storage") and name not in LIGHT for name in imported(path))

    assert [str(path) for path in files("tasks") if not may(path) and knows(path)] == []


def test_settings_import_nothing_but_pydantic():
    for path in files("tasks"):
        if path.name == "settings.py" and path.parent.name != "tasks":
            assert tops(path) <= {"pydantic", "tasks", "typing", "__future__"}, path


def test_torch_is_not_imported_until_a_stage_runs():
    heavy = {"torch", "transformers", "faiss", "matplotlib", "sklearn", "scipy"}
    modules = ["flows.retrain", "flows.commands.main", "flows.commands.show", "flows.running.plan"]
    modules += [
        module_of(path) for path in files("tasks") if path.name == "fingerprint.py"
    ]  # a run that reuses all of its stages asks them
    code = f"import importlib, sys\nfor name in {modules}: importlib.import_module(name); print(name, sorted(set(sys.modules) & {heavy!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-len(modules) :] == [f"{name} []" for name in modules]


def test_functions_fit_on_a_screen_and_files_into_a_head():
    long = []
    for layer in LAYERS:
        for path in files(layer):
            source = path.read_text(encoding="utf-8")
            long += [str(path)] * (len(source.splitlines()) > 350)
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno + 1 > 55:
                    long.append(f"{path}: {node.name}")
    assert long == []


def test_no_test_imports_another():
    """Neither at its top nor in the scripts that it hands to other processes."""
    named = re.compile(r"\btests(\.\w+)*\.test_\w+")
    assert [str(path) for path in (ROOT / "tests").rglob("*.py") if named.search(path.read_text(encoding="utf-8"))] == []


SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|FROM|CREATE|ALTER|DROP|COPY|PRAGMA)\s+[\w*\"({]")


def sql_of(source: str) -> list[str]:
    """Where a file speaks SQL: texts that begin like a statement, and calls of the catalog's own methods."""
    nodes = list(ast.walk(ast.parse(source)))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)]
    calls = [node.func.attr for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return texts + [name for name in calls if name in ("query", "execute", "sql")]


def test_sql_stands_in_storage_alone():
    assert [
        (path.name, found) for folder in ("flows", "tasks") for path in files(folder) if (found := sql_of(path.read_text("utf-8")))
    ] == []


def test_sql_would_be_seen():
    sources = [
        'f"SELECT * FROM {table}"',
        '"""\n    WITH a AS (b) FROM a"""',
        "catalog.query(text)",
        "connection.execute(text)",
        '"delete from x"',
    ]
    assert [bool(sql_of(source)) for source in sources] == [True, True, True, True, False]
