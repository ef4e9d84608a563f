"""What a platform takes that has nothing to do: memory and processor time of the server, both workers and the supervisor.

    python benchmarks/platform_idle.py [--minutes 60]

`migaki platform` runs in a home made on the spot. Two minutes after it says that it is ready, the time on all cores of its processes, and of those that they
start, is counted, and their resident memory is looked at twice a minute. Exits with 1 above 1.2 GB or 5 % of a core.
"""

import argparse
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.helpers.deaths import platform_in

SETTLES, MOST_MEMORY, MOST_TIME = 120, 1.2e9, 0.05


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=60)
    seconds = arguments.parse_args().minutes * 60
    with tempfile.TemporaryDirectory() as place, platform_in(Path(place)) as platform:
        time.sleep(SETTLES)
        root = psutil.Process(platform.process.pid)
        (before, memory), began = taken(root), time.monotonic()
        while time.monotonic() - began < seconds:
            time.sleep(30)
            now, held = taken(root)
            memory = max(memory, held)
        share = (now - before) / (time.monotonic() - began)
    print(f"{seconds / 60:g} minutes: at most {memory / 1e9:.2f} GB, {share:.1%} of a core")
    raise SystemExit(memory > MOST_MEMORY or share > MOST_TIME)


def taken(root: psutil.Process) -> tuple[float, int]:
    """(seconds on all cores, bytes of resident memory) of a process and those below it, ended ones included in the first."""
    seconds, memory = 0.0, 0
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.Error):
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
            memory += process.memory_info().rss
    return seconds, memory


if __name__ == "__main__":
    main()
