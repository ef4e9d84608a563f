"""Sets of parameters, right and wrong ones, given to deployments of a platform: who refuses which, and on whose worker what runs.

    python benchmarks/parameter_sets.py

`migaki platform` runs in a home made on the spot, on a tiny model. Wrong sets are to be refused with the setting's name, by the server or by the run before it has
begun a stage; right ones are to complete on the pool of their deployment, and their GPU stages on the pool gpu, whatever they say of `run.where`. Exits with 1
where one does not.
"""

import json
import sys
import tempfile
import time
import urllib.error
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from storage.catalog import Catalog
from tests.helpers.deaths import Platform, platform_in
from tests.helpers.parameter_sets import Given, refused_by_the_run, refused_by_the_server, right
from tests.helpers.small_project import SmallProject


def main() -> None:
    wrong = 0
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as elsewhere, platform_in(Path(place)) as platform:
        project = SmallProject.write(Path(place) / "project")
        for given in refused_by_the_server() + refused_by_the_run(Path(elsewhere)) + right(project, Path(place)):
            began = time.monotonic()
            problem, became = tried(platform, given, project)
            wrong += bool(problem)
            said = json.dumps(given.said, ensure_ascii=False)
            print(
                f"{problem or 'as it should be'}: {given.flow} {said[:90]}: {became[:160]} ({time.monotonic() - began:.0f} s)", flush=True
            )
    print(f"{wrong} sets not as they should be")
    raise SystemExit(bool(wrong))


def tried(platform: Platform, given: Given, project: SmallProject) -> tuple[str, str]:
    """(what is wrong with it, what became of it) of a set."""
    before = begun(platform)
    deployment = platform.api(f"/deployments/name/{given.flow}/{given.flow}")["id"]
    body = {"parameters": given.parameters(project), "state": {"type": "SCHEDULED"}}
    try:
        run = platform.finished(platform.api(f"/deployments/{deployment}/create_flow_run", body), 600)
    except urllib.error.HTTPError as error:
        told = json.loads(error.read())["detail"]
        return "" if given.refused == "server" and all(word in told for word in given.words) else "REFUSED OTHERWISE", told
    state, pool = run["state"], run["work_pool_name"]
    became, children = f"{state['type']} on {pool}: {state['message']}", begun(platform) - before
    if given.refused:
        refused = given.refused == "run" and state["type"] == "FAILED" and all(word in state["message"] for word in given.words)
        return ("" if refused and pool == given.pool and not children else "NOT REFUSED SO"), became
    handed = {own["name"].split()[0] for own in platform.runs(parent_flow_run_id={"any_": [run["id"]]}) if own["work_pool_name"] == "gpu"}
    good = state["type"] == "COMPLETED" and pool == given.pool and handed == given.stages
    return ("" if good else "NOT DONE SO"), f"{became}; stages on gpu: {', '.join(sorted(handed)) or 'none'}"


def begun(platform: Platform) -> set[str]:
    """Runs of flows and stages that the catalog knows."""
    return {row["run_id"] for row in Catalog.of(platform.home).query("SELECT run_id FROM runs")}


if __name__ == "__main__":
    main()
