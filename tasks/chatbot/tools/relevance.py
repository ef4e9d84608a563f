"""How likely a question wants a tool called: a logistic regression over few features, most of which no model needs to be asked for.

Small models call something whatever they are asked, so the decision rests on what the question and the tool's schema have in common; the
likelihood of the tool's name after the question, over that without one (contextual calibration, Zhao et al. 2021), adds to it.
Weights come from `benchmarks/function_calling.py --fit`, on cases other than those measured; Japanese questions have their own, and are
compared by their kanji and by pairs of katakana.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.chatbot.tools.toolbox import Tool
from tasks.chatbot.tools.values import numbers_in, numbers_needed
from tasks.inference.backend import Backend
from tasks.text.detection import detect
from tasks.text.languages.ja.text import HIRAGANA
from tasks.text.terms import terms

NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\x00-\x7f]+")
STOP = frozenset(
    terms(
        "a an the of for in on at to and or with by from is are be was were what which who how when where why do does did can could would "
        "should will i me my you your it its this that these those as if into over than then there their they we our us he she his her please "
        "need want like get find give tell show calculate compute determine retrieve return fetch given using use based specific provided "
        "value function optional default s t"
    )
)
# What descriptions of functions have in common, whatever the function is for.
STOP_JA = re.compile(
    "指定|計算|算出|調べ|検索|取得|確認|照会|表示|返[すし]|求め|教え|知[りら]|判定|提供|入力|対象|条件|場合|情報|結果|一覧|与え|基づ|使用|利用|方法|必要|[何今]"
)
WORDS_JA = re.compile(r"[\u3005\u4e00-\u9fff]|(?=([\u30a1-\u30fc]{2}))|[a-z][a-z0-9]+")  # kanji, pairs of katakana, words of others
# Asked for knowledge, advice or a text, which a function seldom gives.
OPEN = re.compile(
    "なぜ|どうして|理由|意味|とは|って何|違い|コツ|おすすめ|お勧め|どうすれば|どうしたら|どうやって|どう思|使い分け|考えて|書いて|歴史|由来|仕組み|影響|説明|証明|わかりやすく|誰が|アドバイス"
)
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


WEIGHTS = {
    "en": Weights(bias=-2.49, name=1.84, description=2.27, question=1.01, numbers=-2.24, lift=0.94),
    "ja": Weights(bias=-1.94, description=3.64, question=3.83, numbers=-2.84, filled=2.37, open=-3.81),
}


def content(text: str, lang: str = "en") -> set[str]:
    """The stems that carry meaning; as a Japanese question has them, kanji and pairs of katakana."""
    if lang == "ja":
        text = STOP_JA.sub(" ", unicodedata.normalize("NFKC", text).lower())
        return {match[1] or match[0] for match in WORDS_JA.finditer(text)} - STOP
    return {term for term in terms(text) if term not in STOP and not HIRAGANA.fullmatch(term) and not (term.isascii() and len(term) == 1)}


def name_words(name: str) -> set[str]:
    """The words of a name such as `maps.findRoute`."""
    return content(" ".join(NAME_PARTS.findall(name)))


def features(question: str, tool: Tool, called: Sequence[Tool] = ()) -> dict[str, float]:
    """Shares of words in common, 0 to 1, and how many required numbers the question lacks, all from the texts alone. Of a Japanese question
    also whether it has all the numbers that are required, and whether it asks for knowledge or advice.

    Args:
        called: tools that were called for this question; what they are about is no longer asked for.
    """
    lang, needed = detect(question), numbers_needed(tool.parameters)
    answered = {word for other in called for word in name_words(other.name) | content(other.description, lang)}
    asked, name, description = content(question, lang) - answered, name_words(tool.name), content(tool.description, lang)
    parts = tool.parameters.get("properties", {})
    about = content(" ".join(part.get("description", "") for part in parts.values()), lang)
    missing = float(max(0, needed - len(numbers_in(question))))
    found = {"description": _share(description, asked), "numbers": missing}
    if lang == "ja":
        found |= {"filled": float(needed > 0 and not missing), "open": float(bool(OPEN.search(question)))}
        return found | {"question": _share(asked, name | description | about)}
    keys = content(" ".join(word for key in parts for word in NAME_PARTS.findall(key)))
    plain = content(re.sub(r"\b[A-Z]\w*", " ", question)) - answered  # names of the question are values, not what it is about
    return found | {"name": _share(name, asked), "question": _share(plain, name | description | about | keys)}


def _share(words: set[str], among: set[str]) -> float:
    return len(words & among) / max(1, len(words))


def logit(found: dict[str, float], weights: Weights) -> float:
    return weights.bias + sum(getattr(weights, name) * value for name, value in found.items())


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
