"""The whole chain on a tiny model, through the command and a real Prefect engine: run, run again, change one thing, interrupt."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.home import Home
from tests import ROOT
from tests.helpers.command import environment, migaki, still_running
from tests.helpers.small_project import SETTINGS, tiny_model, write_lines

CHAIN = ["prepare", "safety", "tune", "reward", "align", "choose", "quantize", "index", "calibrate", "answering", "evaluate"]


@pytest.fixture(scope="module")
def place(small_project, tmp_path_factory):
    """(home, options, answer) of a finished run."""
    home = tmp_path_factory.mktemp("retrain") / "home"
    return home, small_project.options, migaki(home, "retrain", *small_project.options)


def test_every_stage_runs_and_leaves_its_account(place, migaki_here):
    home, _, answer = place
    assert [stage["stage"] for stage in answer["stages"]] == CHAIN
    assert "EventsWorker" not in answer["stderr"]  # Prefect's last words are heard before its server ends
    assert all(stage["status"] == "completed" for stage in answer["stages"])
    query = Catalog.of(Home(home)).query
    assert {row["kind"] for row in query("SELECT DISTINCT kind FROM artifacts")} == {
        "dataset",
        "classifier",
        "adapter",
        "reward_model",
        "model",
        "index",
        "calibration",
        "answering",
        "evaluation",
        "release",
    }
    assert query("SELECT count(*) AS n FROM rollouts")[0]["n"] == (SETTINGS["align"]["updates"] + 1) * SETTINGS["align"]["episodes"]
    models = {row["model"] for row in query("SELECT DISTINCT model FROM evaluation_answers")}
    assert models == {"base", "tuned", "aligned", "release"}
    assert (
        query(
            "SELECT count(*) AS n FROM evaluation_answers WHERE suite = 'answers' AND (answer IS NULL OR reward IS NULL OR second_reward IS NULL)"
        )[0]["n"]
        == 0
    )
    asked = query("SELECT model, suite, count(*) AS n FROM evaluation_answers WHERE outcome IS NOT NULL GROUP BY ALL")
    assert {row["model"] for row in asked} == {"base", "release"}
    assert {"answerable": 12, "left_out": 12, "small_talk": 12}.items() <= {row["suite"]: row["n"] for row in asked}.items()
    chosen = next(stage for stage in answer["stages"] if stage["stage"] == "choose")["choice"]
    assert chosen["because"] in answer["stderr"] and chosen["because"] in migaki_here(home, "status")["release"]["names"]["made of"]
    assert query("SELECT DISTINCT model FROM evaluation_answers WHERE suite = 'choose' ORDER BY 1") == [
        {"model": "aligned"},
        {"model": "tuned"},
    ]
    assert query("SELECT count(*) AS n FROM promotions")[0]["n"] == 1
    assert {row["lang"] for row in query("SELECT lang FROM evaluations WHERE model = 'index'")} == {"all", "en", "ja"}
    page = (home / "reports" / "latest.html").read_text(encoding="utf-8")
    assert (
        "Before and after" in page
        and "The chatbot" in page
        and "Aligned or tuned" in page
        and "<svg" in page
        and "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace("http://creativecommons.org", "")
    )


def test_prepare_by_itself_ends_with_what_came_of_each_file(small_project, tmp_path, migaki_here):
    rows = small_project.files["instructions"][0]
    other = write_lines(tmp_path / "other.jsonl", [json.loads(Path(rows).read_text(encoding="utf-8").splitlines()[0]), {"output": "So."}])
    answer = migaki_here(tmp_path / "home", "prepare", "--instructions", rows, other, "--set", "prepare.max_malformed=0.5")
    first, second = answer["files"]
    assert (first["name"], first["read"], sum(first["kept"].values()), first["dropped"]) == ("i.jsonl", 80, 80, {})
    assert (second["read"], second["kept"], second["dropped"]) == (2, {}, {"duplicate": 1, "malformed": 1})
    assert first["turns"] == first["kept"]["train"] and "what came of the files" in answer["stderr"] and "other.jsonl" in answer["stderr"]
    assert answer["artifact"]["meta"]["files"] == answer["files"]


def test_a_second_run_reuses_everything_but_the_gate(place, migaki_here):
    home, options, first = place
    again = migaki_here(home, "retrain", *options)
    assert [stage["status"] for stage in again["stages"]] == ["reused"] * len(CHAIN)
    decided = Catalog.of(Home(home)).query("SELECT * FROM promotions")
    assert len(decided) == (1 if first["decision"] == "promote" else 2)


def test_one_changed_setting_runs_only_what_depends_on_it(place, migaki_here):
    home, options, _ = place
    changed = migaki_here(home, "retrain", *options, "--set", "align.kl_coef=0.2")
    assert {stage["stage"]: stage["status"] for stage in changed["stages"]} == {
        "prepare": "reused",
        "safety": "reused",
        "tune": "reused",
        "reward": "reused",
        "align": "completed",
        "choose": "completed",
        "quantize": "completed",
        "index": "reused",
        "calibrate": "reused",
        "answering": "completed",
        "evaluate": "completed",
    }
    assert "align is made anew: align.kl_coef was 0.1 and is 0.2" in changed["stderr"]


def test_other_settings_of_the_chat_make_another_release_of_the_same_model(place, migaki_here):
    home, options, _ = place
    other = migaki_here(home, "retrain", *options, "--set", "chat.top_k=7", "--set", "tools.timezone=UTC", "--set", "safety.personal=block")
    assert {stage["stage"] for stage in other["stages"] if stage["status"] == "completed"} == {"answering", "evaluate"}
    release = ArtifactStore(Home(home)).get(other["release"])
    assert (release.meta["chat"]["top_k"], release.meta["tools"]["timezone"], release.meta["safety"]["personal"]) == (7, "UTC", "block")
    row = Catalog.of(Home(home)).query("SELECT * FROM releases WHERE release_id = ?", [release.id])[0]
    made = {stage["stage"]: stage["artifact_id"] for stage in other["stages"]}
    assert (row["artifact_id"], row["index_id"], row["run_id"]) == (made["quantize"], made["index"], other["run_id"])
    assert release.meta["classifier"] == made["safety"]
    assert migaki_here(home, "promote", "--to", release.id[:9])["release"] == release.id
    again = migaki_here(home, "retrain", *options, "--set", "chat.top_k=7", "--set", "tools.timezone=UTC", "--set", "safety.personal=block")
    assert again["decision"] == "unchanged"


def test_stages_run_by_themselves_on_the_newest_artifacts(place, migaki_here):
    home, options, _ = place
    model = options[options.index("--model") + 1]
    answer = migaki_here(home, "tune", "--model", model, "--set", "tune.epochs=0.5", "--set", "tune.max_rows=8")
    assert answer["artifact"]["kind"] == "adapter"
    assert migaki_here(home, "status")["runs"][0]["flow"] == "tune"
    assert migaki_here(home, "sql", "SELECT count(*) AS n FROM runs")["rows"][0]["n"] > 10


def test_order_is_enforced_with_the_command_to_run(tmp_path, migaki_here):
    for command, first in (
        ("align", "prepare"),
        ("tune", "prepare"),
        ("quantize", "align"),
        ("evaluate", "quantize"),
        ("promote", "evaluate"),
        ("chat", "retrain"),
    ):
        answer = migaki_here(tmp_path / "home", command, check=False)
        assert answer["exit_code"] == 1 and f"migaki {first}" in answer["message"]


def test_a_damaged_artifact_is_made_again(place, migaki_here):
    home, options, _ = place
    store = ArtifactStore(Home(home))
    index = next(manifest for manifest in store.manifests() if manifest["kind"] == "index")
    (home / index["uri"] / "bm25.npz").write_bytes(b"damage")
    classifier = next(manifest["id"] for manifest in store.manifests() if manifest["kind"] == "classifier")
    store.discard("classifier", classifier)  # which the champion names
    assert f"its classifier {classifier[:12]} is gone" in migaki_here(home, "chat", check=False)["message"]
    again = migaki_here(home, "retrain", *options)
    remade = [stage["stage"] for stage in again["stages"] if stage["status"] == "completed"]
    assert remade[:2] == ["safety", "index"] and store.is_whole("classifier", classifier)


@pytest.mark.alone
@pytest.mark.slow  # a chain of its own
def test_overhead_is_small(place):
    """Orchestration costs at most 5 % of a run of minutes; on this run of seconds, at most a second a stage; and a second run is over at once."""
    home, options, answer = place
    bodies = sum(stage["body_seconds"] for stage in answer["stages"])
    assert sum(stage["seconds"] for stage in answer["stages"]) - bodies < 1.0 * len(CHAIN)
    assert answer["seconds"] - bodies < 1.5 * len(CHAIN)  # with the gate and the report
    again = migaki(home, "retrain", *options)
    assert [stage["status"] for stage in again["stages"]] == ["reused"] * len(CHAIN)
    assert again["seconds"] < 20 and "EventsWorker" not in again["stderr"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["tune", "reward", "align", "choose", "quantize", "evaluate"])
def test_ctrl_c_in_a_stage_costs_that_stage_alone(place, tmp_path, stage):
    _, options, _ = place
    home = tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.commands.main", "retrain", *options],
        cwd=ROOT,
        env=environment(home),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if line.strip().startswith(f"{stage}:") or line.strip() == stage:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    while process.poll() is None and not list((home / "objects").glob("*/*.tmp-*")):
        time.sleep(0.01)  # until it writes its artifact
    os.killpg(process.pid, signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(60) == 130, said[-4000:]
    assert not still_running(children, 0)
    runs = Catalog.of(Home(home)).query("SELECT flow, status FROM runs")
    assert {row["status"] for row in runs if row["flow"] in (stage, "retrain")} == {"cancelled"}
    assert not list((home / "objects").glob("*/*.tmp-*"))
    again = {row["stage"]: row["status"] for row in migaki(home, "retrain", *options)["stages"]}
    assert all(again[earlier] == "reused" for earlier in CHAIN[: CHAIN.index(stage)]) and again[stage] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "neox", "falcon"])
def test_every_family_goes_through_the_chain(small_project, tmp_path, family):
    options = replace(small_project, model=tiny_model(tmp_path, family)).options
    answer = migaki(tmp_path / "home", "retrain", *options)
    assert [stage["stage"] for stage in answer["stages"]] == CHAIN


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "dpo", "kto"])
def test_every_algorithm_goes_through_the_chain(place, algorithm):
    home, options, _ = place
    answer = migaki(home, "retrain", *options, "--set", f"align.algorithm={algorithm}")
    fresh = {row["stage"] for row in answer["stages"] if row["status"] == "completed"}
    assert fresh == {"align", "choose", "quantize", "answering", "evaluate"}
    query = Catalog.of(Home(home)).query
    newest = query("SELECT artifact_id FROM artifacts WHERE stage = 'align' ORDER BY created DESC LIMIT 1")[0]["artifact_id"]
    rounds = query("SELECT step, count(*) AS n FROM rollouts WHERE artifact_id = ? GROUP BY step ORDER BY step", [newest])
    assert rounds == [{"step": step, "n": SETTINGS["align"]["episodes"]} for step in range(1, SETTINGS["align"]["updates"] + 2)]
    assert not list((home / "objects").glob("*/*.tmp-*")) and "trl" not in answer["stderr"].lower()


@pytest.mark.slow
def test_kto_on_unpaired_feedback_goes_through_the_chain_without_reward_models(small_project, tmp_path):
    pairs = [json.loads(line) for line in Path(small_project.files["preferences"][0]).read_text(encoding="utf-8").splitlines()]
    rows = [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"} for row in pairs for side in ("chosen", "rejected")
    ]
    files = small_project.files | {"preferences": [write_lines(tmp_path / "feedback.jsonl", rows)]}
    options, home = replace(small_project, files=files).options, tmp_path / "home"
    refused = migaki(home, "retrain", *options, check=False)
    assert "align.algorithm = ppo cannot learn from" in refused["message"] and "align.algorithm=kto" in refused["message"]
    kto = ["--set", "align.algorithm=kto"]
    assert [line["stage"] for line in migaki(home, "retrain", "--plan", *options, *kto)["stages"]] == [
        one for one in CHAIN if one != "reward"
    ]
    answer = migaki(home, "retrain", *options, *kto)
    assert [stage["stage"] for stage in answer["stages"]] == [stage for stage in CHAIN if stage != "reward"]
    headline = next(stage for stage in answer["stages"] if stage["stage"] == "align")
    assert "held out" in headline["label"] and answer["stages"][0]["status"] == "reused"
    again = [option for option in options if option.startswith(("align.", "run."))]
    alone = migaki(home, "align", "--model", small_project.model, *kto, *[part for option in again for part in ("--set", option)])
    query = Catalog.of(Home(home)).query
    for stage in ("align", "choose"):
        assert query("SELECT status FROM runs WHERE flow = ? ORDER BY started DESC LIMIT 1", [stage]) == [{"status": "reused"}]
    assert not query("SELECT * FROM runs WHERE flow = 'reward'") and alone["artifact"]["meta"]["adapters"][-1] == headline["artifact_id"]
