"""Promoting by hand and going back, by the command: what cannot serve is refused, and nothing is changed then."""

import sys

import pytest

from flows.commands import show
from flows.commands.main import main
from flows.running.releases import fault, measured, promote_to, release_of, release_with, roll_back
from storage.artifacts import MANIFEST, ArtifactRef, ArtifactStore
from storage.catalog import Catalog
from storage.kinds import Release, Way, Ways
from storage.releases import champion_release
from tasks.chatbot.release import Sections
from tasks.chatbot.safety.settings import SafetySettings
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.tools.settings import ToolSettings
from tasks.errors import MigakiError
from tests.helpers.releases import made, part


@pytest.fixture
def three(home):
    """(home, ids) of three releases, promoted one after the other; the second has a classifier."""
    part(home, "class001", "classifier", {})
    ids = [made(home, f"model00{i}", "class001" if i == 2 else "").id for i in (1, 2, 3)]
    for release in ids:
        promote_to(home, release)
    return home, ids


def run(monkeypatch, home, *words) -> int:
    monkeypatch.setattr(sys, "argv", ["migaki", *words, "--json", "--home", str(home.root)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_the_command_goes_back_and_to_what_is_named(three, monkeypatch, capsys):
    home, (first, second, third) = three
    for words, serves in ((["--rollback"], second), (["--to", third[:10]], third), (["--rollback"], second), (["--rollback"], first)):
        assert run(monkeypatch, home, "promote", *words) == 0
        assert champion_release(home).release_id == serves
        assert f"the release {serves[:12]} serves now" in capsys.readouterr().err
    assert run(monkeypatch, home, "promote", "--rollback") == 1 and "no release served before" in capsys.readouterr().err
    rows = Catalog.of(home).query("SELECT decision, reason, champion_release_id FROM promotions ORDER BY ts")[3:]
    assert rows == [
        {"decision": "rollback", "reason": f"back from {third[:12]} (--rollback)", "champion_release_id": third},
        {"decision": "promote", "reason": "promoted by hand (--to)", "champion_release_id": second},
        {"decision": "rollback", "reason": f"back from {third[:12]} (--rollback)", "champion_release_id": third},
        {"decision": "rollback", "reason": f"back from {second[:12]} (--rollback)", "champion_release_id": second},
    ]


def test_the_command_refuses_both_and_what_is_none(three, monkeypatch, capsys):
    home, ids = three
    assert run(monkeypatch, home, "promote", "--rollback", "--to", ids[0]) == 2
    for name, complaint in (("", "3 releases have an id that begins with ''"), ("zz", "0 releases"), (ids[2], "serves already")):
        assert run(monkeypatch, home, "promote", "--to", name) == 1 and complaint in " ".join(capsys.readouterr().err.split())
    assert champion_release(home).release_id == ids[2]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda home, ids: ArtifactStore(home).discard("release", ids[1]), "it is gone"),
        (lambda home, ids: (home.objects / "release" / ids[1] / MANIFEST).write_text("{", "utf-8"), "it is gone"),
        (lambda home, ids: _edit(home.objects / "release" / ids[1] / MANIFEST), "it does not hold what its id says"),
        (lambda home, ids: ArtifactStore(home).discard("model", "model002"), "its model model002 is gone"),
        (lambda home, ids: (home.objects / "model" / "model002" / "weights").write_bytes(b"012"), "its model model002 is damaged"),
        (lambda home, ids: ArtifactStore(home).discard("classifier", "class001"), "its classifier class001 is gone"),
        (lambda home, ids: (home.objects / "classifier" / "class001" / "weights").unlink(), "its classifier class001 is damaged"),
    ],
)
def test_what_is_gone_or_damaged_does_not_come_to_serve(three, damage, complaint):
    home, ids = three
    damage(home, ids)
    for way in (lambda: roll_back(home), lambda: promote_to(home, ids[1])):
        with pytest.raises(MigakiError, match=f"{ids[1][:12]} cannot serve: .*{complaint}.*Nothing was changed"):
            way()
    assert champion_release(home).release_id == ids[2] and fault(home, ids[2], whole=True) == ""
    assert promote_to(home, ids[0]).decision == "promote"  # the way round it


