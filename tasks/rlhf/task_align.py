"""The stage align: make the tuned model's answers better by human preference, by PPO or another algorithm in its place."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef
from storage.kinds import Adapter, Scale
from tasks.data.records import load_feedback, load_preferences
from tasks.errors import MigakiError
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.batching import Example, prompts_and_answers
from tasks.models.data_parallel import world_size
from tasks.models.lora import save_adapter
from tasks.models.memory import MIB, free_memory, model_of_shapes
from tasks.models.opening import open_tokenizer
from tasks.models.quantized import parameter_count
from tasks.models.reference import resolve
from tasks.models.trunk import layer_count, split_layer
from tasks.progress import Bar
from tasks.prompts.template import decode, end_ids
from tasks.rlhf.critic import CriticStart
from tasks.rlhf.estimate import require_memory, separate_bytes
from tasks.rlhf.examples import Examples, margin, training_examples
from tasks.rlhf.guards import Guards, alarm
from tasks.rlhf.learner import Learner
from tasks.rlhf.participants import Participants
from tasks.rlhf.ppo import PPOTrainer, run_ppo
from tasks.rlhf.prompts import room, training_prompts
from tasks.rlhf.reward import FACTS, RewardModel, SequenceRewardModel, normalise, open_reward_model
from tasks.rlhf.roles import POLICY, Roles
from tasks.rlhf.rounds import Progress, Round, ScoredRound
from tasks.rlhf.rules import load_rules
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import AlignSettings, PPOSettings
from tasks.rlhf.trl_plan import FROM_PAIRS
from tasks.rlhf.unpaired import READER, Counts, require_pairs, unused
from tasks.stages.opening import open_checked
from tasks.stages.resuming import keep_state, kept_state
from tasks.stages.work import Work, require
from tasks.training.methods import share_of

NORMALISING_PROMPTS = 64  # whose answers by the tuned model give a separate reward model its mean and standard deviation


@dataclass(frozen=True)
class Learning:
    """Who takes part, what stops them, and whom they ask in which language."""

    participants: Participants
    first: RewardModel | None  # which the critic starts from; None where KTO goes without reward models
    facts: dict[str, Any]  # of the reward models: layer, rank, targets, trunk
    guards: Guards
    tokenizer: PreTrainedTokenizerBase
    prompts: list[list[int]]
    languages: list[str]


def align(settings: PPOSettings, inputs: dict[str, ArtifactRef], work: Work) -> Adapter:
    """An adapter on top of the tuned model's, whose answers please more while they stay near the tuned model's.

    Raises:
        MigakiError: there are too few prompts or pairs, too little memory, or a rule or reward model of the settings cannot be used.
    """
    rules, tuned = load_rules(settings.rule_rewards), require(inputs, "tuned", "tune")
    folder = work.open(require(inputs, "dataset", "prepare"))
    _heed_feedback(settings, folder, work)
    without_reward = settings.algorithm == READER and "reward" not in inputs
    reward_folder = None if without_reward else work.open(require(inputs, "reward", "align"))
    facts: dict[str, Any] = json.loads((reward_folder / FACTS).read_text(encoding="utf-8")) if reward_folder else {"trunk": settings.trunk}
    tokenizer = open_tokenizer(work.model.path, work.trained(tuned), work.adapter, work.today(inputs))
    prompts, languages = training_prompts(folder, tokenizer, room(settings, work.model.path) - settings.answer_tokens, settings.episodes)
    made: dict[str, Any] = {}  # fields of the record
    if settings.algorithm == "ppo":
        made["estimated_mib"] = _check_memory(settings, facts, max(map(len, prompts)), work)
    model, _ = open_checked(work, tuned, facts["trunk"])
    total = parameter_count(model)
    roles = Roles(model, facts["layer"] if reward_folder else split_layer(model, settings.reward_top_fraction))
    first = open_reward_model(reward_folder, roles, "reward", "first") if reward_folder else None
    separate = _separate_reward(settings, model, tokenizer, prompts, work) if settings.reward_model else None
    if separate is not None:
        made["reward_model"] = Scale(mean=separate.mean, std=separate.std)
    scorer = Scorer(separate or first, rules, settings.learned_reward_weight, tokenizer)
    watcher = open_reward_model(reward_folder, roles, "second", "second") if reward_folder else None
    guards = Guards(settings, partial(decode, tokenizer, skip_special_tokens=True))
    learning = Learning(Participants(roles, scorer, end_ids(tokenizer), watcher), first, facts, guards, tokenizer, prompts, languages)
    learn = partial(_by_ppo, learning, work) if settings.algorithm == "ppo" else partial(_by_trl, learning, folder, made, work)
    policy, ending, rounds = work.step("train_policy", learn, settings.algorithm)
    roles.load_state(POLICY, policy)
    save_adapter(roles.model, POLICY, work.path / "adapter")
    _report(rounds, ending, work)
    trained = share_of(sum(p.numel() for p in roles.parameters(POLICY)), total)
    work.log(f"align: the policy's adapter trains {trained} parameters")
    _report_held_out(learning, folder, work)
    work.headline("trained parameters", None, trained)
    return Adapter(
        adapters=[*work.record(tuned, Adapter).adapters, work.id],
        algorithm=settings.algorithm,
        ending=ending,
        episodes=settings.episodes * len(rounds),
        prompts=len(prompts),
        alarm=_alarm(rounds),
        **made,
    )


def _heed_feedback(settings: PPOSettings, folder: Path, work: Work) -> None:
    """Say what becomes of unpaired feedback, where it is not simply learnt from.

    Raises:
        MigakiError: there is nothing else, and the algorithm does not read it.
    """
    counts = Counts(len(load_preferences(folder, "train")), len(load_feedback(folder, "train")))
    if settings.algorithm != READER:
        reader = f"align.algorithm = {settings.algorithm}"
        require_pairs(reader, counts)
        if passed_over := unused(reader, counts):
            work.log(f"align: {passed_over}")


def _alarm(rounds: list[Round]) -> str | None:
    first, second = _noted(figures.score for figures in rounds), _noted(figures.second_score for figures in rounds)
    return alarm(first, second) if first and second else None


def _noted(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _report(rounds: list[Round], ending: str, work: Work) -> None:
    """The key figure, and how the run ended."""
    scores = _noted(figures.score for figures in rounds)
    quarter = max(1, len(scores) // 4)
    if scores:
        work.headline("score of sampled answers", sum(scores[:quarter]) / quarter, sum(scores[-quarter:]) / quarter)
    work.log(f"align: {ending}")
    if warning := _alarm(rounds):
        work.log(f"align: {warning}")


def _report_held_out(learning: Learning, folder: Path, work: Work) -> None:
    """How far KTO's policy tells liked from disliked answers that were held out: all that is known of a run in which nothing scores."""
    settings = learning.guards.settings
    if settings.algorithm != READER:
        return
    held_out = Examples.of(folder, "eval", READER, learning.tokenizer, room(settings, work.model.path)).answers
    told_apart = margin(learning.participants.roles, held_out, settings.kl_coef, settings.micro_batch)
    if told_apart is not None:
        work.metric("align.held_out_margin", told_apart)
        work.headline("margin of liked over disliked answers, held out", 0.0, told_apart)


