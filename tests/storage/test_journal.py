"""What was acknowledged is on the disk and gets into the catalog once, whatever ends the process that took it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from storage import chat_log, chats, journal
from storage.audit import Who
from storage.catalog import Catalog
from storage.chat_log import ChatLog, Conversation, recover
from storage.home import Home
from storage.journal import Journal, abandoned
from tests import ROOT
from tests.helpers.turns import turn

WHO = Who("ann", "page")

TALKER = """
import sys
from pathlib import Path
from storage.chat_log import ChatLog, Conversation
from storage.home import Home
from tests.helpers.turns import turn
own = sys.argv[2]
with ChatLog(Home(Path(sys.argv[1])), delay=0.02, on_log=lambda line: None) as log:
    i = 0
    while True:
        i += 1
        name = log.begin_conversation(Conversation("m", "i", "web", "ann"))
        log.keep_turn(name, turn(f"{own}-{i}", question=f"質問 {i}"))
        if i % 5 == 0:
            log.rate(f"{own}-{i}", "ann", 1, "better")
            print("rated", f"{own}-{i}", flush=True)
        print("kept", f"{own}-{i}", flush=True)
"""


def left(home: Home) -> list:
    return list((home.root / "journal").glob("*"))


def kept(home: Home) -> list[str]:
    return [row["turn_id"] for row in Catalog.of(home).query("SELECT turn_id FROM messages WHERE role = 'assistant' ORDER BY turn_id")]


def talked(home: Home, *names: str, ended: bool = False) -> None:
    """Turns that a process took; it ended before they were in the catalog, as far as anybody can tell."""
    log = Journal(home)
    for name in names:
        conversation = Conversation("m", "i", "web", "ann")
        rows = chat_log.Batch([vars(conversation)], chat_log._message_rows(conversation.conversation_id, turn(name)))
        log.sync(log.write({"conversations": rows.conversations, "messages": rows.messages, "decisions": []}))
        if ended:
            rows.write(home)
    log.close()


def test_what_a_process_left_is_entered_once_by_the_next(home):
    talked(home, "t1", "t2")
    assert kept(home) == [] and recover(home) == 6 and kept(home) == ["t1", "t2"]
    assert recover(home) == 0 and left(home) == [] and kept(home) == ["t1", "t2"]
    (row, _) = chats.conversations(home, "ann")
    said = chats.messages(home, row.conversation_id, "ann")
    assert [message.ordinal for message in said] == [0, 1] and said[1].sources[0]["chunk_id"] == "c1"


def test_what_was_entered_before_its_journal_was_removed_is_not_entered_again(home):
    talked(home, "t1", ended=True)
    recover(home)
    assert kept(home) == ["t1"] and left(home) == []


@pytest.mark.parametrize("torn", [b"9", b"900 0000", b'12 00000000 {"messages":', b"\x00" * 50, b'17 ffffffff {"messages": []}\n'])
def test_what_was_being_written_is_passed_over(home, torn):
    talked(home, "t1")
    (segment,) = (home.root / "journal").glob("*/*.log")
    with segment.open("ab") as file:
        file.write(torn)
    recover(home)
    assert kept(home) == ["t1"] and left(home) == []


def test_the_journal_of_a_process_that_lives_is_let_alone(home):
    alive = Journal(home)
    alive.sync(alive.write({"messages": []}))
    with abandoned(home) as records:
        assert records == []
    assert len(left(home)) == 1
    alive.close()


def test_a_catalog_that_cannot_be_written_leaves_the_journal_to_the_next_start(home, monkeypatch):
    write = chat_log.Batch.write

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(chat_log.Batch, "write", fail)
    told = []
    with ChatLog(home, delay=0.01, on_log=told.append) as log:
        log.keep_turn(log.begin_conversation(Conversation("m", "i", "web")), turn("t1"))
    assert "entered at the next start" in told[-1] and len(left(home)) == 1
    assert all(path.stat().st_mode & 0o077 == 0 for path in (home.root / "journal").rglob("*"))
    with ChatLog(home, delay=0.01, on_log=told.append) as log:
        assert "cannot be entered for now" in told[-1]
    monkeypatch.setattr(chat_log.Batch, "write", write)
    with ChatLog(home):
        assert kept(home) == ["t1"]
    assert left(home) == []


def test_a_conversation_deleted_while_it_is_answered_does_not_come_back(home):
    with ChatLog(home, delay=60) as log:
        name = log.begin_conversation(Conversation("m", "i", "web", "ann"))
        log.keep_turn(name, turn("t1"))
        log.delete_conversation(name, "ann", WHO)
        log.keep_turn(name, turn("t2"))
    assert kept(home) == [] and left(home) == []


def test_many_threads_share_what_is_put_on_the_disk(home, monkeypatch):
    synced, sync = [], os.fdatasync
    monkeypatch.setattr(journal.os, "fdatasync", lambda file: (synced.append(file), time.sleep(0.01), sync(file)))
    log = Journal(home)
    threads = [threading.Thread(target=lambda i=i: log.sync(log.write({"row": i}))) for i in range(64)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    log.close()
    assert len(synced) < 32
    with abandoned(home) as records:
        assert sorted(record["row"] for record in records) == list(range(64))


def test_a_full_disk_is_told_and_costs_nothing_that_was_kept(home):
    """By a limit on the size of files, which a process can only set for itself."""
    code = f"""
import resource, signal
from pathlib import Path
from storage.home import Home
from storage.journal import Journal
home = Home(Path({str(home.root)!r}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = Journal(home)
log.sync(log.write({{"row": 0}}))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
failed = 0
for row in range(1, 60):
    try:
        log.sync(log.write({{"row": row, "text": "x" * (40 if row % 2 else 4000)}}))
    except OSError:
        failed += 1
print(failed)
log.close()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 30 <= int(done.stdout) < 59
    with abandoned(home) as records:
        rows = [record["row"] for record in records]
    assert rows == sorted(rows) and rows[0] == 0 and len(rows) == 60 - int(done.stdout)


def test_it_is_bounded(home, monkeypatch):
    monkeypatch.setattr(journal, "MAX_BYTES", 1000)
    log = Journal(home)
    with pytest.raises(OSError, match="1,000 bytes"):
        for _ in range(100):
            log.write({"text": "x" * 50})
    log.drop(log.rotate())
    log.sync(log.write({"text": "y"}))
    log.close()


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_processes_are_killed(home):
    said = []
    for own in range(6):
        process = subprocess.Popen([sys.executable, "-c", TALKER, home.root, f"p{own}"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said += [process.stdout.readline() for _ in range(1 + 3 * own)]
        threading.Timer(0.1 + 0.013 * own, process.send_signal, [signal.SIGKILL]).start()  # somewhere in a write, a sync or the keeping
        said += process.stdout.readlines()
        process.wait()
    recover(home)
    there = kept(home)
    told = {kind: {line.split()[1] for line in said if line.startswith(kind) and line.endswith("\n")} for kind in ("kept", "rated")}
    assert len(told["kept"]) > 30 and told["kept"] <= set(there) and len(there) == len(set(there))
    rated = [row["turn_id"] for row in Catalog.of(home).query("SELECT turn_id FROM feedback")]
    assert told["rated"] <= set(rated) and len(rated) == len(set(rated)) and left(home) == []
