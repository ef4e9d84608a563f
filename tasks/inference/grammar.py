"""Answers that are held to a JSON schema, and the likelihood of given answers.

The grammar says before every token which ones may come (llguidance: an Earley parser over the bytes of the vocabulary), so what comes out is
always JSON of the schema, whatever the model. Stretches that leave no choice, such as the names of keys, are appended without asking the
model. An answer that runs out of tokens is brought to its nearest end instead of being cut.
"""

import json
from collections.abc import Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import llguidance.hf
import llguidance.numpy
import torch
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, TokenizersBackend
from transformers.cache_utils import DynamicCache

from tasks.errors import MigakiError
from tasks.inference.schemas import grammar_of
from tasks.models.families import context_length
from tasks.models.likelihood import target_logprobs
from tasks.models.trunk import causal_lm, decoder, lm_head

CLOSERS = ("}", "]", ", ", ",")

_tokenizers: "WeakKeyDictionary[PreTrainedTokenizerBase, LLTokenizer]" = WeakKeyDictionary()


def ll_tokenizer(tokenizer: PreTrainedTokenizerBase) -> LLTokenizer:
    """The tokenizer as llguidance needs it; made once (about a second)."""
    if tokenizer not in _tokenizers:
        _tokenizers[tokenizer] = llguidance.hf.from_tokenizer(cast(TokenizersBackend, tokenizer))
    return _tokenizers[tokenizer]


