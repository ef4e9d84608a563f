"""What the comparisons with peers share: both sides run in turn on one machine, so that whatever disturbs one disturbs both."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path


def bundled_model() -> Path:
    from flows.params import BUNDLED_MODEL
    from storage import Home
    from tasks.models.reference import resolve

    return resolve(BUNDLED_MODEL, Home.current(), print).path


def alternate(sides: dict[str, list[object]], runs: int, show: tuple[str, ...]) -> dict[str, list[dict]]:
    """The last line of each command's output, which is JSON, of each run. Shows the figures named as they come.

    Exits with the end of its error output where a command fails.
    """
    found: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, command in sides.items():
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
            found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(name, {figure: found[name][-1][figure] for figure in show if figure in found[name][-1]}, flush=True)
    return found


def compare(found: dict[str, list[dict]], speed: str, memory: str = "peak_rss_mib") -> str:
    """Medians of Migaki and its peer, and the ratios, in a line."""
    fast, large = ({name: statistics.median(run[figure] for run in runs) for name, runs in found.items()} for figure in (speed, memory))
    return (
        f"{fast['migaki']:.3f} against {fast['peer']:.3f} {speed}, {fast['migaki'] / fast['peer']:.2f}x; "
        f"peak {large['migaki']:.0f} against {large['peer']:.0f} MiB, {large['migaki'] / large['peer']:.2f}"
    )
