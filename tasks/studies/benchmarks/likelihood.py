"""Which choice a model takes, by the log-likelihood of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.inference.continuations import Continuation, ContinuationScorer
from tasks.models.families import context_length
from tasks.models.trunk import causal_lm
from tasks.studies.benchmarks.prompting import Asked

RULES = ("sum", "bytes", "tokens", "pmi")


@dataclass(frozen=True)
class Choices:
    """Scores of a question's choices: log-likelihoods (nats, summed), the same behind an empty prompt (None where it was not asked), how long each is, and
    whether the question was cut at its beginning to fit the model's context."""

    loglikelihoods: tuple[float, ...]
    empty: tuple[float, ...] | None
    bytes: tuple[int, ...]
    tokens: tuple[int, ...]
    cut: bool = False

    def by(self, rule: str) -> list[float]:
        """The scores by one of `RULES`: summed; by the choice's bytes in UTF-8, or by its tokens; or less those behind an empty prompt, which is pointwise
        mutual information (Holtzman et al. 2021, section 3)."""
        divided = {"sum": [1] * len(self.loglikelihoods), "bytes": self.bytes, "tokens": self.tokens}
        if rule in divided:
            return [one / max(1, size) for one, size in zip(self.loglikelihoods, divided[rule], strict=True)]
        return [one - less for one, less in zip(self.loglikelihoods, self.empty or (), strict=True)]

    def taken(self, rule: str) -> int:
        """Index of the choice with the highest score, of equals the first."""
        scores = self.by(rule)
        return scores.index(max(scores))

    @property
    def rules(self) -> tuple[str, ...]:
        """Those that there are scores for."""
        return RULES if self.empty is not None else RULES[:3]


class Chooser:
    """Scores choices under one model."""

    def __init__(self, scorer: ContinuationScorer, tokenizer: PreTrainedTokenizerBase, empty_prompt: bool = True):
        self.scorer, self.tokenizer, self.empty_prompt = scorer, tokenizer, empty_prompt
        self.room = context_length(causal_lm(scorer.model).config)

    def choices(self, asked: Sequence[Asked]) -> list[Choices]:
        """Scores for questions that have the same worked examples before them. What is longer than the model's context is cut at its beginning, as
        lm-evaluation-harness does.

        Raises:
            MigakiError: a choice alone is longer than the context.
        """
        items = [[self._continuation(one.context, ending) for ending in one.endings] for one in asked]
        long = [i for i, item in enumerate(items) if self.room and max(len(part.ids) for part in item) > self.room]
        rest = [i for i in range(len(items)) if i not in set(long)]
        scores = dict(zip(rest, self.scorer.score([items[i] for i in rest], self._ids(asked[0].examples)), strict=True))
        scores |= zip(long, self.scorer.score([[self._cut(part) for part in items[i]] for i in long]), strict=True)
        empty: list[list[float]] | None = None
        if self.empty_prompt:
            empty = self.scorer.score([[self._continuation(one.empty, ending) for ending in one.endings] for one in asked])
        return [
            Choices(
                tuple(scores[i]),
                None if empty is None else tuple(empty[i]),
                tuple(len(ending.strip().encode()) for ending in one.endings),
                tuple(len(part.ids) - part.start for part in items[i]),
                cut=i in long,
            )
            for i, one in enumerate(asked)
        ]

    def _continuation(self, context: str, ending: str) -> Continuation:
        """The whole text as tokens; what follows the context are those beyond as many as it has alone, as lm-evaluation-harness counts."""
        if context:
            ids, start = self._ids(context + ending), len(self._ids(context))
        else:
            first = self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.tokenizer.eos_token_id
            ids, start = [first, *self.tokenizer(ending, add_special_tokens=False)["input_ids"]], 1
        return Continuation(ids, max(1, min(start, len(ids) - 1)))

    def _cut(self, one: Continuation) -> Continuation:
        over = max(0, len(one.ids) - (self.room or 0))
        if one.start - over < 1:
            raise MigakiError(
                f"a choice of {len(one.ids) - one.start} tokens is longer than the model's context of {self.room}: another model (--model)"
            )
        return Continuation(one.ids[over:], one.start - over)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text)["input_ids"]) if text else []
