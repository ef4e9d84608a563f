"""The stage align: make the tuned model's answers better by human preference, by PPO or another algorithm in its place."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef
from storage.kinds import Adapter, Scale
from tasks.data.records import Instruction, Preference, load_instructions, load_preferences
from tasks.errors import MigakiError
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.batching import Example, prompts_and_answers
from tasks.models.data_parallel import world_size
from tasks.models.families import stated_context_length
from tasks.models.lora import save_adapter
from tasks.models.memory import MIB, free_memory, model_of_shapes
from tasks.models.opening import open_tokenizer
from tasks.models.reference import resolve
from tasks.models.trunk import layer_count
from tasks.progress import Bar
from tasks.prompts.template import decode, encode_prompt, end_ids
from tasks.rlhf.critic import CriticStart
from tasks.rlhf.estimate import require_memory, separate_bytes
from tasks.rlhf.guards import Guards, alarm
from tasks.rlhf.learner import Learner
from tasks.rlhf.pairs import TokenPair, encode_pairs
from tasks.rlhf.participants import Participants
from tasks.rlhf.ppo import PPOTrainer, run_ppo
from tasks.rlhf.reward import FACTS, RewardModel, SequenceRewardModel, normalise, open_reward_model
from tasks.rlhf.roles import POLICY, Roles
from tasks.rlhf.rounds import Progress, Round, ScoredRound
from tasks.rlhf.rules import load_rules
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import AlignSettings, PPOSettings
from tasks.rlhf.trl_plan import FROM_PAIRS
from tasks.stages.opening import open_checked
from tasks.stages.resuming import keep_state, kept_state
from tasks.stages.work import Work, require

NORMALISING_PROMPTS = 64  # whose answers by the tuned model give a separate reward model its mean and standard deviation


@dataclass(frozen=True)
class Learning:
    """Who takes part, what stops them, and whom they ask in which language."""

    participants: Participants
    first: RewardModel  # which the critic starts from
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
    folder, reward_folder = work.open(require(inputs, "dataset", "prepare")), work.open(require(inputs, "reward", "align"))
    facts = json.loads((reward_folder / FACTS).read_text(encoding="utf-8"))
    tokenizer = open_tokenizer(work.model.path, work.trained(tuned), work.adapter, work.today(inputs))
    prompts, languages = prompts_for(folder, tokenizer, _room(settings, work) - settings.answer_tokens, settings.episodes)
    made: dict[str, Any] = {}  # fields of the record
    if settings.algorithm == "ppo":
        made["estimated_mib"] = _check_memory(settings, facts, max(map(len, prompts)), work)
    model, _ = open_checked(work, tuned, facts["trunk"])
    roles = Roles(model, facts["layer"])
    first = open_reward_model(reward_folder, roles, "reward", "first")
    separate = _separate_reward(settings, model, tokenizer, prompts, work) if settings.reward_model else None
    if separate is not None:
        made["reward_model"] = Scale(mean=separate.mean, std=separate.std)
    scorer = Scorer(separate or first, rules, settings.learned_reward_weight, tokenizer)
    watcher = open_reward_model(reward_folder, roles, "second", "second")
    guards = Guards(settings, partial(decode, tokenizer, skip_special_tokens=True))
    learning = Learning(Participants(roles, scorer, end_ids(tokenizer), watcher), first, facts, guards, tokenizer, prompts, languages)
    policy, ending, rounds = _by_ppo(learning, work) if settings.algorithm == "ppo" else _by_trl(learning, folder, made, work)
    roles.load_state(POLICY, policy)
    save_adapter(roles.model, POLICY, work.path / "adapter")
    _report(rounds, ending, work)
    return Adapter(
        adapters=[*work.record(tuned, Adapter).adapters, work.id],
        algorithm=settings.algorithm,
        ending=ending,
        episodes=settings.episodes * len(rounds),
        prompts=len(prompts),
        alarm=_alarm(rounds),
        **made,
    )


def _room(settings: PPOSettings, work: Work) -> int:
    """Tokens of the longest prompt and answer together."""
    wanted = settings.prompt_tokens + settings.answer_tokens
    return min(wanted, stated_context_length(work.model.path) or wanted)


def _alarm(rounds: list[Round]) -> str | None:
    return alarm([figures.score for figures in rounds], [figures.second_score for figures in rounds if figures.second_score is not None])


def _report(rounds: list[Round], ending: str, work: Work) -> None:
    """The key figure, and how the run ended."""
    quarter = max(1, len(rounds) // 4)
    work.headline("score of sampled answers", _mean(rounds[:quarter]), _mean(rounds[-quarter:]))
    work.log(f"align: {ending}")
    if warning := _alarm(rounds):
        work.log(f"align: {warning}")


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
    whole = AlignSettings(**settings.model_dump(), **trained)
    need = require_memory(model, whole, longest, free_memory(work.device), work.device, separate)
    return round(need.total / MIB)


def _by_ppo(learning: Learning, work: Work) -> tuple[dict[str, Tensor], str, list[Round]]:
    """The policy's weights, why the run ended, and its rounds; goes on where a killed run left a checkpoint."""
    guards, facts, participants = learning.guards, learning.facts, learning.participants
    settings, progress = guards.settings, Progress()
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
    from tasks.rlhf.dpo_kto import run_on_pairs
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
            pairs, left_out = _token_pairs(folder, settings, tokenizer, work)
            made |= {"pairs": len(pairs), "pairs_left_out": left_out}
            return *run_on_pairs(learner, learning.prompts, pairs, scratch), rounds
        return *run_on_groups(learner, learning.prompts, scratch), rounds


