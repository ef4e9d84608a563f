"""Search for what people ask in words of their own: a handbook, the example project, and questions in one language about documents in another.

    python benchmarks/own_words.py handbook DOCUMENTS QUESTIONS.jsonl [--dense-ja 0.5 ...]
    python benchmarks/own_words.py examples [--dense-en 0.5 ...]
    python benchmarks/own_words.py languages

QUESTIONS.jsonl has {"question", "lang", "accept", "document", "also"} a line: an answer is found where a chunk among the first has a string of
`accept` (case and white space aside) and is of one of the documents. Several shares of dense search are tried side by side. Lines of a handbook
are told apart by their place: the bundled shares were chosen on the even ones (0, 2, ...) and on JaQuAD, what is reported are the odd ones.
The last one asks each example question whose topic stands in both languages, documents of its own language left out: `TWINS` says which
documents are about the same.
"""

import argparse
import json
import re
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrieval import Embedders, bundled_embedders, cut_documents, opened, read, write

from tasks.documents.finding import find_documents
from tasks.documents.parsed import Parsed
from tasks.documents.reading import read_all
from tasks.rag.figures import document_rank, retrieval_figures
from tasks.rag.retrieval import Hit, Retriever
from tasks.rag.settings import IndexSettings
from tasks.statistics import wilson_interval

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LANGUAGES = ("en", "ja")
SHOWN = 20
TWINS = {
    "attention-heads": ["attention"],
    "beam-search": ["greedy-and-beam"],
    "cache-and-batches": ["kv-cache", "batching-and-streaming"],
    "chat-memory": ["multi-turn"],
    "chunk-sizes": ["chunking"],
    "decoder-only": ["decoder-only"],
    "dpo-method": ["dpo"],
    "hallucinations": ["hallucination"],
    "instruction-data": ["instruction-tuning"],
    "keyword-and-vector": ["bm25-and-hybrid"],
    "lora-adapters": ["lora"],
    "number-formats": ["quantization"],
    "ppo-and-kl": ["ppo"],
    "pretraining": ["pre-training"],
    "prompt-writing": ["prompt-design", "few-shot"],
    "qlora-training": ["qlora"],
    "retrieval-augmented": ["rag"],
    "reward-models": ["reward-model"],
    "safe-answers": ["safety-filters"],
    "sampling-controls": ["sampling"],
    "tokenizers": ["tokenization"],
    "tool-calls": ["function-calling"],
}
Rows = list[dict[str, Any]]
Share = dict[str, float]


def plain(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).lower()


def answered(hits: list[Hit], row: dict[str, Any]) -> bool:
    """Whether a chunk has the answer and is of a document that gives it."""
    accepted, documents = [plain(text) for text in row["accept"]], {row["document"], *row.get("also", [])}
    return any(hit.document in documents and any(text in plain(hit.text) for text in accepted) for hit in hits)


def indexed(documents: Path, embedders: Embedders, settings: IndexSettings, place: Path) -> Retriever:
    """The index of a folder."""
    files = find_documents([str(documents)], False)
    parsed = [(name, found) for name, found in read_all(files, settings.file_seconds, None) if isinstance(found, Parsed)]
    write(place, cut_documents(parsed, embedders.own, settings), embedders, settings)
    return opened(place, embedders)


def handbook(retriever: Retriever, questions: Rows, part: Callable[[int], bool]) -> dict[str, str]:
    """By language, the share of questions answered in the first two chunks and in the first five."""
    found = {}
    for lang in LANGUAGES:
        rows = [row for i, row in enumerate(row for row in questions if row["lang"] == lang) if part(i)]
        hits = retriever.search_all([row["question"] for row in rows], SHOWN)
        two, five = (sum(answered(own[:k], row) for own, row in zip(hits, rows, strict=True)) / max(1, len(rows)) for k in (2, 5))
        found[lang] = f"{two:.3f} / {five:.3f} of {len(rows)}"
    return found


def examples(retriever: Retriever) -> dict[str, str]:
    """By language, hit@1, whether the right document is among the first two chunks, and MRR@10."""
    found = {}
    for lang in LANGUAGES:
        rows = read(EXAMPLES / f"questions.{lang}.jsonl")
        hits = retriever.search_all([row["question"] for row in rows], SHOWN)
        figures = retrieval_figures([document_rank(own, row["document"]) for own, row in zip(hits, rows, strict=True)])
        two = sum(row["document"] in {hit.document for hit in own[:2]} for own, row in zip(hits, rows, strict=True)) / len(rows)
        found[lang] = f"hit@1 {figures['hit@1']:.3f}, among two {two:.3f}, MRR@10 {figures['mrr@10']:.3f} of {len(rows)}"
    return found


def languages(retriever: Retriever) -> dict[str, str]:
    """By direction, how often the document about the same in the other language is among the first five."""
    twins = {f"en/{name}.md": {f"ja/{other}.md" for other in others} for name, others in TWINS.items()}
    for name, others in TWINS.items():
        for other in others:
            twins.setdefault(f"ja/{other}.md", set()).add(f"en/{name}.md")
    found, all_ranks = {}, []
    for lang, other in (("en", "ja"), ("ja", "en")):
        rows = [row for row in read(EXAMPLES / f"questions.{lang}.jsonl") if row["document"] in twins]
        hits = retriever.search_all([row["question"] for row in rows], SHOWN, where={"lang": other})
        ranks = [
            min((rank for name in twins[row["document"]] if (rank := document_rank(own, name))), default=0)
            for own, row in zip(hits, rows, strict=True)
        ]
        all_ranks += ranks
        found[f"{lang} about {other}"] = five(ranks)
    return found | {"all": five(all_ranks)}


def five(ranks: list[int]) -> str:
    hit = sum(0 < rank <= 5 for rank in ranks)
    low, high = wilson_interval(hit, len(ranks))
    return (
        f"hit@5 {hit / len(ranks):.3f} [{low:.3f}, {high:.3f}], hit@1 {sum(rank == 1 for rank in ranks) / len(ranks):.3f} of {len(ranks)}"
    )


def with_share(retriever: Retriever, share: Share) -> Retriever:
    """The index as if it had been made with other shares of dense search."""
    retriever.facts["dense_weight"] = retriever.facts["dense_weight"] | share
    return retriever


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("command", choices=("handbook", "examples", "languages"))
    arguments.add_argument("documents", type=Path, nargs="?", default=EXAMPLES / "documents")
    arguments.add_argument("questions", type=Path, nargs="?")
    arguments.add_argument("--backend", default="auto")
    arguments.add_argument("--embedder-en", default="auto", help="run.embedder_en")
    for lang in LANGUAGES:
        arguments.add_argument(f"--dense-{lang}", type=float, nargs="+", default=[])
    given = arguments.parse_args()
    embedders = bundled_embedders(backend=given.backend, second=given.embedder_en)
    with tempfile.TemporaryDirectory() as place:
        retriever = indexed(given.documents, embedders, IndexSettings(), Path(place))
        tried = [{"en": share} for share in given.dense_en] + [{"ja": share} for share in given.dense_ja]
        for share in tried or [{}]:
            own = with_share(retriever, share)
            about: dict[str, Any] = {"chunks": len(own), "shares": own.facts["dense_weight"]}
            if given.command == "handbook":
                questions = read(given.questions)
                halves = {"even": lambda i: i % 2 == 0, "odd": lambda i: i % 2 == 1, "all": lambda i: True}
                about |= {name: handbook(own, questions, part) for name, part in halves.items()}
            else:
                about |= examples(own) if given.command == "examples" else languages(own)
            print(json.dumps(about, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
