"""Chats in the catalog: an owner sees only what is theirs, nothing taken is lost, and many users cost few writes."""

import threading
import time

import pytest

from storage import chat_log, chats
from storage.audit import Who
from storage.catalog import Catalog, insert
from storage.chat_log import ChatLog, Conversation, SafetyDecision
from storage.chats import UnknownChat
from storage.home import StorageError
from tests.helpers.turns import turn

WHO = Who("ann", "page")


def test_a_turn_comes_back_as_it_was_said(home):
    with Catalog.of(home).write() as connection:
        insert(connection, "chunks", [{"chunk_id": "c1", "document_id": "d", "ordinal": 0, "text": "量子化は重みを小さくする。"}])
    name = chat_log.begin_conversation(home, Conversation("m", "i", "web", owner="ann"))
    chat_log.keep_turn(home, name, turn("t1", answer=" 重みを小さくします。\n"))
    chat_log.keep_turn(home, name, turn("t2", question="Why?", sources=[], sentences=[], calls=[]))
    asked, answered, again, last = chats.messages(home, name, "ann")
    assert [row.ordinal for row in (asked, answered, again, last)] == [0, 1, 2, 3]
    assert (asked.role, asked.content, asked.sources) == ("user", "量子化とは?", [])
    assert answered.content == "重みを小さくします。" and answered.turn_id == asked.turn_id == "t1"
    assert answered.sources[0]["text"] == "量子化は重みを小さくする。" and answered.sources[0]["heading"] == "A > B"
    assert answered.sentences[0]["supported"] is True and answered.sentences[0]["cites"] == [1]
    assert answered.calls == [{"name": "calculate", "arguments": {"expression": "1+1"}, "ok": True, "content": "2"}]
    assert (last.reason, last.finish, last.tokens, last.confidence, last.sources) == ("answered", "stop", 7, 0.75, [])


def test_the_text_of_sources_is_not_copied_into_messages_and_may_be_gone(home):
    name = chat_log.begin_conversation(home, Conversation("m", None, "web"))
    chat_log.keep_turn(home, name, turn("t1"))
    assert "long text" not in str(Catalog.of(home).query("SELECT * FROM messages"))
    assert chats.messages(home, name, "")[1].sources[0]["text"] == ""


def test_nobody_reads_rates_or_deletes_what_is_somebody_elses(home):
    name = chat_log.begin_conversation(home, Conversation("m", "i", "web", owner="ann"))
    chat_log.keep_turn(home, name, turn("t1"))
    for owner in ("bob", ""):
        assert chats.conversations(home, owner) == []
        for act in (
            lambda: chats.messages(home, name, owner),
            lambda: chats.delete_conversation(home, name, owner, WHO),
            lambda: chats.rate(home, "t1", owner, 1),
        ):
            with pytest.raises(UnknownChat):
                act()
    assert [row.conversation_id for row in chats.conversations(home, "ann")] == [name]
    assert chats.messages(home, name, "ann")[1].rating is None


def test_the_list_names_conversations_by_title_or_first_question_latest_first(home):
    first = chat_log.begin_conversation(home, Conversation("m", "i", "web", "ann", title="Mine"))
    second = chat_log.begin_conversation(home, Conversation("m", "i", "web", "ann"))
    chat_log.begin_conversation(home, Conversation("m", "i", "web", "ann"))  # nothing was said in it
    chat_log.keep_turn(home, second, turn("t2", question="長い質問" * 40))
    chat_log.keep_turn(home, first, turn("t1"))
    listed = chats.conversations(home, "ann")
    assert [(row.conversation_id, row.turns) for row in listed] == [(first, 1), (second, 1)]
    assert listed[0].title == "Mine" and listed[1].title == ("長い質問" * 40)[:60]


def test_the_last_rating_counts_and_can_be_taken_back(home):
    name = chat_log.begin_conversation(home, Conversation("m", "i", "web", "ann"))
    chat_log.keep_turn(home, name, turn("t1"))

    def said() -> tuple:
        answer = chats.messages(home, name, "ann")[1]
        return answer.rating, answer.correction

    chats.rate(home, "t1", "ann", -1, " もっと短く。 ")
    assert said() == (-1, "もっと短く。")
    chats.rate(home, "t1", "ann", 1)
    assert said() == (1, None) and chats.messages(home, name, "ann")[0].rating is None
    chats.rate(home, "t1", "ann", 0)
    assert said() == (None, None) and Catalog.of(home).query("SELECT * FROM feedback") == []
    with pytest.raises(StorageError, match="not 5"):
        chats.rate(home, "t1", "ann", 5)


def test_deleting_leaves_nothing_of_a_conversation_and_all_of_the_others(home):
    gone, kept = (chat_log.begin_conversation(home, Conversation("m", "i", "web", "ann")) for _ in range(2))
    for name, conversation in (("t1", gone), ("t2", kept)):
        chat_log.keep_turn(home, conversation, turn(name))
        chats.rate(home, name, "ann", 1)
        chat_log.keep_decisions(home, [SafetyDecision(name, "input", "ok", False, 0.1, "ja")])
    chats.delete_conversation(home, gone, "ann", WHO)
    for table in ("conversations", "messages", "feedback", "safety_decisions"):
        rows = Catalog.of(home).query(f"SELECT * FROM {table}")
        assert rows and all(row.get("turn_id", "t2") == "t2" and row.get("conversation_id", kept) == kept for row in rows), table


