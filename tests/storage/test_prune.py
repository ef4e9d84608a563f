"""`migaki prune`: what champions and the newest runs need stays, with all it was made from; the rest goes from the disk and the catalog."""

import shutil
from datetime import UTC, datetime

import pytest

from flows.commands.show import prune_table
from storage.artifacts import MANIFEST, ArtifactStore
from storage.catalog import Catalog
from storage.home import Home, StorageError
from storage.prune import prune, unneeded
from storage.registry import begin_run, end_run, register, set_champion_index
from storage.releases import champion_release, note_release
from tests.helpers.releases import decide, kept, promoted

OLD = "2026-01-01T00:00:00"


def make(home, key, kind, inputs=None, created=OLD):
    store = ArtifactStore(home)
    facts = {
        "stage": "test",
        "run_id": "r",
        "settings": {},
        "model": None,
        "meta": {"precision": "fp32", "adapters": [], "models": {}},
        "seconds": 0.0,
        "created": created,
    }
    with store.draft(kind, key) as folder:
        (folder / "file.txt").write_text("x" * 100)
        ref = store.commit(folder, facts | {"inputs": inputs or {}})
    register(home, ref)
    return ref


def run(home, name, *refs):
    begin_run(home, name, "retrain")
    for i, ref in enumerate(refs):
        begin_run(home, f"{name}.{i}", "stage", parent=name)
        end_run(home, f"{name}.{i}", "completed", ref=ref)
    end_run(home, name, "completed")


def names(home, keep_runs):
    return " ".join(sorted(one.ref.id for one in unneeded(home, keep_runs)))


def there(home, *, but="release"):
    return {manifest["id"] for manifest in ArtifactStore(home).manifests() if manifest["kind"] != but}


@pytest.fixture(scope="module")
def three_weeks(tmp_path_factory):
    """Three runs, each with data, an adapter and a model; the model of the first is the champion."""
    home = Home(tmp_path_factory.mktemp("weeks"))
    for week in "abc":
        data = make(home, f"{week}-data", "dataset")
        adapter = make(home, f"{week}-adapter", "adapter", {"dataset": data.id})
        run(home, week, data, adapter, make(home, f"{week}-model", "model", {"adapter": adapter.id}))
    promoted(home, "a-model")
    return home


@pytest.fixture
def weeks(three_weeks, tmp_path):
    """A copy of that home, which may be changed."""
    return Home(shutil.copytree(three_weeks.root, tmp_path / "weeks"))


def test_the_champion_and_the_newest_runs_stay_with_what_they_were_made_from(weeks):
    assert names(weeks, 1) == "b-adapter b-data b-model"
    assert names(weeks, 0) == "b-adapter b-data b-model c-adapter c-data c-model"
    assert names(weeks, 2) == ""
    gone = prune(weeks, 1)
    assert sum(one.bytes for one in gone) == 300
    assert there(weeks) == {f"{week}-{what}" for week in "ac" for what in ("data", "adapter", "model")}
    query = Catalog.of(weeks).query
    assert {row["artifact_id"] for row in query("SELECT artifact_id FROM artifacts")} == there(weeks, but="")
    assert (
        query("SELECT count(*) AS n FROM models")[0]["n"] == 2
        and query("SELECT count(*) AS n FROM lineage WHERE child_id NOT IN (SELECT release_id FROM releases)")[0]["n"] == 4
    )
    assert query("SELECT count(*) AS n FROM runs")[0]["n"] == 12  # what happened is still told
    assert prune(weeks, 1) == []


def test_the_index_that_serves_and_the_newest_classifier_stay(home):
    for key in ("index1", "index2"):
        make(home, key, "index")
        with Catalog.of(home).write() as connection:
            connection.execute("INSERT INTO indexes (artifact_id, run_id, stage) VALUES (?, 'r', 'candidate')", [key])
    set_champion_index(home, "index1")
    make(home, "classifier1", "classifier")
    make(home, "classifier2", "classifier", created="2026-01-02T00:00:00")
    prune(home, 0)
    assert there(home) == {"index1", "classifier2"}
    assert Catalog.of(home).query("SELECT artifact_id FROM indexes") == [{"artifact_id": "index1"}]


def test_the_last_three_promoted_releases_stay_with_all_they_name(home):
    """And one that was never promoted stays as long as all that it names does."""
    names = {}
    for number in range(1, 6):
        model, classifier, index = (
            make(home, f"{kind}{number}", kind, created=f"2026-01-0{number}T00:00:00").id for kind in ("model", "classifier", "index")
        )
        names[promoted(home, model, classifier=classifier)] = (model, classifier, index)
        note_release(home, champion_release(home).release_id, None, index)
    releases = list(names)
    shares, lost = kept(home, "model5", chat={"top_k": 1}), kept(home, "model5", classifier="classifier1")
    decide(home, releases[1], "rollback")  # the second is the one that was promoted last
    gone = {one.ref.id for one in prune(home, 0)}
    assert there(home) == {one for number in (1, 3, 4) for one in names[releases[number]]}
    assert gone & {*releases, shares, lost} == {releases[0], releases[2], lost}
    rows = Catalog.of(home).query("SELECT release_id FROM releases ORDER BY release_id")
    assert [row["release_id"] for row in rows] == sorted([releases[1], releases[3], releases[4], shares])


def test_what_was_just_made_stays(home):
    make(home, "new", "dataset", created=datetime.now(UTC).replace(tzinfo=None).isoformat())
    make(home, "old", "dataset")
    assert [one.ref.id for one in prune(home, 0)] == ["old"]


def test_nothing_goes_while_a_run_goes_on(weeks):
    begin_run(weeks, "now", "retrain")
    before = there(weeks)
    with pytest.raises(StorageError, match="1 runs are going on"):
        prune(weeks, 0)
    assert there(weeks) == before
    end_run(weeks, "now", "failed")
    assert prune(weeks, 0)


def test_an_artifact_that_is_half_removed_is_none(weeks):
    folder = ArtifactStore(weeks).path(ArtifactStore(weeks).get("b-model"))
    (folder / MANIFEST).unlink()
    assert "b-model" not in there(weeks) and ArtifactStore(weeks).find("model", "b-model") is None and not folder.exists()


def test_a_dry_run_shows_and_removes_nothing(weeks, capsys):
    answer = prune_table(weeks, 1, True)
    assert sorted(answer.pop("artifacts")) == ["b-adapter", "b-data", "b-model"] and len(there(weeks)) == 9
    assert answer == {"bytes": 300, "dry_run": True}
    assert "3 artifacts would be removed" in capsys.readouterr().err
    assert len(prune_table(weeks, 1, False)["artifacts"]) == 3 and len(there(weeks)) == 6
