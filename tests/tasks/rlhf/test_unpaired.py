"""Unpaired feedback: KTO learns from it, alone and beside pairs, and everybody else says what becomes of it."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from flows.catalogue.stages import STAGES
from tasks.data.records import Feedback
from tasks.errors import MigakiError
from tasks.models.opening import open_model
from tasks.prompts.template import encode_example
from tasks.rlhf.dpo_kto import answer_columns
from tasks.rlhf.settings import AlignSettings, RewardSettings
from tasks.rlhf.trl_trainers import TRAINERS, TokenKTO
from tasks.rlhf.unpaired import Counts, weights, without_reward_models
from tasks.stages.spec import function
from tests.helpers.align_project import PAIRS, AlignProject, question
from tests.helpers.models import tiny_tokenizer

LIKED = [Feedback(f"l{i}", question(20 + i), "!" * (3 + i % 3), True, "en", "t") for i in range(6)]
DISLIKED = [Feedback(f"d{i}", question(30 + i), "?" * 4, False, "ja", "t") for i in range(12)]
HELD_OUT = [replace(row, id=f"h{row.id}", messages=question(50 + i)) for i, row in enumerate([*LIKED[:3], *DISLIKED[:3]])]


@pytest.fixture(scope="module")
def align_project(new_align_project) -> AlignProject:
    return new_align_project()


@pytest.fixture(scope="module")
def unpaired(align_project):
    return align_project.with_rows(feedback=[*LIKED, *DISLIKED], held_out={"feedback": HELD_OUT})


@pytest.fixture
def trainers(monkeypatch):
    """TRL's trainers of the runs to come, and the batches that they compute a loss on."""
    seen: list[tuple[TokenKTO, dict]] = []
    compute = TRAINERS["kto"][1]._compute_loss
    monkeypatch.setattr(
        TokenKTO, "_compute_loss", lambda self, model, inputs, *rest: (seen.append((self, inputs)), compute(self, model, inputs, *rest))[1]
    )
    return seen


def logprobs(project: AlignProject, made, rows: list[Feedback]) -> list[float]:
    """Of each row's completion under what was made, nats."""
    work = project.work(project.home.root)
    model = open_model(work.model.path, work.trained(made), work.adapter)[0]
    found = []
    for row in rows:
        ids, start = encode_example(tiny_tokenizer(), row.messages, row.completion)
        with torch.no_grad():
            said = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        found.append(float(said[range(start - 1, len(ids) - 1), ids[start:]].sum()))
    return found


def test_kto_raises_liked_answers_over_disliked_ones_without_reward_models(align_project, unpaired, trainers):
    made = align_project.align(unpaired, reward=False, algorithm="kto", updates=8, learning_rate=5e-3)
    rows = [*LIKED, *DISLIKED]
    gained = [
        now - before for now, before in zip(*(logprobs(align_project, ref, rows) for ref in (made, align_project.tuned)), strict=True)
    ]
    liked, disliked = gained[: len(LIKED)], gained[len(LIKED) :]
    assert sum(liked) / len(liked) > sum(disliked) / len(disliked) + 1.0
    assert (made.meta["feedback"], made.meta["feedback_left_out"], made.meta["pairs"]) == (18, 0, 0)
    assert made.meta["prompts"] == 16 + 18
    trainer = trainers[0][0]
    assert (trainer.desirable_weight, trainer.undesirable_weight) == (2.0, 1.0)
    margins = align_project.metric(made, "align.margin")
    assert margins[0] == pytest.approx(0, abs=1e-4) and margins[-1] > 0.1


