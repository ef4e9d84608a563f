"""Training in two processes of accelerate (gloo, on the CPU) comes to what one process comes to."""

import signal
import subprocess
import sys
from dataclasses import asdict, replace

import psutil
import pytest
import torch

from flows.catalogue.stages import STAGES
from storage.artifacts import ArtifactStore
from tasks.data.records import save
from tasks.errors import MigakiError
from tasks.rlhf.settings import PPOSettings, RewardSettings
from tasks.stages.distributed import run_in_processes
from tasks.stages.execute import run_body
from tests import ROOT
from tests.helpers.align_project import FREE, PAIRS, SMALL
from tests.helpers.training_project import TUNE

CONFIG = """
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU  # of several processes; use_cpu makes them gloo's
use_cpu: true
num_machines: 1
num_processes: 2
mixed_precision: 'no'
main_process_port: 0
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(CONFIG)
    return str(path)


def figures(work, names):
    return {name: [row["value"] for row in work._metrics if row["name"] == name] for name in names}


def both_ways(align_project, stage, settings, inputs, config):
    """The works and records of one process and of two, and the folders they filled."""
    found = []
    for accelerate in ("", config):
        with align_project.draft(STAGES[stage].kind) as folder:
            work = align_project.work(folder)
            work.record_made = run_body(STAGES[stage], settings, inputs, work, replace(align_project.context, accelerate=accelerate))
            found.append((work, {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.safetensors")}))
    return found


def assert_alike(one, two, names):
    for name, values in figures(one, names).items():
        assert values, name
        torch.testing.assert_close(figures(two, names)[name], values, atol=1e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.slow
def test_ppo_in_two_processes_is_ppo_in_one(align_project, config):
    settings = PPOSettings(**SMALL | FREE | {"minibatches": 2, "epochs": 2, "rule_rewards": ["tests.helpers.rules:exclaims"]})
    inputs = {"dataset": align_project.dataset, "tuned": align_project.tuned, "reward": align_project.reward}
    (one, weights), (two, others) = both_ways(align_project, "align", settings, inputs, config)
    names = [
        "align.policy_loss",
        "align.value_loss",
        "align.kl",
        "align.score",
        "align.second_score",
        "align.length",
        "align.reward.learned",
    ]
    assert_alike(one, two, names)
    assert [row["answer"] for part in one._tables["rollouts"] for row in part.to_pylist()] == [
        row["answer"] for part in two._tables["rollouts"] for row in part.to_pylist()
    ]
    assert weights.keys() == others.keys() and one.record_made.ending == two.record_made.ending == "all updates done"
    assert not list(align_project.home.root.glob(".processes-*"))


@pytest.mark.slow
def test_reward_models_in_two_processes_are_those_of_one(align_project, config):
    with align_project.draft("dataset") as folder:
        save(folder / "preferences/train.parquet", PAIRS)
        save(folder / "preferences/eval.parquet", PAIRS[:4])
        dataset = align_project.commit(folder, {})
    settings = RewardSettings(reward_batch_pairs=4, reward_epochs=2, reward_normalise_prompts=8, reward_answer_tokens=6)
    (one, _), (two, _) = both_ways(align_project, "reward", settings, {"dataset": dataset, "tuned": align_project.tuned}, config)
    assert_alike(one, two, ["reward.first_loss", "reward.second_loss", "reward.first_accuracy", "reward.first_length_correlation"])
    assert asdict(one.record_made.first_scale) == pytest.approx(asdict(two.record_made.first_scale), abs=1e-4)


@pytest.mark.slow
def test_tuning_in_two_processes_is_tuning_in_one(training_project, config):
    works = []
    for number in (1, 2):
        with ArtifactStore(training_project.home).draft("adapter", f"{number}" * 64) as folder:
            work = training_project.work("tune", folder, {})
            context = replace(training_project.context, accelerate=config if number == 2 else "")
            run_body(STAGES["tune"], TUNE, {"dataset": training_project.dataset}, work, context)
            works.append(work)
    assert_alike(*works, ["tune.loss", "tune.loss_per_character_after.en", "tune.loss_per_character_after.ja"])


@pytest.mark.slow
def test_mistakes_in_a_process_are_told_as_they_are(align_project, config):
    inputs = {"dataset": align_project.dataset, "tuned": align_project.tuned, "reward": align_project.reward}
    for settings, words in (
        ({"algorithm": "grpo"}, r"align\.algorithm = 'grpo' runs in one process"),
        ({"episodes": 999}, r"\d+ prompts of at most 256 tokens.*fewer than align\.episodes = 999"),
        ({"rule_rewards": ["tests.helpers.rules:stumbles_in_the_second_process"]}, r"raised ValueError: no more answers, please, on row"),
    ):
        with align_project.draft("adapter") as folder, pytest.raises(MigakiError, match=words):
            work = align_project.work(folder)
            run_in_processes(
                STAGES["align"], PPOSettings(**SMALL | FREE | settings), inputs, work, replace(align_project.context, accelerate=config)
            )
    with (
        align_project.draft("adapter") as folder,
        pytest.raises(MigakiError, match=r"nowhere\.yaml' is no file; make one with `accelerate config"),
    ):
        run_in_processes(
            STAGES["align"], PPOSettings(), inputs, align_project.work(folder), replace(align_project.context, accelerate="nowhere.yaml")
        )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_one_that_waits(tmp_path, config, number):
    code = f"""
from dataclasses import asdict, replace
from pathlib import Path
from tests.helpers.align_project import FREE, SMALL, AlignProject
from flows.catalogue.stages import STAGES
from tasks.stages.distributed import run_in_processes
from tasks.rlhf.settings import PPOSettings
align_project = AlignProject(Path({str(tmp_path)!r}))
align_project.context.log = print
inputs = {{"dataset": align_project.dataset, "tuned": align_project.tuned, "reward": align_project.reward}}
with align_project.draft("adapter") as folder:
    align_project.context.emit = lambda text, last: print(text, flush=True)
    settings = PPOSettings(**SMALL | FREE | {{"updates": 100000}})
    run_in_processes(STAGES["align"], settings, inputs, align_project.work(folder), replace(align_project.context, accelerate={config!r}))
"""
    ours = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # tests that a shell runs in the background ignore it, and so would this
    )
    assert any("align: PPO" in line for line in ours.stdout)  # until it is under way
    children = psutil.Process(ours.pid).children(recursive=True)
    assert len(children) >= 3  # the launcher and two workers
    ours.send_signal(number)
    ours.wait(60)
    _, alive = psutil.wait_procs(children, timeout=30)
    for process in alive:
        process.kill()
    assert not alive
