"""Which model goes on after align: the decision by itself, and the stage on tiny models whose rewards are planted."""

import json
from dataclasses import replace

import pytest
import torch

from flows.catalogue.stages import STAGES
from tasks.data.records import Preference, Question, save
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.batching import Example, collate
from tasks.models.opening import open_model
from tasks.prompts.template import end_ids
from tasks.rlhf.choosing import choose
from tasks.rlhf.prompts import held_out_prompts, training_prompts
from tasks.rlhf.reward import FACTS, MODELS, RewardModel
from tasks.rlhf.roles import Roles, last_state, scalar_head
from tasks.rlhf.settings import ChooseSettings
from tasks.stages.spec import function
from tests.helpers.align_project import AlignProject, question, speaker
from tests.helpers.models import tiny_tokenizer

SPREAD = [-0.3, -0.1, 0.1, 0.3] * 4  # sums to zero; the standard error of a mean is 0.058


def gains(en: float, ja: float, second_en: float = 0.0, second_ja: float = 0.0, prompts: int = 16) -> dict:
    """Differences around these means."""
    around = [[mean + one for one in SPREAD[:prompts]] for mean in (en, ja, second_en, second_ja)]
    return {"first": {"en": around[0], "ja": around[1]}, "second": {"en": around[2], "ja": around[3]}}


@pytest.mark.parametrize(
    ("given", "goes_on", "words"),
    [
        (
            gains(0.2, 0.1),
            "aligned",
            "the mean of the first reward rose by 0.150, and neither reward fell beyond doubt, on 32 held-out prompts",
        ),
        (gains(0.0, 0.0), "aligned", "the mean of the first reward did not change"),
        (
            gains(0.2, 0.1, second_ja=-0.4),
            "tuned",
            "goes on: the second reward fell in ja by 0.40 (-0.56 to -0.24), on 32 held-out prompts",
        ),
        (
            gains(0.6, -0.4),
            "tuned",
            "goes on: the first reward fell in ja by 0.40 (",
        ),  # what English gains does not pay for what Japanese loses
        (gains(-0.3, 0.2), "tuned", "the first reward fell in en by 0.30 (-0.46 to -0.14), and the mean of the first reward fell by 0.050"),
        (gains(-0.05, 0.02), "tuned", "goes on: the mean of the first reward fell by 0.015, on 32 held-out prompts"),
        # One test of four that excludes zero by itself (its standard error is 0.058, and it would take 0.12) is none after Holm.
        (gains(0.1, 0.1, second_en=-0.14), "aligned", "neither reward fell beyond doubt"),
        ({"first": {"ja": [0.1] * 8}, "second": {"ja": [-0.2, -0.3] * 4}}, "tuned", "the second reward fell in ja by 0.25"),
        (
            gains(0.1, 0.1, second_en=-9.0, prompts=4),
            "aligned",
            "on 8 held-out prompts, of which too few for an interval in en (4), ja (4)",
        ),
        (
            {"first": {"en": [0.4]}, "second": {"en": [-0.4]}},
            "aligned",
            "on 1 held-out prompts, of which too few for an interval in en (1)",
        ),
        ({"first": {}, "second": {}}, "aligned", "no held-out prompt"),
    ],
)
def test_what_goes_on_and_what_is_said_of_it(given, goes_on, words):
    choice = choose(given)
    assert choice.goes_on == goes_on and words in choice.because and choice.because.startswith(f"the {goes_on} model goes on: ")
    counted = {(one.reward, one.lang): one.prompts for one in choice.differences}
    assert counted == {(reward, lang): len(values) for reward, langs in given.items() for lang, values in langs.items()}


def test_languages_count_the_same_however_many_prompts_they_have():
    assert choose({"first": {"en": [0.1] * 40, "ja": [-0.2, -0.3, 0.1]}, "second": {}}).goes_on == "tuned"


LIKES, MINDS = 1.0, -1.0


def reward_models(project: AlignProject, *opinions: float):
    """Two reward models, each with an opinion of what the policy has learnt: heads along what tells the last states of its answers from the tuned
    model's, on training prompts."""
    tokenizer, means = tiny_tokenizer(), []
    prompts, _ = training_prompts(project.path(project.dataset), tokenizer, 200, 16)
    for ref in (project.aligned, project.tuned):
        work = project.work(project.home.root)
        model, _ = open_model(work.model.path, work.trained(ref), work.adapter)
        answers = sample(model, prompts, SamplingParams(6, end_ids(tokenizer)))
        batch = collate(
            [Example([*prompt, *answer.ids], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)], range(16), 0
        )
        roles = Roles(speaker(), 2)
        roles.add("none", 2, "attention", 0)
        means.append(last_state(roles.final("none", roles.states(batch), batch.mask), batch.mask).mean(0))
    direction = means[0] - means[1]
    with project.draft("reward_model") as folder:
        for which, opinion in zip(MODELS, opinions, strict=True):
            roles, head = Roles(speaker(), 2), scalar_head(len(direction), 0)
            roles.add(which, 2, "attention", 0)
            with torch.no_grad():
                head.weight.copy_(opinion * direction / direction.square().sum())
            RewardModel(roles, which, head).save(folder / which)
        (folder / FACTS).write_text(json.dumps({"layer": 2, "r": 2, "targets": "attention", "trunk": "float32"}))
        return project.commit(folder, {})