def test_what_has_no_score_has_none_in_the_figures_and_a_held_out_margin_instead(align_project, unpaired):
    made = align_project.align(unpaired, reward=False, algorithm="kto", updates=8, learning_rate=5e-3)
    assert all(row["score"] is None and row["reward"] is None for row in align_project.table(made, "rollouts"))
    assert {row["name"] for row in align_project.table(made, "metrics")}.isdisjoint({"align.score", "align.second_score"})
    assert len(align_project.metric(made, "align.kl")) == 9
    gained = [
        now - before for now, before in zip(*(logprobs(align_project, ref, HELD_OUT) for ref in (made, align_project.tuned)), strict=True)
    ]
    margin = 0.1 * (sum(gained[:3]) - sum(gained[3:])) / 3
    assert align_project.metric(made, "align.held_out_margin") == [pytest.approx(margin, abs=1e-3)] and margin > 0.1
    headline, trained = made.meta["headlines"]
    policy = sum(weight.numel() for weight in load_file(align_project.path(made) / "adapter/adapter_model.safetensors").values())
    assert trained["label"] == "trained parameters" and trained["after"].startswith(f"{policy:,} of ")
    assert "held out" in headline["label"] and headline["after"] == pytest.approx(margin, abs=1e-3)


def test_a_limit_ends_a_run_without_scores_with_the_last_policy_that_kept_to_it(align_project, unpaired):
    common = {"reward": False, "algorithm": "kto", "learning_rate": 5e-3}
    free = align_project.metric(align_project.align(unpaired, **common, updates=8), "align.kl")
    limit = max(free[:4]) + 1e-3
    made = align_project.align(unpaired, **common, updates=8, kl_limit=limit)
    kl = align_project.metric(made, "align.kl")
    assert kl == free[: len(kl)] and 4 < len(kl) < 9 and kl[-1] > limit >= max(kl[:-1])
    assert "KL" in made.meta["ending"] and "the last policy from before is kept" in made.meta["ending"]
    # The round before the last was sampled by the policy of two updates less than there were rounds.
    until_then = align_project.align(unpaired, **common, updates=len(kl) - 2)
    torch.testing.assert_close(align_project.logits(made), align_project.logits(until_then), atol=1e-5, rtol=0)


@pytest.mark.parametrize("reward", [True, False])
def test_pairs_and_unpaired_feedback_are_learnt_from_together(align_project, trainers, reward):
    dataset = align_project.with_rows(preferences=PAIRS, feedback=[*LIKED, *DISLIKED])
    made = align_project.align(dataset, reward=reward, algorithm="kto", updates=8)
    assert (made.meta["pairs"], made.meta["feedback"]) == (12, 18)
    assert bool(align_project.metric(made, "align.score")) == reward
    encoded = {}
    for pair in PAIRS:
        encoded |= {
            tuple(encode_example(tiny_tokenizer(), pair.messages, answer)[0]): answer == pair.chosen
            for answer in (pair.chosen, pair.rejected)
        }
    for row in (*LIKED, *DISLIKED):
        encoded[tuple(encode_example(tiny_tokenizer(), row.messages, row.completion)[0])] = row.liked
    seen = [
        (tuple(ids[mask.bool()].tolist()), bool(label))
        for _, batch in trainers
        for ids, mask, label in zip(batch["input_ids"], batch["attention_mask"], batch["label"], strict=True)
    ]
    assert all(encoded[ids] == label for ids, label in seen) and {ids for ids, _ in seen} == set(encoded)
    assert trainers[0][0].desirable_weight == pytest.approx(24 / 18) and trainers[0][0].undesirable_weight == 1.0


def test_the_answers_of_the_kl_term_are_to_other_prompts_where_the_batch_has_any():
    same, other = ([1], [10], True), ([1], [11], False)
    rows = [same, other, ([2], [20], True), ([1], [12], True), same, other]
    assert answer_columns(rows, 3)["KL_completion_ids"] == [[20], [20], [11], [11], [12], [10]]
    assert answer_columns(rows[:4], 2)["KL_completion_ids"] == [[11], [10], [12], [20]]


@pytest.mark.parametrize(
    ("liked", "disliked", "expected"), [(10, 10, (1, 1)), (13, 10, (1, 1)), (1, 10, (10, 1)), (40, 10, (1, 3)), (5, 6, (1.2, 1))]
)
def test_the_weights_bring_both_kinds_into_the_papers_balance(liked, disliked, expected):
    found = weights(liked, disliked)
    assert found == pytest.approx(expected) and 1 - 1e-9 <= found[0] * liked / (found[1] * disliked) <= 4 / 3 + 1e-9


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (LIKED, r"all 6 answers that kto would learn from were liked.*label: false.*--instructions"),
        (DISLIKED, r"none of the 12 answers that kto would learn from was liked"),
        ([], r"none of 0 preference pairs is at most"),
    ],
)
def test_kto_wants_both_kinds(align_project, rows, says):
    with pytest.raises(MigakiError, match=says):
        align_project.align(align_project.with_rows(feedback=rows), reward=False, algorithm="kto")


