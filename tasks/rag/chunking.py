"""Sections to chunks that the embedder reads whole: at headings, then paragraphs, then sentences, then, if it must be, inside a sentence."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tasks.data.language import detect
from tasks.rag.documents import Parsed

JAPANESE_END = re.compile(r"(?<=[。!?!?])")
ENGLISH_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[\"'(\[]?[A-Z0-9])")
OPENING, CLOSING = "「『(【(", "」』)】)"


@dataclass(frozen=True)
class Chunk:
    """A piece of a document; `heading` is title and headings above it. `indexed` is what is searched."""

    ordinal: int
    heading: str
    text: str
    lang: str

    @property
    def indexed(self) -> str:
        return f"{self.heading}\n{self.text}" if self.heading else self.text


def sentences(text: str) -> list[str]:
    """Sentences of English or Japanese text, nothing lost; a sentence end inside Japanese brackets does not count."""
    if detect(text) == "en":
        return [part for part in ENGLISH_END.split(text) if part.strip()]
    found, open_brackets = [""], 0
    for piece in JAPANESE_END.split(text):
        found[-1] += piece
        open_brackets += sum(piece.count(mark) for mark in OPENING) - sum(piece.count(mark) for mark in CLOSING)
        if open_brackets <= 0:
            open_brackets = 0
            found.append("")
    return [part.strip() for part in found if part.strip()]


def chunk_document(document: Parsed, limit: int, overlap: int, count_tokens: Callable[[str], int]) -> list[Chunk]:
    """Chunks of at most `limit` tokens, heading included; each repeats the last `overlap` sentences of the one before it under the same heading."""
    chunks: list[Chunk] = []
    for section in document.sections:
        parts = [part for part in section.heading.split(" > ") if part and part != document.title]
        heading = " > ".join([document.title, *parts]) if document.title else " > ".join(parts)
        if count_tokens(heading) > limit // 2:  # a heading must leave room for what it heads
            heading = ""
        room = limit - count_tokens(heading) - 1
        pieces = [piece for paragraph in section.paragraphs for sentence in sentences(paragraph) for piece in _fitting(sentence, room, count_tokens)]
        for text in _grouped(pieces, room, overlap, count_tokens):
            chunks.append(Chunk(len(chunks), heading, text, detect(text)))
    return chunks


def _fitting(sentence: str, room: int, count_tokens: Callable[[str], int]) -> Iterator[str]:
    """The sentence, or its halves and their halves until each fits."""
    if count_tokens(sentence) <= room or len(sentence) < 2:
        yield sentence
        return
    middle = len(sentence) // 2
    cut = sentence.rfind(" ", 1, middle) + 1 or middle
    yield from _fitting(sentence[:cut].rstrip(), room, count_tokens)
    yield from _fitting(sentence[cut:].lstrip(), room, count_tokens)


def _grouped(pieces: list[str], room: int, overlap: int, count_tokens: Callable[[str], int]) -> Iterator[str]:
    """As many sentences as fit, then again from `overlap` sentences before the cut."""
    sizes = [count_tokens(piece) + 1 for piece in pieces]
    start = 0
    while start < len(pieces):
        end, size = start + 1, sizes[start]
        while end < len(pieces) and size + sizes[end] <= room:
            size += sizes[end]
            end += 1
        yield _joined(pieces[start:end])
        if end == len(pieces):
            return
        back = end
        while end - back < overlap and back - 1 > start and sum(sizes[back - 1 : end + 1]) <= room:
            back -= 1
        start = back


def _joined(pieces: list[str]) -> str:
    return "".join(piece if index == 0 or (detect(pieces[index - 1]) == detect(piece) == "ja") else " " + piece for index, piece in enumerate(pieces))
