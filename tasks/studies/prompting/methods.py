"""Ways of asking, by the names that they have in a setting."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.errors import MigakiError

ACCEPTED = "zero, few:N, cot, few-cot:N, self-consistency:N, with N from 1 on"
FORM = re.compile(r"(zero|few|cot|few-cot|self-consistency)(?::(\d+))?")
COUNTED = ("few", "few-cot", "self-consistency")  # take a number


@dataclass(frozen=True)
class Method:
    """A way of asking.

    Attributes:
        shots: worked examples before the question (Brown et al. 2020).
        steps: whether the model is asked to reason first (Kojima et al. 2022), or shown reasoning in the examples (Wei et al. 2022).
        votes: answers that are sampled; the one that comes most often is taken (Wang et al. 2023).
    """

    name: str
    shots: int = 0
    steps: Literal["none", "asked", "shown"] = "none"
    votes: int = 1


def read_methods(names: Sequence[str]) -> list[Method]:
    """The ways of asking that a setting names.

    Raises:
        MigakiError: there is none, one has no such name or number, or one stands there twice.
    """
    if not names:
        raise MigakiError(f"prompt_study.methods names no way of asking; accepted are {ACCEPTED}")
    if twice := next((name for name in names if list(names).count(name) > 1), ""):
        raise MigakiError(f"prompt_study.methods: {twice!r} stands there twice")
    return [_method(name) for name in names]


def _method(name: str) -> Method:
    found = FORM.fullmatch(name)
    number = int(found[2]) if found and found[2] else 0
    if not found or (found[1] in COUNTED) != bool(number):
        raise MigakiError(f"prompt_study.methods: {name!r} is no way of asking; accepted are {ACCEPTED}")
    return {
        "zero": Method(name),
        "few": Method(name, shots=number),
        "cot": Method(name, steps="asked"),
        "few-cot": Method(name, shots=number, steps="shown"),
        "self-consistency": Method(name, steps="asked", votes=number),
    }[found[1]]
