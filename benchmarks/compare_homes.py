"""Hold the figures of two homes against each other: every row of `metrics` of their newest retraining run.

    python benchmarks/compare_homes.py BEFORE AFTER

Left out is what a machine decides and not a computation: seconds, latency, memory and throughput. Ends with 1 where a row differs by more than
the tolerance, relative to the larger of the two, or is in one home alone.
"""

import argparse
import sys
from pathlib import Path

from storage.catalog import Catalog
from storage.home import Home

MACHINE = ("second", "latency", "memory", "throughput", "bytes", "mib")
OF_RUN = """
    WITH newest AS (SELECT run_id FROM runs WHERE flow = 'retrain' ORDER BY started DESC LIMIT 1),
         made AS (SELECT artifact_id FROM runs WHERE parent_run_id IN (FROM newest))
    SELECT name, step, value, row_number() OVER (PARTITION BY name, step ORDER BY ts) AS number
    FROM metrics WHERE run_id IN (SELECT run_id FROM artifacts WHERE artifact_id IN (FROM made)) ORDER BY ALL
"""
Row = tuple[str, int, int]


def figures(folder: Path) -> dict[Row, float]:
    """Values by (name, step, how many of that name and step came before)."""
    rows = Catalog.of(Home(folder.resolve())).query(OF_RUN)
    return {(row["name"], row["step"], row["number"]): row["value"] for row in rows if not any(word in row["name"] for word in MACHINE)}


def distance(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b), 1.0)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("before", type=Path)
    options.add_argument("after", type=Path)
    options.add_argument("--tolerance", type=float, default=1e-6)
    chosen = options.parse_args()
    before, after = figures(chosen.before), figures(chosen.after)
    alone = [(row, "before" if row in before else "after") for row in sorted(before.keys() ^ after.keys())]
    for row, home in alone:
        print(f"{row[0]} at step {row[1]}: only in the home {home}")
    apart = {row: distance(before[row], after[row]) for row in before.keys() & after.keys()}
    worse = sorted((row for row in apart if apart[row] > chosen.tolerance), key=lambda row: -apart[row])
    for row in worse[:20]:
        print(f"{row[0]} at step {row[1]}: {before[row]!r} and {after[row]!r}")
    print(
        f"{len(apart)} rows in both, {len(worse)} of them further apart than {chosen.tolerance:g}; {len(alone)} in one alone; most: {max(apart.values(), default=0):.2g}"
    )
    sys.exit(bool(worse or alone or not apart))


if __name__ == "__main__":
    main()
