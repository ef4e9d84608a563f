"""Losses and greedy tokens by transformers' own forward and `generate`: nothing but the ids of the rows comes from Migaki."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from tasks.data.records import Instruction
from tasks.prompts.template import encode_chat

MARGIN = 1e-3  # between the two largest logits: closer ones are a tie, which rounding decides
NEW_TOKENS = 16


def plain(folder: Path) -> PreTrainedModel:
    """As transformers opens it."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    return model.eval()


@torch.no_grad()
def own_loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Instruction]) -> float:
    """Nats a token over the rows' answers: the `loss` of the model's own forward, each sequence alone and without padding."""
    nll, tokens = 0.0, 0
    for encoded in (encoded for row in rows for encoded in encode_chat(tokenizer, row.chat)):
        ids = torch.tensor([encoded.ids])
        labels = torch.full_like(ids, -100)
        for start, stop in encoded.answers:
            labels[0, start:stop] = ids[0, start:stop]
        learnt = int((labels != -100).sum())
        nll, tokens = nll + float(model(input_ids=ids, labels=labels, use_cache=False).loss) * learnt, tokens + learnt
    return nll / tokens


@torch.no_grad()
def own_greedy(model: PreTrainedModel, prompt: Sequence[int], ends: set[int]) -> tuple[list[int], int]:
    """The likeliest tokens, each from a forward over all before it, and how many come before the first tie."""
    ids, clear = list(prompt), None
    for step in range(NEW_TOKENS):
        two = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float().topk(2)
        if clear is None and float(two.values[0] - two.values[1]) < MARGIN:
            clear = step
        ids.append(int(two.indices[0]))
        if ids[-1] in ends:
            break
    said = ids[len(prompt) :]
    return said, len(said) if clear is None else clear


def generate(model: PreTrainedModel, prompt: Sequence[int]) -> list[int]:
    """What transformers' own `generate` says after a prompt."""
    ids = torch.tensor([list(prompt)])
    answer = cast(Tensor, model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS))  # type: ignore[operator]
    return answer[0, len(prompt) :].tolist()


def equal_tokens(said: Sequence[Sequence[int]], wanted: Sequence[tuple[list[int], int]]) -> tuple[int, int]:
    """(tokens equal up to the first difference, tokens compared up to the first tie)."""
    same = compared = 0
    for ids, (own, clear) in zip(said, wanted, strict=True):
        pairs = [i < len(ids) and ids[i] == own[i] for i in range(clear)]
        same, compared = same + (pairs.index(False) if False in pairs else clear), compared + clear
    return same, compared
