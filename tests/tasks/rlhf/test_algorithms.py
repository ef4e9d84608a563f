"""The algorithms beside PPO, through the stage's own body on a tiny model: what they learn, record, keep and refuse."""

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from tasks.errors import MigakiError
from tasks.prompts.template import encode_example, encode_prompt
from tasks.rlhf.dpo_kto import answer_columns
from tasks.rlhf.learner import Learner
from tasks.rlhf.trl_plan import FROM_GROUPS
from tasks.rlhf.trl_trainers import TRAINERS
from tests.helpers.align_project import PAIRS, AlignProject, question
from tests.helpers.models import tiny_tokenizer

ALGORITHMS = ["rloo", "grpo", "dpo", "kto"]


@pytest.fixture(scope="module")
def align_project(new_align_project) -> AlignProject:
    return new_align_project()


@pytest.fixture(scope="module")
def usual(align_project):
    """What the policy of an algorithm says under the settings SMALL."""
    return cache(lambda algorithm: align_project.logits(align_project.align(algorithm=algorithm)))


@pytest.fixture
def spied(monkeypatch):
    """The learner of the next run, and every batch that TRL computes a loss on."""
    seen = SimpleNamespace(learner=None, batches=[])
    run = Learner.run

    def keep(learner, *parts):
        seen.learner = learner
        return run(learner, *parts)

    monkeypatch.setattr(Learner, "run", keep)
    for _, kind in TRAINERS.values():
        compute = kind._compute_loss
        monkeypatch.setattr(
            kind,
            "_compute_loss",
            lambda self, model, inputs, *rest, compute=compute: (seen.batches.append(inputs), compute(self, model, inputs, *rest))[1],
        )
    return seen


@pytest.mark.parametrize("algorithm", ["ppo", *ALGORITHMS])
def test_it_learns_records_every_round_and_leaves_an_adapter_that_opens(align_project, algorithm, capfd, monkeypatch):
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda *_, **__: pytest.fail("telemetry"))
    monkeypatch.delenv("CI", raising=False)
    made = align_project.align(algorithm=algorithm)
    assert (align_project.logits(made) - align_project.logits(align_project.tuned)).abs().max() > 1e-2
    files = sorted(file.relative_to(align_project.path(made)).as_posix() for file in align_project.path(made).rglob("*") if file.is_file())
    assert files == [
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "manifest.json",
        "tables/metrics.parquet",
        "tables/rollouts.parquet",
    ]
    assert not [name for name in files if str(align_project.home.root.parent).encode() in (align_project.path(made) / name).read_bytes()]
    assert json.loads((align_project.path(made) / "adapter/adapter_config.json").read_text())["layers_to_transform"] == [2]
    rollouts = align_project.table(made, "rollouts")
    assert [row["step"] for row in rollouts] == [1] * 8 + [2] * 8 + [3] * 8
    assert [row["episode"] for row in rollouts] == list(range(24))
    assert all(0 < row["tokens"] <= 6 and row["lang"] in ("en", "ja") for row in rollouts)
    assert len(align_project.metric(made, "align.score")) == 3 and align_project.metric(made, "align.kl")[0] == pytest.approx(0, abs=1e-4)
    assert made.meta["algorithm"] == algorithm and made.meta["ending"] == "all updates done" and made.meta["headlines"]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_groups_are_answers_to_one_prompt_as_the_template_encodes_it(align_project, algorithm, spied, monkeypatch):
    ends = {256, *range(80)}  # so many that answers end at once, early, late and not at all
    start = Learner.__post_init__

    def with_many_ends(self):
        self.participants = replace(self.participants, end_ids=ends)
        start(self)

    monkeypatch.setattr(Learner, "__post_init__", with_many_ends)
    made = align_project.align(algorithm=algorithm)
    prompts = [encode_prompt(tiny_tokenizer(), question(i)) for i in range(16)]
    for batch in spied.batches:
        for ids, mask in zip(batch["prompt_ids"], batch["prompt_mask"], strict=True):
            assert ids[mask.bool()].tolist() in prompts
        for ids, mask in zip(batch["completion_ids"].tolist(), batch["completion_mask"].tolist(), strict=True):
            length = sum(mask)
            assert mask == [1] * length + [0] * (len(mask) - length)
            assert all(token not in ends for token in ids[: length - 1]) and (ids[length - 1] in ends or length == 6)
    rollouts = align_project.table(made, "rollouts")
    assert {row["finished"] for row in rollouts} == {True, False} and {row["tokens"] for row in rollouts} > {1, 6}
    asked = [row["prompt"] for row in rollouts[:8]]
    assert asked == [asked[0]] * 4 + [asked[4]] * 4 and asked[0] != asked[4]


