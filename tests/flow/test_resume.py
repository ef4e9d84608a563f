"""`kill -9` in the middle of PPO: the run that goes on gives the weights of the run that was never killed, bit for bit."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from storage.catalog import Catalog
from storage.home import Home
from tests import ROOT
from tests.helpers.command import environment, migaki

LONGER = ["--set", "align.updates=25", "--set", "align.episodes=8", "--set", "align.length_limit=9", "--set", "align.distinct_limit=1"]


def align(home, *options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.commands.main", "align", *options],
        cwd=ROOT,
        env=environment(home),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def learning(process: subprocess.Popen) -> list[str]:
    """What it says until PPO begins."""
    told = []
    for line in process.stderr:
        told.append(line)
        if "align: PPO" in line:
            break
    return told


def result(home) -> tuple[dict, list, list]:
    """Checksums of the newest aligned artifact's adapter, its rollouts, and its scores."""
    query = Catalog.of(Home(home)).query
    newest = query("SELECT artifact_id, run_id FROM artifacts WHERE stage = 'align' ORDER BY created DESC LIMIT 1")[0]
    manifest = next((home / "objects" / "adapter").glob(f"{newest['artifact_id']}/manifest.json"))
    files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    rollouts = query("SELECT step, episode, answer, score, kl FROM rollouts WHERE run_id = ? ORDER BY step, episode", [newest["run_id"]])
    scores = query("SELECT step, value FROM metrics WHERE name = 'align.score' AND run_id = ? ORDER BY step", [newest["run_id"]])
    return {name: fact["sha256"] for name, fact in files.items() if name.endswith(".safetensors")}, rollouts, scores


@pytest.mark.slow
@pytest.mark.timeout(1500)  # ten runs, each a process
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(small_project, tmp_path):
    options = [*small_project.options, *LONGER]
    model, settings = options[:2], [word for word in options if word == "--set" or "=" in word]
    start = tmp_path / "start"
    migaki(start, "prepare", *options[: options.index("--set")])
    migaki(start, "tune", *model, *settings)
    migaki(start, "align", *model, *settings, "--set", "align.updates=1")  # the reward models, which all runs share
    homes = [shutil.copytree(start, tmp_path / name) for name in ("whole", "killed")]
    whole = align(homes[0], *model, *settings)
    learning(whole)
    beginning = time.monotonic()
    whole.stderr.read()
    assert whole.wait(60) == 0
    seconds = time.monotonic() - beginning
    kills, resumed, generator = 0, 0, random.Random(0)
    while kills < 10:
        process = align(homes[1], *model, *settings)
        told = learning(process)
        time.sleep(generator.uniform(0, seconds / 6))
        os.killpg(process.pid, signal.SIGKILL)
        process.stderr.read()
        process.wait(30)
        kills, resumed = kills + 1, resumed + any("going on from round" in line for line in told)
    migaki(homes[1], "align", *model, *settings)
    assert resumed >= 3
    for whole, killed in zip(result(homes[0]), result(homes[1]), strict=True):
        assert whole == killed
    assert not list((homes[1] / "checkpoints").glob("*"))
    own = {"PREFECT_HOME": str(Home(homes[1]).prefect)}.items()
    assert not [
        found for found in psutil.process_iter(["environ"]) if own <= (found.info["environ"] or {}).items()
    ]  # servers of killed runs
