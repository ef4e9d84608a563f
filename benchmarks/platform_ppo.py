"""What the death of a gpu worker in the middle of PPO costs a quick retrain of the bundled model on a platform.

    python benchmarks/platform_ppo.py [--home HOME]

`migaki platform` runs twice, each time in a home of its own, and a quick retrain on it: once undisturbed, and once with `kill -9` of the gpu worker when
PPO has done a third of its updates. Both must end completed, the second within one and a half times the first; exits with 1 where that is not so.
With `--home`, copies of a home that has such a retrain are taken and RLHF alone is made anew, by another seed: what the death costs weighs more then.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.helpers.deaths import Platform, platform_in

SHARE, LIMIT, LONGEST = 33.0, 1.5, 7200


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--home", type=Path, help="a home with a quick retrain, of which RLHF is made anew")
    given = arguments.parse_args()
    took, good = [], True
    for disturbed in (False, True):
        with tempfile.TemporaryDirectory() as place:
            if given.home:
                shutil.copytree(given.home, Path(place) / "home", ignore=shutil.ignore_patterns("prefect", "platform"))
            with platform_in(Path(place), os.cpu_count() or 1) as platform:
                parameters = {"run": {"profile": "quick"}} | ({"align": {"seed": 1}} if given.home else {})
                run, began = platform.start("retrain", parameters), time.monotonic()
                if disturbed:
                    killed(platform, run)
                state = platform.finished(run, LONGEST)["state"]
                took.append(time.monotonic() - began)
                good &= state["type"] == "COMPLETED" and not platform.without_process() and not platform.orphans()
                print(f"{'gpu worker killed in PPO' if disturbed else 'undisturbed'}: {state['type']} after {took[-1]:.0f} s", flush=True)
    print(f"{took[1] / took[0]:.2f}x the time of the undisturbed one, {LIMIT}x at most")
    raise SystemExit(not good or took[1] > LIMIT * took[0])


def killed(platform: Platform, run: dict[str, object]) -> None:
    """Kill the gpu worker when PPO is a third done."""
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        told = platform.api("/artifacts/filter", {"artifacts": {"type": {"any_": ["progress"]}}, "limit": 200})
        if any("ppo" in one["key"] and float(one["data"]) >= SHARE for one in told):
            platform.kill("gpu worker", run)
            return
        time.sleep(1)
    raise SystemExit(f"PPO did not come so far within {LONGEST} s: {platform.log.read_text(errors='replace')[-3000:]}")


if __name__ == "__main__":
    main()