def _separate_reward(
    settings: PPOSettings, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]], work: Work
) -> SequenceRewardModel:
    """The reward model of `align.reward_model`, normalised on answers of the tuned model as Migaki's own are."""
    separate = SequenceRewardModel.open(resolve(settings.reward_model, work.home, work.log).path, tokenizer, work.device)
    asked = prompts[:NORMALISING_PROMPTS]
    answers = sample(model, asked, SamplingParams(settings.answer_tokens, end_ids(tokenizer), settings.temperature, seed=settings.seed))
    normalise(separate, [Example([*prompt, *answer.ids], len(prompt)) for prompt, answer in zip(asked, answers, strict=True)])
    return separate


def _check_memory(settings: PPOSettings, facts: dict[str, Any], longest: int, work: Work) -> int:
    """MiB that the run is estimated to take. Before anything is loaded: a run that would not fit is refused here, with what would make it fit."""
    model = model_of_shapes(work.model.path)
    trained = {"reward_top_fraction": 1 - facts["layer"] / layer_count(model), "trunk": facts["trunk"]}
    trained |= {"reward_lora_r": facts["r"], "reward_lora_targets": facts["targets"]}
    separate = separate_bytes(resolve(settings.reward_model, work.home, work.log).path) if settings.reward_model else 0
    whole = AlignSettings(**settings.model_dump() | trained)
    need = require_memory(model, whole, longest, free_memory(work.device), work.device, separate)
    return round(need.total / MIB)


