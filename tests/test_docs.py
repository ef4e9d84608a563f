"""What the pages say of the repository is so: every path that they name is there, and every folder of the code is named."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"`((?:flows|tasks|storage|tests|docs|benchmarks|examples|\.ci)/[^`\s]*)`")
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
TREE = re.compile(r"```tree\n(.*?)```", re.DOTALL)


def tree(text: str) -> Iterator[str]:
    """The paths of a page's tree: a folder at the beginning of a line; below it, indented, what lies in it."""
    for block in TREE.findall(text):
        folder = ""
        for line in block.splitlines():
            name = line.split()[0]
            if line.startswith(" "):
                yield folder + name
            else:
                folder = name if name.endswith("/") else ""
                yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_path_that_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    named = {*CODE.findall(text), *tree(text)}
    assert [path for path in sorted(named) if not any(ROOT.glob(path))] == []
    assert [path for path in LINK.findall(text) if not (page.parent / path).exists()] == []


def test_the_architecture_names_every_folder_of_the_code():
    named = set(tree((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))
    files = [path for top in ("flows", "tasks", "storage") for path in (ROOT / top).rglob("*") if path.is_file()]
    folders = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in files if path.parent.name != "__pycache__"}
    assert sorted(folders - named) == []


def test_every_decision_is_in_the_list():
    folder = ROOT / "docs" / "decisions"
    listed = LINK.findall((folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(Path(path).name for path in folder.glob("0*.md"))
