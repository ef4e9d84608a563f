"""Which release serves moves in one transaction, with its models; one of two promotes at a moment wins; what served before is known."""

import json
import multiprocessing
from datetime import datetime

import duckdb
import pytest

from storage import releases
from storage.artifacts import ArtifactStore
from storage.catalog import MIGRATIONS, Catalog, insert, newest_migration
from storage.chat_log import ChatLog, recover
from storage.home import Home, StorageError
from storage.journal import Journal
from storage.kinds import Release
from storage.registry import champion, rebuild, register
from storage.releases import Promotion, before_champion, champion_release, crown_first, newest_releases, record_promotion, release_named
from tests.helpers.releases import decide, kept, promoted

OLD = "2026-01-01T00:00:00"


def model(home: Home, name: str) -> str:
    store = ArtifactStore(home)
    facts = {"stage": "quantize", "run_id": "r", "settings": {}, "inputs": {}, "model": None, "seconds": 0.0, "created": OLD}
    with store.draft("model", name) as folder:
        ref = store.commit(folder, facts | {"meta": {"precision": "fp32"}})
    register(home, ref)
    return ref.id


def stages(home: Home) -> tuple[dict[str, str], dict[str, str]]:
    """Of releases and of models, by id."""
    query = Catalog.of(home).query
    return (
        {row["release_id"]: row["stage"] for row in query("SELECT release_id, stage FROM releases")},
        {row["model_id"]: row["stage"] for row in query("SELECT model_id, stage FROM models")},
    )


def test_a_promotion_moves_releases_and_models(home):
    first, second, third = (kept(home, model(home, f"model{i}")) for i in "123")
    for release, decision in ((first, "promote"), (second, "keep"), (third, "inconclusive"), (third, "promote")):
        decide(home, release, decision)
    assert stages(home) == (
        {first: "archived", second: "rejected", third: "champion"},
        {"model1": "archived", "model2": "rejected", "model3": "champion"},
    )
    assert champion_release(home).release_id == third and champion(home).model_id == "model3"
    rows = Catalog.of(home).query("SELECT release_id, champion_release_id, model_id, champion_id, decision FROM promotions ORDER BY ts")
    assert rows[-1] == {
        "release_id": third, "champion_release_id": first, "model_id": "model3", "champion_id": "model1", "decision": "promote",
    }  # fmt: skip


def test_what_serves_is_not_rejected_with_another_release_of_its_model(home):
    serves = promoted(home, model(home, "model1"))
    for decision in ("keep", "inconclusive"):
        other = kept(home, "model1", chat={"decision": decision})
        decide(home, other, decision)
        assert stages(home)[1] == {"model1": "champion"} and champion_release(home).release_id == serves
    promoted(home, "model1", chat={"temperature": 1.0})
    assert stages(home)[0][serves] == "archived" and stages(home)[1] == {"model1": "champion"}


def test_a_server_has_no_model_that_is_the_champion(home):
    promoted(home, model(home, "model1"))
    release = promoted(home, "", server="http://127.0.0.1:9", server_model="m")
    assert champion(home) is None and champion_release(home).release_id == release and champion_release(home).artifact_id is None
    assert stages(home)[1] == {"model1": "archived"}


def test_a_decision_that_fails_halfway_moves_nothing(home, monkeypatch):
    first, second = promoted(home, model(home, "model1")), kept(home, model(home, "model2"))
    before = stages(home)

    def fail(*_):
        raise RuntimeError("killed")

    monkeypatch.setattr(releases, "_move", fail)
    with pytest.raises(RuntimeError):
        decide(home, second)
    assert stages(home) == before and champion_release(home).release_id == first
    assert Catalog.of(home).query("SELECT count(*) AS n FROM promotions")[0]["n"] == 1


def promote_against(home: Home, release: str, champion_id: str, barrier) -> str:
    barrier.wait()
    try:
        record_promotion(home, Promotion(release, release, "promote", "race", champion_release_id=champion_id))
    except StorageError as error:
        return str(error)
    return "won"


def test_of_two_promotes_at_once_one_wins_and_the_other_is_told(home):
    first, *others = promoted(home, model(home, "model1")), *(kept(home, model(home, f"model{i}")) for i in "2345")
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(4) as pool:
        barrier = manager.Barrier(4)
        said = pool.starmap(promote_against, [(home, release, first, barrier) for release in others])
    assert said.count("won") == 1 and champion_release(home).release_id == others[said.index("won")]
    assert sum("another release was promoted meanwhile" in one and first[:12] in one for one in said) == 3
    assert Catalog.of(home).query("SELECT count(*) AS n FROM promotions")[0]["n"] == 2
    assert list(stages(home)[0].values()).count("champion") == list(stages(home)[1].values()).count("champion") == 1


def test_going_back_goes_further_back_each_time(home):
    a, b, c = (promoted(home, model(home, f"model{i}")) for i in "123")
    back = []
    while (former := before_champion(home)) is not None:
        decide(home, former, "rollback")
        back.append(former)
    assert back == [b, a] and champion_release(home).release_id == a
    decide(home, c)  # again, over the first
    assert before_champion(home) == a
    decide(home, kept(home, "model2", chat={"x": 1}), "keep")
    assert before_champion(home) == a  # what was not promoted never served


def test_a_release_is_found_by_the_beginning_of_its_id(home):
    release = kept(home, model(home, "model1"))
    assert release_named(home, release[:8]).release_id == release_named(home, release).release_id == release
    kept(home, "model1", chat={"x": 1})
    for prefix, complaint in (("", "2 releases"), ("zz", "0 releases.*migaki status"), ("model1", "0 releases.*it is a model's, which")):
        with pytest.raises(StorageError, match=complaint):
            release_named(home, prefix)


