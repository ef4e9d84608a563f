"""What a platform takes that has nothing to do: memory and processor time of the server, both workers and the supervisor.

    python benchmarks/platform_idle.py [--minutes 60] [--watched 0]

`migaki platform` runs in a home made on the spot. Two minutes after it says that it is ready, the time on all cores of its processes, and of those that they
start, is counted, and their resident memory is looked at twice a minute. Exits with 1 above 1.2 GB or 5 % of a core. With `--watched` it watches so many
files (`index.watch`), whose first index is made before it is counted.
"""

import argparse
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flows.running.watch import settings_file
from storage.home import Home
from tests.helpers.deaths import Platform, platform_in

SETTLES, MOST_MEMORY, MOST_TIME = 120, 1.2e9, 0.05


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=60)
    arguments.add_argument("--watched", type=int, default=0)
    given = arguments.parse_args()
    seconds = given.minutes * 60
    with tempfile.TemporaryDirectory() as place:
        if given.watched:
            watch(Path(place), given.watched)
        with platform_in(Path(place)) as platform:
            if given.watched:
                await_index(platform)
            time.sleep(SETTLES)
            root = psutil.Process(platform.process.pid)
            (before, memory), began = taken(root), time.monotonic()
            while time.monotonic() - began < seconds:
                time.sleep(30)
                now, held = taken(root)
                memory = max(memory, held)
            share = (now - before) / (time.monotonic() - began)
    print(f"{given.minutes:g} minutes, {given.watched:,} files watched: at most {memory / 1e9:.2f} GB, {share:.1%} of a core")
    raise SystemExit(memory > MOST_MEMORY or share > MOST_TIME)


def watch(place: Path, files: int) -> None:
    """Have the platform of a folder watch so many files of a few lines, in twenty folders."""
    for number in range(files):
        path = place / "watched" / f"part{number % 20}" / f"note{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Note {number}\n\nShelf {number * 7} holds part {number}. 棚{number}の部品。\n", encoding="utf-8")
    settings = settings_file(Home(place / "home"))
    settings.parent.mkdir(parents=True)
    settings.write_text(f"index:\n  watch: [{place / 'watched'}]\n", encoding="utf-8")


def await_index(platform: Platform) -> None:
    """Return when what is watched has been indexed."""
    until = time.monotonic() + 1800
    while not (made := platform.runs()) or made[0]["state_type"] in ("SCHEDULED", "PENDING", "RUNNING"):
        if time.monotonic() > until:
            raise RuntimeError(f"no index of the watched files: {made}")
        time.sleep(5)
    print(f"{made[0]['name']}: {made[0]['state_type']}", flush=True)


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