def test_many_threads_share_writes_and_nothing_is_lost_or_mixed(home, monkeypatch):
    writes = []
    write = chat_log.Batch.write
    monkeypatch.setattr(chat_log.Batch, "write", lambda batch, home: (writes.append(len(batch)), write(batch, home)))

    def talk(log: ChatLog, owner: str) -> None:
        name = log.begin_conversation(Conversation("m", "i", "web", owner))
        for i in range(10):
            log.keep_turn(name, turn(f"{owner}-{i}", question=f"{owner} {i}"))

    with ChatLog(home, delay=0.05) as log:
        threads = [threading.Thread(target=talk, args=(log, f"user{i}")) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(writes) == 16 * 21 and len(writes) < 40
    for i in range(16):
        (conversation,) = chats.conversations(home, f"user{i}")
        said = chats.messages(home, conversation.conversation_id, f"user{i}")
        assert [row.content for row in said if row.role == "user"] == [f"user{i} {n}" for n in range(10)]
        assert [row.ordinal for row in said] == list(range(20))


def test_what_waits_is_read_and_rated_at_once(home):
    with ChatLog(home, delay=60) as log:
        name = log.begin_conversation(Conversation("m", "i", "web", "ann"))
        log.keep_turn(name, turn("t1"))
        assert len(log.messages(name, "ann")) == 2
        log.keep_turn(name, turn("t2"))
        log.rate("t2", "ann", 1)
        log.keep_turn(name, turn("t3"))
        assert log.conversations("ann")[0].turns == 3
        log.delete_conversation(name, "ann", WHO)
        assert log.conversations("ann") == []


def test_it_is_written_within_the_delay_without_anybody_asking(home):
    with ChatLog(home, delay=0.05) as log:
        name = log.begin_conversation(Conversation("m", "i", "web"))
        log.keep_turn(name, turn("t1"))
        until = time.monotonic() + 10
        while [row.turns for row in chats.conversations(home, "")] != [1] and time.monotonic() < until:
            time.sleep(0.02)
        assert len(chats.messages(home, name, "")) == 2


def test_a_catalog_that_cannot_be_written_costs_no_turn_when_it_can_again(home, monkeypatch):
    told, write = [], chat_log.Batch.write

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(chat_log.Batch, "write", fail)
    log = ChatLog(home, delay=0.01, limit=5, on_log=told.append)
    name = log.begin_conversation(Conversation("m", "i", "web"))
    log.keep_turn(name, turn("t1"))
    with pytest.raises(OSError, match="disk full"):
        log.flush()
    log.keep_turn(name, turn("t2"))
    with pytest.raises(OSError, match="5 rows of chats wait"):
        log.keep_turn(name, turn("t3"))
    monkeypatch.setattr(chat_log.Batch, "write", write)
    log.close()
    assert [row.turn_id for row in chats.messages(home, name, "")] == ["t1", "t1", "t2", "t2"]
    assert not list((home.root / "journal").iterdir())


def test_what_is_being_written_counts_as_waiting(home, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def fail(*_):
        begun.set()
        go_on.wait(30)
        raise OSError("disk full")

    monkeypatch.setattr(chat_log.Batch, "write", fail)
    log = ChatLog(home, delay=0.01, limit=5, on_log=lambda _: None)
    name = log.begin_conversation(Conversation("m", "i", "web"))
    log.keep_turn(name, turn("t1"))
    assert begun.wait(30)
    log.keep_turn(name, turn("t2"))
    with pytest.raises(OSError, match="5 rows of chats wait"):
        log.keep_turn(name, turn("t3"))
    monkeypatch.undo()
    go_on.set()
    log.close()
    assert [row.turn_id for row in chats.messages(home, name, "")] == ["t1", "t1", "t2", "t2"]


def test_rated_conversations_have_every_turn_with_its_rating_and_flags(home):
    talked, silent = (chat_log.begin_conversation(home, Conversation("m", "i", "web", "ann")) for _ in range(2))
    chat_log.keep_turn(home, silent, turn("s1"))
    for name in ("t1", "t2"):
        chat_log.keep_turn(home, talked, turn(name))
    chats.rate(home, "t2", "ann", -1, "better")
    chat_log.keep_decisions(
        home,
        [
            SafetyDecision("t1", "document", "injection.instructions", False, 0.9, "en"),
            SafetyDecision("t1", "input", "private.email", False, 0.9, "en"),
        ],
    )
    first, second = chats.rated_conversations(home)
    assert (first.turn_id, first.rating, first.flags) == ("t1", None, ["injection.instructions"])
    assert (second.turn_id, second.rating, second.correction, second.flags) == ("t2", -1, "better", [])
    assert second.sentences[0]["supported"] is True and second.question == "量子化とは?"
