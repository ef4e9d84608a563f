"""Sections to chunks that the embedder reads whole: at headings, then paragraphs, then sentences, then, if it must be, inside a sentence.

A chunk is a stretch of its section, character by character: pieces are kept as places in their paragraph, and what stands between them is
never written anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tasks.documents.parsed import Parsed, Section
from tasks.text.detection import detect
from tasks.text.language import languages
from tasks.text.sentences import sentence_places, trimmed

CountAll = Callable[[list[str]], list[int]]

BREAKS = " \n" + "".join(language.CLAUSE_MARKS for language in languages().values())
# WordPiece makes one [UNK] of any word of more than 100 characters, so a text counts for one token at least per so many characters.
CHARACTERS_PER_TOKEN = 8


@dataclass(frozen=True)
class Chunk:
    """A piece of a document; `heading` is title and headings above it, `page` where it begins. `indexed` is what is searched."""

    ordinal: int
    heading: str
    text: str
    lang: str
    page: int | None = None

    @property
    def indexed(self) -> str:
        return f"{self.heading}\n{self.text}" if self.heading else self.text


@dataclass
class Piece:
    """A sentence of a paragraph, or as much of one as fits a chunk. `size` is its tokens and one for what joins it to the next."""

    paragraph: str
    start: int
    end: int
    opens: bool  # begins a paragraph
    room: int  # the largest size that fits
    size: int = 0

    @property
    def text(self) -> str:
        return self.paragraph[self.start : self.end]


def chunk_document(document: Parsed, limit: int, overlap: int, count_tokens: Callable[[str], int]) -> list[Chunk]:
    """`chunk_documents` for one document, its tokens counted text by text."""
    return chunk_documents([document], limit, overlap, lambda texts: [count_tokens(text) for text in texts])[0]


def chunk_documents(documents: Sequence[Parsed], limit: int, overlap: int, count_all: CountAll) -> list[list[Chunk]]:
    """For each document its chunks of at most `limit` tokens, heading included.

    A chunk that begins inside a paragraph repeats the `overlap` sentences before it. `count_all` gives the tokens of texts, and is asked
    for the sentences of all documents at once, which tokenizers do nearly twice as fast as one by one.
    """
    sections = [(index, section) for index, document in enumerate(documents) for section in document.sections]
    headings = [_heading(documents[index].title, section) for index, section in sections]
    distinct = list(dict.fromkeys(headings))
    sizes = {heading: _size(heading, tokens) for heading, tokens in zip(distinct, count_all(distinct), strict=True)}
    cut = [_headed(heading, section, limit, sizes[heading]) for heading, (_, section) in zip(headings, sections, strict=True)]
    _measure([pieces for _, _, pieces in cut], count_all)
    chunks: list[list[Chunk]] = [[] for _ in documents]
    for (index, section), (heading, room, pieces) in zip(sections, cut, strict=True):
        for text in _grouped(pieces, room, overlap):
            chunks[index].append(Chunk(len(chunks[index]), heading, text, detect(text), section.page))
    return chunks


def _heading(title: str, section: Section) -> str:
    parts = [part for part in section.heading.split(" > ") if part and part != title]
    return " > ".join([title, *parts] if title else parts)


def _headed(heading: str, section: Section, limit: int, size: int) -> tuple[str, int, list[Piece]]:
    """(heading that each chunk of a section repeats, size that is left beside it, pieces). One too large to repeat becomes the first paragraph."""
    repeated = size <= limit // 2 + 1
    room = limit - size if repeated else limit - 1
    paragraphs = section.paragraphs if repeated else [heading, *section.paragraphs]
    pieces = [
        Piece(paragraph, start, end, index == 0, room)
        for paragraph in paragraphs
        for index, (start, end) in enumerate(sentence_places(paragraph))
    ]
    return heading if repeated else "", room, [part for piece in pieces for part in _fitting(piece)]


def _size(text: str, tokens: int) -> int:
    return max(tokens, len(text) // CHARACTERS_PER_TOKEN) + 1


def _measure(sections: list[list[Piece]], count_all: CountAll) -> None:
    """Give each piece its size, and put its halves in the place of one that does not fit."""
    while unmeasured := [piece for pieces in sections for piece in pieces if not piece.size]:
        for piece, tokens in zip(unmeasured, count_all([piece.text for piece in unmeasured]), strict=True):
            piece.size = _size(piece.text, tokens)
        for pieces in sections:
            pieces[:] = [part for piece in pieces for part in _fitting(piece)]


def _fitting(piece: Piece) -> list[Piece]:
    """The piece if, as far as is known, it fits; else its halves, and their halves while they are too long whatever their tokens are."""
    length = piece.end - piece.start
    if length < 2 or max(piece.size, length // CHARACTERS_PER_TOKEN + 1) <= piece.room:
        return [piece]
    middle = piece.start + length // 2
    cut = max(piece.paragraph.rfind(mark, piece.start + length // 4, middle) for mark in BREAKS) + 1 or middle
    halves = [*trimmed(piece.paragraph, piece.start, cut), *trimmed(piece.paragraph, cut, piece.end)]
    return [
        part
        for index, (start, end) in enumerate(halves)
        for part in _fitting(Piece(piece.paragraph, start, end, piece.opens and index == 0, piece.room))
    ]


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
    """The stretch of each paragraph from the first to the last of its pieces, a line each."""
    firsts = [index for index, piece in enumerate(pieces) if index == 0 or piece.opens]
    return "\n".join(
        pieces[first].paragraph[pieces[first].start : pieces[following - 1].end]
        for first, following in zip(firsts, [*firsts[1:], len(pieces)], strict=True)
    )
