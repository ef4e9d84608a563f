"""The stages reward (preference pairs to reward models) and align (PPO, or another algorithm, against the first of them)."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from storage.artifacts import ArtifactRef
from tasks.errors import MigakiError
from tasks.rlhf.settings import PPOSettings, RewardSettings
from tasks.stages.stage import Work, require, stage

NORMALISING_PROMPTS = 64  # whose answers by the tuned model give a separate reward model its mean and standard deviation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from tasks.data.records import Preference
    from tasks.inference.sampling import Answer
    from tasks.models.batching import Example
    from tasks.progress import Bar
    from tasks.rlhf.dpo_kto import TokenPair
    from tasks.rlhf.guards import Guards
    from tasks.rlhf.pairs import PairSet
    from tasks.rlhf.participants import Participants
    from tasks.rlhf.reward import RewardModel, SequenceRewardModel
    from tasks.rlhf.rounds import Round, ScoredRound


@stage("reward", kind="reward_model", settings=RewardSettings, parallel=True)
def reward(settings: RewardSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Train two reward models, each on its half of the pairs, on the tuned model's trunk."""
    from tasks.data.records import load_preferences
    from tasks.data.select import balanced
    from tasks.models.trunk import split_layer
    from tasks.rlhf.pairs import PairSet
    from tasks.rlhf.reward import FACTS, MODELS, RewardModel
    from tasks.rlhf.roles import Roles, scalar_head

    folder = work.open(require(inputs, "dataset", "prepare"))
    model, tokenizer = work.load(require(inputs, "tuned", "tune"), settings.trunk)
    pairs = _halves(balanced(load_preferences(folder, "train"), settings.reward_max_pairs)[0], settings)
    roles = Roles(model, split_layer(model, settings.reward_top_fraction))
    answers = _own_answers(model, tokenizer, folder, settings, work)
    decided = [pair for pair in load_preferences(folder, "eval") if not pair.tie]
    held_out = PairSet(roles, tokenizer, decided, settings.reward_max_tokens)
    for number, (which, half) in enumerate(zip(MODELS, pairs, strict=True)):
        parameters = roles.add(which, settings.reward_lora_r, settings.reward_lora_targets, settings.reward_seed + number)
        work.meta["trained_parameters"] = sum(p.numel() for p in parameters)
        reward_model = RewardModel(roles, which, scalar_head(roles.hidden_size, settings.reward_seed + number))
        train_set = PairSet(roles, tokenizer, half, settings.reward_max_tokens, settings.reward_cut_share, settings.reward_seed)
        _fit(reward_model, train_set, settings, which, work)
        _measure(reward_model, held_out, which, work)
        _normalise(reward_model, answers, which, work)
        reward_model.save(work.path / which)
    facts = {"layer": roles.layer, "r": settings.reward_lora_r, "targets": settings.reward_lora_targets, "trunk": settings.trunk}
    (work.path / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _halves(pairs: "list[Preference]", settings: RewardSettings) -> "tuple[list[Preference], list[Preference]]":
    halves = tuple([pair for pair in pairs if pair.half == half] for half in (0, 1))
    for half in halves:
        if len(half) < settings.reward_batch_pairs:
            raise MigakiError(
                f"{len(half)} preference pairs for one of the two reward models are fewer than a batch (align.reward_batch_pairs = {settings.reward_batch_pairs}): "
                "give more pairs with --preferences, lower reward_batch_pairs, or skip RLHF with --set run.align=false"
            )
    return halves


def _own_answers(model: Any, tokenizer: "PreTrainedTokenizerBase", folder: "Path", settings: RewardSettings, work: Work) -> "list[Example]":
    """Answers of the tuned model itself: the scale of every score."""
    from tasks.data.records import load_preferences
    from tasks.data.select import balanced
    from tasks.inference.sampling import sample
    from tasks.models.batching import Example
    from tasks.models.data_parallel import gather, shard
    from tasks.prompts.template import encode_prompt, end_ids

    chosen, _ = balanced(load_preferences(folder, "train"), settings.reward_normalise_prompts)
    room = min(
        settings.reward_max_tokens,
        (work.context_length() or settings.reward_max_tokens + settings.reward_answer_tokens) - settings.reward_answer_tokens,
    )
    prompts = [prompt for row in chosen if len(prompt := encode_prompt(tokenizer, row.messages)) <= room]
    with work.progress("reward: sample answers", len(shard(range(len(prompts))))) as bar:

        def sampled(rows: list[int]) -> "list[Answer]":
            return sample(
                model,
                [prompts[row] for row in rows],
                max_new_tokens=settings.reward_answer_tokens,
                end_ids=end_ids(tokenizer),
                seed=settings.reward_seed,
                batch=32,
                indices=rows,
                on_progress=bar.advance,
            )

        answers = gather(len(prompts), sampled)
    return [Example([*prompt, *answer.ids], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]


def _fit(reward_model: "RewardModel", pairs: "PairSet", settings: RewardSettings, which: str, work: Work) -> None:
    from tasks.rlhf.reward import train_reward_model
    from tasks.training.loop import total_steps

    own = len(pairs) - pairs.cut
    if own < settings.reward_batch_pairs:
        raise MigakiError(f"only {own} pairs are at most align.reward_max_tokens = {settings.reward_max_tokens} tokens long; raise it")
    work.meta[f"{which}_pairs"], work.meta[f"{which}_left_out"], work.meta[f"{which}_cut"] = own, pairs.left_out, pairs.cut
    with work.progress(f"reward: {which} model", total_steps(len(pairs), settings.reward_batch_pairs, settings.reward_epochs)) as bar:

        def on_step(step: int, loss: float, accuracy: float) -> None:
            work.metric(f"reward.{which}_loss", loss, step)
            bar.advance(loss=loss, accuracy=accuracy)

        train_reward_model(reward_model, pairs, settings, on_step)


def _measure(reward_model: "RewardModel", held_out: "PairSet", which: str, work: Work) -> None:
    """Held-out accuracy with its interval, by length and by confidence, and how much of the score length alone explains."""
    from tasks.rlhf.reward import accuracy_by_length, calibration, pair_scores, rank_correlation
    from tasks.statistics import wilson_interval

    if not len(held_out):
        return
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
        own = [i for i, pair in enumerate(held_out.pairs) if pair.lang == lang]
        work.metric(f"reward.{which}_accuracy.{lang}", float((scores[own, 0] > scores[own, 1]).float().mean()))
    if which == "first":
        work.headline("held-out pair accuracy", 0.5, right / len(held_out))
    work.meta[f"{which}_accuracy"] = {
        "value": right / len(held_out),
        "low": low,
        "high": high,
        "pairs": len(held_out),
        "length_correlation": by_length,
        "by_length": buckets,
        "calibration": calibration(scores),
    }


def _normalise(reward_model: "RewardModel", answers: "list[Example]", which: str, work: Work) -> None:
    from tasks.rlhf.reward import normalise

    normalise(reward_model, answers)
    work.meta[f"{which}_scale"] = {"mean": reward_model.mean, "std": reward_model.std}


def named_rewards(settings: PPOSettings) -> dict[str, Any]:
    """What the modules of rule rewards and the folder of a separate reward model hold: another rule or model makes another artifact."""
    from storage.home import Home
    from tasks.models.reference import resolve
    from tasks.rlhf.rules import rule_sources

    separate = {"reward_model": resolve(settings.reward_model, Home.current()).checksum} if settings.reward_model else {}
    return rule_sources(settings.rule_rewards) | separate


@stage("align", kind="adapter", settings=PPOSettings, fingerprint=named_rewards, parallel=True)
def align(settings: PPOSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Make the tuned model's answers better by human preference, staying near the tuned model: by PPO, or another algorithm in its place."""
    from tasks.models.lora import save_adapter
    from tasks.prompts.template import end_ids
    from tasks.rlhf.guards import Guards, alarm
    from tasks.rlhf.participants import Participants
    from tasks.rlhf.reward import FACTS, open_reward_model
    from tasks.rlhf.roles import POLICY, Roles
    from tasks.rlhf.rules import load_rules
    from tasks.rlhf.scoring import Scorer

    rules, tuned = load_rules(settings.rule_rewards), require(inputs, "tuned", "tune")
    folder, reward_folder = work.open(require(inputs, "dataset", "prepare")), work.open(require(inputs, "reward", "align"))
    facts = json.loads((reward_folder / FACTS).read_text(encoding="utf-8"))
    tokenizer = work.tokenizer()
    room = min(settings.prompt_tokens, (work.context_length() or settings.prompt_tokens + settings.answer_tokens) - settings.answer_tokens)
    prompts, languages = prompts_for(folder, tokenizer, room, settings.episodes)
    if settings.algorithm == "ppo":
        _check_memory(settings, facts, max(map(len, prompts)), work)
    model, _ = work.load(tuned, facts["trunk"])
    roles = Roles(model, facts["layer"])
    first = open_reward_model(reward_folder, roles, "reward", "first")
    separate = _separate_reward(settings, model, tokenizer, prompts, work) if settings.reward_model else None
    scorer = Scorer(separate or first, rules, settings.learned_reward_weight, tokenizer)
    watcher = open_reward_model(reward_folder, roles, "second", "second")
    participants = Participants(roles, scorer, end_ids(tokenizer), watcher)
    guards = Guards(settings, lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
    if settings.algorithm == "ppo":
        policy, ending, rounds = _by_ppo(participants, first, guards, facts, prompts, languages, work)
    else:
        policy, ending, rounds = _by_trl(participants, guards, folder, prompts, languages, work)
    roles.load_state(POLICY, policy)
    save_adapter(roles.model, POLICY, work.path / "adapter")
    work.meta |= {
        "adapters": tuned.meta["adapters"],
        "algorithm": settings.algorithm,
        "ending": ending,
        "episodes": settings.episodes * len(rounds),
        "prompts": len(prompts),
        "alarm": alarm([figures.score for figures in rounds], [figures.second_score for figures in rounds]),
    }
    quarter = max(1, len(rounds) // 4)
    work.headline("score of sampled answers", _mean(rounds[:quarter]), _mean(rounds[-quarter:]))
    work.log(f"align: {ending}")
    if work.meta["alarm"]:
        work.log(f"align: {work.meta['alarm']}")


def _separate_reward(
    settings: PPOSettings, model: Any, tokenizer: "PreTrainedTokenizerBase", prompts: list[list[int]], work: Work
) -> "SequenceRewardModel":
    """The reward model of `align.reward_model`, normalised on answers of the tuned model as Migaki's own are."""
    from tasks.inference.sampling import sample
    from tasks.models.batching import Example
    from tasks.models.reference import resolve
    from tasks.prompts.template import end_ids
    from tasks.rlhf.reward import SequenceRewardModel, normalise

    found = SequenceRewardModel.open(resolve(settings.reward_model, work.home, work.log).path, tokenizer, work.device)
    asked = prompts[:NORMALISING_PROMPTS]
    ends = end_ids(tokenizer)
    answers = sample(
        model, asked, max_new_tokens=settings.answer_tokens, end_ids=ends, seed=settings.seed, temperature=settings.temperature
    )
    normalise(found, [Example([*prompt, *answer.ids], len(prompt)) for prompt, answer in zip(asked, answers, strict=True)])
    work.meta["reward_model"] = {"mean": found.mean, "std": found.std}
    return found


def _check_memory(settings: PPOSettings, facts: dict[str, Any], longest: int, work: Work) -> None:
    """Before anything is loaded: a run that would not fit is refused here, with what would make it fit."""
    from tasks.models.reference import resolve
    from tasks.models.trunk import layer_count
    from tasks.rlhf.estimate import MIB, free_memory, model_of_shapes, require_memory, separate_bytes
    from tasks.rlhf.settings import AlignSettings

    model = model_of_shapes(work.model.path)
    trained = {"reward_top_fraction": 1 - facts["layer"] / layer_count(model), "trunk": facts["trunk"]}
    trained |= {"reward_lora_r": facts["r"], "reward_lora_targets": facts["targets"]}
    separate = separate_bytes(resolve(settings.reward_model, work.home, work.log).path) if settings.reward_model else 0
    whole = AlignSettings(**settings.model_dump(), **trained)
    need = require_memory(model, whole, longest, free_memory(work.device), work.device, separate)
    work.meta["estimated_mib"] = round(need.total / MIB)


def _by_ppo(
    participants: "Participants",
    critic_from: "RewardModel",
    guards: "Guards",
    facts: dict[str, Any],
    prompts: list[list[int]],
    languages: list[str],
    work: Work,
) -> "tuple[dict[str, Tensor], str, list[Round]]":
    """The policy's weights, why the run ended, and its rounds; goes on where a killed run left a checkpoint."""
    from tasks.rlhf.critic import CriticStart
    from tasks.rlhf.ppo import PPOTrainer, run_ppo
    from tasks.rlhf.rounds import Progress

    settings, progress = guards.settings, Progress()
    trainer = PPOTrainer(participants, CriticStart(critic_from, facts["r"], facts["targets"]), settings)
    if kept := work.resumed():
        trainer.load_state(kept["trainer"])
        guards.seen, progress = kept["guards"], Progress.from_state(kept["progress"])
        work.log(f"align: going on from round {progress.step} of {settings.updates + 1}")
    rounds = list(progress.rounds)
    with work.progress("align: PPO", settings.updates + 1, done=len(rounds)) as bar:
        listener = _recorder(rounds, languages, participants.scorer.tokenizer, work, bar)
        return *run_ppo(trainer, prompts, listener, guards, progress, work.checkpoint), rounds


def _by_trl(
    participants: "Participants",
    guards: "Guards",
    folder: "Path",
    prompts: list[list[int]],
    languages: list[str],
    work: Work,
) -> "tuple[dict[str, Tensor], str, list[Round]]":
    """As `_by_ppo`, without checkpoints: a killed run starts anew."""
    from tempfile import TemporaryDirectory

    from tasks.models.data_parallel import world_size
    from tasks.rlhf.dpo_kto import run_on_pairs
    from tasks.rlhf.learner import Learner
    from tasks.rlhf.rloo_grpo import run_on_groups
    from tasks.rlhf.trl_plan import FROM_PAIRS

    settings, rounds = guards.settings, []
    if world_size() > 1:
        raise MigakiError(
            f"align.algorithm = {settings.algorithm!r} runs in one process; with run.accelerate take ppo, or leave run.accelerate empty"
        )
    name = settings.algorithm.upper()
    with work.progress(f"align: {name}", settings.updates + 1) as bar, TemporaryDirectory(dir=work.path) as scratch:
        listener = _recorder(rounds, languages, participants.scorer.tokenizer, work, bar)
        learner = Learner(participants, guards, listener)
        if settings.algorithm in FROM_PAIRS:
            return *run_on_pairs(learner, prompts, _token_pairs(folder, settings, participants.scorer.tokenizer, work), scratch), rounds
        return *run_on_groups(learner, prompts, scratch), rounds


def _token_pairs(folder: "Path", settings: PPOSettings, tokenizer: "PreTrainedTokenizerBase", work: Work) -> "list[TokenPair]":
    """The training pairs of both halves, those too long left out and counted."""
    from tasks.data.records import load_preferences
    from tasks.rlhf.dpo_kto import encode_pairs

    pairs = [pair for pair in load_preferences(folder, "train") if not pair.tie]
    limit = min(settings.prompt_tokens + settings.answer_tokens, work.context_length() or settings.prompt_tokens + settings.answer_tokens)
    found = encode_pairs(tokenizer, pairs, limit)
    if not found:
        raise MigakiError(
            f"none of {len(pairs)} preference pairs is at most {limit} tokens long (align.prompt_tokens + align.answer_tokens, and the model's context): "
            f"raise them, or give pairs with --preferences"
        )
    work.meta |= {"pairs": len(found), "pairs_left_out": len(pairs) - len(found)}
    if len(found) < len(pairs):
        work.log(f"align: {len(pairs) - len(found)} of {len(pairs)} pairs are longer than {limit} tokens and left out")
    return found


def _recorder(
    rounds: "list[Round]", languages: list[str], tokenizer: "PreTrainedTokenizerBase", work: Work, bar: "Bar"
) -> "Callable[[Round, ScoredRound, list[int]], None]":
    """Hears of each round: notes its figures, records its answers, shows it."""

    def on_round(figures: "Round", experience: "ScoredRound", rows: list[int]) -> None:
        rounds.append(figures)
        _record(figures, experience, [languages[row] for row in rows], tokenizer, work)
        bar.advance(score=figures.score, kl=figures.kl)

    return on_round


def _mean(rounds: "list[Round]") -> float:
    return sum(figures.score for figures in rounds) / len(rounds)


def prompts_for(folder: "Path", tokenizer: "PreTrainedTokenizerBase", room: int, episodes: int) -> tuple[list[list[int]], list[str]]:
    """What the policy is asked: the training prompts of preferences and instructions of at most `room` tokens, each once, and their languages."""
    from tasks.data.records import load_instructions, load_preferences
    from tasks.prompts.template import encode_prompt

    rows = {
        json.dumps(row.messages, ensure_ascii=False): row
        for row in [*load_instructions(folder, "train"), *load_preferences(folder, "train")]
    }
    found = [(prompt, row.lang) for row in rows.values() if len(prompt := encode_prompt(tokenizer, row.messages)) <= room]
    if len(found) < episodes:
        raise MigakiError(
            f"{len(found)} prompts of at most {room} tokens (align.prompt_tokens, and the model's context) are fewer than align.episodes = {episodes}"
        )
    return [prompt for prompt, _ in found], [lang for _, lang in found]


def _record(figures: "Round", experience: "ScoredRound", languages: list[str], tokenizer: "PreTrainedTokenizerBase", work: Work) -> None:
    """Curves, and every answer of the round."""
    for name, value in asdict(figures).items():
        if name != "step" and value is not None:
            work.metric(f"align.{name}", value, figures.step)
    for name, scores in experience.parts.items():
        work.metric(f"align.reward.{name}", float(scores.mean()), figures.step)
    from tasks.models.batching import prompts_and_answers

    rows = []
    for i, (lang, prompt, answer) in enumerate(zip(languages, *prompts_and_answers(experience.batch), strict=True)):
        rows.append(
            {
                "step": figures.step,
                "episode": (figures.step - 1) * len(languages) + i,
                "prompt": tokenizer.decode(prompt),
                "lang": lang,
                "answer": tokenizer.decode(answer, skip_special_tokens=True),
                "score": float(experience.scores[i]),
                "kl": float(experience.kl[i]),
                "reward": float(experience.rewards[i]),
                "tokens": len(answer),
                "finished": experience.finished[i],
            }
            | ({"parts": {name: float(scores[i]) for name, scores in experience.parts.items()}} if experience.parts else {})
        )
    work.table("rollouts", rows)