def _by_ppo(learning: Learning, work: Work) -> tuple[dict[str, Tensor], str, list[Round]]:
    """The policy's weights, why the run ended, and its rounds; goes on where a killed run left a checkpoint."""
    guards, facts, participants = learning.guards, learning.facts, learning.participants
    settings, progress = guards.settings, Progress()
    if learning.first is None:
        raise ValueError("PPO's critic starts from a reward model")
    trainer = PPOTrainer(participants, CriticStart(learning.first, facts["r"], facts["targets"]), settings)
    if kept := kept_state(work):
        trainer.load_state(kept["trainer"])
        guards.seen, progress = kept["guards"], Progress.from_state(kept["progress"])
        work.log(f"align: going on from round {progress.step} of {settings.updates + 1}")
    rounds = list(progress.rounds)
    with work.progress("align: PPO", settings.updates + 1, done=len(rounds)) as bar:
        listener = _recorder(rounds, learning.languages, learning.tokenizer, work, bar)
        return *run_ppo(trainer, learning.prompts, listener, guards, progress, partial(keep_state, work)), rounds


def _by_trl(learning: Learning, folder: Path, made: dict[str, Any], work: Work) -> tuple[dict[str, Tensor], str, list[Round]]:
    """As `_by_ppo`, without checkpoints: a killed run starts anew. The counts of pairs come to `made`."""
    # TRL takes seconds to import, and PPO does without.
    from tasks.rlhf.dpo_kto import run_dpo, run_kto
    from tasks.rlhf.rloo_grpo import run_on_groups

    settings, rounds = learning.guards.settings, list[Round]()
    if world_size() > 1:
        raise MigakiError(
            f"align.algorithm = {settings.algorithm!r} runs in one process; with run.accelerate take ppo, or leave run.accelerate empty"
        )
    name, tokenizer = settings.algorithm.upper(), learning.tokenizer
    with work.progress(f"align: {name}", settings.updates + 1) as bar, TemporaryDirectory(dir=work.path) as scratch:
        learner = Learner(learning.participants, learning.guards, _recorder(rounds, learning.languages, tokenizer, work, bar))
        if settings.algorithm in FROM_PAIRS:
            found = training_examples(folder, settings.algorithm, tokenizer, room(settings, work.model.path), work.log)
            made |= {"pairs": len(found.pairs), "pairs_left_out": found.pairs_left_out}
            if settings.algorithm == "dpo":
                return *run_dpo(learner, learning.prompts, found.pairs, scratch), rounds
            made |= {"feedback": len(found.feedback), "feedback_left_out": found.feedback_left_out}
            return *run_kto(learner, learning.prompts, found.answers, scratch), rounds
        return *run_on_groups(learner, learning.prompts, scratch), rounds


def _recorder(
    rounds: list[Round], languages: list[str], tokenizer: PreTrainedTokenizerBase, work: Work, bar: Bar
) -> Callable[[Round, ScoredRound, list[int]], None]:
    """Hears of each round: notes its figures, records its answers, shows it."""

    def on_round(figures: Round, experience: ScoredRound, rows: list[int]) -> None:
        rounds.append(figures)
        _record(figures, experience, [languages[row] for row in rows], tokenizer, work)
        shown: dict[str, Any] = {"kl": figures.kl} if figures.score is None else {"score": figures.score, "kl": figures.kl}
        bar.advance(**shown)

    return on_round


def _record(figures: Round, experience: ScoredRound, languages: list[str], tokenizer: PreTrainedTokenizerBase, work: Work) -> None:
    """Curves, and every answer of the round."""
    for name, value in asdict(figures).items():
        if name != "step" and value is not None:
            work.metric(f"align.{name}", value, figures.step)
    for name, scores in experience.parts.items():
        work.metric(f"align.reward.{name}", float(scores.mean()), figures.step)

    rows = []
    for i, (lang, prompt, answer) in enumerate(zip(languages, *prompts_and_answers(experience.batch), strict=True)):
        rows.append(
            {
                "step": figures.step,
                "episode": (figures.step - 1) * len(languages) + i,
                "prompt": decode(tokenizer, prompt),
                "lang": lang,
                "answer": decode(tokenizer, answer, skip_special_tokens=True),
                "score": None if figures.score is None else float(experience.scores[i]),
                "kl": float(experience.kl[i]),
                "reward": None if figures.score is None else float(experience.rewards[i]),
                "tokens": len(answer),
                "finished": experience.finished[i],
            }
            | ({"parts": {name: float(scores[i]) for name, scores in experience.parts.items()}} if experience.parts else {})
        )
    work.table("rollouts", rows)
