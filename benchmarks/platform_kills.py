"""Whether retrains on a platform outlive `kill -9`.

    python benchmarks/platform_kills.py [--kills 20] [--each 4]

`migaki platform` runs in a home made on the spot, and retrains of a tiny model on it, each with another seed. Processes of stages, of both workers, of the run
that wants the stages and of the server are killed, each kind as often, at times of chance; a retrain lives through `--each` kills. Every one must end
completed, with no run that goes on without a process three minutes later and no process without a worker, and no stage that was completed may have
been computed again. Exits with 1 where one does not.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.helpers.deaths import computed_twice, kinds, platform_in
from tests.helpers.small_project import SmallProject


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--each", type=int, default=4, help="kills in one retrain")
    given = arguments.parse_args()
    draw, wrong, done, number = random.Random(0), 0, 0, 0
    with tempfile.TemporaryDirectory() as place, platform_in(Path(place)) as platform:
        project, planned = SmallProject.write(Path(place) / "project"), kinds(given.kills)
        while planned:
            run, own, began = platform.retrain(project, seed=number), [], time.monotonic()
            while planned and len(own) < given.each:
                time.sleep(draw.uniform(2, 12))
                if not platform.kill(planned[0], run):
                    break
                own.append(planned.pop(0))
            ended = platform.finished(run, 1200)
            done, good = done + len(own), ended["state"]["type"] == "COMPLETED"
            wrong += not good
            print(
                f"retrain {number}: {ended['state']['type']} after {time.monotonic() - began:.0f} s; killed: {', '.join(own) or 'nothing'}",
                flush=True,
            )
            number += 1
        time.sleep(180)
        left, orphans = platform.without_process(), platform.orphans()
        twice = computed_twice(platform.home)
        print(
            f"{done} kills over {number} retrains: {wrong} not completed, {len(left)} runs without a process, {len(orphans)} orphans, {len(twice)} twice"
        )
    raise SystemExit(bool(wrong or left or orphans or twice))


if __name__ == "__main__":
    main()
