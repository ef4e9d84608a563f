"""Sections to chunks that the embedder reads whole: at headings, then paragraphs, then sentences, then, if it must be, inside a sentence."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tasks.data.language import detect
from tasks.rag.documents import Parsed, Section

JAPANESE_END = re.compile(r"(?<=[。\uff01\uff1f!?])")  # \uff01, \uff1f: full-width ! and ?
ENGLISH_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[\"'(\[]?[A-Z0-9])")
OPENING, CLOSING = "「『【(\uff08", "」』】)\uff09"  # \uff08, \uff09: full-width brackets
LONGEST_QUOTE = 400  # characters; a bracket open for longer was never closed
CHARACTERS_PER_TOKEN = 8  # WordPiece makes one [UNK] of any word of more than 100 characters: a token stands for no more than this


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


@dataclass(frozen=True)
class Piece:
    """A sentence, or as much of one as fits a chunk. `size` is its tokens and one for what joins it to the next."""

    text: str
    size: int
    opens: bool  # begins a paragraph


def sentences(text: str) -> list[str]:
    """Sentences of English or Japanese text, nothing lost; a sentence end inside Japanese brackets does not count."""
    if detect(text) == "en":
        return [part for part in ENGLISH_END.split(text) if part.strip()]
    found: list[str] = []
    sentence: list[str] = []
    depth = 0
    for piece in JAPANESE_END.split(text):
        sentence.append(piece)
        depth += sum(piece.count(mark) for mark in OPENING) - sum(piece.count(mark) for mark in CLOSING)
        if depth <= 0 or sum(map(len, sentence)) > LONGEST_QUOTE:
            found.append("".join(sentence))
            sentence, depth = [], 0
    return [part.strip() for part in [*found, "".join(sentence)] if part.strip()]


def chunk_document(document: Parsed, limit: int, overlap: int, count_tokens: Callable[[str], int]) -> list[Chunk]:
    """Chunks of at most `limit` tokens, heading included. A chunk that begins inside a paragraph repeats the `overlap` sentences before it."""
    chunks: list[Chunk] = []
    for section in document.sections:
        heading, paragraphs = _headed(document.title, section, limit // 2, count_tokens)
        room = limit - count_tokens(heading) - 1
        for text in _grouped(_pieces(paragraphs, room, count_tokens), room, overlap):
            chunks.append(Chunk(len(chunks), heading, text, detect(text)))
    return chunks


def _headed(title: str, section: Section, most: int, count_tokens: Callable[[str], int]) -> tuple[str, list[str]]:
    """The heading that each chunk of a section repeats, and its paragraphs; a heading of more than `most` tokens becomes the first of them."""
    parts = [part for part in section.heading.split(" > ") if part and part != title]
    heading = " > ".join([title, *parts] if title else parts)
    if count_tokens(heading) <= most and len(heading) <= most * CHARACTERS_PER_TOKEN:
        return heading, section.paragraphs
    return "", [heading, *section.paragraphs]


def _pieces(paragraphs: list[str], room: int, count_tokens: Callable[[str], int]) -> list[Piece]:
    pieces = []
    for paragraph in paragraphs:
        texts = [part for sentence in sentences(paragraph) for part in _fitting(sentence, room, count_tokens)]
        pieces += [
            Piece(text, max(count_tokens(text), len(text) // CHARACTERS_PER_TOKEN) + 1, index == 0) for index, text in enumerate(texts)
        ]
    return pieces


def _fitting(sentence: str, room: int, count_tokens: Callable[[str], int]) -> Iterator[str]:
    """The sentence, or its halves and their halves until each fits."""
    if len(sentence) < 2 or (len(sentence) <= room * CHARACTERS_PER_TOKEN and count_tokens(sentence) < room):
        yield sentence
        return
    middle = len(sentence) // 2
    cut = max(sentence.rfind(mark, middle // 2, middle) for mark in " \n、,") + 1 or middle
    for half in (sentence[:cut].strip(), sentence[cut:].strip()):
        if half:
            yield from _fitting(half, room, count_tokens)


def _grouped(pieces: list[Piece], room: int, overlap: int) -> Iterator[str]:
    """As many pieces as fit, up to the last paragraph's end where that leaves the chunk at least half full."""
    start = 0
    while start < len(pieces):
        end, size, whole = start + 1, pieces[start].size, 0
        while end < len(pieces) and size + pieces[end].size <= room:
            if pieces[end].opens and size >= room / 2:
                whole = end
            size += pieces[end].size
            end += 1
        if end < len(pieces) and not pieces[end].opens and whole:
            end = whole
        yield _joined(pieces[start:end])
        if end == len(pieces):
            return
        start = end if pieces[end].opens else _back(pieces, start, end, room, overlap)


def _back(pieces: list[Piece], start: int, end: int, room: int, overlap: int) -> int:
    """Where the next chunk begins: up to `overlap` sentences before `end`, in its paragraph, as far as they leave room for the next piece."""
    back = end
    while (
        end - back < overlap
        and back - 1 > start
        and not pieces[back].opens
        and sum(piece.size for piece in pieces[back - 1 : end + 1]) <= room
    ):
        back -= 1
    return back


def _joined(pieces: list[Piece]) -> str:
    text = pieces[0].text
    for before, piece in pairwise(pieces):
        text += "\n" if piece.opens else "" if detect(before.text) == detect(piece.text) == "ja" else " "
        text += piece.text
    return text
