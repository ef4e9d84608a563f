"""A small world of kilns in two languages, an index of it, and a model that reads what is put before it: releases whose faults are known."""

import random
import re
from collections.abc import Collection
from typing import Any

from tasks.asking.asking import Asked
from tasks.asking.utility import SUITES
from tasks.chatbot.engine import ChatEngine
from tasks.chatbot.settings import ChatSettings
from tasks.data.records import Question
from tasks.evaluation.chat_items import chat_items
from tasks.inference.backend import Delta
from tasks.rag.confidence import Calibration, Thresholds
from tasks.rag.retrieval import Hit
from tasks.text.detection import detect

NAMES = {
    "Alder": "アルダ", "Birch": "バーチ", "Cedar": "シダー", "Dogwood": "ドグウッド", "Elder": "エルダー", "Fir": "ファー", "Gorse": "ゴース", "Hazel": "ヘーゼル",
    "Ivy": "アイビー", "Juniper": "ジュニパー", "Kapok": "カポック", "Larch": "ラーチ", "Maple": "メープル", "Nettle": "ネトル", "Oak": "オーク", "Poplar": "ポプラ",
    "Quince": "クインス", "Rowan": "ローワン", "Spruce": "スプルース", "Teak": "チーク", "Ulmus": "ウルムス", "Vine": "ヴァイン", "Willow": "ウィロー", "Yew": "ユー",
}  # fmt: skip
FACTS = {
    "en": ("The kiln {0} stands behind the old mill.", "The kiln {0} is fired at {1} degrees.", "The kiln {0} was built by {2} potters."),
    "ja": ("窯{0}は古い水車小屋の裏にあります。", "窯{0}は{1}度で焼きます。", "窯{0}は{2}人の陶工が建てました。"),
}
ASKED = {
    "en": ("How hot is the kiln {0} fired?", "How many potters built the kiln {0}?"),
    "ja": ("窯{0}は何度で焼きますか?", "窯{0}は何人の陶工が建てましたか?"),
}
WITHOUT_CONTEXT = {"en": "{question}", "ja": "{question}"}


def _kilns() -> list[tuple[str, str, str, int, int]]:
    """(document, language, name, degrees, potters) of each kiln in each language."""
    return [
        (f"{lang}/{english.lower()}.md", lang, name, 1005 + 17 * place, 103 + 7 * place)
        for place, (english, japanese) in enumerate(NAMES.items())
        for lang, name in (("en", english), ("ja", japanese))
    ]


class KilnIndex:
    """Finds the document about the kiln that a question names, in its language; one about another kiln where that is left out.

    Args:
        lost: share of the documents that it does not find.
        first: whether it finds the same document for every question, and is sure of it.
        never: whether it is never sure enough.
    """

    version = "kilns"

    def __init__(self, lost: float = 0.0, first: bool = False, never: bool = False, left_out: Collection[str] = ()):
        self.lost, self.first, self.never, self.left_out = lost, first, never, frozenset(left_out)

    def standing(self) -> "KilnIndex":
        return self

    def without(self, documents: Collection[str]) -> "KilnIndex":
        return KilnIndex(self.lost, self.first, self.never, documents)

    def search(self, query: str, k: int, groups: frozenset[str] = frozenset()) -> list[Hit]:
        lang = detect(query)
        own = [kiln for kiln in _kilns() if kiln[1] == lang]
        found = [kiln for kiln in own if kiln[2] in query and kiln[0] not in self.left_out and not self._loses(kiln[0])]
        taken = own[:1] if self.first or not found else found[:1]
        if taken[0][0] in self.left_out:
            taken = own[1:2]
        sure = 0.9 if found or self.first else 0.1
        return [
            Hit(document, document, name, name, _text(lang, name, *facts), lang, sure, 1.0, sure, None)
            for document, _, name, *facts in taken
        ]

    def _loses(self, document: str) -> bool:
        return random.Random(document).random() < self.lost

    def confidence(self, query: str, hits: list[Hit], groups: frozenset[str] = frozenset()) -> float:
        return hits[0].score

    def thresholds(self, query: str, cost_wrong: float) -> Thresholds:
        return Thresholds(1.0, 1.0) if self.never else Calibration(0.0, (), least=0.21, sure=0.3).thresholds(cost_wrong)

    def rarity(self, term: str, groups: frozenset[str] = frozenset()) -> float:
        return 1.0

    def sentences(self, query: str, chunk_ids: Collection[str]) -> dict[str, Any]:
        return {}


def _text(lang: str, name: str, degrees: int, potters: int) -> str:
    return (" " if lang == "en" else "").join(fact.format(name, degrees, potters) for fact in FACTS[lang])


class Reader:
    """A model that says the sentence of its prompt that answers, as often as it is able to; else a number of its own. Hot, it babbles.

    Args:
        skill: how often it says what it read.
        first: whether it says the first sentence of its prompt, whatever is asked.
    """

    name, context, specials = "reader", 10_000, ()

    def __init__(self, skill: float = 0.9, first: bool = False):
        self.skill, self.first = skill, first

    def during(self, asker: object) -> "Reader":
        return self

    def count_tokens(self, messages: list[dict[str, Any]]) -> int:
        return 10

    def stream(self, messages, sampling, stop):
        yield Delta(self._said(messages[-1]["content"], random.Random(sampling.seed), sampling.temperature), 9, "stop")

    def _said(self, prompt: str, chance: random.Random, temperature: float) -> str:
        lang, hot = detect(prompt), temperature > 2
        if hot:
            return "".join(chance.choice("abdeg iklmn orstu" if lang == "en" else "あいうえおかきくけこ") for _ in range(60)) + (
                "." if lang == "en" else "。"
            )
        unit = next(
            unit
            for word, unit in (("How hot", "degrees"), ("How many", "potters"), ("何度", "度で焼きます"), ("何人", "人の陶工"))
            if word in prompt
        )
        read = [
            part for part in re.split(r"(?<=[.。])\s*", prompt.replace("- ", "").replace("\n", " ")) if re.search(rf"\d+ ?{unit}", part)
        ]
        if self.first and read:
            return re.search(r"(The kiln \w+ stands[^.]*\.|窯[^\n。は]+は古い[^。]*。)", prompt)[0]
        if read and chance.random() < self.skill:
            return read[0]
        made_up = chance.randrange(2000, 3000)
        return f"It is {made_up} {unit}." if lang == "en" else f"それは{made_up}{unit}。"


def kiln_items() -> list[Asked]:
    """Two questions about each kiln in each language, as they are and with its documents left out."""
    questions = []
    for document, lang, name, degrees, potters in _kilns():
        twin = ("ja" if lang == "en" else "en") + document[2:]
        for place, (words, accept) in enumerate(zip(ASKED[lang], (degrees, potters), strict=True)):
            about = {"document": document, "choices": [], "lang": lang, "source": "kilns", "accept": [str(accept)], "also": [twin]}
            questions.append(Question(f"{document} {place}", words.format(name), str(accept), **about))
    items, _ = chat_items(questions, [], [], {kiln[0]: kiln[1] for kiln in _kilns()}, {"cross_language": 0})
    return [item for item in items if item.suite in SUITES]


def planted(
    model: Reader | None = None, index: KilnIndex | None = None, templates: dict[str, str] | None = None, **chat: Any
) -> ChatEngine:
    """The chatbot of a release that is good where nothing else is said."""
    return ChatEngine(model or Reader(), index or KilnIndex(), ChatSettings(chunks=1, **chat), templates=templates or {})
