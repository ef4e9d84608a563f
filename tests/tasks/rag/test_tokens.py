"""Tokens by a part of a large vocabulary are those of the whole one, whatever the text holds."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from tokenizers import Tokenizer

from tasks.models.nano_e5 import convert_nano_e5
from tasks.rag import tokens
from tasks.rag.tokens import TextTokens, large_vocabulary, without_pieces
from tests.helpers.embedder import save_tiny_embedder
from tests.helpers.nano_e5 import PIECES, write_nano_e5

TEXTS = ["the cat", "猫は日本語。", "é1～3", "", "the Ω of it", "\U0001f600 é", "a " * 40, "ガ、か"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "SMALLEST", 1)
    monkeypatch.setattr(tokens, "FIRST", ((0, 0x80), (0x2580, 0x2600)))  # ASCII, and the mark of a word
    write_nano_e5(tmp_path / "tiny.bin")
    return convert_nano_e5(tmp_path / "tiny.bin", tmp_path / "model")


def opened(folder) -> TextTokens:
    pieces = large_vocabulary(folder)
    with without_pieces(folder, pieces) as place:
        assert {path.name for path in place.iterdir()} == {path.name for path in folder.iterdir()}
        return TextTokens(Tokenizer.from_file(str(place / "tokenizer.json")), pieces)


def whole(folder, texts, special=True):
    return [
        encoding.ids for encoding in Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(texts, add_special_tokens=special)
    ]


def held(part: TextTokens) -> int:
    return part._now[0].get_vocab_size()


def test_the_tokens_are_those_of_the_whole_vocabulary_and_pieces_come_with_the_texts_that_need_them(folder):
    part = opened(folder)
    assert part.encode_all(["the cat?", "being"], 99) == whole(folder, ["the cat?", "being"])
    few = held(part)
    assert few < len(PIECES)
    assert part.encode_all(TEXTS, 999) == whole(folder, TEXTS)
    assert few < held(part) <= len(PIECES)
    assert part.count_all(TEXTS) == [len(row) for row in whole(folder, TEXTS, special=False)]
    assert (part.special, part.number_of(1)) == (2, 1)


def test_a_character_that_no_piece_has_is_looked_for_once(folder, monkeypatch):
    part, made = opened(folder), []
    make = part._part
    monkeypatch.setattr(part, "_part", lambda pieces: made.append(1) or make(pieces))
    for _ in range(3):
        assert part.encode_all(["a \U0001f600"], 99) == whole(folder, ["a \U0001f600"])
    assert made == [1]


def test_the_pieces_are_read_again_a_few_times_at_most(folder, monkeypatch):
    part, made = opened(folder), []
    make = part._part
    monkeypatch.setattr(part, "_part", lambda pieces: made.append(1) or make(pieces))
    for code in range(0x80, 0x10000, 0x80):
        if not 0xD800 <= code < 0xE000:
            part.count_all([chr(code)])
    assert 1 < len(made) <= 8


def test_threads_that_meet_new_characters_at_once_get_the_same_tokens(folder):
    part, expected = opened(folder), whole(folder, TEXTS)
    with ThreadPoolExecutor(4) as pool:
        assert all(rows == expected for rows in pool.map(lambda _: part.encode_all(TEXTS, 999), range(16)))


def test_what_is_longer_than_the_limit_is_cut_and_still_ends_as_a_text_does(folder):
    row = opened(folder).encode_all(["a" * 99], 10)[0]
    assert len(row) == 10 and (row[0], row[-1]) == (0, 2) and row[:-1] == whole(folder, ["a" * 99])[0][:9]


def test_other_vocabularies_are_opened_whole(tmp_path, folder, monkeypatch):
    assert large_vocabulary(save_tiny_embedder(tmp_path / "words")) is None  # no unigram model
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(content | {"model": content["model"] | {"byte_fallback": True}}))
    assert large_vocabulary(folder) is None
    content["added_tokens"][0]["id"] = len(PIECES) + 1
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert large_vocabulary(folder) is None
    monkeypatch.setattr(tokens, "SMALLEST", 10**9)
    assert large_vocabulary(folder) is None and large_vocabulary(tmp_path) is None
