"""`migaki serve`: conversations in the catalog, the address, and an index that changes while people ask."""

import gc
import signal
import socket
import subprocess
import sys
import threading
import weakref
from datetime import datetime
from types import SimpleNamespace

import httpx
import pytest

from flows.commands import serve
from flows.running.releases import keep_release, promote_to, release_of
from flows.serving.engine import open_engine
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.catalog import Catalog
from storage.chat_log import ChatLog
from storage.home import Home
from storage.registry import register
from tasks.chatbot.events import Piece
from tasks.chatbot.release import Sections
from tasks.chatbot.safety.settings import ClassifierSettings
from tasks.chatbot.safety.training import Example, train
from tasks.chatbot.web.about import About
from tasks.chatbot.web.app import create_app
from tasks.chatbot.web.settings import ServeSettings
from tasks.errors import MigakiError
from tests import ROOT
from tests.helpers.command import environment
from tests.helpers.models import save_tiny
from tests.helpers.web import ABOUT, ScriptedEngine, ask, client, read_sse


@pytest.fixture
def kept(tmp_path):
    home = Home(tmp_path)
    with ChatLog(home) as log:
        yield home, serve.KeptChats(log, About("tiny", "model", index="index", unreleased="unreleased: chat.temperature = 1.0"))


def test_conversations_are_in_the_catalog_and_come_back_whole(kept):
    home, chats = kept
    http = client(None, chats)
    events = ask(http, "please reckon 「量子化」")
    conversation, told = events[0][1]["conversation"], events[-1][1]["turn"]
    assert http.post("/api/rate", json={"turn": told["turn_id"], "rating": -1, "correction": "短く。"}).status_code == 204
    ask(http, "a bomb", conversation)

    chats.log.flush()
    rows = Catalog.of(home).query("SELECT model_id, index_id, release_id, unreleased, channel, owner, title FROM conversations")
    held = {"model_id": "model", "index_id": "index", "release_id": None, "unreleased": "unreleased: chat.temperature = 1.0"}
    assert rows == [held | {"channel": "page", "owner": "", "title": "please reckon 「量子化」"}]
    listed = http.get("/api/conversations").json()["conversations"]
    assert [(one["id"], one["title"]) for one in listed] == [(conversation, "please reckon 「量子化」")]
    messages = http.get(f"/api/conversations/{conversation}").json()["messages"]
    answer = messages[1]
    assert [m["role"] for m in messages] == ["user", "assistant"] * 2 and messages[3]["refused"] == "harm.weapons"
    assert answer["sentences"] == told["sentences"] and answer["calls"] == told["calls"] and answer["content"] == told["answer"].strip()
    assert [source["title"] for source in answer["sources"]] == ["Fine-tuning", "量子化"]
    assert (answer["rating"], answer["correction"], answer["tokens"]) == (-1, "短く。", told["tokens"])


def test_a_conversation_of_the_catalog_goes_on_without_what_was_refused(kept):
    _, chats = kept
    engine = ScriptedEngine()
    http = client(engine, chats)
    conversation = ask(http, "a bomb")[0][1]["conversation"]
    ask(http, "hello", conversation)
    ask(http, "again", conversation)
    assert engine.heard[2][0].turns[0]["content"] == "hello"
    assert http.delete(f"/api/conversations/{conversation}").status_code == 204
    for answer in (http.get(f"/api/conversations/{conversation}"), http.post("/api/rate", json={"turn": "none", "rating": 1})):
        assert answer.status_code == 404


def test_a_taken_address_is_told_before_anything_is_loaded(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MigakiError, match=f"port {port}"):
            serve.serve(Home(tmp_path), {"serve": {"port": port}}, artifact=None, token_file=None, show=False)
    with pytest.raises(MigakiError, match="--token-file"):
        serve.serve(Home(tmp_path), {"serve": {"host": "0.0.0.0"}}, artifact=None, token_file=None, show=False)
    with pytest.raises(MigakiError, match=r"serve\.prot is no setting; did you mean serve\.port"):
        serve.serve(Home(tmp_path), {"serve": {"prot": 1}}, artifact=None, token_file=None, show=False)
    with pytest.raises(MigakiError, match="no champion"):
        serve.serve(Home(tmp_path), {"serve": {"port": 0}}, artifact=None, token_file=None, show=False)


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:"), ("localhost", "http://localhost:")]
)
def test_the_address_is_one_that_a_browser_can_open(host, url):
    settings = ServeSettings(host=host, port=0)
    with serve.listening(settings) as sockets:
        assert serve.address(settings, sockets) == f"{url}{sockets[0].getsockname()[1]}/"


def test_half_a_tls_pair_is_refused(tmp_path):
    with pytest.raises(MigakiError, match="tls_key"), serve.listening(ServeSettings(port=0, tls_certificate=__file__)):
        pass


def following(home, service, want=None):
    return serve.Following(home, service, want or SimpleNamespace(base_id="", fixed=True))