def _edit(manifest):
    text = manifest.read_text(encoding="utf-8")
    assert '"top_k": 50' in text
    manifest.write_text(text.replace('"top_k": 50', '"top_k": 51'), encoding="utf-8")


def test_before_anything_serves_there_is_nothing_to_go_back_to(home):
    with pytest.raises(MigakiError, match="no release serves yet: run `migaki retrain`"):
        roll_back(home)
    release = made(home, "model001")
    assert promote_to(home, release.id[:8]).champion_release_id is None and champion_release(home).release_id == release.id


def test_status_says_what_serves_since_when_and_what_it_names(three, monkeypatch, capsys):
    home, ids = three
    monkeypatch.setattr(show.console, "_width", 300)
    answer = show.status_tables(home)
    said = capsys.readouterr().err
    assert f"champion: release {ids[2][:12]}, since {show.minute(champion_release(home).promoted)} UTC" in said
    assert "model: model003 (fp32)" in said and "answers: en: write, ja: write" in said and "classifier: none: rules alone" in said
    assert answer["release"]["names"]["model"] == "model003 (fp32)" and answer["release"]["fault"] == ""
    assert next((row["release_id"], row["stage"]) for row in answer["releases"]) == (ids[2], "champion")
    ArtifactStore(home).discard("model", "model003")
    assert show.status_tables(home)["release"]["fault"] == "its model model003 is gone"
    assert "it cannot serve: its model model003 is gone. `migaki promote --rollback`" in capsys.readouterr().err


def test_status_of_a_home_of_before_whose_model_is_gone_still_shows_the_rest(home, capsys):
    part(home, "model001", "model", {"precision": "fp32"})
    with Catalog.of(home).write() as connection:
        connection.execute("UPDATE models SET stage = 'champion'")
    ArtifactStore(home).discard("model", "model001")
    answer = show.status_tables(home)
    assert answer["release"] is None and [row["model_id"] for row in answer["models"]] == ["model001"]
    assert "none can serve: 0 artifacts match" in capsys.readouterr().err


def test_a_runs_settings_are_the_releases(home):
    model = part(home, "model001", "model", {"precision": "fp32"})
    given = Sections.given(ChatSettings(top_k=7), ToolSettings(timezone="UTC"), SafetySettings(personal="block", folds=9))
    record = release_of(home, given, model, "")
    assert (record.chat["top_k"], record.tools["timezone"], record.safety) == (
        7,
        "UTC",
        {"harm": "block", "personal": "block", "injection": "note"},
    )
    assert {"device", "dtype", "seconds", "server", "templates"}.isdisjoint(record.chat) and record.chat["cost_wrong"] == 1.0
    for chat, complaint in (({"server": "http://s"}, "needs chat.server_model"), ({"server_model": "m"}, "needs chat.server:")):
        with pytest.raises(MigakiError, match=complaint):
            release_of(home, Sections.of({"chat": chat}), model, "")


def test_promote_by_itself_takes_the_models_newest_release(home):
    first, second = made(home, "model001", top_k=9), made(home, "model001", top_k=8)
    model = ArtifactStore(home).get("model001")
    for release in (first, second):
        promote_to(home, release.id)
    assert release_with(home, model, "run", "index1").id == second.id
    assert made(home, "model001", top_k=9).id == first.id == release_with(home, model, "run", "index1").id  # a run came to it again
    other = part(home, "model002", "model", {"precision": "fp32"})
    fresh = release_with(home, other, "run", "index1")
    assert fresh.meta["model"] == "model002" and fresh.meta["chat"]["top_k"] == 50


def test_a_release_answers_as_was_measured_unless_the_settings_say_otherwise():
    facts = {"model": "m", "templates": {}, "chat": {}, "tools": {}, "safety": {}}
    release = Release.of(facts | {"answering": {"en": "write", "ja": "quote"}})
    ways = {lang: Way(way, 9, "because") for lang, way in (("en", "quote"), ("ja", "write and quote"))}
    ref = ArtifactRef(id="w" * 64, kind="answering", uri="", meta=Ways(release="r", languages=ways).meta())
    assert measured(release, ref, ChatSettings()).answering == {"en": "quote", "ja": "write and quote"}
    assert measured(release, ref, ChatSettings(answering={"ja": "write"})).answering == {"en": "quote", "ja": "write"}
