"""What DPO and KTO learn from, of a dataset and as token ids, and how far the policy tells liked from disliked answers that it never saw."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from tasks.data.records import load_feedback, load_preferences
from tasks.errors import MigakiError
from tasks.models.batching import Example, as_rows, collate
from tasks.models.likelihood import target_logprobs
from tasks.rlhf.pairs import TokenAnswer, TokenPair, encode_feedback, encode_pairs, single_answers
from tasks.rlhf.roles import POLICY, Roles
from tasks.rlhf.unpaired import READER, Counts, require_pairs


@dataclass(frozen=True)
class Examples:
    """Of one split: pairs without ties, and where the algorithm reads it unpaired feedback, each with the count of those that were too long."""

    pairs: list[TokenPair]
    feedback: list[TokenAnswer]
    pairs_left_out: int
    feedback_left_out: int

    @property
    def answers(self) -> list[TokenAnswer]:
        """All as single answers that were liked or not."""
        return [*single_answers(self.pairs), *self.feedback]

    @classmethod
    def of(cls, folder: Path, split: str, algorithm: str, tokenizer: PreTrainedTokenizerBase, limit: int) -> "Examples":
        """Those of a dataset's folder that are at most `limit` tokens, prompt included."""
        pairs = [pair for pair in load_preferences(folder, split) if not pair.tie]
        rows = load_feedback(folder, split) if algorithm == READER else []
        encoded, answers = encode_pairs(tokenizer, pairs, limit), encode_feedback(tokenizer, rows, limit)
        return cls(encoded, answers, len(pairs) - len(encoded), len(rows) - len(answers))


def training_examples(
    folder: Path, algorithm: str, tokenizer: PreTrainedTokenizerBase, limit: int, log: Callable[[str], object]
) -> Examples:
    """Raises:
    MigakiError: there is none, or none that is short enough.
    """
    found = Examples.of(folder, "train", algorithm, tokenizer, limit)
    pairs, feedback = len(found.pairs) + found.pairs_left_out, len(found.feedback) + found.feedback_left_out
    if not found.answers:
        require_pairs(f"align.algorithm = {algorithm}", Counts(pairs, len(load_feedback(folder, "train")) - feedback))
        what = f"{pairs} preference pairs" + (f" and {feedback} rows of unpaired feedback" if feedback else "")
        raise MigakiError(
            f"none of {what} is at most {limit} tokens long (align.prompt_tokens + align.answer_tokens, and the model's context): "
            "raise them, or give pairs with --preferences"
        )
    for name, count, left_out in (("pairs", pairs, found.pairs_left_out), ("rows of unpaired feedback", feedback, found.feedback_left_out)):
        if left_out:
            log(f"align: {left_out} of {count} {name} are longer than {limit} tokens and left out")
    return found


@torch.no_grad()
def margin(roles: Roles, answers: list[TokenAnswer], beta: float, micro: int) -> float | None:
    """How much more the policy's implied reward (beta times the log-ratio to the reference, in nats, summed over an answer) is for liked answers than
    for disliked ones, on the mean; the tuned model's is 0. None where answers of one kind are missing."""
    if len({liked for _, _, liked in answers}) < 2:
        return None
    rewards = {True: list[float](), False: list[float]()}
    for start in range(0, len(answers), micro):
        part = answers[start : start + micro]
        batch = collate([Example([*prompt, *answer], len(prompt)) for prompt, answer, _ in part], range(len(part)), 0, str(roles.device))
        states = roles.states(batch)
        policy, reference = (
            target_logprobs(roles.head, roles.final(role, states, batch.mask)[batch.predicts], batch.targets) for role in (POLICY, None)
        )
        ratios = as_rows(policy - reference, batch).sum(-1)
        for (_, _, liked), ratio in zip(part, ratios.tolist(), strict=True):
            rewards[liked].append(beta * ratio)
    means = {liked: sum(values) / len(values) for liked, values in rewards.items()}
    return means[True] - means[False]
