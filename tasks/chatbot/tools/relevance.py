"""How likely a question wants a tool called: a logistic regression over few features, most of which no model needs to be asked for.

Small models call something whatever they are asked, so the decision rests on what the question and the tool's schema have in common; the
likelihood of the tool's name after the question, over that without one (contextual calibration, Zhao et al. 2021), adds to it.
Weights come from `benchmarks/function_calling.py --fit`, on cases other than those measured.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.chatbot.backends import Backend
from tasks.chatbot.tools.toolbox import Tool
from tasks.chatbot.tools.values import numbers_in, numbers_needed
from tasks.data.language import detect
from tasks.rag.bm25 import HIRAGANA, terms

NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\x00-\x7f]+")
STOP = frozenset(
    terms(
        "a an the of for in on at to and or with by from is are be was were what which who how when where why do does did can could would "
        "should will i me my you your it its this that these those as if into over than then there their they we our us he she his her please "
        "need want like get find give tell show calculate compute determine retrieve return fetch given using use based specific provided "
        "value function optional default s t"
    )
)
ASK = "Which function answers this?"
LIFT = 3.0  # nats per token; beyond it the likelihood says nothing more


@dataclass(frozen=True)
class Weights:
    """Of each feature, and of all the logit when every feature is 0."""

    bias: float = -2.49
    name: float = 1.84
    description: float = 2.27
    question: float = 1.01
    numbers: float = -2.24
    lift: float = 0.94


WEIGHTS = Weights()


def content(text: str) -> set[str]:
    """The stems that carry meaning."""
    return {term for term in terms(text) if term not in STOP and not HIRAGANA.fullmatch(term) and not (term.isascii() and len(term) == 1)}


def name_words(name: str) -> set[str]:
    """The words of a name such as `maps.findRoute`."""
    return content(" ".join(NAME_PARTS.findall(name)))


def features(question: str, tool: Tool, called: Sequence[Tool] = ()) -> dict[str, float]:
    """Shares of words in common, 0 to 1, and how many required numbers the question lacks, all from the texts alone.

    Args:
        called: tools that were called for this question; what they are about is no longer asked for.
    """
    answered = {word for other in called for word in name_words(other.name) | content(other.description)}
    asked, lower = content(question) - answered, content(re.sub(r"\b[A-Z]\w*", " ", question)) - answered
    name = name_words(tool.name)
    description = content(tool.description)
    parameters = content(
        " ".join(
            f"{' '.join(NAME_PARTS.findall(key))} {part.get('description', '')}"
            for key, part in tool.parameters.get("properties", {}).items()
        )
    )
    shared = _share(description, asked)
    foreign = detect(question) == "ja" and all(term.isascii() for term in name)  # such a name cannot occur in the question
    return {
        "name": shared if foreign else _share(name, asked),
        "description": shared,
        "question": _share(lower, name | description | parameters),
        "numbers": float(max(0, numbers_needed(tool.parameters) - len(numbers_in(question)))),
    }


def _share(words: set[str], among: set[str]) -> float:
    return len(words & among) / max(1, len(words))


def logit(found: dict[str, float], weights: Weights = WEIGHTS) -> float:
    return weights.bias + sum(getattr(weights, name) * value for name, value in found.items())


def name_lifts(backend: Backend, question: str, tools: list[Tool]) -> list[float]:
    """How much likelier each tool's name is after the question than without it, nats per token of about four characters."""
    names = [tool.name for tool in tools]
    after, null = (backend.choose([{"role": "user", "content": text}], names) for text in (f"{question}\n\n{ASK}", ASK))
    lifts = [4 * (a - b) / max(1, len(name)) for a, b, name in zip(after, null, names, strict=True)]
    return [min(LIFT, max(-LIFT, lift)) for lift in lifts]


def closest(question: str, tools: list[Tool], weights: Weights = WEIGHTS) -> Tool:
    """The tool whose texts have most in common with the question, however little that is."""
    return max(tools, key=lambda tool: logit(features(question, tool), weights))


def most_relevant(
    backend: Backend, question: str, tools: list[Tool], called: Sequence[Tool] = (), weights: Weights = WEIGHTS
) -> tuple[Tool, float] | None:
    """The tool most likely wanted, and the probability that it is. The model is asked only where its word could change the decision."""
    logits = [logit(features(question, tool, called), weights) for tool in tools]
    swing = abs(weights.lift) * LIFT
    undecided = [i for i, value in enumerate(logits) if value >= max(-swing, max(logits) - 2 * swing)]
    if not undecided:
        return None
    if swing and (len(undecided) > 1 or logits[undecided[0]] < swing):
        for i, lift in zip(undecided, name_lifts(backend, question, [tools[i] for i in undecided]), strict=True):
            logits[i] += weights.lift * lift
    best = max(undecided, key=lambda i: logits[i])
    return tools[best], 1 / (1 + math.exp(-logits[best]))