class JsonGrammar:
    """What may come next in one answer. `limit` is the number of tokens after which the answer is brought to its end.

    Called as (answer so far, logits (V,)), it puts -inf where the next token must not be; when the JSON is whole, only the end token may be.

    Raises:
        MigakiError: the schema asks for something that cannot be enforced.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, schema: dict[str, Any], limit: int):
        self.tokenizer, self.limit = ll_tokenizer(tokenizer), limit
        self.matcher = LLMatcher(self.tokenizer, grammar_of(schema), log_level=0)
        if self.matcher.is_error():
            raise MigakiError(
                f"this schema cannot be enforced: {self.matcher.get_error().splitlines()[0]}; schema: {json.dumps(schema)[:300]}"
            )
        self.answer: list[int] = []
        self._mask = llguidance.numpy.allocate_token_bitmask(1, self.tokenizer.vocab_size)

    def __call__(self, answer: Sequence[int], logits: Tensor) -> None:
        self.add(answer[len(self.answer) :])
        allowed = self.allowed().to(logits.device)
        logits[: len(allowed)][~allowed] = float("-inf")
        logits[len(allowed) :] = float("-inf")

    def add(self, tokens: Sequence[int]) -> None:
        """The answer goes on with these tokens.

        Raises:
            MigakiError: the grammar does not allow them.
        """
        if tokens and not self.matcher.consume_tokens(list(tokens)):
            raise MigakiError(f"the grammar does not allow {self.tokenizer.decode_str(list(tokens))[:200]!r} after {self.text[-200:]!r}")
        self.answer += tokens

    def forced(self) -> list[int]:
        """Tokens that come next whatever the model says; often none."""
        return self.matcher.compute_ff_tokens()

    def allowed(self) -> Tensor:
        """(V,) whether each token may come next; past the limit, only one that leads to the end."""
        llguidance.numpy.fill_next_token_bitmask(self.matcher, self._mask)
        bits = torch.from_numpy(self._mask[0]).unsqueeze(1).bitwise_right_shift(torch.arange(32, dtype=torch.int32)) & 1
        allowed = bits.flatten()[: self.tokenizer.vocab_size].bool()
        if len(self.answer) >= self.limit:
            closing = next((token for token in self._closers() if allowed[token]), None)
            if closing is not None:
                return torch.zeros_like(allowed).index_fill_(0, torch.tensor([closing]), True)
        return allowed

    @property
    def whole(self) -> bool:
        """Whether nothing can follow."""
        return self.matcher.is_stopped() or (self.matcher.is_accepting() and len(self.answer) >= self.limit)

    @property
    def text(self) -> str:
        """The answer, without the token that ended it."""
        return self.tokenizer.decode_str([token for token in self.answer if token not in self.tokenizer.eos_tokens])

    def _closers(self) -> list[int]:
        signs = ['"'] if _in_string(self.text) else CLOSERS
        return [ids[0] for ids in map(self.tokenizer.tokenize_str, signs) if len(ids) == 1]


def _in_string(text: str) -> bool:
    """Whether a JSON text breaks off inside a string."""
    inside = escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == '"':
            inside = not inside
        else:
            escaped = inside and character == "\\"
    return inside


class _Reading:
    """A model that reads on: (1, T) tokens in, the final states (T, H) out, keys and values kept."""

    def __init__(self, model: nn.Module):
        self.body, self.cache = decoder(model), DynamicCache(config=causal_lm(model).config)
        self.device = next(model.parameters()).device

    def read(self, ids: Sequence[int]) -> Tensor:
        past = self.cache.get_seq_length()
        return self.body(
            input_ids=torch.tensor([list(ids)], device=self.device),
            position_ids=torch.arange(past, past + len(ids), device=self.device)[None],
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state[0]


@torch.no_grad()
def complete_json(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, prompt_ids: Sequence[int], schema: dict[str, Any], max_new_tokens: int
) -> str:
    """The JSON text that the model continues a prompt with, decoded greedily under the schema's grammar.

    Args:
        max_new_tokens: where the text is brought to its end; closing what is open takes a few more.

    Raises:
        MigakiError: the schema cannot be enforced; or prompt and answer do not fit the model's context.
    """
    limit = context_length(causal_lm(model).config)
    if limit and len(prompt_ids) + max_new_tokens >= limit:
        raise MigakiError(f"a prompt of {len(prompt_ids)} tokens and {max_new_tokens} new ones do not fit the model's context of {limit}")
    grammar, reading, head = JsonGrammar(tokenizer, schema, max_new_tokens), _Reading(model), lm_head(model)
    unread = list(prompt_ids)
    while not grammar.whole:
        tokens = grammar.forced()
        if not tokens:
            logits = head(reading.read(unread)[-1]).float()
            grammar(grammar.answer, logits)
            tokens, unread = [int(logits.argmax())], []
        grammar.add(tokens)
        unread += tokens
    return grammar.text


@torch.no_grad()
def option_logprobs(model: nn.Module, tokenizer: PreTrainedTokenizerBase, prompt_ids: Sequence[int], options: Sequence[str]) -> list[float]:
    """Log-likelihood (nats, summed over tokens) of each option after a prompt, which is read once for all of them.

    Raises:
        MigakiError: an option is empty.
    """
    answers = [tokenizer(option, add_special_tokens=False)["input_ids"] for option in options]
    if not all(answers):
        raise MigakiError(f"option {answers.index([])} of {len(options)} is empty: every option needs at least one token")
    if not answers:
        return []
    width = max(map(len, answers))
    reading, head = _Reading(model), lm_head(model)
    last = reading.read(prompt_ids)[-1]
    first = target_logprobs(head, last.expand(len(answers), -1), torch.tensor([answer[0] for answer in answers], device=last.device))
    if width == 1:
        return first.tolist()
    reading.cache.batch_select_indices(torch.zeros(len(answers), dtype=torch.long, device=last.device))
    ids, mask = torch.zeros(len(answers), width - 1, dtype=torch.long), torch.zeros(len(answers), width - 1, dtype=torch.bool)
    targets = torch.zeros_like(ids)
    for row, answer in enumerate(answers):  # padded on the right: no token sees the padding behind it
        ids[row, : len(answer) - 1], targets[row, : len(answer) - 1] = torch.tensor(answer[:-1]), torch.tensor(answer[1:])
        mask[row, : len(answer) - 1] = True
    ids, mask, targets = ids.to(last.device), mask.to(last.device), targets.to(last.device)
    positions = torch.arange(len(prompt_ids), len(prompt_ids) + width - 1, device=last.device).expand(len(answers), -1)
    states = reading.body(input_ids=ids, position_ids=positions, past_key_values=reading.cache, use_cache=True).last_hidden_state
    rest = torch.zeros(ids.shape, device=last.device).masked_scatter(mask, target_logprobs(head, states[mask], targets[mask]))
    return (first + rest.sum(-1)).tolist()
