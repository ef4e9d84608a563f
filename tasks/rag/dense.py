"""Vectors to a FAISS index: flat while a scan of all is fast, inverted lists (IVF) beyond, probed as widely as a measured recall asks for."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np

RECALL = 0.98  # of the ten nearest, which inverted lists have to reach
PROBES = 200  # vectors whose neighbours are looked up to measure it
BLUR = 0.5  # length of the noise that makes a question of a chunk's vector: their cosine is 0.9
BLOCK = 16384  # vectors that are taken out of inverted lists at once
SAMPLED = 4096  # vectors that give the scale of the cosines where not all are worked out


def build_dense(vectors: np.ndarray, flat_up_to: int) -> tuple[faiss.Index, dict[str, float | int | str]]:
    """The index of (chunks, dimension) unit vectors, and facts about it: `dense_type`, `dense_recall` against a scan of all, `dense_probes` (lists looked into).

    Up to `flat_up_to` vectors it scans all and misses nothing.
    """
    count, dimension = vectors.shape
    if count <= flat_up_to:
        flat = faiss.IndexFlatIP(dimension)
        flat.add(vectors)
        return flat, {"dense_type": "flat", "dense_recall": 1.0, "dense_probes": 0}
    lists = max(1, min(int(4 * np.sqrt(count)), count // 39))  # 39: fewest vectors a list that FAISS trains without a warning
    inverted: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT)
    trained = on_gpu(inverted)
    trained.train(vectors)
    trained.add(vectors)
    inverted = trained if trained is inverted else faiss.index_gpu_to_cpu(trained)
    inverted.make_direct_map()  # the vector of a chunk can be asked for
    inverted.nprobe, recall = _probes(inverted, vectors)
    return inverted, {"dense_type": "ivf", "dense_recall": recall, "dense_probes": inverted.nprobe}


def _probes(index: faiss.IndexIVFFlat, vectors: np.ndarray) -> tuple[int, float]:
    """The fewest lists, by doubling, with which the recall is reached, and the recall."""
    generator = np.random.default_rng(0)
    chosen = vectors[generator.choice(len(vectors), min(PROBES, len(vectors)), replace=False)]
    noise = generator.standard_normal(chosen.shape, dtype=np.float32)
    queries = chosen + BLUR * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    wanted = min(10, len(vectors))
    nearest = np.argpartition(-(queries @ vectors.T), wanted - 1, axis=1)[:, :wanted]
    probes, recall = 1, 0.0
    while True:
        index.nprobe = probes
        _, neighbours = index.search(queries, wanted)
        recall = float(np.mean([len(np.intersect1d(own, true)) / wanted for own, true in zip(neighbours, nearest, strict=True)]))
        if recall >= RECALL or probes >= index.nlist:
            return probes, recall
        probes = min(2 * probes, index.nlist)


def has_gpu() -> bool:
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def on_gpu(index: faiss.Index) -> faiss.Index:
    """A copy of the index on a GPU, where faiss-gpu and a GPU are there, else itself."""
    return faiss.index_cpu_to_all_gpus(index, ngpu=1) if has_gpu() else index


def products(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """(rows,) float32 inner products of (rows, dimension) vectors, on this thread.

    NumPy's product of a matrix and a vector leaves a thread of OpenBLAS spinning for a while, on a core that is to embed the next question.
    """
    vectors, vector, found = (
        np.ascontiguousarray(vectors, np.float32),
        np.ascontiguousarray(vector, np.float32),
        np.empty(len(vectors), np.float32),
    )
    if len(vectors):
        arrays = map(faiss.swig_ptr, (found, vector, vectors))
        faiss.fvec_inner_products_ny(*arrays, vectors.shape[1], len(vectors))  # type: ignore[attr-defined]
    return found


class Dense:
    """An opened index: the cosines of a question with chunks."""

    def __init__(self, path: Path):
        index: Any = faiss.read_index(str(path))
        self.index = index
        self.size, self.dimension = self.index.ntotal, self.index.d
        self.flat = isinstance(self.index, faiss.IndexFlat)
        if self.flat:
            # The scale of the cosines needs all of them, so the index's own vectors are multiplied; a search for all would also sort them.
            self._vectors = faiss.rev_swig_ptr(index.get_xb(), self.size * self.dimension).reshape(self.size, self.dimension)
        else:
            self._searched = on_gpu(self.index)

    def vectors(self, numbers: np.ndarray) -> np.ndarray:
        """(numbers, dimension) vectors of those chunks."""
        return self._vectors[numbers] if self.flat else self.index.reconstruct_batch(np.asarray(numbers, np.int64))

    def cosines(self, vector: np.ndarray) -> np.ndarray:
        """(chunks,) cosines with all chunks, exact; quick with a flat index, a pass over all vectors with inverted lists."""
        if self.flat:
            return products(self._vectors, vector)
        blocks = [np.arange(start, min(start + BLOCK, self.size)) for start in range(0, self.size, BLOCK)]
        return np.concatenate([products(self.vectors(block), vector) for block in blocks] or [np.zeros(0, np.float32)])

    def nearest(self, vector: np.ndarray, count: int, mask: np.ndarray | None = None) -> np.ndarray:
        """Numbers of about the `count` nearest chunks, of those where `mask` (chunks,) is true."""
        if self.flat:
            numbers = np.arange(self.size) if mask is None else np.flatnonzero(mask)
            cosines = self.cosines(vector)[numbers]
            return numbers[np.argpartition(-cosines, count)[:count]] if len(numbers) > count else numbers
        if mask is None:
            numbers = self._searched.search(vector[None], count)[1][0]
        else:  # FAISS takes selectors on the CPU alone
            bits = np.packbits(mask, bitorder="little")
            # FAISS adds these constructors when it is imported; its type hints do not have them.
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=self.index.nprobe)  # type: ignore[call-arg]
            numbers = self.index.search(vector[None], count, params=parameters)[1][0]
        return numbers[numbers >= 0]

    def sample(self, mask: np.ndarray | None = None) -> np.ndarray:
        """(at most SAMPLED, dimension) vectors drawn from the chunks, or from those where `mask` is true: the same ones each time."""
        numbers = np.arange(self.size) if mask is None else np.flatnonzero(mask)
        if len(numbers) > SAMPLED:
            numbers = np.sort(np.random.default_rng(0).choice(numbers, SAMPLED, replace=False))
        return self.vectors(numbers)