def test_a_release_names_a_model_or_a_server():
    rest = {"templates": {}, "chat": {}, "answering": {}, "tools": {}, "safety": {}}
    with pytest.raises(ValueError, match="either a model or a server"):
        Release(**rest)
    with pytest.raises(StorageError, match="no whole release: .*either a model or a server"):
        Release.of(rest | {"model": "m", "server": "http://s"})
    with pytest.raises(StorageError, match=r"answering\.ja"):
        Release.of(rest | {"model": "m", "answering": {"ja": "sing"}})


def test_a_lost_catalog_comes_back_with_its_releases(home):
    release = promoted(home, model(home, "model1"))
    assert rebuild(home) == 2 and champion_release(home).release_id == release  # what is there stays as it is
    home.warehouse.unlink()
    rebuild(home)
    assert [(row.release_id, row.stage, row.artifact_id) for row in newest_releases(home, 5)] == [(release, "candidate", "model1")]
    decide(home, release)
    assert champion(home).model_id == "model1"


@pytest.fixture
def before(home):
    """A home as a Migaki of before there were releases left it: with a champion, a decision, a conversation, and an answer in its journal."""
    catalog = Catalog.of(home)
    connection = duckdb.connect(str(catalog.path))
    for path in sorted(MIGRATIONS.glob("*.sql"))[:6]:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL, applied TIMESTAMP NOT NULL)")
        connection.execute(path.read_text(encoding="utf-8"))
        connection.execute("INSERT INTO schema_version VALUES (?, now()::TIMESTAMP)", [int(path.name[:4])])
    day = datetime(2026, 2, 3)
    insert(
        connection,
        "models",
        [{"model_id": "model1", "stage": "champion", "artifact_id": "model1", "bytes": 1, "created": day, "updated": day}],
    )
    insert(connection, "promotions", [{"promotion_id": "p", "model_id": "model1", "decision": "promote", "reason": "better", "ts": day}])
    insert(connection, "conversations", [{"conversation_id": "c", "model_id": "model1", "index_id": "i", "started": day, "owner": ""}])
    answer = {"role": "assistant", "content": "y", "ts": day}
    kept = ("stop", "timeout", "unanswered", "refused")
    insert(
        connection, "messages", [answer | {"message_id": r, "conversation_id": "c", "ordinal": i, "reason": r} for i, r in enumerate(kept)]
    )
    connection.close()
    journal = Journal(home)
    said = {"conversation_id": "c", "turn_id": "t", "ts": day}
    rows = [
        said | {"message_id": role, "role": role, "content": "x", "sources": [], "sentences": [], "calls": []} | ended
        for role, ended in (("user", {}), ("assistant", {"reason": "length"}))
    ]
    journal.sync(journal.write({"conversations": [], "messages": rows, "decisions": []}))
    journal.close()
    return home


def test_an_old_home_has_the_new_tables_for_whoever_reads_first(before):
    assert champion_release(before) is None and champion(before).model_id == "model1" and before_champion(before) is None
    rows = Catalog.of(before).query("SELECT reason, finish, release_id FROM messages ORDER BY ordinal")
    assert [tuple(row.values()) for row in rows] == [
        ("answered", "stop", None),
        ("answered", "timeout", None),
        ("unanswered", "stop", None),
        ("refused", "stop", None),
    ]


def test_an_old_home_opens_with_what_it_kept(before):
    assert recover(before) == 2
    with ChatLog(before) as log:
        question, answer = log.messages("c", "")[-2:]
        assert (question.reason, question.finish, answer.reason, answer.finish) == (None, None, "answered", "length")
        assert (answer.content, answer.release_id, answer.index_id, answer.unreleased) == ("x", None, None, None)
        assert log.conversations("")[0].release_id is None
    assert Catalog.of(before).query("SELECT max(version) AS v FROM schema_version")[0]["v"] == newest_migration() >= 7


def test_the_first_release_of_an_old_home_is_crowned_once(before):
    first, second = kept(before, "model1"), kept(before, "model1", chat={"x": 1})
    for release in (first, second):
        crown_first(before, release)
    now = champion_release(before)
    assert now.release_id == first and now.promoted == datetime(2026, 2, 3)
    decide(before, second)
    assert before_champion(before) == first


def test_what_waits_in_the_journal_keeps_its_release(home):
    from storage.chat_log import Batch, Conversation, _message_rows
    from tests.helpers.turns import turn

    journal = Journal(home)
    talk = Conversation("m", "i", "page", release_id="r1")
    answered = turn("t1", release="r1", index="i2") | {"ts": None}
    batch = Batch(conversations=[vars(talk)], messages=_message_rows(talk.conversation_id, answered))
    journal.sync(journal.write({"conversations": batch.conversations, "messages": batch.messages, "decisions": []}))
    journal.close()
    assert recover(home) == 3
    rows = Catalog.of(home).query("SELECT role, release_id, index_id, unreleased FROM messages ORDER BY ordinal")
    assert json.loads(json.dumps(rows)) == [
        {"role": "user", "release_id": None, "index_id": None, "unreleased": None},
        {"role": "assistant", "release_id": "r1", "index_id": "i2", "unreleased": None},
    ]
    assert Catalog.of(home).query("SELECT release_id, unreleased FROM conversations") == [{"release_id": "r1", "unreleased": None}]
