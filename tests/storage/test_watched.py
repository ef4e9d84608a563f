"""What is asked of the catalog to watch a chatbot."""

from datetime import datetime, timedelta

import pytest

from storage import chat_log, chats
from storage.audit import Who
from storage.catalog import Catalog, insert
from storage.chat_log import Conversation
from storage.queries.watched import (
    IndexedText,
    ReleaseFigure,
    WatchedTurn,
    answers,
    index_before,
    indexed_texts,
    questions,
    release_figures,
)
from tests.helpers.turns import turn

LONG_AGO, NOON = datetime(2020, 1, 1), datetime(2026, 11, 23, 12)


def dated(home, times: dict[str, datetime]) -> None:
    with Catalog.of(home).write() as connection:
        for name, time in times.items():
            connection.execute("UPDATE messages SET ts = ? WHERE turn_id = ?", [time, name])


@pytest.fixture
def talk(home):
    """A conversation of three answers, of which one was rated."""
    name = chat_log.begin_conversation(home, Conversation("m", "i1", "page", owner="ann"))
    said = [{"text": "一", "cites": (1, 3), "supported": True}, {"text": "二", "cites": (), "supported": False}]
    sources = [
        {"number": number, "chunk_id": "c", "document": document, "text": "t"}
        for number, document in ((1, "b.md"), (2, "no.md"), (3, "庭.md"))
    ]
    chat_log.keep_turn(home, name, turn("t1", sentences=said, sources=sources, index="i1"))
    chat_log.keep_turn(home, name, turn("t2", question="駐車場は?", reason="unanswered", sources=[], sentences=[], index="i2"))
    chat_log.keep_turn(home, name, turn("t3", quoted=True, index="i2"))
    chats.rate(home, "t1", "ann", -1, "違います")
    dated(home, {"t1": NOON, "t2": NOON + timedelta(days=1), "t3": NOON + timedelta(days=2)})
    return name


def test_answers_are_counted_and_cite_what_their_sentences_cite(home, talk):
    first, second, third = answers(home, LONG_AGO)
    assert first == WatchedTurn("t1", talk, NOON, "ja", "answered", "stop", -1, 0.5, 2, 1, False, ["b.md", "庭.md"])
    assert (second.reason, second.sentences, second.supported, second.documents, second.rating) == ("unanswered", 0, 0, [], 0)
    assert (third.quoted, third.documents) == (True, ["a.md"])
    assert [one.turn_id for one in answers(home, NOON + timedelta(hours=1))] == ["t2", "t3"]


def test_what_was_deleted_is_neither_counted_nor_read(home, talk):
    assert questions(home, ["t1", "t2", "gone"]) == {"t1": "量子化とは?", "t2": "駐車場は?"}
    chats.delete_conversation(home, talk, "ann", Who("ann", "page"))
    assert questions(home, ["t1", "t2"]) == {} and answers(home, LONG_AGO) == []


def test_an_empty_home(home):
    assert answers(home, LONG_AGO) == [] and release_figures(home) == [] and indexed_texts(home, "i") == []
    assert index_before(home, NOON) is None and questions(home, []) == {}


def test_documents_are_known_since_their_text_was_first_indexed(home, talk):
    with Catalog.of(home).write() as connection:
        for name, created in (("i1", NOON - timedelta(days=9)), ("i2", NOON)):
            insert(connection, "artifacts", [{"artifact_id": name, "kind": "index", "stage": "index", "uri": name, "created": created}])
        rows = [("i1", "a.md", "1"), ("i1", "b.md", "1"), ("i2", "a.md", "1"), ("i2", "b.md", "2"), ("i2", "庭.md", "3")]
        named = [{"artifact_id": i, "document_id": f"{d}{s}", "path": d, "sha256": s, "status": "indexed"} for i, d, s in rows]
        insert(connection, "documents", [*named, {"artifact_id": "i2", "document_id": "x", "path": "x.md", "status": "skipped"}])
    assert indexed_texts(home, "i2") == [
        IndexedText("a.md", "1", NOON - timedelta(days=9)),
        IndexedText("b.md", "2", NOON),
        IndexedText("庭.md", "3", NOON),
    ]
    assert (index_before(home, NOON), index_before(home, NOON + timedelta(minutes=1))) == (None, "i1")


def test_a_release_has_the_figures_of_the_evaluation_that_it_was_decided_on_by_last(home):
    def decided(release: str, evaluation: str | None, day: int, decision: str = "keep") -> dict:
        return {"release_id": release, "evaluation_id": evaluation, "decision": decision, "reason": "r", "ts": NOON + timedelta(days=day)}

    def figure(evaluation: str, value: float, model: str = "release", metric: str = "chat.correct") -> dict:
        row = {"artifact_id": evaluation, "model": model, "metric": metric, "lang": "ja", "value": value}
        return row | {"low": value - 0.1, "high": value + 0.1, "items": 40}

    with Catalog.of(home).write() as connection:
        decisions = [
            decided("r2", "e2", 2, "pending"),
            decided("r1", "e1", 0),
            decided("r2", "e3", 3, "promote"),
            decided("r3", None, 4, "rollback"),
        ]
        insert(connection, "promotions", decisions)
        figures = [
            figure("e1", 0.5),
            figure("e1", 0.9, "champion"),
            figure("e2", 0.1),
            figure("e3", 0.7),
            figure("e3", 0.8, "index", "hit_at_5"),
        ]
        insert(connection, "evaluations", figures)
    assert release_figures(home) == [
        ReleaseFigure("r1", NOON, False, "chat.correct", "ja", 0.5, 0.4, 0.6, 40),
        ReleaseFigure("r2", NOON + timedelta(days=2), True, "chat.correct", "ja", 0.7, pytest.approx(0.6), pytest.approx(0.8), 40),
        ReleaseFigure("r2", NOON + timedelta(days=2), True, "hit_at_5", "ja", 0.8, pytest.approx(0.7), pytest.approx(0.9), 40),
    ]
