"""Parts of the records of artifacts: what a classifier refuses, and a prompt of the library as it is kept."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Refused:
    """How many requests of a language rules and classifier refuse, the harmful or the harmless, with the 95 % interval of the share.

    `by` says on which: those that were held out, or those of the training, each judged by a classifier that has not seen it.
    """

    lang: str
    harmful: bool
    by: Literal["held out", "cross-validation"]
    count: int
    items: int
    low: float
    high: float


@dataclass(frozen=True)
class NamedPrompt:
    """A prompt of the library as it stood when it was taken; `version` is the hash of its content (`tasks.prompts.library`)."""

    name: str
    version: str
    lang: str
    kind: str
    content: dict[str, Any]