def test_feedback_that_is_too_long_is_left_out_and_said(align_project):
    long = [replace(row, id=f"x{row.id}", completion=row.completion * 9) for row in LIKED]
    dataset = align_project.with_rows(feedback=[*long, *LIKED, *DISLIKED])
    made = align_project.align(dataset, reward=False, algorithm="kto", prompt_tokens=24, updates=1)
    assert (made.meta["feedback"], made.meta["feedback_left_out"]) == (18, 6)
    assert "align: 6 of 24 rows of unpaired feedback are longer than 30 tokens and left out" in align_project.log


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo", "dpo"])
def test_the_others_refuse_feedback_alone_and_say_loudly_what_they_pass_over(align_project, unpaired, algorithm):
    with pytest.raises(
        MigakiError, match=rf"align.algorithm = {algorithm} cannot learn from 18 rows of unpaired feedback.*align.algorithm=kto"
    ):
        align_project.align(unpaired, algorithm=algorithm)
    align_project.log.clear()
    made = align_project.align(align_project.with_rows(preferences=PAIRS, feedback=DISLIKED), algorithm=algorithm)
    (said,) = [line for line in align_project.log if "WARNING" in line]
    assert f"12 rows of unpaired feedback are not used: align.algorithm = {algorithm}" in said and "align.algorithm=kto" in said
    assert "feedback" not in made.meta


def test_only_kto_goes_without_reward_models(align_project):
    for algorithm in ("ppo", "dpo"):
        with pytest.raises(MigakiError, match="needs a 'reward' artifact"):
            align_project.align(reward=False, algorithm=algorithm)


def test_the_reward_models_refuse_feedback_alone_and_name_what_they_pass_over(align_project, unpaired):
    settings = RewardSettings(reward_batch_pairs=2, reward_epochs=1.0, reward_normalise_prompts=4, reward_answer_tokens=3)

    def reward(dataset) -> None:
        with align_project.draft("reward_model") as folder:
            function(STAGES["reward"].body)(settings, {"dataset": dataset, "tuned": align_project.tuned}, align_project.work(folder))
            align_project.commit(folder, {})

    with pytest.raises(MigakiError, match=r"the stage reward cannot learn from 18 rows of unpaired feedback.*align.algorithm=kto"):
        reward(unpaired)
    align_project.log.clear()
    reward(align_project.with_rows(preferences=PAIRS, feedback=LIKED))
    assert any("6 rows of unpaired feedback are not used: the stage reward" in line for line in align_project.log)


def test_when_a_run_goes_without_reward_models():
    kto, ppo = AlignSettings(algorithm="kto", reward_batch_pairs=4), AlignSettings(reward_batch_pairs=4)
    assert without_reward_models(kto, Counts(0, 5)) and without_reward_models(kto, Counts(7, 5))
    assert not without_reward_models(kto, Counts(8, 5)) and not without_reward_models(kto, Counts(3, 0))
    assert not without_reward_models(ppo, Counts(0, 5))
    assert Counts.of({"feedback.train.en": 2, "feedback.train.ja": 3, "feedback.eval.en": 9, "preferences.train.ja": 4}) == Counts(4, 5)


@pytest.mark.parametrize(("changed", "first_layer"), [({"reward_top_fraction": 0.7}, 1), ({"trunk": "bfloat16"}, 2)])
def test_the_settings_of_the_trunk_hold_without_reward_models(align_project, unpaired, changed, first_layer):
    import json

    made, usual = (align_project.align(unpaired, reward=False, algorithm="kto", **more) for more in (changed, {}))
    config = json.loads((align_project.path(made) / "adapter/adapter_config.json").read_text())
    assert min(config["layers_to_transform"]) == first_layer
    assert not torch.equal(align_project.logits(made), align_project.logits(usual))
