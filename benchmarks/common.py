"""What the comparisons with peers share: both sides run in turn on one machine, so that whatever disturbs one disturbs both."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GPU_PEAK = "peak_gpu_mib"


def bundled_model() -> Path:
    from flows.running.parameters import BUNDLED_MODEL
    from storage.home import Home
    from tasks.models.reference import resolve

    return resolve(BUNDLED_MODEL, Home.current(), print).path


def alternate(sides: dict[str, list[object]], runs: int, show: tuple[str, ...]) -> dict[str, list[dict]]:
    """The last line of each command's output, which is JSON, of each run. Shows the figures named as they come.

    Where there is a GPU, what was in use on it at most comes with them.

    Exits with the end of its error output where a command fails.
    """
    found: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, command in sides.items():
            with gpu_memory() as used:
                done = subprocess.run(
                    [str(word) for word in command], capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}
                )
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
            found[name].append(json.loads(done.stdout.strip().splitlines()[-1]) | ({GPU_PEAK: max(used)} if used else {}))
            print(name, {figure: found[name][-1][figure] for figure in show if figure in found[name][-1]}, flush=True)
    return found


@contextmanager
def gpu_memory() -> Iterator[list[int]]:
    """MiB in use on the first GPU, looked at while the body runs; stays empty where there is none."""
    found: list[int] = []
    if shutil.which("nvidia-smi") is None:
        yield found
        return
    command = ["nvidia-smi", "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--loop-ms=200"]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    reader = threading.Thread(target=lambda: found.extend(int(line) for line in watcher.stdout))
    reader.start()
    try:
        yield found
    finally:
        watcher.terminate()
        reader.join()


def compare(found: dict[str, list[dict]], speed: str, memory: str = "peak_rss_mib") -> str:
    """Medians of Migaki and its peer, and the ratios, in a line."""
    fast, large = ({name: statistics.median(run[figure] for run in runs) for name, runs in found.items()} for figure in (speed, memory))
    return (
        f"{fast['migaki']:.3f} against {fast['peer']:.3f} {speed}, {fast['migaki'] / fast['peer']:.2f}x; "
        f"peak {large['migaki']:.0f} against {large['peer']:.0f} MiB, {large['migaki'] / large['peer']:.2f}"
    )
