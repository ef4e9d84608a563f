"""How likely a question wants a tool called: a logistic regression over few features, most of which no model needs to be asked for.

Small models call something whatever they are asked, so the decision rests on what the question and the tool's schema have in common; the
likelihood of the tool's name after the question, over that without one (contextual calibration, Zhao et al. 2021), adds to it.
Weights come from `benchmarks/function_calling.py --fit`, on cases other than those measured, for each language its own. Questions in a
language whose words do not stand apart are compared by pieces of text (Japanese ones by their kanji and by pairs of katakana).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.chatbot.tools.language import languages
from tasks.chatbot.tools.toolbox import Tool
from tasks.chatbot.tools.values import numbers_in, numbers_needed
from tasks.inference.backend import Backend
from tasks.text.detection import detect
from tasks.text.ngrams import folded
from tasks.text.terms import terms, weight

NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\x00-\x7f]+")
STOP = frozenset(terms(" ".join(language.STOP_WORDS for language in languages().values())))
ASK = "Which function answers this?"
LIFT = 3.0  # nats per token; beyond it the likelihood says nothing more


@dataclass(frozen=True)
class Weights:
    """Of each feature, and of all the logit when every feature is 0."""

    bias: float = 0.0
    name: float = 0.0
    description: float = 0.0
    question: float = 0.0
    numbers: float = 0.0
    filled: float = 0.0
    open: float = 0.0
    lift: float = 0.0


WEIGHTS = {code: Weights(**language.RELEVANCE) for code, language in languages().items()}


def content(text: str, lang: str) -> set[str]:
    """What carries meaning, as it is compared in a language: terms, or pieces of text where words do not stand apart."""
    language = languages()[lang]
    if language.CONTENT is None:
        return content_terms(text)
    text = language.GENERAL.sub(" ", folded(text))
    return {match[1] or match[0] for match in language.CONTENT.finditer(text)} - STOP


def content_terms(text: str) -> set[str]:
    """The terms that carry meaning: neither general words nor mere grammar nor single letters."""
    return {term for term in terms(text) if term not in STOP and weight(term) == 1 and not (term.isascii() and len(term) == 1)}


def name_words(name: str) -> set[str]:
    """The words of a name such as `maps.findRoute`."""
    return content_terms(" ".join(NAME_PARTS.findall(name)))


def features(question: str, tool: Tool, called: Sequence[Tool] = ()) -> dict[str, float]:
    """Shares of words in common, 0 to 1, and how many required numbers the question lacks, all from the texts alone. Of a question
    that is compared by pieces of text also whether it has all the numbers that are required, and whether it asks for knowledge or advice.

    Args:
        called: tools that were called for this question; what they are about is no longer asked for.
    """
    lang, needed = detect(question), numbers_needed(tool.parameters)
    answered = {word for other in called for word in name_words(other.name) | content(other.description, lang)}
    asked, name, description = content(question, lang) - answered, name_words(tool.name), content(tool.description, lang)
    parts = tool.parameters.get("properties", {})
    about = content(" ".join(part.get("description", "") for part in parts.values()), lang)
    missing = float(max(0, needed - len(numbers_in(question))))
    shares = {"description": _share(description, asked), "numbers": missing}
    language = languages()[lang]
    if language.CONTENT is not None:
        shares |= {"filled": float(needed > 0 and not missing), "open": float(bool(language.OPEN.search(question)))}
        return shares | {"question": _share(asked, name | description | about)}
    keys = name_words(" ".join(parts))
    plain = content_terms(re.sub(r"\b[A-Z]\w*", " ", question)) - answered  # names of the question are values, not what it is about
    return shares | {"name": _share(name, asked), "question": _share(plain, name | description | about | keys)}


def _share(words: set[str], among: set[str]) -> float:
    return len(words & among) / max(1, len(words))


def logit(values: dict[str, float], weights: Weights) -> float:
    return weights.bias + sum(getattr(weights, name) * value for name, value in values.items())


def name_lifts(backend: Backend, question: str, tools: list[Tool]) -> list[float]:
    """How much likelier each tool's name is after the question than without it, nats per token of about four characters."""
    names = [tool.name for tool in tools]
    after, null = (backend.choose([{"role": "user", "content": text}], names) for text in (f"{question}\n\n{ASK}", ASK))
    lifts = [4 * (a - b) / max(1, len(name)) for a, b, name in zip(after, null, names, strict=True)]
    return [min(LIFT, max(-LIFT, lift)) for lift in lifts]


def closest(question: str, tools: list[Tool]) -> Tool:
    """The tool whose texts have most in common with the question, however little that is."""
    return max(tools, key=lambda tool: logit(features(question, tool), WEIGHTS[detect(question)]))


def most_relevant(
    backend: Backend, question: str, tools: list[Tool], called: Sequence[Tool] = (), weights: Weights | None = None
) -> tuple[Tool, float] | None:
    """The tool most likely wanted, and the probability that it is. The model is asked only where its word could change the decision.

    Args:
        weights: others than those of the question's language.
    """
    weights = weights or WEIGHTS[detect(question)]
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