def test_a_new_champion_index_answers_without_a_restart(tmp_path, monkeypatch, capsys):
    chats = SimpleNamespace(about=None)
    service = create_app(ScriptedEngine(), chats, ABOUT, ServeSettings()).state.service
    live = SimpleNamespace(serving=SimpleNamespace(id="first"), failed="", error="")
    champions, opened = iter([None, "broken", "first", "second", "second", "third", "third"]), iter([MigakiError("another embedder"), live])
    over, told = threading.Event(), []

    def looks(home):
        artifact = next(champions)
        if service.about.index == "first":
            told.append(artifact)
            live.serving.id = "second" if len(told) == 2 else "first"  # opened between two looks
        if artifact == "third" and not live.failed:
            live.failed, live.error = "third", "it is damaged"
        elif artifact == "third":
            over.set()
        return artifact and SimpleNamespace(artifact_id=artifact, documents=20)

    def open_index(home):
        index = next(opened)
        if isinstance(index, MigakiError):
            raise index
        return index

    monkeypatch.setattr(serve, "LOOK", 0)
    monkeypatch.setattr(serve, "champion_index", looks)
    monkeypatch.setattr(serve, "open_champion_index", open_index)
    following(Home(tmp_path), service).follow(over)
    assert service.engine.retriever is live and told == ["second", "second"]
    assert (service.about.index, service.about.documents) == ("second", 20) and chats.about is service.about
    said = capsys.readouterr().err
    assert "another embedder" in said and said.count("it is damaged") == 1


def commit_model(home: Home, name: str) -> ArtifactRef:
    store = ArtifactStore(home)
    with store.draft("model", name) as folder:
        save_tiny(folder / "model", "llama")
        manifest = {"stage": "quantize", "run_id": "r", "settings": {}, "inputs": {}, "model": "hub:org/tiny", "seconds": 0.0}
        ref = store.commit(folder, manifest | {"meta": {"model": "model", "precision": "fp32"}, "created": datetime.now().isoformat()})
    register(home, ref)
    return ref


def promote(home: Home, name: str, classifier: str = "", **chat) -> str:
    """A release of this model takes the champion's place; returns its id."""
    release = release_of(
        home, Sections.of({"chat": {"max_new_tokens": 40, "temperature": 0.0, "max_calls": 0} | chat}), commit_model(home, name), classifier
    )
    ref = keep_release(home, release)
    promote_to(home, ref.id)
    return ref.id


def served(home: Home, said: dict | None = None, artifact: str | None = None):
    """(service, follower) of a server, and what it told when it looked for champions once."""
    opened = open_engine(home, artifact, said or {})
    service = create_app(opened.engine, SimpleNamespace(about=None), opened.about, ServeSettings()).state.service
    return service, serve.Following(home, service, opened.wanted)


def test_a_new_champion_answers_and_the_old_model_is_freed_after_its_last_answer(tmp_path, capsys):
    home = Home(tmp_path)
    first = promote(home, "first001", safety=False)
    service, follower = served(home)
    old = weakref.ref(service.engine.backend)
    answer = service.engine.answer(service.conversation([]), "hello")
    assert isinstance(next(answer), Piece)
    follower.look_for_release()
    assert (service.about.version, service.about.release) == ("first001", first)
    second = promote(home, "second02", safety=False)
    follower.look_for_release()
    assert (service.about.version, service.about.release, service.engine.backend.name) == ("second02", second, "second02")
    assert service.chats.about is service.about and f"now, release {second[:12]}" in capsys.readouterr().err

    turn = list(answer)[-1].turn
    assert turn.tokens > 1 and turn.release == first  # to its end, with what it began with
    del answer
    gc.collect()
    assert old() is None
    service.engine.backend.close()


def test_what_was_said_holds_over_the_next_champion_and_its_model_stays_open(tmp_path):
    home = Home(tmp_path)
    promote(home, "first001", safety=False)
    service, follower = served(home, {"chat": {"temperature": 1, "seconds": 9}})
    assert (service.about.release, service.about.unreleased) == ("", "unreleased: chat.temperature = 1.0")
    backend = service.engine.backend
    promote(home, "first001", safety=False, top_k=7)
    follower.look_for_release()
    settings = service.engine.settings
    assert service.engine.backend is backend and (settings.temperature, settings.top_k, settings.seconds) == (1.0, 7, 9)
    assert service.about.unreleased == service.engine.unreleased == "unreleased: chat.temperature = 1.0"
    released = promote(home, "first001", safety=False, temperature=1.0)  # what was said is what is released by now
    follower.look_for_release()
    assert (service.about.release, service.about.unreleased) == (released, "")
    backend.close()


def test_a_champion_that_came_while_the_model_was_loaded_is_taken_too(tmp_path):
    home = Home(tmp_path)
    promote(home, "first001", safety=False)
    opened = open_engine(home, None, {"chat": {"top_k": 3}})
    promote(home, "second02", safety=False)
    service = create_app(opened.engine, SimpleNamespace(about=None), opened.about, ServeSettings()).state.service
    serve.Following(home, service, opened.wanted).look_for_release()
    assert service.about.version == "second02" and service.about.unreleased == "unreleased: chat.top_k = 3"
    service.engine.backend.close()


