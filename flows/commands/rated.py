"""`migaki questions add`: a rated answer of a chat becomes an item of a file of questions, by which the chatbot is judged from then on."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq

from flows.commands.questions import known
from storage.artifacts import ArtifactStore
from storage.chat_log import recover
from storage.chats import rated_conversations
from storage.files import replacing
from storage.home import Home
from storage.registry import champion_index
from tasks.chatbot.safety.learning import mask
from tasks.data.duplicates import normalised
from tasks.data.judgeable import faults
from tasks.data.normalise import questions
from tasks.data.records import Question
from tasks.data.rows import Malformed
from tasks.documents.parsed import Unreadable
from tasks.errors import MigakiError
from tasks.flywheel.harvest import own_words, reason_against
from tasks.flywheel.restricted import with_secrets
from tasks.rag.index_files import CHUNKS
from tasks.rag.labels import quoting, standing
from tasks.text.judging import accepts
from tasks.text.sentences import sentences

Row = dict[str, Any]


def add(home: Home, file: Path, conversation: str, turn: int | None, accept: list[str], document: str, out: TextIO) -> dict[str, Any]:
    """Write the item as a line at the end of a file, in the form of `examples/questions.*.jsonl`, and print and return it.

    Args:
        file: JSON lines, as `prepare.questions` names them; made where it is not there.
        turn: of the conversation, from 1; None takes the one that was rated.
        accept: strings of which any right answer contains one.
        document: that answers the question; "" takes the first one shown with the answer of which a passage holds an accepted string.

    Raises:
        MigakiError: there is no such rated answer, something of it must not leave the chats, or answers to the item could not be judged.
        StorageError: the index that serves cannot be read.
    """
    if file.suffix != ".jsonl":
        raise MigakiError(f"{str(file)!r} is no file of JSON lines: accepted is a name that ends in .jsonl")
    recover(home)
    index = champion_index(home)
    if index is None:
        raise MigakiError(
            "no index serves, so that no document is known that answers the question: run `migaki index --documents FOLDER` first"
        )
    store = ArtifactStore(home)
    folder = store.path(store.get(index.artifact_id))
    number, said = _rated(_turns(home, folder, conversation), conversation, turn)
    texts = _public_texts(folder)
    row = _row(said, accept, document or _answering(said, accept, texts), texts)
    _check(row, file, texts)
    _append(file, row)
    print(json.dumps(row, ensure_ascii=False, indent=2), file=out)
    if number > 1:
        print(f"turn {number} is asked by itself from now on, without what was said before it", file=out)
    return {"item": row, "file": str(file), "turn": number}


def _turns(home: Home, folder: Path, conversation: str) -> list[Row]:
    """The turns of a conversation in order, each with its `secret`."""
    turns = [asdict(turn) for turn in rated_conversations(home) if turn.conversation_id == conversation]
    if not turns:
        raise MigakiError(
            f"no answer of a conversation {conversation!r} was rated or corrected; "
            "`migaki sql \"SELECT conversation_id, content, rating FROM feedback JOIN messages USING (turn_id) WHERE role = 'user'\"` lists those that were"
        )
    said = [turn[name] for turn in turns for name in ("question", "answer", "correction") if turn[name]]
    return list(with_secrets(turns, standing(folder), quoting(folder, said)))


def _rated(turns: list[Row], conversation: str, wanted: int | None) -> tuple[int, Row]:
    """(number, turn) of the one that is wanted, of which nothing speaks against leaving the chats."""
    rated = [number for number, turn in enumerate(turns, 1) if turn["rating"] or turn["correction"]]
    numbers = ", ".join(map(str, rated)) or "none"
    if wanted is None and len(rated) != 1:
        raise MigakiError(f"of the conversation {conversation!r} more than one turn was rated, or none: {numbers}; name one with --turn")
    number = rated[0] if wanted is None else wanted
    if number not in rated:
        raise MigakiError(f"turn {number} of the conversation {conversation!r} was not rated; rated were {numbers}")
    turn = turns[number - 1]
    if reason := reason_against(turn):
        raise MigakiError(f"turn {number} of the conversation {conversation!r} stays in the chats: {reason}")
    return number, turn


def _public_texts(folder: Path) -> dict[str, str | Unreadable]:
    """What the documents of an index say that everybody may see, by name."""
    found: dict[str, list[str]] = {}
    for row in pq.read_table(folder / CHUNKS, columns=["document", "title", "text", "allowed"]).to_pylist():
        if not row["allowed"]:
            found.setdefault(row["document"], [row["title"]]).append(row["text"])
    return {name: "\n".join(texts) for name, texts in found.items()}


def _answering(turn: Row, accept: list[str], texts: dict[str, str | Unreadable]) -> str:
    for name in dict.fromkeys(source["document"] for source in turn["sources"]):
        text = texts.get(name)
        if isinstance(text, str) and accepts(text, accept):
            return str(name)
    shown = ", ".join(sorted({source["document"] for source in turn["sources"]})) or "none"
    raise MigakiError(
        f"none of the documents shown with the answer ({shown}) holds {' or '.join(map(repr, accept))}: name the one that does with --document"
    )


def _row(turn: Row, accept: list[str], document: str, texts: dict[str, str | Unreadable]) -> Row:
    """The item, personal data masked. The answer is the correction, or a liked answer in the model's own words; else what is accepted stands for it."""
    liked = own_words(turn)["answer"] if turn["rating"] == 1 and not turn["quoted"] else ""
    answer = mask(turn["correction"] or liked).text.strip()
    text = texts.get(document)
    if not isinstance(text, str):
        raise MigakiError(f"the document {document!r} is not in the index that serves, or not for everybody to see")
    others = dict.fromkeys(source["document"] for source in turn["sources"])
    also = [name for name in others if name != document and isinstance(own := texts.get(name), str) and accepts(own, accept)]
    row = {"question": mask(turn["question"]).text.strip(), "answer": answer or accept[0], "accept": accept, "document": document}
    evidence = next((own for line in text.splitlines() for own in sentences(line) if accepts(own, accept)), "")
    return row | ({"evidence": [evidence]} if evidence else {}) | ({"also": also} if also else {})


def _check(row: Row, file: Path, texts: dict[str, str | Unreadable]) -> None:
    """Raises:
    MigakiError: answers to the item could not be judged, or the file has it.
    """
    try:
        (item,) = (one for one in questions(row, str(file)) if isinstance(one, Question))
    except Malformed as error:
        raise MigakiError(f"the item cannot be judged: {error}") from error
    if found := faults(item, texts):
        raise MigakiError(f"the item cannot be judged: {'; '.join(found)}")
    if file.exists() and any(
        (normalised(own.question), own.document) == (normalised(item.question), item.document) for own in known(str(file))
    ):
        raise MigakiError(f"{str(file)!r} asks {item.question!r} about {item.document!r} already")


def _append(file: Path, row: Row) -> None:
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    with replacing(file) as draft:
        draft.write_text(
            before + ("\n" if before and not before.endswith("\n") else "") + json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8"
        )
