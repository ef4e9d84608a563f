"""The page docs/adding-a-stage.md, followed to the letter in a copy of the repository: what it shows is all that a stage needs, and it works."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.home import Home
from tests import ROOT
from tests.helpers.command import migaki

NAME = "wordcount"
BLOCK = re.compile(r"^### (\S+)\n\n```(python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = ("flows", "tasks", "storage", "tests", "docs", "README.md", "prefect.yaml", "pyproject.toml")


def blocks() -> dict[str, tuple[str, str]]:
    """(python or diff, text) by the path that heads the block."""
    page = (ROOT / "docs/adding-a-stage.md").read_text(encoding="utf-8")
    found = [(path.replace("\\", ""), (form, text)) for path, form, text in BLOCK.findall(page)]
    assert len(dict(found)) == len(found) == page.count("\n```python\n") + page.count("\n```diff\n")
    return dict(found)


def changed(before: str, diff: str) -> str:
    """A text with the lines that a diff adds; those around them must stand there once."""
    lines = diff.splitlines(keepends=True)
    assert {line[0] for line in lines} == {" ", "+"}
    context = "".join(line[1:] for line in lines if line[0] == " ")
    assert before.count(context) == 1, context
    return before.replace(context, "".join(line[1:] for line in lines))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository with what the page adds."""
    root = tmp_path_factory.mktemp("copy") / "migaki"
    root.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    for name, (form, text) in blocks().items():
        path = root / name
        assert path.exists() == (form == "diff"), name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed(path.read_text(encoding="utf-8"), text) if form == "diff" else text, encoding="utf-8")
    return root


def run(root: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", *words], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_four_things_are_touched():
    """A folder that is new as a whole counts once; tests and pages are no part of what runs."""

    def touched(path: Path) -> Path:
        return next((folder for folder in [*reversed(path.parents), path] if not (ROOT / folder).exists()), path)

    code = {touched(Path(name)).as_posix() for name in blocks() if not name.startswith(("tests/", "docs/"))}
    assert code == {f"tasks/{NAME}", f"flows/{NAME}.py", "flows/catalogue/stages.py", "prefect.yaml"}


def test_what_the_page_shows_is_whole(copy):
    for name in blocks():
        text = (copy / name).read_text(encoding="utf-8")
        if name.endswith(".py"):
            modules = [node.module for node in ast.walk(ast.parse(text, name)) if isinstance(node, ast.ImportFrom)]
            ours = [module for module in modules if module.partition(".")[0] in COPIED]
            assert [module for module in ours if not (copy / module.replace(".", "/")).with_suffix(".py").exists()] == [], name
    deployments = yaml.safe_load((copy / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    assert [one["name"] for one in deployments].count(NAME) == 1
    assert NAME in run(copy, "flows.commands.main", "--help") and f"{NAME}.most = 1000" in run(copy, "flows.commands.main", NAME, "--help")


@pytest.mark.slow
def test_the_stage_runs_and_is_reused(copy, small_project, tmp_path):
    files, home = small_project.files, tmp_path / "home"
    dataset = migaki(home, "prepare", "--instructions", *files["instructions"], root=copy)["artifact"]
    made = migaki(home, NAME, "--set", f"{NAME}.most=20", root=copy)["artifact"]
    assert made["kind"] == "dataset" and made["meta"]["kept"] == 40
    store, catalog = ArtifactStore(Home(home)), Catalog.of(Home(home))
    manifest = next(one for one in store.manifests() if one["stage"] == NAME)
    assert manifest["id"] == made["id"] and manifest["inputs"] == {"dataset": dataset["id"]} and "words.parquet" in manifest["files"]
    rows = catalog.query("SELECT name, value FROM metrics WHERE run_id = ?", [manifest["run_id"]])
    metrics = {row["name"]: row["value"] for row in rows}
    own = {f"{NAME}.{figure}.{lang}" for figure in ("words", "distinct") for lang in ("en", "ja")}
    assert metrics.keys() == own | {f"{NAME}.device_seconds", f"{NAME}.peak_bytes"}
    assert min(metrics[name] for name in own) > 10
    assert migaki(home, NAME, "--set", f"{NAME}.most=20", root=copy)["artifact"] == made
    runs = catalog.query("SELECT status FROM runs WHERE flow = ? ORDER BY started", [NAME])
    assert [row["status"] for row in runs] == ["completed", "reused"]


@pytest.mark.slow
def test_the_rules_of_the_house_hold_with_the_stage(copy):
    named = "tests/test_docs.py::test_the_architecture_names_every_folder_of_the_code"
    run(copy, "pytest", "tests/flows/catalogue", "tests/test_architecture.py", f"tests/tasks/{NAME}", named)
    run(copy, "ruff", "check", ".")
    run(copy, "ruff", "format", "--check", ".")
