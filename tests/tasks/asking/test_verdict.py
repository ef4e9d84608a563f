"""What correct, wrong, unsure and turned away mean, on planted turns in both languages."""

import pytest

from tasks.asking.verdict import judged, shown
from tasks.chatbot.events import Sentence, Source, Turn
from tasks.chatbot.language import languages
from tasks.chatbot.quoting import Quote, quoted

WORDS = {"en": ("The kiln burns at 1,280 degrees.", "1280"), "ja": ("窯は1,280度で焼きます。", "1280度")}


def source(document="a.md", title="1280 kilns"):
    return Source(1, "c1", document, title, "", "text", "en", 1.0)


def turn(lang, answer, reason="answered", ticked=True, sources=True, **facts):
    found = [source()] if sources else []
    return Turn("t", "q", lang, answer, sources=found, sentences=[Sentence(answer, (1,), ticked)], reason=reason, **facts)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_an_answer_is_correct_wrong_or_neither(lang):
    text, accept = WORDS[lang]
    limit = languages()[lang].QUOTE_CHARACTERS
    other, long = text.replace("1,280", "900"), text + "あ" * (limit + 1 - len(text))

    def verdict(*facts, **more):
        found = judged(turn(lang, *facts, **more), [accept], ["a.md"])
        return found.correct, found.wrong, found.unsure

    assert verdict(text) == (True, False, False)
    assert verdict(other) == (False, True, False)
    assert verdict(long[:limit]) == (True, False, False)
    assert verdict(long) == verdict(text, ticked=False) == (False, False, False)  # neither right nor wrong
    assert verdict(other, ticked=False) == (False, True, False)
    assert verdict(text, "unsure") == verdict(other, "unsure") == (False, False, True)
    assert verdict(text, "unanswered") == verdict(text, "refused") == (False, False, False)
    assert [judged(turn(lang, said, "unsure"), [accept], []).accepted for said in (text, other)] == [True, False]


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_what_nothing_answers_is_wrong_where_it_is_answered(lang):
    text, accept = WORDS[lang]
    found = {reason: judged(turn(lang, text, reason), [accept], [], unanswerable=True) for reason in ("answered", "unsure", "unanswered")}
    assert {reason: (own.correct, own.wrong) for reason, own in found.items()} == {
        "answered": (None, True),
        "unsure": (None, False),
        "unanswered": (None, False),
    }


def test_without_anything_to_accept_an_item_counts_for_the_right_source_alone():
    found = judged(turn("en", "So."), [], ["a.md"])
    assert (found.correct, found.wrong, found.accepted, found.right_source, found.turned_away) == (None, None, None, True, False)
    away = judged(turn("en", "The documents do not answer this.", "unanswered", sources=False), [], ["b.md"])
    assert (away.right_source, away.turned_away) == (False, True)
    assert judged(turn("en", "So."), [], []).right_source is None


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_titles_and_notices_are_no_part_of_what_is_shown(lang):
    text, _ = WORDS[lang]
    language = languages()[lang]
    quotes = quoted(lang, [Quote(source(), text)])
    for answer in (f"{quotes}\n{language.QUOTING_BECAUSE}", f"{language.UNSURE}\n{quotes}"):
        assert shown(turn(lang, answer)) == text
    assert not judged(turn(lang, quotes.replace(text, "So.")), ["1280 kilns"], []).accepted
