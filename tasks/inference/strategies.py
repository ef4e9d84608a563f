"""Ways of decoding by their names, such as `greedy`, `beam:5` or `top_p:0.95`, each at several temperatures."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasks.errors import MigakiError
from tasks.inference.backend import Sampling

ACCEPTED = "greedy, sample, beam:N (2 to 8 beams), top_k:N (1 or more), top_p:P and min_p:P (above 0 and at most 1)"
WHOLE = Sampling(temperature=0.0, top_k=0, top_p=1.0, no_repeat_ngram=0)  # the likeliest token of all
_TAKES: dict[str, tuple[Callable[[str], Any], str, Callable[[Any], bool]]] = {
    "beam": (int, "num_beams", lambda beams: 2 <= beams <= 8),
    "top_k": (int, "top_k", lambda tokens: tokens >= 1),
    "top_p": (float, "top_p", lambda share: 0 < share <= 1),
    "min_p": (float, "min_p", lambda share: 0 < share <= 1),
}


@dataclass(frozen=True)
class Decoding:
    """A strategy at a temperature: its name, and how it samples. Without a seed yet, and of the penalties that all share."""

    name: str
    sampling: Sampling

    @property
    def draws(self) -> bool:
        """Whether another seed gives another answer."""
        return self.sampling.temperature > 0


def decodings(strategies: Sequence[str], temperatures: Sequence[float], shared: Sampling = WHOLE) -> list[Decoding]:
    """Every strategy, those that draw at each temperature; those that do not have none.

    Args:
        shared: what all have in common: penalties and the length of answers.

    Raises:
        MigakiError: a strategy or a temperature is none, is named twice, or nothing is left to draw by; says what is accepted.
    """
    for kind, given in (("strategy", strategies), ("temperature", temperatures)):
        if twice := sorted({one for one in given if given.count(one) > 1}):
            raise MigakiError(f"the {kind} {twice[0]!r} is named twice")
    for temperature in temperatures:
        if not 0 < temperature < float("inf"):
            raise MigakiError(
                f"{temperature:g} is no temperature to draw by: a number above 0 is accepted (greedy takes the likeliest token)"
            )
    found = list[Decoding]()
    for text in strategies:
        changes = _parsed(text)
        if "num_beams" in changes or text == "greedy":
            found.append(Decoding(text, replace(shared, **changes)))
            continue
        if not temperatures:
            raise MigakiError(f"{text!r} draws, and there is no temperature to draw by: give one, such as 0.7")
        found += [Decoding(f"{text} T={heat:g}", replace(shared, temperature=heat, **changes)) for heat in temperatures]
    if not found:
        raise MigakiError(f"there is no strategy to decode by: accepted are {ACCEPTED}")
    return found


def _parsed(text: str) -> dict[str, Any]:
    """What a strategy changes."""
    if text in ("greedy", "sample"):
        return {}
    name, _, value = text.partition(":")
    if name in _TAKES and re.fullmatch(r"[0-9]*\.?[0-9]+", value):
        number, field, allowed = _TAKES[name]
        try:
            if allowed(found := number(value)):
                return {field: found}
        except ValueError:  # a fraction of a beam
            pass
    raise MigakiError(f"{text[:40]!r} is no decoding strategy: accepted are {ACCEPTED}")
