"""The stage reward: preference pairs to two reward models on the tuned model's trunk."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef
from storage.kinds import Accuracy, RewardModels, Scale
from tasks.data.records import Preference, load_feedback, load_preferences
from tasks.data.select import balanced
from tasks.errors import MigakiError
from tasks.inference.sampling import Answer, SamplingParams, sample
from tasks.models.batching import Example
from tasks.models.data_parallel import gather, shard
from tasks.models.families import stated_context_length
from tasks.models.quantized import parameter_count
from tasks.models.trunk import split_layer
from tasks.prompts.template import encode_prompt, end_ids
from tasks.rlhf.pairs import PairSet
from tasks.rlhf.reward import (
    FACTS,
    MODELS,
    RewardModel,
    accuracy_by_length,
    calibration,
    normalise,
    pair_scores,
    rank_correlation,
    train_reward_model,
)
from tasks.rlhf.roles import Roles, scalar_head
from tasks.rlhf.settings import RewardSettings
from tasks.rlhf.unpaired import Counts, require_pairs, unused
from tasks.stages.opening import open_checked
from tasks.stages.work import Work, require
from tasks.statistics import wilson_interval
from tasks.training.loop import total_steps
from tasks.training.methods import share_of


def reward(settings: RewardSettings, inputs: dict[str, ArtifactRef], work: Work) -> RewardModels:
    """Train two reward models, each on its half of the pairs, on the tuned model's trunk.

    Raises:
        MigakiError: one of them has fewer pairs than a batch, or the dataset has unpaired feedback alone.
    """
    folder = work.open(require(inputs, "dataset", "prepare"))
    counts = Counts(len(load_preferences(folder, "train")), len(load_feedback(folder, "train")))
    require_pairs("the stage reward", counts)
    if passed_over := unused("the stage reward", counts):
        work.log(f"reward: {passed_over}")
    tuned = require(inputs, "tuned", "tune")
    model, tokenizer = open_checked(work, tuned, settings.trunk, today=work.today(inputs))
    total = parameter_count(model)
    pairs = _halves(balanced(load_preferences(folder, "train"), settings.reward_max_pairs)[0], settings)
    roles = Roles(model, split_layer(model, settings.reward_top_fraction))
    answers = work.step("sample_answers", partial(_own_answers, model, tokenizer, folder, settings, work))
    decided = [pair for pair in load_preferences(folder, "eval") if not pair.tie]
    held_out = PairSet(roles, tokenizer, decided, settings.reward_max_tokens)
    facts: dict[str, Any] = {}
    for number, (which, half) in enumerate(zip(MODELS, pairs, strict=True)):
        parameters = roles.add(which, settings.reward_lora_r, settings.reward_lora_targets, settings.reward_seed + number)
        facts["trained_parameters"] = trained = sum(p.numel() for p in parameters)
        work.log(f"reward: the adapter of the {which} model trains {share_of(trained, total)} parameters")
        reward_model = RewardModel(roles, which, scalar_head(roles.hidden_size, settings.reward_seed + number))
        train_set = PairSet(roles, tokenizer, half, settings.reward_max_tokens, settings.reward_cut_share, settings.reward_seed)
        fitted = work.step("train_reward_model", partial(_fit, reward_model, train_set, settings, which, work), which)
        facts |= {f"{which}_{name}": count for name, count in fitted.items()}
        facts[f"{which}_accuracy"] = _measure(reward_model, held_out, which, work)
        normalise(reward_model, answers)
        facts[f"{which}_scale"] = Scale(mean=reward_model.mean, std=reward_model.std)
        reward_model.save(work.path / which)
    trunk = {"layer": roles.layer, "r": settings.reward_lora_r, "targets": settings.reward_lora_targets, "trunk": settings.trunk}
    (work.path / FACTS).write_text(json.dumps(trunk), encoding="utf-8")
    return RewardModels(**facts)


def _halves(pairs: list[Preference], settings: RewardSettings) -> tuple[list[Preference], list[Preference]]:
    halves = [pair for pair in pairs if pair.half == 0], [pair for pair in pairs if pair.half == 1]
    for half in halves:
        if len(half) < settings.reward_batch_pairs:
            raise MigakiError(
                f"{len(half)} preference pairs for one of the two reward models are fewer than a batch (align.reward_batch_pairs = {settings.reward_batch_pairs}): "
                "give more pairs with --preferences, lower reward_batch_pairs, or skip RLHF with --set run.align=false"
            )
    return halves


def _own_answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, settings: RewardSettings, work: Work
) -> list[Example]:
    """Answers of the tuned model itself: the scale of every score."""
    chosen, _ = balanced(load_preferences(folder, "train"), settings.reward_normalise_prompts)
    room = min(
        settings.reward_max_tokens,
        (stated_context_length(work.model.path) or settings.reward_max_tokens + settings.reward_answer_tokens)
        - settings.reward_answer_tokens,
    )
    prompts = [prompt for row in chosen if len(prompt := encode_prompt(tokenizer, row.messages)) <= room]
    with work.progress("reward: sample answers", len(shard(range(len(prompts))))) as bar:

        def sampled(rows: list[int]) -> list[Answer]:
            return sample(
                model,
                [prompts[row] for row in rows],
                SamplingParams(settings.reward_answer_tokens, end_ids(tokenizer), seed=settings.reward_seed),
                batch=32,
                indices=rows,
                on_progress=bar.advance,
            )

        answers = gather(len(prompts), sampled)
    return [Example([*prompt, *answer.ids], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]


def _fit(reward_model: RewardModel, pairs: PairSet, settings: RewardSettings, which: str, work: Work) -> dict[str, int]:
    """Train; returns how many pairs took part, were too long, and were made by cutting."""
    whole = len(pairs) - pairs.cut
    if whole < settings.reward_batch_pairs:
        longest = f"align.reward_max_tokens = {settings.reward_max_tokens}"
        remedy = "raise it, or give shorter pairs"
        if pairs.limit < settings.reward_max_tokens:
            longest, remedy = f"this model's attention window of {pairs.limit}", "give shorter pairs"
        raise MigakiError(
            f"{whole} pairs are at most {longest} tokens long, fewer than a batch (align.reward_batch_pairs = {settings.reward_batch_pairs}): {remedy}"
        )
    with work.progress(f"reward: {which} model", total_steps(len(pairs), settings.reward_batch_pairs, settings.reward_epochs)) as bar:

        def on_step(step: int, loss: float, accuracy: float) -> None:
            work.metric(f"reward.{which}_loss", loss, step)
            bar.advance(loss=loss, accuracy=accuracy)

        train_reward_model(reward_model, pairs, settings, on_step)
    return {"pairs": whole, "left_out": pairs.left_out, "cut": pairs.cut}


def _measure(reward_model: RewardModel, held_out: PairSet, which: str, work: Work) -> Accuracy | None:
    """Held-out accuracy with its interval, by length and by confidence, and how much of the score length alone explains."""
    if not len(held_out):
        return None
    scores = pair_scores(reward_model, held_out)
    right = int((scores[:, 0] > scores[:, 1]).sum())
    low, high = wilson_interval(right, len(held_out))
    lengths = [len(side.ids) - side.answer_start for side in held_out.sides]
    by_length = rank_correlation(scores.flatten().tolist(), [float(length) for length in lengths])
    buckets = accuracy_by_length(scores, list(zip(lengths[::2], lengths[1::2], strict=True)))
    for name, value in (
        ("accuracy", right / len(held_out)),
        ("accuracy_low", low),
        ("accuracy_high", high),
        ("length_correlation", by_length),
    ):
        work.metric(f"reward.{which}_{name}", value)
    for name, (share, _) in buckets.items():
        work.metric(f"reward.{which}_accuracy_{name}", share)
    for lang in sorted({pair.lang for pair in held_out.pairs}):
        of_lang = [i for i, pair in enumerate(held_out.pairs) if pair.lang == lang]
        work.metric(f"reward.{which}_accuracy.{lang}", float((scores[of_lang, 0] > scores[of_lang, 1]).float().mean()))
    if which == "first":
        work.headline("held-out pair accuracy", 0.5, right / len(held_out))
    return Accuracy(
        value=right / len(held_out),
        low=low,
        high=high,
        pairs=len(held_out),
        length_correlation=by_length,
        by_length=buckets,
        calibration=calibration(scores),
    )
