"""Whether what a chat's last question asks for is found: asked alone, joined with the question before it, and as the chat searches.

    python benchmarks/followups.py [CHAINS.jsonl ...] [--documents FOLDER]
    python benchmarks/followups.py QUESTIONS.jsonl ... --others [--documents FOLDER]

A chain is {"turns": what one person said, in order, "document": those that answer the last, "kind", "half"} a line; the bundled ones
(`followups.en.jsonl`, `followups.ja.jsonl`) are about the example documents, and were written before the rules. With `accept`, one of its strings must
stand in the chunk found. What the rules weigh was chosen on the half "develop"; "report" is what is reported. --others puts another question of the
same language, about another document, before each of QUESTIONS ({"question", "document", "also"}): a topic change for every question there is.
Prints the chains lost and a line per language, half and kind: hit@2 of the three.
"""

import argparse
import collections
import json
import random
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from own_words import EXAMPLES, answered, indexed
from retrieval import bundled_embedders, read

from tasks.chatbot.followup import look_up
from tasks.rag.retrieval import Hit, Retriever
from tasks.rag.settings import IndexSettings
from tasks.text.detection import detect

OWN = [Path(__file__).resolve().with_name(f"followups.{lang}.jsonl") for lang in ("en", "ja")]
SHOWN = 2
WAYS = ("alone", "joined", "chat")
Rows = list[dict[str, Any]]


def found(hits: list[Hit], row: dict[str, Any]) -> bool:
    """Whether a chunk is of one of the documents, with a string of `accept` where there are some."""
    documents = row["document"]
    if row.get("accept"):
        return any(answered(hits, row | {"document": name, "also": []}) for name in documents)
    return any(hit.document in documents for hit in hits)


def after_others(questions: Rows) -> Rows:
    """Each question after another one of its language, drawn by chance, about another document."""
    chance, rows = random.Random(0), []
    for number, row in enumerate(questions):
        lang = detect(row["question"])
        others = [other for other in questions if other["document"] != row["document"] and detect(other["question"]) == lang]
        rows.append(
            {
                "turns": [chance.choice(others)["question"], row["question"]],
                "document": [row["document"], *row.get("also", [])],
                "accept": row.get("accept"),
                "kind": "after another",
                "half": ("develop", "report")[number % 2],
            }
        )
    return rows


def measure(retriever: Retriever, rows: Rows) -> Iterable[dict[str, Any]]:
    """The chains lost, then the lines."""
    counts: dict[tuple[str, ...], collections.Counter[str]] = collections.defaultdict(collections.Counter)
    search = partial(retriever.search, k=SHOWN)
    for row in rows:
        *earlier, question = row["turns"]
        query, hits = look_up(question, earlier, search, retriever.rarity)
        right = dict(
            zip(WAYS, (found(own, row) for own in (search(question), search(" ".join([*earlier[-1:], question])), hits)), strict=True)
        )
        counted = counts[detect(" ".join(row["turns"])), row["half"], row["kind"]]
        counted.update([name for name, is_right in right.items() if is_right])
        counted.update(["of", *(["searched with another"] if query != question else [])])
        if not right["chat"] and (right["alone"] or right["joined"]):
            yield {"lost": row["turns"], "searched": query, "half": row["half"]}
    for (lang, half, kind), counted in sorted(counts.items()):
        yield {"lang": lang, "half": half, "kind": kind} | {name: counted[name] for name in ("of", *WAYS, "searched with another")}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("chains", type=Path, nargs="*", default=OWN)
    arguments.add_argument("--others", action="store_true", help="the files hold questions, not chains")
    arguments.add_argument("--documents", type=Path, default=EXAMPLES / "documents")
    given = arguments.parse_args()
    rows = [row for path in given.chains for row in read(path)]
    with tempfile.TemporaryDirectory() as place:
        retriever = indexed(given.documents, bundled_embedders(), IndexSettings(), Path(place))
        for line in measure(retriever, after_others(rows) if given.others else rows):
            print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
