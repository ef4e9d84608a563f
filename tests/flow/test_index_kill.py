"""`kill -9` in the middle of a rebuild: the index that serves is the old one or the new one, whole, and never neither."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from flows.commands.verify import verify_index
from flows.running.parameters import RunSettings
from flows.serving.live_index import open_champion
from storage.artifacts import ArtifactStore
from storage.home import Home
from tests import ROOT
from tests.helpers.command import environment, migaki
from tests.helpers.words import subject

KILLS = 20
SETTINGS = ["--set", "index.chunk_tokens=60"]


def start(home, *words) -> subprocess.Popen:
    command = [sys.executable, "-m", "flows.commands.main", "index", *words]
    return subprocess.Popen(command, cwd=ROOT, env=environment(home), stderr=subprocess.PIPE, text=True, start_new_session=True)


def began(process: subprocess.Popen) -> None:
    """Return when the stage begins: before, there is nothing to interrupt."""
    for line in process.stderr:
        if line.strip() == "index":
            return


def version(home: Home) -> tuple[int, int]:
    """(the version that the serving index's documents are of, how many there are)."""
    retriever = open_champion(home).retriever
    texts = retriever.chunks["text"].to_pylist()
    versions = {int(text.split()[1]) for text in texts}
    assert len(versions) == 1, "the index holds documents of two versions"
    assert {hit.text for hit in retriever.search("version", 500)} == set(texts)
    return versions.pop(), len(texts)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # twenty rebuilds, each a process
def test_killed_at_random_moments_the_old_or_the_new_index_serves(tmp_path, embedder_folder):
    home, docs, generator = Home(tmp_path / "home"), tmp_path / "docs", random.Random(0)
    docs.mkdir()
    options = ["--documents", str(docs), "--set", f"run.embedder={embedder_folder}", *SETTINGS]

    def write(number: int) -> None:
        for i in range(300):
            (docs / f"{i:03}.txt").write_text(f"version {number} of {subject(i)[0]}", encoding="utf-8")

    write(0)
    migaki(home.root, "prepare", "--documents", str(docs))
    process = start(home.root, *options)
    began(process)
    beginning = time.monotonic()
    process.stderr.read()
    assert process.wait(60) == 0 and version(home) == (0, 300)
    seconds, served, number, kills, kept = time.monotonic() - beginning, 0, 0, 0, 0
    while kills < KILLS:
        number += 1
        assert number < 5 * KILLS, "most runs ended before they could be killed"
        write(number)
        process = start(home.root, *options)
        began(process)
        time.sleep(generator.uniform(0, seconds))
        in_time = process.poll() is None
        with suppress(ProcessLookupError):  # it had ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        seconds *= 1.0 if in_time else 0.8
        now, count = version(home)
        assert now in (served, number) and count == 300
        kills, kept, served = kills + in_time, kept + (now != number), now
        answer = verify_index(home, RunSettings())
        assert answer["found"] == [] and answer["exit_code"] == 0, answer
    migaki(home.root, "index", *options)
    assert version(home) == (number, 300) and verify_index(home, RunSettings())["found"] == []
    assert kept >= KILLS // 4  # killed before the new index served
    ArtifactStore(home).sweep()
    assert not list((home.objects / "index").glob("*.tmp-*"))
