"""The licence list of `make sbom`."""

import subprocess
import sys
from pathlib import Path

LICENCES = Path(__file__).parents[1] / ".ci" / "licences.py"


def test_every_distribution_has_a_line_with_what_it_says():
    done = subprocess.run([sys.executable, LICENCES], capture_output=True, text=True, check=True)
    head, _, *lines = done.stdout.splitlines()
    rows = dict(line.strip("| ").split(" | ", 1) for line in lines)
    assert head == "| distribution | version | licence |" and list(rows) == sorted(rows)
    assert rows["migaki"].endswith("Apache-2.0") and rows["pydantic"].endswith("MIT") and "transformers" in rows
    assert all(row.count(" | ") == 1 and not row.endswith("| ") for row in rows.values())
