"""No process that a run starts learns what opens the platform."""

import ast
import json
import os
import subprocess
import sys

import pytest

from tasks.documents.finding import DocumentFile
from tasks.documents.reading import Reader
from tasks.processes import child_environment
from tests import ROOT

SECRET = "migaki:do-not-tell"
OF_PREFECT = {
    "PREFECT_API_AUTH_STRING": SECRET,
    "PREFECT_SERVER_API_AUTH_STRING": SECRET,
    "PREFECT__FLOW_RUN_ID": "1",
    "PREFECT_API_URL": "u",
}
STARTING = {"Popen", "run", "call", "check_call", "check_output"}
# Of the platform itself: these run Prefect, and are given its environment by name.
PREFECTS = {"flows/commands/platform.py", "flows/running/local.py"}


@pytest.fixture
def secret(monkeypatch):
    for name, value in OF_PREFECT.items():
        monkeypatch.setenv(name, value)


def starts(source: str) -> list[tuple[str, str]]:
    """(what starts a process, its environment) for every such call in a module."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        module, _, name = called.rpartition(".")
        if (
            (module == "subprocess" and name in STARTING)
            or called in ("os.system", "os.popen")
            or called.startswith(("os.exec", "os.spawn", "os.posix"))
        ):
            found.append((called, next((ast.unparse(word.value) for word in node.keywords if word.arg == "env"), "its parent's")))
    return found


@pytest.mark.parametrize(
    "path", [path.relative_to(ROOT).as_posix() for room in ("flows", "tasks", "storage") for path in sorted((ROOT / room).rglob("*.py"))]
)
def test_every_start_of_a_process_scrubs_its_environment(path):
    source = (ROOT / path).read_text(encoding="utf-8")
    if path not in PREFECTS:
        assert [start for start in starts(source) if not start[1].startswith("child_environment(")] == []
    assert "import multiprocessing" not in source and "ProcessPoolExecutor" not in source  # they hand on the whole environment


def test_the_walk_finds_what_it_looks_for():
    calls = "subprocess.run(['a'])\nsubprocess.Popen(x, env=os.environ)\nos.system('a')\nsubprocess.run(x, env=child_environment())"
    assert [start[1] for start in starts(calls)] == ["its parent's", "os.environ", "its parent's", "child_environment()"]


def test_the_rest_of_the_environment_stays(secret):
    child = child_environment(MORE="1")
    assert not [name for name in child if name.startswith("PREFECT_")] and SECRET not in json.dumps(child)
    assert child["PATH"] == os.environ["PATH"] and child["MORE"] == "1" and "MORE" not in os.environ


def test_a_reader_of_documents_is_not_told(secret, tmp_path):
    (tmp_path / "a.txt").write_text("Some text.")
    reader = Reader(30, None, 2 << 30, 2 << 20)
    try:
        reader.read(DocumentFile("a.txt", tmp_path / "a.txt"))
        with open(f"/proc/{reader._process.pid}/environ", "rb") as told:
            assert SECRET.encode() not in told.read()
    finally:
        reader.stop()


def test_processes_that_share_a_stage_load_no_prefect():
    """Which would read the settings of whoever's Prefect it finds."""
    code = "import sys, tasks.stages.distributed, tasks.training.task_tune, tasks.rlhf.task_align; print('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip() == "False"
