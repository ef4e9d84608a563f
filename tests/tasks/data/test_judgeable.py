"""What is wrong with an item before any model is asked."""

from dataclasses import replace

from tasks.data.judgeable import document_text, faults
from tasks.data.records import Question
from tasks.documents.parsed import Parsed, Section, Unreadable

GOOD = Question(
    "q",
    "How long is the window?",
    "It takes 4,096 tokens.",
    "en/a.md",
    ["It takes 4,096 tokens.", "It takes 14,096 tokens."],
    "en",
    "f",
    ["4,096", "４千"],
    ["The window has 4,096 tokens."],
    ["ja/a.md"],
)
TEXTS = {"en/a.md": "# Llama\nThe window has\n4,096 tokens. It is long.", "ja/a.md": "窓は4096トークン。"}


def test_a_good_item_has_no_faults():
    assert faults(GOOD, TEXTS) == [] and faults(replace(GOOD, accept=[], evidence=[]), TEXTS) == []


def test_accept_in_a_distractor():
    wrong = replace(GOOD, choices=[*GOOD.choices, "It takes 4096 pages."])
    assert faults(wrong, TEXTS) == ["accept '4,096' stands in the distractor 'It takes 4096 pages.', which would be judged right"]


def test_an_answer_that_its_own_accept_does_not_take():
    assert faults(replace(GOOD, answer="It takes 14,096 tokens."), TEXTS) == [
        "the answer 'It takes 14,096 tokens.' has no string of accept, so that it would be judged wrong"
    ]


def test_each_document_must_hold_a_string_of_accept():
    assert faults(GOOD, TEXTS | {"ja/a.md": "窓は14,096トークン。"}) == ["accept '4,096' or '４千' stands nowhere in 'ja/a.md'"]
    assert faults(replace(GOOD, evidence=[]), TEXTS | {"en/a.md": "4.096"}) == ["accept '4,096' or '４千' stands nowhere in 'en/a.md'"]


def test_documents_that_are_not_there_or_cannot_be_read():
    assert faults(GOOD, {}) == ["the document 'en/a.md' is not there", "the document 'ja/a.md' is not there"]
    assert faults(GOOD, TEXTS | {"en/a.md": Unreadable("it is no text")}) == ["the document 'en/a.md' cannot be read: it is no text"]
    assert faults(GOOD, None) == []


def test_evidence_that_does_not_stand_in_the_document():
    wrong = replace(GOOD, evidence=["The window has 4,096 tokens.", "It is short."])
    assert faults(wrong, TEXTS) == ["the evidence 'It is short.' does not stand in 'en/a.md'"]


def test_the_text_of_a_document_has_its_headings():
    parsed = Parsed("Models", [Section("Models > Llama", ["One.", "Two."])])
    assert document_text(parsed) == "Models\nLlama\nOne.\nTwo."