def test_what_was_named_stays(tmp_path):
    home = Home(tmp_path)
    promote(home, "first001", safety=False)
    commit_model(home, "second02")
    service, follower = served(home, artifact="second02")
    assert service.about.unreleased == "unreleased: artifact second02"
    promote(home, "third003", safety=False)
    follower.look_for_release()
    assert service.about.version == "second02"
    service.engine.backend.close()


def test_a_champion_that_cannot_be_opened_leaves_the_one_before(tmp_path, monkeypatch, capsys):
    home, over, looked = Home(tmp_path), threading.Event(), []
    first = promote(home, "first001", safety=False)
    service, follower = served(home)
    second = promote(home, "second02", safety=False)
    ArtifactStore(home).discard("model", "second02")

    def look(_):
        looked.append(1)
        if len(looked) == 3:
            over.set()

    monkeypatch.setattr(serve, "LOOK", 0)
    monkeypatch.setattr(serve, "champion_index", look)
    follower.follow(over)
    assert service.about.release == first
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("what served before goes on") == 1 and f"the release {second[:12]} cannot serve: its model second02 is gone" in said
    assert "migaki promote --rollback" in said
    service.engine.backend.close()


def classifier_of(home: Home, name: str, word: str) -> None:
    """Registers a classifier to which requests with `word` are harmful."""
    rows = [Example(f"{verb} the {what}", verb == word) for verb in ("zap", "paint") for what in "abcdefgh"]
    store = ArtifactStore(home)
    with store.draft("classifier", name) as folder:
        train(rows, ClassifierSettings(folds=2, min_count=1)).save(folder)
        manifest = {"stage": "safety", "run_id": "r", "settings": {}, "inputs": {}, "model": None, "seconds": 0.0, "meta": {}}
        register(home, store.commit(folder, manifest | {"created": datetime.now().isoformat()}))


def test_the_classifier_of_a_new_release_judges_without_a_restart(tmp_path):
    home = Home(tmp_path)
    for name, word in (("old00001", "paint"), ("new00002", "zap")):
        classifier_of(home, name, word)
    promote(home, "first001", "old00001", max_new_tokens=4)
    service, follower = served(home, {"safety": {"personal": "block"}})

    def refused(question):
        follower.look_for_release()
        return list(service.engine.answer(service.conversation([]), question))[-1].turn.reason == "refused"

    assert refused("paint the c") and not refused("zap the c") and service.engine.guard.version == "old00001"
    promote(home, "first001", "new00002", max_new_tokens=4)
    assert refused("zap the c") and not refused("paint the c") and service.engine.guard.version == "new00002"
    assert service.engine.guard.settings.personal == "block" and service.about.unreleased == "unreleased: safety.personal = block"
    service.engine.backend.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_a_model_and_keeps_what_was_said_when_it_is_ended(tmp_path, number):
    commit_model(Home(tmp_path), "tiny0001")
    command = [
        sys.executable,
        "-m",
        "flows.commands.main",
        "serve",
        "--port",
        "0",
        "--artifact",
        "tiny0001",
        "--set",
        "chat.max_new_tokens=8",
    ]
    with subprocess.Popen(command, cwd=ROOT, env=environment(tmp_path), stderr=subprocess.PIPE, text=True) as process:
        try:
            url = next(line.split()[0] for line in process.stderr if line.startswith("http"))
            asked = httpx.post(f"{url}api/chat", json={"question": "こんにちは、世界"}, timeout=60)
            assert read_sse(asked.text)[-1][0] == "ended"
        finally:
            process.send_signal(number)
        assert process.wait(60) == 0
    rows = Catalog.of(Home(tmp_path)).query("SELECT content FROM messages WHERE role = 'user'")
    assert rows == [{"content": "こんにちは、世界"}]


def statuses(url, tokens):
    return [httpx.get(f"{url}api/about", headers={"Authorization": f"Bearer {token}"}).status_code for token in tokens]


@pytest.mark.slow
def test_the_command_follows_its_token_file(tmp_path):
    commit_model(Home(tmp_path), "tiny0001")
    file, tokens = tmp_path / "tokens", ["anna-0123456789abcdef", "ben-0123456789abcdef"]
    file.write_text("\n".join(tokens), encoding="utf-8")
    command = [sys.executable, "-m", "flows.commands.main", "serve", "--port", "0", "--artifact", "tiny0001", "--token-file", str(file)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(tmp_path), stderr=subprocess.PIPE, text=True) as process:
        try:
            url = next(line.split()[0] for line in process.stderr if line.startswith("http"))
            assert statuses(url, tokens) == [200, 200]
            file.write_text(f"{tokens[1]}:人事:花子:editor", encoding="utf-8")
            assert any("1 tokens, 1 taken back" in line for line in process.stderr) and statuses(url, tokens) == [401, 200]
            file.unlink()
            assert any("0 tokens go on working" in line for line in process.stderr) and statuses(url, tokens) == [401, 401]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
