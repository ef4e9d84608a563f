"""A real platform that watches a folder: files that come into it are in the index that serves, one rebuild for each burst."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from contextlib import contextmanager

import pytest

from flows.running.local import free_port
from flows.running.secret import read_secret
from flows.running.supervisor import Api
from flows.running.watch import settings_file
from storage.artifacts import ArtifactStore
from storage.home import Home
from storage.kinds import Index
from storage.registry import champion_index
from tests import ROOT
from tests.helpers.command import migaki

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


class Platform:
    """`migaki platform`, what it says, and its API."""

    def __init__(self, home, port, log):
        self.home, self.port, self.log = home, port, log

    @property
    def api(self):
        return Api(f"http://127.0.0.1:{self.port}", read_secret(self.home))

    @contextmanager
    def runs(self, variables):
        """From when it says that it is there until it is told to end."""
        words = [sys.executable, "-m", "flows.commands.main", "platform", "--home", str(self.home.root), "--port", str(self.port)]
        with self.log.open("wb") as out:
            process = subprocess.Popen(words, cwd=ROOT, env=os.environ | variables, stdout=out, stderr=out)
        try:
            self.waits(lambda: "Prefect is at" in self.said() or process.poll() is not None, 120)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def said(self):
        return self.log.read_text(encoding="utf-8")

    def waits(self, until, seconds):
        """What `until` gives once it is something; fails with what the platform said."""
        end = time.monotonic() + seconds
        while not (found := until()):
            assert time.monotonic() < end, self.said()[-3000:] + (self.home.root / "platform/platform.log").read_text()[-3000:]
            time.sleep(0.5)
        return found

    def indexes_small(self, embedder):
        """Have the event's runs make the index with a tiny embedder."""
        [one] = self.api("/automations/filter", {"automations": {"name": {"any_": ["documents changed"]}}})
        one["actions"][0]["parameters"]["run"] = {"where": "prefect", "embedder": str(embedder), "embedder_en": ""}
        one["actions"][0]["parameters"]["index"]["chunk_tokens"] = 60
        changed = {name: one[name] for name in ("name", "description", "enabled", "trigger", "actions", "tags")}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/automations/{one['id']}", json.dumps(changed).encode(), method="PUT"
        )
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Basic {b64encode(read_secret(self.home).encode()).decode()}")
        urllib.request.urlopen(request, timeout=30).close()

    def index_runs(self):
        """(state, documents) of each run of the flow, the oldest first."""
        body = {"flows": {"name": {"any_": ["index"]}}, "flow_runs": {"deployment_id": {"is_null_": False}}, "sort": "START_TIME_ASC"}
        return [(run["state"]["type"], run["parameters"]["index"]["documents"]) for run in self.api("/flow_runs/filter", body)]

    def serves(self, runs):
        """(index that serves, its documents), once so many runs have ended and nothing more was told for as long as another would have taken to begin."""
        self.waits(lambda: len([state for state, _ in self.index_runs() if state not in ("SCHEDULED", "PENDING", "RUNNING")]) >= runs, 180)
        time.sleep(12)
        assert [state for state, _ in self.index_runs()] == ["COMPLETED"] * runs
        serves = champion_index(self.home).artifact_id
        return serves, Index.of(ArtifactStore(self.home).get(serves).meta, serves).documents


@pytest.fixture(scope="module")
def platform(tmp_path_factory, embedder_folder):
    """One that watches `docs`, which is empty, and may read what tests write."""
    folder = tmp_path_factory.mktemp("changing")
    home = Home(folder / "home")
    (home.root / "platform").mkdir(parents=True)
    (folder / "docs").mkdir()
    settings_file(home).write_text(f"index: {{watch: [{json.dumps(str(folder / 'docs'))}], quiet_seconds: 2}}")
    found = Platform(home, free_port(), folder / "said.log")
    variables = {
        "MIGAKI_ROOTS": str(tmp_path_factory.getbasetemp()),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    with found.runs(variables):
        found.indexes_small(embedder_folder)
        found.docs = folder / "docs"
        yield found


def test_what_comes_into_the_folder_serves_once_for_each_burst(platform):
    docs = platform.docs
    (docs / "旅費.md").write_text("# 旅費規程\n\n日当は3000円です。\n", encoding="utf-8")
    first, documents = platform.serves(runs=1)
    assert documents == 1 and "documents changed (1 added: 旅費.md): the index is made anew" in platform.said()
    for number in range(5):
        (docs / f"rule{number}.md").write_text(f"# Rule {number}\n\nThe allowance is {number} dollars a day.\n", encoding="utf-8")
        time.sleep(0.4)
    second, documents = platform.serves(runs=2)
    assert first != second and documents == 6 and "(5 added: rule0.md, rule1.md, rule2.md, rule3.md, rule4.md)" in platform.said()
    assert migaki(platform.home.root, "index", "--announce", str(docs / "旅費.md"))["automations"] == ["documents changed"]
    assert platform.serves(runs=3) == (first, 1)
    assert [documents for _, documents in platform.index_runs()] == [[str(docs)], [str(docs)], [str(docs / "旅費.md")]]
