"""Which way of answering a language takes, on models whose way is planted, and what is said where too little is known."""

from dataclasses import replace

import pytest

from tasks.answering.ways import FEWEST, WAYS, _answering, as_written, ask_in_each_way, chosen, decide
from tasks.asking.asking import answers
from tests.helpers.planted_releases import KilnIndex, Reader, kiln_items, planted

LENGTH = {"en": 420, "ja": 190}  # nothing else can be quoted beside a sentence of so many characters


class Hiding(KilnIndex):
    """An index whose documents hold, beside the answers, a long sentence that says the question and answers nothing, so that it is what is quoted."""

    def __init__(self, asked: tuple[str, ...]):
        super().__init__()
        self.asked = asked

    def search(self, query, k, groups=frozenset()):
        hits = super().search(query, k, groups)
        if any(word in query for word in self.asked):
            lang, said = hits[0].lang, query.strip("?")
            pad, end = (" and so on", ". ") if lang == "en" else ("等々", "。")
            hits = [replace(hit, text=f"{said}{pad * LENGTH[lang]}"[: LENGTH[lang]] + end + hit.text) for hit in hits]
        return hits


class HalfReader(Reader):
    """Says what the kiln's builders are asked for, and a true sentence beside the point where its heat is."""

    def _said(self, prompt, chance, temperature):
        heat = "How hot" in prompt or "何度" in prompt
        return Reader(first=True)._said(prompt, chance, temperature) if heat else super()._said(prompt, chance, temperature)


BUILDERS, HEAT = ("How many", "何人"), ("How hot", "何度")
PLANTED = {
    "write": lambda: planted(Reader(1.0), Hiding(BUILDERS + HEAT), max_calls=0),
    "quote": lambda: planted(Reader(0.0), max_calls=0),  # a number of its own
    "write and quote": lambda: planted(HalfReader(1.0), Hiding(BUILDERS), max_calls=0),
}
ITEMS = [item for item in kiln_items() if item.suite == "answerable"][:24]  # both questions about six kilns in each language


@pytest.mark.parametrize("way", WAYS)
def test_a_language_takes_the_way_that_is_worth_most(way):
    done = []
    engine = PLANTED[way]()
    rows = ask_in_each_way(engine, ITEMS, lambda: done.append(1))
    assert len(done) == 2 * len(ITEMS) and len(rows) == 3 * len(ITEMS)
    found = decide(rows, 1.0, 0.08, {"en": "write", "ja": "quote"})
    assert {lang: (own.way, own.questions) for lang, own in found.items()} == dict.fromkeys(("en", "ja"), (way, 12))
    for own in found.values():
        assert own.utility[way] == max(own.utility.values()) and ("worth more than quoting," in own.because) == (way != "quote")
    both, written = (answers(_answering(engine, one), ITEMS) for one in ("write and quote", "write"))
    derived = [as_written(answered, engine.settings.support) for answered in both]
    assert [(turn.answer, turn.sentences) for turn in derived] == [(one.turn.answer, one.turn.sentences) for one in written]


def rows_of(lang, outcomes):
    """Rows of questions in a language, answered right (1), wrong (-1) or neither (0) in each way."""
    return [
        {"model": way, "suite": "answerable", "item_id": f"{lang}{i}", "document": f"{lang}{i}", "lang": lang, "outcome": "answered"}
        | {"correct": value > 0, "wrong": value < 0, "accepted": value > 0}
        for i, values in enumerate(outcomes)
        for way, value in zip(WAYS, values, strict=True)
    ]


def test_quoting_stays_unless_writing_is_worth_more_and_hardly_less_by_its_interval():
    few, tie, doubt, cost = (
        rows_of("en", [(1, -1, 1)] * (FEWEST - 1)),
        rows_of("en", [(1, 1, 1), (0, 0, 0)] * 10),
        rows_of("en", [(1, 0, 0)] * 11 + [(0, 1, 0)] * 9),
        rows_of("en", [(1, 0, 0)] * 16 + [(-1, 0, 0)] * 4),
    )
    for way in WAYS:
        own = decide(few, 1.0, 0.08, {"en": way})["en"]
        assert (own.way, own.questions, own.utility) == (way, FEWEST - 1, None) and "only 4 questions" in own.because
    tied = decide(tie, 1.0, 0.08, {"en": "write"})["en"]
    assert tied.way == "quote" and tied.utility == dict.fromkeys(WAYS, 0.5) and "nothing is worth more" in tied.because
    doubted = decide(doubt, 1.0, 0.08, {})["en"]
    assert doubted.way == "quote" and "over 0.08 less is not ruled out" in doubted.because
    assert decide(doubt, 1.0, 0.9, {})["en"].way == "write"
    assert (decide(cost, 1.0, 0.08, {})["en"].way, decide(cost, 5.0, 0.08, {})["en"].way) == ("write", "quote")
    equal = decide(rows_of("ja", [(1, -1, 1)] * 8), 1.0, 0.08, {})["ja"]
    assert equal.way == "write"  # the shorter of two that are worth the same


def test_the_questions_are_chosen_by_a_hash_of_their_own_and_must_be_judgeable():
    items = [item for item in kiln_items() if item.suite == "answerable"]
    some = chosen(items, 5)
    assert [item.lang for item in some] == ["en"] * 5 + ["ja"] * 5 and chosen(items[::-1], 5) == some
    assert {item.id for item in some if item.lang == "en"} != {item.id for item in sorted(items, key=lambda item: item.id)[:5]}
    assert set(some) <= set(chosen(items, 9)) and chosen(items, 0) == []
