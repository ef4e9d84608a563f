"""Quoting: which sentences of the sources answer a question."""

import pytest

from tasks.chatbot.events import Source
from tasks.chatbot.quoting import best_sentences, quoted


def source(*texts, number=1, lang="en"):
    return Source(number, f"c{number}", f"d{number}.md", f"Title {number}", "", ("" if lang == "ja" else " ").join(texts), lang, 1.0)


def quote(question, *sources, room=10, read=None):
    return best_sentences(question, sources, lambda term: 1.0, read or {}, room)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("量子化とは何ですか?", "量子化とは、重みを少ないビットで表す技術である。"),
        ("量子化って?", "量子化とは、重みを少ないビットで表す技術である。"),
        ("量子化の倍率の置き場は?", "量子化には区画ごとの倍率の置き場が要る。"),
        ("What is a LoRA?", "LoRA (low-rank adaptation) trains two small matrices."),
        ("What does LoRA mean?", "LoRA (low-rank adaptation) trains two small matrices."),
        ("What is (.*?", "QLoRA is LoRA on a base in four bits."),
    ],
)
def test_what_something_is_is_told_by_a_sentence_that_begins_with_it(question, answer):
    sources = {
        "ja": source("量子化には区画ごとの倍率の置き場が要る。", "量子化とは、重みを少ないビットで表す技術である。", lang="ja"),
        "en": source("QLoRA is LoRA on a base in four bits.", "LoRA (low-rank adaptation) trains two small matrices."),
    }
    assert quote(question, sources["ja" if "量" in question else "en"])[0].text == answer


def test_without_cosines_words_decide():
    assert quote("温度を上げると?", source("量子化は軽い。", "温度を上げると多様です。", lang="ja"))[0].text == "温度を上げると多様です。"


READ = {
    "c1": [("Alpha is first.", 0.80), ("Beta follows.", 0.70), ("Gamma ends it.", 0.79)],
    "c2": [("Delta is elsewhere.", 0.85), ("Epsilon too.", 0.60)],
}
FIRST, SECOND = source("Alpha is first.", "Beta follows.", "Gamma ends it."), source("Delta is elsewhere.", "Epsilon too.", number=2)


def test_meaning_decides_before_words_and_as_many_are_quoted_as_fit():
    assert [(own.source.number, own.text) for own in quote("Who is Zeta?", FIRST, SECOND, read=READ)] == [(2, "Delta is elsewhere.")]
    some = quote("Who is Zeta?", FIRST, SECOND, read=READ, room=60)
    assert [(own.source.number, own.text) for own in some] == [(1, "Alpha is first. … Gamma ends it."), (2, "Delta is elsewhere.")]
    everything = quote("Who is Zeta?", FIRST, SECOND, read=READ, room=1000)
    assert [own.text for own in everything] == ["Alpha is first. Beta follows. Gamma ends it.", "Delta is elsewhere. Epsilon too."]


def test_what_does_not_fit_makes_place_for_what_does():
    read = {"c1": [("Alpha is first.", 0.9), ("A long sentence that does not fit in here at all.", 0.89), ("Beta.", 0.5)]}
    assert quote("Zeta?", FIRST, read=read, room=30)[0].text == "Alpha is first. … Beta."


def test_japanese_sentences_that_follow_each_other_have_nothing_between_them():
    read = {"c1": [("一つ目です。", 0.9), ("二つ目です。", 0.8)]}
    assert quote("何?", source(lang="ja"), read=read, room=100)[0].text == "一つ目です。二つ目です。"


def test_a_quote_says_where_it_stands():
    shown = quoted("en", quote("Who is Zeta?", FIRST, SECOND, read=READ, room=60))
    assert shown == "From “Title 1”: Alpha is first. … Gamma ends it.\nFrom “Title 2”: Delta is elsewhere."


def test_a_source_without_text_is_quoted_empty_rather_than_failing():
    assert quote("Who?", source("x"), read={"c1": [("", 0.0)]})[0].text == ""
