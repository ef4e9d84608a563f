"""The chatbot of a fresh home: documents indexed, nothing trained, the base model behind it, asked through the engine that serves.

    MIGAKI_HOME=$(mktemp -d) python benchmarks/fresh_home.py handbook DOCUMENTS FOLDER   # with questions, unanswerable and smalltalk.jsonl
    MIGAKI_HOME=$(mktemp -d) python benchmarks/fresh_home.py squad FILE.json [--limit 1000]

An answer is correct where it is `answered`, holds a string of `accept`, is short enough to read at a glance and has no sentence without support; wrong
where it is `answered` without one. `handbook` asks its questions as they are, what the documents do not answer, and small talk; what is reported are the
odd lines (the bundled calibration was fitted on the even ones) and all. `squad` has a paragraph to a document, and asks each question as it is and with
its own paragraph left out of the search. 95 % intervals (Wilson); seconds to the first word are of one question at a time.
"""

import argparse
import copy
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.serving.engine import open_engine
from storage.home import Home
from tasks.chatbot.engine import ChatEngine
from tasks.chatbot.events import Ended, Piece
from tasks.evaluation.verdict import Verdict, judged
from tasks.statistics import wilson_interval

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Question:
    """What is asked, what any right answer contains, and which documents answer it."""

    text: str
    accept: Sequence[str] = ()
    documents: Sequence[str] = ()
    lang: str = ""
    odd: bool = True


@dataclass(frozen=True)
class Found:
    """How an answer ended."""

    question: Question
    outcome: str
    verdict: Verdict
    first_word: float


def ask(engine: ChatEngine, question: Question) -> Found:
    """The question in a conversation of its own."""
    start, first, turn = time.perf_counter(), 0.0, None
    for event in engine.answer(engine.conversation(), question.text):
        if isinstance(event, Piece) and not first:
            first = time.perf_counter() - start
        if isinstance(event, Ended):
            turn = event.turn
    assert turn is not None
    return Found(question, turn.reason, judged(turn, question.accept, question.documents, not question.documents), first)


def share(found: Sequence[bool]) -> str:
    low, high = wilson_interval(sum(found), len(found))
    return f"{sum(found) / max(1, len(found)):.3f} [{low:.3f}, {high:.3f}] of {len(found)}"


def answerable(found: Sequence[Found]) -> dict[str, str]:
    """Figures of questions that the documents answer."""
    return {
        "correct": share([bool(one.verdict.correct) for one in found]),
        "wrong": share([bool(one.verdict.wrong) for one in found]),
        "unsure": share([one.verdict.unsure for one in found]),
        "turned away": share([one.verdict.turned_away for one in found]),
        "right source shown": share([bool(one.verdict.right_source) for one in found]),
    }


def unanswerable(found: Sequence[Found]) -> dict[str, str]:
    """Figures of questions that nothing searched answers; wrong is an answer without what the question asks for, where that is known."""
    return {
        "told": share([one.outcome in ("unanswered", "unsure") for one in found]),
        "unsure": share([one.verdict.unsure for one in found]),
        "answered without an accept": share([one.outcome == "answered" and not one.verdict.accepted for one in found]),
    }


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def indexed(documents: Path) -> ChatEngine:
    """The engine of the home, as `migaki index --documents FOLDER` and `migaki serve` make it."""
    command = [sys.executable, "-m", "flows.commands.main", "index", "--documents", str(documents)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    home = Home.current()
    engine = open_engine(home, None, {}).engine
    engine.retriever = engine.retriever.serving.retriever  # type: ignore[union-attr]  # of which documents can be left out
    return engine


def without(engine: ChatEngine, documents: Iterable[str]) -> ChatEngine:
    """The engine as if its index had not these documents."""
    other = copy.copy(engine)
    other.retriever = engine.retriever.without(set(documents))  # type: ignore[union-attr]
    return other


def handbook(documents: Path, folder: Path) -> None:
    engine = indexed(documents)
    names = sorted(set(engine.retriever.chunks["document"].to_pylist()))  # type: ignore[union-attr]
    rows = {name: read(folder / f"{name}.jsonl") for name in ("questions", "unanswerable", "smalltalk")}
    for lang in ("en", "ja"):
        own = {name: [row for row in found if row["lang"] == lang] for name, found in rows.items()}
        asked = []
        for place, row in enumerate(own["questions"]):
            right = [name for name in names if name.endswith((row["document"], *row.get("also", [])))]
            asked.append(ask(engine, Question(row["question"], row["accept"], right, lang, place % 2 == 1)))
        others = [ask(engine, Question(row["question"], (), (), lang, place % 2 == 1)) for place, row in enumerate(own["unanswerable"])]
        talk = [ask(engine, Question(row["question"])) for row in own["smalltalk"]]
        for part, keep in (("reported half", lambda one: one.question.odd), ("all", lambda one: True)):
            figures = answerable([one for one in asked if keep(one)]) | {"unanswerable": unanswerable([one for one in others if keep(one)])}
            print(json.dumps({"lang": lang, "part": part} | figures, ensure_ascii=False), flush=True)
        print(json.dumps({"lang": lang, "small talk without sources": share([one.verdict.turned_away for one in talk])}), flush=True)
        print(json.dumps({"lang": lang, "first word p50": round(statistics.median(one.first_word for one in asked), 3)}), flush=True)


def squad(file: Path, limit: int) -> None:
    questions = []
    with tempfile.TemporaryDirectory() as place:
        for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                name = f"p{len(list(Path(place).iterdir())):05}.txt"
                (Path(place) / name).write_text(paragraph["context"], encoding="utf-8")
                for row in paragraph["qas"]:
                    questions.append(Question(row["question"], [answer["text"] for answer in row["answers"]], [name]))
        random.Random(0).shuffle(questions)
        engine = indexed(Path(place))
        asked = [ask(engine, question) for question in questions[: limit or None]]
        others = [ask(without(engine, one.question.documents), Question(one.question.text, one.question.accept)) for one in asked]
    print(json.dumps({"set": file.name} | answerable(asked) | {"own paragraph left out": unanswerable(others)}, ensure_ascii=False))
    print(json.dumps({"first word p50": round(statistics.median(one.first_word for one in asked), 3)}))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = arguments.add_subparsers(dest="command", required=True)
    book, paragraphs = commands.add_parser("handbook"), commands.add_parser("squad")
    book.add_argument("documents", type=Path)
    book.add_argument("folder", type=Path)
    paragraphs.add_argument("file", type=Path)
    paragraphs.add_argument("--limit", type=int, default=0, help="ask only so many questions; 0 asks all")
    given = arguments.parse_args()
    if given.command == "handbook":
        handbook(given.documents, given.folder)
    else:
        squad(given.file, given.limit)


if __name__ == "__main__":
    main()
