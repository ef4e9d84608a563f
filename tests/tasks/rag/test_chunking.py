"""Chunks fit, lose nothing, and are cut at the best place there is."""

import random

import pytest

from tasks.documents.formats import Parsed, Section
from tasks.rag.chunking import CHARACTERS_PER_TOKEN, chunk_document, chunk_documents
from tasks.text.sentences import sentences


def words(text: str) -> int:
    """A token per word, and per character of Japanese."""
    return sum(1 if word.isascii() else len(word) for word in text.split())


def squeezed(text: str) -> str:
    return "".join(text.split())


def chunked(paragraphs: list[str], limit: int = 20, overlap: int = 0, title: str = "", heading: str = "") -> list[str]:
    return [chunk.text for chunk in chunk_document(Parsed(title, [Section(heading, paragraphs)]), limit, overlap, words)]


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


def text_of(generator: random.Random) -> str:
    """Words, brackets and ends of both languages in any order."""
    parts = [
        "word",
        "Word",
        "語",
        "文字列",
        "。",
        "！",
        "?",
        ".",
        "「",
        "」",
        "（",
        "）",
        "『",
        "』",
        " ",
        "\n",
        "\n・",
        "\n- ",
        "、",
        "x" * 40,
        "１．",
        "https://a.b/?c",
    ]
    return "".join(generator.choices(parts, k=generator.randrange(1, 120)))


@pytest.mark.parametrize("seed", range(30))
def test_no_character_is_lost_and_none_is_added(seed):
    generator = random.Random(seed)
    paragraphs = [text for _ in range(generator.randrange(1, 8)) if (text := text_of(generator)).strip()]
    whole = squeezed("".join(paragraphs))
    assert all(squeezed("".join(sentences(text))) == squeezed(text) for text in paragraphs)
    for limit, overlap in ((4, 0), (12, 0), (60, 0), (12, 2), (60, 3)):
        texts = [squeezed(text) for text in chunked(paragraphs, limit, overlap)]
        if overlap == 0:
            assert "".join(texts) == whole
        reached = {0}
        for text in texts:  # each begins where the one before ended, or earlier, and goes on beyond it
            starts = [start for start in range(max(reached) + 1) if whole.startswith(text, start)]
            reached = {start + len(text) for end in reached for start in starts if start <= end < start + len(text)}
            assert reached, text
        assert len(whole) in reached


def test_white_space_inside_a_paragraph_stays_as_it_was():
    code = "if x:\n    y = 1\n\n    # 注釈。  二つの空白。"
    assert chunked([code], 100) == [code]
    assert chunked(["abc日本語def ghi。jkl"], 100) == ["abc日本語def ghi。jkl"]


def test_documents_together_are_what_they_are_alone_and_are_counted_in_few_calls():
    generator = random.Random(1)
    documents = [Parsed(f"Title {i}", [Section("A > B", [text_of(generator), "x" * 3000], i)]) for i in range(50)]
    calls = []

    def count_all(texts: list[str]) -> list[int]:
        calls.append(len(texts))
        return [words(text) for text in texts]

    together = chunk_documents(documents, 20, 1, count_all)
    assert together == [chunk_document(document, 20, 1, words) for document in documents]
    assert len(calls) < 12 and sum(calls) > 500


def test_nothing_makes_no_chunks():
    assert chunk_documents([], 20, 1, lambda texts: [words(text) for text in texts]) == []
    assert chunk_documents([Parsed("T", [])], 20, 1, lambda texts: [words(text) for text in texts]) == [[]]


def test_a_chunk_is_on_the_page_where_its_section_begins():
    document = Parsed("", [Section("", ["One. " * 15], 1), Section("", ["Two."], 2), Section("", ["Three."])])
    assert [(chunk.page, chunk.text[:3]) for chunk in chunk_document(document, 20, 0, words)] == [
        (1, "One"),
        (1, "One"),
        (2, "Two"),
        (None, "Thr"),
    ]


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