@pytest.mark.parametrize("algorithm", ["dpo", "kto"])
def test_pairs_are_the_examples_that_the_reward_model_learns_from(align_project, algorithm, spied):
    align_project.align(algorithm=algorithm)
    examples = [encode_example(tiny_tokenizer(), pair.messages, answer) for pair in PAIRS for answer in (pair.chosen, pair.rejected)]
    for batch in spied.batches:
        for ids, mask, answer in zip(batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True):
            real = ids[mask.bool()].tolist()
            start = len(real) - int(answer.sum())
            assert (real, start) in examples and real[-1] == 256  # the end token is learnt though it is the padding too
            assert answer.tolist() == [0] * start + [1] * (len(real) - start) + [0] * (len(ids) - len(real))
        if algorithm == "kto":
            assert not torch.equal(batch["KL_input_ids"], batch["input_ids"])
            assert set(batch["KL_completion_mask"].sum(-1).tolist()) <= set(batch["completion_mask"].sum(-1).tolist())


def test_kl_answers_are_those_of_the_neighbours_in_a_micro_batch():
    columns = answer_columns([([0], [10], True), ([1], [21], False), ([2], [12], True), ([3], [13], True)], 2)
    assert columns["completion_ids"] == [[10], [21], [12], [13]] and columns["label"] == [True, False, True, True]
    assert columns["KL_completion_ids"] == [[21], [10], [13], [12]]


