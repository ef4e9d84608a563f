"""Sets of parameters, right and wrong ones, given to deployments of a platform over its API and in its page's form: who refuses which, and on whose worker what runs.

    python benchmarks/parameter_sets.py

`migaki platform` runs in a home made on the spot, on a tiny model. Wrong sets are to be refused with the setting's name, by the server or by the run before it has
begun a stage, and those that the server refuses in the form too, in Chromium; right ones are to complete on the pool of their deployment, and their GPU stages
on the pool gpu, whatever they say of `run.where`. Exits with 1 where one does not.
"""

import json
import sys
import tempfile
import time
import urllib.error
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from shutil import which
from urllib.parse import quote

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flows.running.secret import read_secret
from storage.catalog import Catalog
from tests.helpers.deaths import Platform, platform_in
from tests.helpers.parameter_sets import Given, refused_by_the_run, refused_by_the_server, right
from tests.helpers.small_project import SmallProject


def main() -> None:
    wrong, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as elsewhere, platform_in(Path(place)) as platform:
        project = SmallProject.write(Path(place) / "project")
        sets = refused_by_the_server() + refused_by_the_run(Path(elsewhere)) + right(project, Path(place))
        for how, given, problem, became in chain(in_the_form(platform, project), over_the_api(platform, project, sets)):
            wrong += bool(problem)
            said = json.dumps(given.said, ensure_ascii=False)[:90]
            print(f"{problem or 'as it should be'}: {how} {given.flow} {said}: {became[:200]}", flush=True)
    print(f"{wrong} of {len(sets)} sets not as they should be, {time.monotonic() - began:.0f} s")
    raise SystemExit(bool(wrong))


Tried = tuple[str, Given, str, str]  # how, what, what is wrong with what became of it, and what did


def in_the_form(platform: Platform, project: SmallProject) -> Iterator[Tried]:
    """What the form says to sets that break the schema: the server's words, or the browser's own of a number out of its range."""
    with sync_playwright() as started, started.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"]) as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{platform.port}/")
        page.get_by_placeholder("admin:pass").fill(read_secret(platform.home))
        page.get_by_role("button", name="Login").click()
        page.get_by_role("link", name="Deployments").wait_for()
        for given in refused_by_the_server():
            if not isinstance(given.said.get("run", {}), dict):  # a form has fields where a section is, and no way to say something else
                continue
            deployment = platform.api(f"/deployments/name/{given.flow}/{given.flow}")["id"]
            filled = quote(json.dumps(given.parameters(project), ensure_ascii=False))
            page.goto(f"http://127.0.0.1:{platform.port}/v2/deployments/deployment/{deployment}/run?parameters={filled}")
            page.wait_for_timeout(1000)  # the page asks the server of what it was given as it opens
            page.get_by_role("button", name="Submit").click()
            page.wait_for_timeout(2000)
            toast = " ".join(page.locator("[data-sonner-toast]").all_inner_texts())
            own = page.evaluate("[...document.querySelectorAll('input')].map(node => node.validationMessage).filter(Boolean).join(' ')")
            refused = (own or all(word in toast for word in given.words)) and not platform.runs()
            yield "form", given, "" if refused else "NOT REFUSED SO", own or toast


def over_the_api(platform: Platform, project: SmallProject, sets: list[Given]) -> Iterator[Tried]:
    for given in sets:
        yield "API", given, *tried(platform, given, project)


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
    became, stages = f"{state['type']} on {pool}: {state['message']}", begun(platform) - before
    if given.refused:
        refused = given.refused == "run" and state["type"] == "FAILED" and all(word in state["message"] for word in given.words)
        return ("" if refused and pool == given.pool and not stages else "NOT REFUSED SO"), became
    handed = {own["name"].split()[0] for own in platform.runs(parent_flow_run_id={"any_": [run["id"]]}) if own["work_pool_name"] == "gpu"}
    good = state["type"] == "COMPLETED" and pool == given.pool and handed == given.stages
    return ("" if good else "NOT DONE SO"), f"{became}; stages on gpu: {', '.join(sorted(handed)) or 'none'}"


def begun(platform: Platform) -> set[str]:
    """Runs of flows and stages that the catalog knows."""
    return {row["run_id"] for row in Catalog.of(platform.home).query("SELECT run_id FROM runs")}


if __name__ == "__main__":
    main()
