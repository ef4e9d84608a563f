"""The stage choose: whether the aligned model goes on, or the tuned one that it began as."""

import gc
import json
from collections import defaultdict
from functools import partial
from statistics import fmean
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef
from storage.choice import Choice
from storage.kinds import Adapter, Scale
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.batching import Batch, Example
from tasks.models.reference import resolve
from tasks.progress import Bar
from tasks.prompts.template import decode, end_ids
from tasks.rlhf.choosing import FIRST, SECOND
from tasks.rlhf.choosing import choose as chosen
from tasks.rlhf.prompts import HeldOutPrompt, held_out_prompts, room
from tasks.rlhf.reward import FACTS, AnyRewardModel, RewardModel, Score, SequenceRewardModel, score_with_both
from tasks.rlhf.rules import load_rules
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import ChooseSettings
from tasks.stages.opening import open_checked
from tasks.stages.work import Work, require

Row = dict[str, Any]  # of `evaluation_answers`


def choose(settings: ChooseSettings, inputs: dict[str, ArtifactRef], work: Work) -> Adapter:
    """The chain of adapters of the model that goes on, and why it does. Every answer that it is told by is kept as a row.

    Raises:
        MigakiError: a rule or reward model of the settings cannot be used.
    """
    aligned, tuned = require(inputs, "aligned", "align"), require(inputs, "tuned", "tune")
    if "reward" not in inputs:
        choice = Choice("aligned", "the aligned model goes on: there are no reward models to compare it with the tuned one by", [])
    elif not settings.choose_prompts:
        choice = Choice("aligned", "the aligned model goes on: nothing was compared (align.choose_prompts = 0)", [])
    else:
        choice = _compared(settings, inputs, work)
    work.log(f"choose: {choice.because}")
    return Adapter(adapters=work.record(aligned if choice.goes_on == "aligned" else tuned, Adapter).adapters, choice=choice)


def _compared(settings: ChooseSettings, inputs: dict[str, ArtifactRef], work: Work) -> Choice:
    """Ask both models the same, score what they say, and keep it."""
    rewards, folder = work.open(inputs["reward"]), work.open(require(inputs, "dataset", "prepare"))
    trunk, today = json.loads((rewards / FACTS).read_text(encoding="utf-8"))["trunk"], work.today(inputs)
    model, tokenizer = open_checked(work, inputs["aligned"], trunk, today=today)
    prompts = held_out_prompts(folder, tokenizer, room(settings, work.model.path) - settings.answer_tokens, settings.choose_prompts)
    with work.progress("choose", 4 * len(prompts)) as bar:
        found = [_answers("aligned", model, tokenizer, prompts, settings, bar)]
        del model
        gc.collect()  # one of the two is in memory at a time
        model, _ = open_checked(work, inputs["tuned"], trunk, today=today)
        found.append(_answers("tuned", model, tokenizer, prompts, settings, bar))
        examples = [example for _, own in found for example in own]
        steering = partial(_steering, settings, work.record(inputs["aligned"], Adapter).reward_model, tokenizer, work)
        scores = score_with_both(rewards, model, examples, bar.advance, steering)
    rows = [row for own, _ in found for row in own]
    for row, (first, second) in zip(rows, scores, strict=True):
        row["reward"], row["second_reward"] = first, second
    work.table("evaluation_answers", rows)
    choice = chosen(_gains(rows))
    _report(choice, rows, work)
    return choice


def _answers(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[HeldOutPrompt], settings: ChooseSettings, bar: Bar
) -> tuple[list[Row], list[Example]]:
    """An answer to every prompt, the same seeds for both models; as rows, and as the very tokens, which is what a reward model must see."""
    params = SamplingParams(settings.answer_tokens, end_ids(tokenizer), settings.choose_temperature, seed=settings.seed)
    rows, examples = list[Row](), list[Example]()
    for prompt, answer in zip(
        prompts, sample(model, [prompt.ids for prompt in prompts], params, batch=48, on_progress=bar.advance), strict=True
    ):
        said = decode(tokenizer, answer.ids, skip_special_tokens=True).strip()
        asked = {"model": name, "suite": "choose", "item_id": prompt.id, "lang": prompt.lang, "prompt": prompt.text}
        rows.append(asked | {"answer": said, "tokens": len(answer.ids), "characters": len(said)})
        examples.append(Example([*prompt.ids, *answer.ids], len(prompt.ids)))
    return rows, examples


def _steering(settings: ChooseSettings, scale: Scale | None, tokenizer: PreTrainedTokenizerBase, work: Work, first: RewardModel) -> Score:
    """What the policy was trained to please: the first reward model, or the one that the settings name in its place, with the rules beside it.

    Args:
        scale: of the one that they name, on answers of the tuned model.
    """
    reward: AnyRewardModel = first
    if settings.reward_model and scale:
        reward = SequenceRewardModel.open(resolve(settings.reward_model, work.home, work.log).path, tokenizer, work.device)
        reward.mean, reward.std = scale.mean, scale.std
    scorer = Scorer(reward, load_rules(settings.rule_rewards), settings.learned_reward_weight, tokenizer)

    def score(batch: Batch, states: Tensor) -> Tensor:
        return scorer.score(batch, states)[0]

    return score


def _gains(rows: list[Row]) -> dict[str, dict[str, list[float]]]:
    """By reward and language: how much higher the aligned model's answer is scored than the tuned one's, prompt by prompt."""
    by_model = {name: [row for row in rows if row["model"] == name] for name in ("aligned", "tuned")}
    gains: dict[str, dict[str, list[float]]] = {FIRST: defaultdict(list), SECOND: defaultdict(list)}
    for aligned, tuned in zip(by_model["aligned"], by_model["tuned"], strict=True):
        for reward, column in ((FIRST, "reward"), (SECOND, "second_reward")):
            gains[reward][aligned["lang"]].append(aligned[column] - tuned[column])
    return gains


def _report(choice: Choice, rows: list[Row], work: Work) -> None:
    """The key figure, and the differences as metrics."""
    for one in choice.differences:
        work.metric(f"choose.{one.reward}_reward_difference.{one.lang}", one.value)
    means = {name: [row["reward"] for row in rows if row["model"] == name] for name in ("tuned", "aligned")}
    if rows:
        work.headline(f"first reward, held out ({choice.goes_on} goes on)", *(fmean(values) for values in means.values()))
