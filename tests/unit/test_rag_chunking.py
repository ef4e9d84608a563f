"""Chunks fit, lose nothing, and are cut at the best place there is."""

import random

import pytest

from tasks.rag.chunking import CHARACTERS_PER_TOKEN, chunk_document, sentences
from tasks.rag.documents import Parsed, Section


def words(text: str) -> int:
    """A token per word, and per character of Japanese."""
    return sum(1 if word.isascii() else len(word) for word in text.split())


def squeezed(text: str) -> str:
    return "".join(text.split())


def chunked(paragraphs: list[str], limit: int = 20, overlap: int = 0, title: str = "", heading: str = "") -> list[str]:
    return [chunk.text for chunk in chunk_document(Parsed(title, [Section(heading, paragraphs)]), limit, overlap, words)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? (Four.) Five", ["One.", "Two!", "Three?", "(Four.)", "Five"]),
        ("Version 3.5 is out. It works.", ["Version 3.5 is out.", "It works."]),
        ("猫がいる。犬もいる！鳥は？", ["猫がいる。", "犬もいる！", "鳥は？"]),
        ("彼は「行く。すぐ行く。」と言った。そして行った。", ["彼は「行く。すぐ行く。」と言った。", "そして行った。"]),
        ("彼（名前は不明。たぶん。）は来た。帰った。", ["彼（名前は不明。たぶん。）は来た。", "帰った。"]),
        ("閉じない「かっこ。" + "あ" * 400 + "。次の文。最後の文。", ["閉じない「かっこ。" + "あ" * 400 + "。", "次の文。", "最後の文。"]),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("seed", range(5))
def test_chunks_fit_and_without_overlap_are_the_text(lang, seed):
    generator = random.Random(seed)
    word, end, joint = ("word", ". ", " ") if lang == "en" else ("語", "。", "")
    paragraphs = [
        "".join(joint.join([word.capitalize(), *[word] * generator.randrange(40)]) + end for _ in range(generator.randrange(1, 9)))
        for _ in range(12)
    ]
    for limit in (16, 30, 100):
        chunks = chunk_document(Parsed("", [Section("", paragraphs)]), limit, 0, words)
        assert all(words(chunk.indexed) <= limit for chunk in chunks)
        assert squeezed("".join(chunk.text for chunk in chunks)) == squeezed("".join(paragraphs))
        assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))


def test_a_chunk_ends_with_a_paragraph_where_it_can():
    first, second = "One two three four. Five six seven eight.", "Nine ten eleven twelve. Thirteen fourteen fifteen sixteen."
    assert chunked([first, second], 16) == [first, second]
    assert chunked(["A b. C d.", "E f."], 16) == ["A b. C d.\nE f."]


def test_overlap_repeats_sentences_inside_a_paragraph_only():
    paragraph = "One two three. Four five six. Seven eight nine. Ten eleven twelve."
    assert chunked([paragraph], 14, overlap=1) == [
        "One two three. Four five six. Seven eight nine.",
        "Seven eight nine. Ten eleven twelve.",
    ]
    assert chunked(["One two three four. Five six seven eight.", "Nine ten. " * 4], 12, overlap=1)[1].startswith("Nine ten.")


def test_overlap_always_goes_forward():
    texts = chunked(["Aa bb cc dd ee ff gg hh. " * 12], 12, overlap=5)
    assert len(texts) <= 12


def test_headings_lead_every_chunk_and_leave_room():
    document = Parsed("Book", [Section("Book > Part", ["One two three. Four five six. Seven eight nine."])])
    chunks = chunk_document(document, 12, 0, words)
    assert {chunk.heading for chunk in chunks} == {"Book > Part"}
    assert all(chunk.indexed.startswith("Book > Part\n") and words(chunk.indexed) <= 12 for chunk in chunks)


def test_a_heading_too_long_to_repeat_is_text():
    heading = "a very long heading of ten words that goes on"
    texts = chunked(["Body text."], 12, heading=heading)
    assert " ".join(texts).startswith(heading) and texts[-1].endswith("Body text.")


def test_a_word_without_end_is_cut_although_the_tokenizer_calls_it_one_token():
    """WordPiece makes a single [UNK] of a word of more than 100 characters: counted as one token, ten megabytes would be one chunk, read as nothing."""
    texts = chunked(["x" * 10_000_000], 100)
    assert max(map(len, texts)) <= 100 * CHARACTERS_PER_TOKEN and sum(map(len, texts)) == 10_000_000


def test_languages_are_told_chunk_by_chunk():
    document = Parsed("", [Section("", ["An English sentence."]), Section("", ["日本語の文。"])])
    assert [chunk.lang for chunk in chunk_document(document, 50, 0, words)] == ["en", "ja"]
