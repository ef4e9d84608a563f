"""The rules of the house: arrows run one way, algorithms know neither Prefect nor DuckDB, and reuse never imports torch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.stages.code import code_hash
from tests import ROOT

# Of tasks/, these alone may know Prefect and the store: each stage's body, and the machinery around it.
PLUMBING = {"tasks/stages/stage.py", "tasks/stages/distributed.py", "tasks/models/reference.py"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0] if node.module != "storage.files" else "")
    return names


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def test_storage_knows_nothing_above_it():
    assert [path.name for path in files("storage") if imported(path) & {"tasks", "flows", "torch", "transformers", "prefect"}] == []


def test_tasks_know_nothing_of_flows():
    assert [path.name for path in files("tasks") if "flows" in imported(path)] == []


def test_algorithms_know_neither_prefect_nor_the_store():
    allowed = lambda path: path.name == "task.py" or path.relative_to(ROOT).as_posix() in PLUMBING
    assert [str(path) for path in files("tasks") if not allowed(path) and imported(path) & {"prefect", "duckdb", "storage"}] == []


def test_settings_import_nothing_but_pydantic():
    for path in files("tasks"):
        if path.name == "settings.py" and path.parent.name != "tasks":
            assert imported(path) <= {"pydantic", "tasks", "typing", "__future__"}, path


@pytest.mark.parametrize("module", ["flows.retrain", "flows.commands.main", "flows.commands.show"])
def test_torch_is_not_imported_until_a_stage_runs(module):
    bodies = "tasks.data.task tasks.training.task tasks.rlhf.task tasks.quantization.task tasks.rag.task tasks.evaluation.task".split()
    code = f"import sys, importlib; [importlib.import_module(m) for m in {[module, *bodies]!r}]; print(sorted(set(sys.modules) & {{'torch', 'transformers', 'faiss', 'matplotlib'}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_code_hash_follows_imports(tmp_path, monkeypatch):
    import tasks.stages.code as code

    monkeypatch.setattr(code, "ROOT", tmp_path)
    (tmp_path / "tasks" / "x").mkdir(parents=True)
    (tmp_path / "tasks" / "x" / "task.py").write_text("def body():\n    from tasks.x.inner import f\n")
    (tmp_path / "tasks" / "x" / "inner.py").write_text("f = 1\n")
    (tmp_path / "tasks" / "x" / "other.py").write_text("g = 1\n")
    first = code_hash("tasks.x.task")
    (tmp_path / "tasks" / "x" / "other.py").write_text("g = 2\n")
    assert code_hash("tasks.x.task") == first
    (tmp_path / "tasks" / "x" / "inner.py").write_text("f = 2\n")
    assert code_hash("tasks.x.task") != first


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