def _token_pairs(folder: Path, settings: PPOSettings, tokenizer: PreTrainedTokenizerBase, work: Work) -> tuple[list[TokenPair], int]:
    """The training pairs of both halves, and how many were left out as too long."""
    pairs = [pair for pair in load_preferences(folder, "train") if not pair.tie]
    limit = _room(settings, work)
    encoded = encode_pairs(tokenizer, pairs, limit)
    if not encoded:
        raise MigakiError(
            f"none of {len(pairs)} preference pairs is at most {limit} tokens long (align.prompt_tokens + align.answer_tokens, and the model's context): "
            f"raise them, or give pairs with --preferences"
        )
    if len(encoded) < len(pairs):
        work.log(f"align: {len(pairs) - len(encoded)} of {len(pairs)} pairs are longer than {limit} tokens and left out")
    return encoded, len(pairs) - len(encoded)


def _recorder(
    rounds: list[Round], languages: list[str], tokenizer: PreTrainedTokenizerBase, work: Work, bar: Bar
) -> Callable[[Round, ScoredRound, list[int]], None]:
    """Hears of each round: notes its figures, records its answers, shows it."""

    def on_round(figures: Round, experience: ScoredRound, rows: list[int]) -> None:
        rounds.append(figures)
        _record(figures, experience, [languages[row] for row in rows], tokenizer, work)
        bar.advance(score=figures.score, kl=figures.kl)

    return on_round


def _mean(rounds: list[Round]) -> float:
    return sum(figures.score for figures in rounds) / len(rounds)


def prompts_for(folder: Path, tokenizer: PreTrainedTokenizerBase, room: int, episodes: int) -> tuple[list[list[int]], list[str]]:
    """What the policy is asked: the training prompts of preferences and instructions of at most `room` tokens, each once, and their languages."""
    every: list[Instruction | Preference] = [*load_instructions(folder, "train"), *load_preferences(folder, "train")]
    rows = {json.dumps(row.messages, ensure_ascii=False): row for row in every}
    asked = [(prompt, row.lang) for row in rows.values() if len(prompt := encode_prompt(tokenizer, row.messages)) <= room]
    if len(asked) < episodes:
        raise MigakiError(
            f"{len(asked)} prompts of at most {room} tokens (align.prompt_tokens, and the model's context) are fewer than align.episodes = {episodes}"
        )
    return [prompt for prompt, _ in asked], [lang for _, lang in asked]


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
                "score": float(experience.scores[i]),
                "kl": float(experience.kl[i]),
                "reward": float(experience.rewards[i]),
                "tokens": len(answer),
                "finished": experience.finished[i],
            }
            | ({"parts": {name: float(scores[i]) for name, scores in experience.parts.items()}} if experience.parts else {})
        )
    work.table("rollouts", rows)
