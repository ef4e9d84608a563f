"""Texts to the tokens of an embedder's own tokenizer, with no more of a large vocabulary in memory than the texts need.

A unigram vocabulary of 250,000 pieces takes 280 MB once `tokenizers` has opened it, three quarters of them pieces in scripts that a team's texts do
not hold. A piece can only be part of a text that has all its characters. So a tokenizer of just those pieces whose characters occur gives
the same tokens, and a text with another character shows itself by an unknown token: then the pieces with the characters around that one
are added, from the file, and the text is read again. What is learned of is kept; a character that no piece has stays unknown.
"""

import json
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models

from tasks.processes import give_back_memory

SMALLEST = 4 * 2**20  # bytes of a tokenizer.json from which its vocabulary is held in part
AROUND = 128  # characters that are added together: about what one script has
END = 0x110000
# Latin without accents, signs, kana and kanji, full-width forms, emoji
FIRST = ((0x0, 0x80), (0x2000, 0x2800), (0x3000, 0x3400), (0x4E00, 0xA000), (0xFF00, 0x10000), (0x1F300, 0x1FB00))
FILE = "tokenizer.json"


class Pieces:
    """A large unigram vocabulary in a file, and which part of it is in memory. A part begins with the pieces that are tokens of their own."""

    def __init__(self, file: Path, content: dict[str, Any]):
        self.file, self.times = file, 0
        self.first = sorted({row["id"] for row in content["added_tokens"]} | {content["model"]["unk_id"]})
        self.unknown = self.first.index(content["model"]["unk_id"])
        self.known = {code // AROUND for start, end in FIRST for code in range(start, end, AROUND)}
        self.frame = content | {"model": content["model"] | {"vocab": [content["model"]["vocab"][number] for number in self.first]}}
        _renumber(self.frame, self.first.index)

    def learn(self, text: str) -> bool:
        """Take in the characters of a text, and each time more of those around them, so that it is done a few times at most; whether one was new."""
        new = {ord(character) // AROUND for character in text} - self.known
        reach = 8**self.times
        self.known |= {start + i for start in {block // reach * reach for block in new} for i in range(reach) if start + i < END // AROUND}
        self.times += bool(new)
        return bool(new)

    def part(self) -> tuple[models.Unigram, np.ndarray]:
        """(the pieces whose characters are known, their numbers in the whole vocabulary)."""
        vocabulary = json.loads(self.file.read_bytes())["model"]["vocab"]
        fits = re.compile(f"[{''.join(map(_span, sorted(self.known)))}]*").fullmatch
        least = min(range(len(vocabulary)), key=lambda number: vocabulary[number][1])  # by which an unknown character is priced
        rest = {number for number, (piece, _) in enumerate(vocabulary) if fits(piece)} | {least}
        kept = [*self.first, *sorted(rest - set(self.first))]
        # Not from a file: what tokenizers leaves behind of reading one takes more than the pieces do.
        return models.Unigram([tuple(vocabulary[number]) for number in kept], unk_id=self.unknown), np.array(kept)


def _span(block: int) -> str:
    return f"{re.escape(chr(block * AROUND))}-{re.escape(chr((block + 1) * AROUND - 1))}"


def _renumber(content: dict[str, Any], to: Callable[[int], int]) -> None:
    """Give the tokens that a tokenizer.json names by number their numbers in another vocabulary."""
    content["model"]["unk_id"] = to(content["model"]["unk_id"])
    for row in content["added_tokens"]:
        row["id"] = to(row["id"])
    content["truncation"] = content["padding"] = None
    post = content["post_processor"] or {}
    for step in post.get("processors", [post]):
        for row in step["special_tokens"].values() if step.get("type") == "TemplateProcessing" else []:
            row["ids"] = [to(number) for number in row["ids"]]
        for end in ("sep", "cls"):
            if end in step:
                step[end][1] = to(step[end][1])


def large_vocabulary(folder: Path) -> Pieces | None:
    """The vocabulary of a model's folder, where it is one that can be held in part."""
    file = folder / FILE
    if not file.is_file() or file.stat().st_size < SMALLEST:
        return None
    content = json.loads(file.read_bytes())
    model = content["model"]
    if model.get("type") != "Unigram" or model.get("byte_fallback") or model.get("unk_id") is None:
        return None
    named = [row["id"] < len(model["vocab"]) and model["vocab"][row["id"]][0] == row["content"] for row in content["added_tokens"]]
    return Pieces(file, content) if all(named) else None


@contextmanager
def without_pieces(folder: Path, pieces: Pieces | None) -> Iterator[Path]:
    """A folder like this one whose tokenizer has none of the pieces but the first, for as long as it takes to open it."""
    if pieces is None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="migaki-") as scratch:
        for path in folder.iterdir():
            if path.name != FILE:
                (Path(scratch) / path.name).symlink_to(path.resolve())
        (Path(scratch) / FILE).write_text(json.dumps(pieces.frame), encoding="utf-8")
        yield Path(scratch)


class TextTokens:
    """Texts to token ids, as many threads as like at once.

    Args:
        tokenizer: of all pieces, or of the first of `pieces` alone.
    """

    def __init__(self, tokenizer: Tokenizer, pieces: Pieces | None = None):
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._pieces, self._lock, self._frame = pieces, threading.Lock(), tokenizer.to_str() if pieces else ""
        self._now: tuple[Tokenizer, np.ndarray | None] = self._part(pieces) if pieces else (tokenizer, None)
        tokenizer = self._now[0]
        self.special = tokenizer.num_special_tokens_to_add(False)
        ends = tokenizer.encode("a").special_tokens_mask
        self._after = next((i for i, special in enumerate(reversed(ends)) if not special), 0)  # special tokens behind a text

    def number_of(self, number: int) -> int:
        """In the whole vocabulary, of a token that the tokenizer had when it was opened."""
        return self._pieces.first[number] if self._pieces else number

    def encode_all(self, texts: list[str], limit: int | None = None) -> list[list[int]]:
        """Token ids with the special ones; of a text longer than `limit` the beginning, and the special tokens behind it."""
        rows, numbers = self._read(texts, True)
        rows = rows if limit is None else self.fitted(rows, limit)
        return rows if numbers is None else [numbers[row].tolist() for row in rows]

    def fitted(self, rows: list[list[int]], limit: int) -> list[list[int]]:
        """Rows of `encode_all` as they are with that limit."""
        return [row if len(row) <= limit else row[: limit - self._after] + row[len(row) - self._after :] for row in rows]

    def count_all(self, texts: list[str]) -> list[int]:
        """Tokens of each text without the special ones."""
        return [len(row) for row in self._read(texts, False)[0]]

    def _read(self, texts: list[str], special: bool) -> tuple[list[list[int]], np.ndarray | None]:
        """The tokens of the texts, and the numbers of the part that they are counted in."""
        while True:
            tokenizer, numbers = self._now
            rows = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=special)]
            if not self._pieces:
                return rows, numbers
            stray = [text for text, row in zip(texts, rows, strict=True) if self._pieces.unknown in row]
            if not stray or not self._learned(self._pieces, tokenizer, stray):
                return rows, numbers

    def _learned(self, pieces: Pieces, tokenizer: Tokenizer, texts: list[str]) -> bool:
        """Whether there is another tokenizer now than the one that did not know a character of these texts."""
        with self._lock:
            if self._now[0] is not tokenizer:
                return True
            normalizer = tokenizer.normalizer
            if not pieces.learn("".join(normalizer.normalize_str(text) if normalizer else text for text in texts)):
                return False
            self._now = self._part(pieces)
            return True

    def _part(self, pieces: Pieces) -> tuple[Tokenizer, np.ndarray]:
        tokenizer = Tokenizer.from_str(self._frame)
        tokenizer.model, numbers = pieces.part()
        give_back_memory()
        return tokenizer, numbers