@pytest.mark.parametrize("algorithm", ["dpo", "kto"])
def test_the_margin_rises_from_none(align_project, algorithm):
    made = align_project.align(algorithm=algorithm, updates=8, learning_rate=5e-3)
    margins, losses = align_project.metric(made, "align.margin"), align_project.metric(made, "align.policy_loss")
    assert margins[0] == pytest.approx(0, abs=1e-4) and losses[0] == pytest.approx(math.log(2) if algorithm == "dpo" else 0.5, abs=1e-4)
    assert margins[-1] > margins[1] > 0.1 and losses[-1] < losses[0]


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_a_rule_for_small_letters_gets_them(align_project, algorithm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("letters.py").write_text("def small(prompts, answers):\n    return [sum(c.islower() for c in a) for a in answers]\n")
    made = align_project.align(
        algorithm=algorithm,
        updates=12,
        episodes=16,
        epochs=2,
        minibatches=2,
        learning_rate=0.03,
        kl_coef=0.01,
        score_clip=99,
        rule_rewards=["letters:small"],
        learned_reward_weight=0.0,
    )
    scores = align_project.metric(made, "align.score")
    assert len(scores) == 13 and sum(scores[-3:]) / 3 > sum(scores[:3]) / 3 + 0.5
    assert scores == align_project.metric(made, "align.reward.letters:small") != align_project.metric(made, "align.reward.learned")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_the_policy_learns_and_runs_repeat(align_project, algorithm, spied):
    a, b = (align_project.align(algorithm=algorithm) for _ in range(2))
    first, second = (load_file(align_project.path(made) / "adapter/adapter_model.safetensors") for made in (a, b))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert align_project.metric(a, "align.score") == align_project.metric(b, "align.score")
    roles = spied.learner.roles
    for role, which in (("reward", "first"), ("second", "second")):
        kept = load_file(align_project.path(align_project.reward) / which / "reward.safetensors")
        assert all(torch.equal(tensor, kept[name]) for name, tensor in roles.state(role).items())
    assert all((tensor == 0).all() for name, tensor in roles.state("ref").items() if "lora_B" in name)


@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "dpo"])
def test_the_result_does_not_depend_on_the_micro_batch(align_project, algorithm):
    whole, cut = (align_project.logits(align_project.align(algorithm=algorithm, updates=1, micro_batch=size)) for size in (8, 2))
    torch.testing.assert_close(whole, cut, atol=2e-3, rtol=0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_limit_ends_the_run_with_the_policy_from_before(align_project, algorithm):
    made = align_project.align(algorithm=algorithm, kl_limit=0.3, updates=12, learning_rate=0.03)
    kl = align_project.metric(made, "align.kl")
    assert "align.kl_limit = 0.3" in made.meta["ending"] and len(kl) < 13 and kl[-1] > 0.3 >= max(kl[:-1])
    assert made.meta["ending"].startswith(f"stopped at update {len(kl)}")
    if len(kl) == 2:  # before was the tuned model itself
        torch.testing.assert_close(align_project.logits(made), align_project.logits(align_project.tuned))


@pytest.mark.parametrize("algorithm", ["rloo", "dpo"])
def test_a_loss_that_is_no_number_is_refused_at_once_and_later_ends_the_run(align_project, algorithm, monkeypatch):
    kind, broken_from = TRAINERS[algorithm][1], [1]
    compute, calls = kind._compute_loss, []

    def broken(self, *rest):
        calls.append(None)
        return compute(self, *rest) * (math.nan if len(calls) >= broken_from[0] else 1)

    monkeypatch.setattr(kind, "_compute_loss", broken)
    with pytest.raises(MigakiError, match=r"loss became nan at optimizer step 1 of 2.*align\.learning_rate"):
        align_project.align(algorithm=algorithm)
    broken_from[0] = len(calls) + 3  # two micro-batches a step: the second step
    made = align_project.align(algorithm=algorithm)
    assert "became nan at optimizer step 2 of 2" in made.meta["ending"] and align_project.logits(made).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"algorithm": "grpo", "episodes": 6}, r"align\.episodes = 6 is no multiple of align\.group_size = 4"),
        ({"algorithm": "rloo", "minibatches": 3}, r"align\.episodes = 8 is no multiple of 1 \* align\.minibatches = 3"),
        ({"algorithm": "dpo", "minibatches": 8}, r"whole pairs.*no multiple of 2 \* align\.minibatches = 16"),
        ({"algorithm": "dpo", "kl_coef": 0.0}, r"align\.kl_coef = 0 is dpo's beta"),
        ({"algorithm": "kto", "micro_batch": 1}, r"kto compares answers in memory.*align\.micro_batch = 1"),
        ({"algorithm": "kto", "learned_reward_weight": 0.5}, r"kto learns from preference pairs and no reward"),
        ({"algorithm": "dpo", "prompt_tokens": 8, "answer_tokens": 1}, r"none of 12 preference pairs is at most 9 tokens.*--preferences"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_what_would(align_project, settings, words):
    with pytest.raises(MigakiError, match=words):
        align_project.align(**settings)


CHANGES = {
    "kl_coef": 0.9,
    "epochs": 2,
    "minibatches": 2,
    "updates": 3,
    "episodes": 12,
    "seed": 1,
    "lora_r": 2,
    "lora_targets": "attention",
    "learning_rate": 1e-3,
    "max_grad_norm": 0.01,
}
SAMPLING = {"group_size": 2, "temperature": 0.5, "answer_tokens": 5, "score_clip": 0.1, "learned_reward_weight": 0.5}


# Half a minute for some fifty runs. GRPO divides by the deviation within a group, which takes a weight out again.
CASES = [(a, name) for a in ALGORITHMS for name in (CHANGES | SAMPLING if a in FROM_GROUPS else CHANGES)]


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "name"), [case for case in CASES if case != ("grpo", "learned_reward_weight")])
def test_every_setting_changes_the_policy(align_project, usual, algorithm, name):
    changed = align_project.align(algorithm=algorithm, **{name: (CHANGES | SAMPLING)[name]})
    assert not torch.equal(align_project.logits(changed), usual(algorithm))