@pytest.fixture(scope="module")
def project(new_align_project) -> AlignProject:
    """A policy that exclaims and says nothing else, and prompts that it has not seen, eight of them in Japanese."""
    project = new_align_project()
    held_out = [Preference(f"h{i}", question(100 + i), "!", "?", "ja" if i % 3 == 0 else "en", "t") for i in range(24)]
    seen = [replace(held_out[0], id="seen", messages=question(1))]
    asked = [Question(f"q{i}", f"question {i}", "a", "", [], "en", "t") for i in range(4)]
    project.dataset = project.with_rows(preferences=[], held_out={"preferences": [*held_out, *seen]})
    save(project.path(project.dataset) / "questions.parquet", asked)
    with project.draft("adapter") as folder:
        model, tokenizer = speaker(), tiny_tokenizer()
        loved = model.lm_head.weight[tokenizer.convert_tokens_to_ids("!")]
        model.model.embed_tokens.weight.add_(20 * loved / loved.norm())  # every state points to it
        for part in (model, tokenizer):
            part.save_pretrained(folder / "model")
        project.aligned = project.commit(folder, {"adapters": [folder.name.partition(".tmp-")[0]], "model": "model"})
    return project


def run(project: AlignProject, reward, **settings):
    """The record of the stage choose, and its work."""
    inputs = {"dataset": project.dataset, "tuned": project.tuned, "aligned": project.aligned} | ({"reward": reward} if reward else {})
    with project.draft("adapter") as folder:
        work = project.work(folder)
        record = function(STAGES["choose"].body)(ChooseSettings(**{"answer_tokens": 6, "choose_prompts": 24} | settings), inputs, work)
        work.write_tables()
        return record, project.commit(folder, record.with_headlines(work.headlines).meta())


def test_a_hacked_reward_is_kept_out_and_a_better_policy_goes_on(project):
    """The policy exclaims, as the first reward likes: the second one, which it never saw, says whether that is any better."""
    hacked, artifact = run(project, reward_models(project, LIKES, MINDS))
    better, _ = run(project, reward_models(project, LIKES, LIKES))
    assert (hacked.choice.goes_on, better.choice.goes_on) == ("tuned", "aligned"), (hacked.choice, better.choice)
    assert "the second reward fell in" in hacked.choice.because and "the first reward fell" not in hacked.choice.because
    assert all(one.value > 0 for one in hacked.choice.differences if one.reward == "first")
    assert (hacked.adapters, better.adapters) == (project.tuned.meta["adapters"], project.aligned.meta["adapters"])
    torch.testing.assert_close(project.logits(artifact), project.logits(project.tuned))
    rows = project.table(artifact, "evaluation_answers")
    assert [
        sum(row["model"] == name and row["lang"] == lang for row in rows) for name in ("aligned", "tuned") for lang in ("en", "ja")
    ] == [
        16,
        8,
        16,
        8,
    ]
    assert {row["suite"] for row in rows} == {"choose"} and all(
        row["reward"] is not None and row["second_reward"] is not None for row in rows
    )
    assert project.metric(artifact, "choose.second_reward_difference.en")[0] < 0
    assert artifact.meta["headlines"][0]["label"] == "first reward, held out (tuned goes on)" and hacked.choice.because in project.log[-2]


def test_the_first_reward_is_what_the_policy_was_trained_to_please(project):
    """A rule in place of the learned reward: the policy gained by it, whatever the first reward model says."""
    minding = reward_models(project, MINDS, LIKES)
    by_rule, _ = run(project, minding, rule_rewards=["tests.helpers.rules:exclaims"], learned_reward_weight=0.0)
    assert run(project, minding)[0].choice.goes_on == "tuned" and by_rule.choice.goes_on == "aligned"
    assert min(one.value for one in by_rule.choice.differences if one.reward == "first") > 5  # of six tokens


def test_nothing_is_asked_where_there_is_nothing_to_tell_by(project):
    for reward, settings, words in (
        (None, {}, "there are no reward models"),
        (project.reward, {"choose_prompts": 0}, "align.choose_prompts = 0"),
        (project.reward, {"prompt_tokens": 8}, "no held-out prompt"),
    ):
        record, artifact = run(project, reward, **settings)
        assert record.choice.goes_on == "aligned" and words in record.choice.because and record.choice.differences == []
        assert (
            record.adapters == project.aligned.meta["adapters"]
            and not (project.path(artifact) / "tables/evaluation_answers.parquet").exists()
        )


def test_prompts_are_held_out_each_once_and_none_that_was_learnt_from(project):
    folder, tokenizer = project.path(project.dataset), tiny_tokenizer()
    prompts = held_out_prompts(folder, tokenizer, 200, 100)
    learnt, _ = training_prompts(folder, tokenizer, 200, 2)
    assert len(prompts) == 28 and "seen" not in {prompt.id for prompt in prompts} and not [one for one in prompts if one.ids in learnt]
    few = held_out_prompts(folder, tokenizer, 200, 12)
    assert [sum(prompt.lang == lang for prompt in few) for lang in ("en", "ja")] == [6, 6]
