"""Forty documents that not everybody may see, labelled in every way that people label them: who may not see one never does, by any way."""

import json

import docx
import pytest

from flows.commands.serve import KeptChats
from flows.running.feedback import gather, write_harvest
from flows.serving.live_index import LiveIndex
from storage import chats
from storage.catalog import Catalog
from storage.chat_log import ChatLog
from tasks.chatbot.engine import ChatEngine
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.tools.bundled import bundled_tools
from tasks.chatbot.tools.settings import ToolSettings
from tasks.chatbot.web.about import About
from tasks.chatbot.web.app import create_app
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import TokenFile
from tasks.flywheel.settings import HarvestSettings
from tests.helpers.documents import one_page, word
from tests.helpers.web import Backend, ask

HR, STRANGER = "hr-token-of-sixteen", "sales-token-sixteen"
PUBLIC = {
    "garden.md": "The vault of the garden is green. A cat sleeps beside it.",
    "庭.md": "庭の倉庫は緑色です。猫が横で寝ています。",
    "lamp.txt": "The lamp of the hall is brass.",
}
# Before the text of a Markdown file: labels that the group hr satisfies, and what looks like a label and cannot be read.
READ = [
    "---\nallowed: [hr]\n---",
    "---\r\nALLOWED: hr, board\r\n---\r",
    "\ufeff---  \ntitle: Runbook: vault\nallowed:\n  - hr\n---",
    '+++\ntitle = "Vault"\nallowed = ["hr"]\n+++',
    '{\n  "title": "金庫",\n  "allowed": ["hr"]\n}',
    ';;;\n"allowed": ["hr"]\n;;;',
    '<meta property="allowed" content="hr">',
]
CLOSED = [
    "---\nallowed: [hr\n---",
    "---\nallowed： [hr]\n---",
    "---\nallowed_groups: [hr]\n---",
    "---\ntitle: 規程\n\nallowed: [hr]",
    "---\naccess:\n  allowed: [hr]\n---",
    "---\nallowed: [hr]\nallowed: '*'\n---",
    "---\nallowed: []\n---",
    "---\nallowed: 5\n---",
    "---\n\tallowed: [hr]\n---",
    "+++\nallowed = [hr]\n+++",
    '+++\n[access]\nallowed = ["hr"]\n+++',
    '{"allowed": ["hr"], "allowed": "*"}',
    '{"allowed": ["hr"',
    "<!-- allowed: hr -->",
    "Allowed: hr",
    '<meta name="allowed">',
    '<meta name="allowed" content="hr"><meta property="allowed" content="*">',
    '<meta name="allowed" content="hr"',
]


class Mute(Backend):
    """A model that chooses the first of whatever there is, and is never let write."""

    specials = ()

    def during(self, asker):
        return self

    def choose(self, messages, options):
        return [0.0] * len(options)

    def complete_json(self, messages, schema, prefix, max_new_tokens):
        return "{}"


def secret(number: int) -> str:
    return f"The vault of wing {number} opens with zebra{number}q." if number % 2 else f"第{number}倉庫の合言葉は琥珀{number}番です。"


def write_documents(docs) -> tuple[list[str], list[str]]:
    """Forty restricted documents in a folder; (secrets that hr may see, secrets that nobody may)."""
    numbers = iter(range(1, 100))
    seen: list[str] = []
    hidden: list[str] = []

    def put(name: str, form: str | bytes, kind: list[str], text: str = "") -> None:
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind.append(text or secret(next(numbers)))
        path.write_bytes(form if isinstance(form, bytes) else (form.replace("SECRET", kind[-1])).encode())

    for kind, heads in ((seen, READ), (hidden, CLOSED)):
        for place, head in enumerate(heads):
            suffix = "html" if head.startswith("<meta") and "content" in head else "txt" if place % 4 == 3 else "md"
            put(f"{'read' if kind is seen else 'closed'}{place}.{suffix}", f"{head}\n\nSECRET\n", kind)
    put("a.csv", "text,Allowed \nSECRET,hr\n", seen)
    put("b.csv", "text,allowed,allowed\nSECRET,hr,*\n", hidden)
    put("c.csv", "text,allowed-groups\nSECRET,hr\n", hidden)
    put("d.jsonl", '{"text": "SECRET", "ALLOWED": ["hr"]}\n', seen)
    put("e.jsonl", '{"text": "SECRET", "about": {"allowed": ["hr"]}}\n', hidden)
    put("f.jsonl", '{"text": "SECRET", "allowed": ["hr"], "allowed": "*"}\n', hidden)
    for name, label in (("hr", b"hr\n"), ("odd", b"\xff\xfe\x00"), ("none", b""), ("long", b"hr\n" * 50_000)):
        put(f"{name}/.allowed", label, [])
        put(f"{name}/deep/x{name}.txt", "SECRET", seen if name == "hr" else hidden)
    (docs / "dangling").mkdir()
    (docs / "dangling" / ".allowed").symlink_to(docs / "nowhere")
    put("dangling/x.txt", "SECRET", hidden)
    (docs / "folder" / ".allowed").mkdir(parents=True)
    put("folder/x.txt", "SECRET", hidden)
    put("misspelt/.allowed.txt", b"hr", [])
    put("misspelt/y.txt", "SECRET", hidden)
    put("hr/.documents.json", json.dumps({"deep/z.txt": {"columns": "", "label": None}}).encode(), [])
    put("hr/deep/z.txt", "SECRET", seen)
    letter = docx.Document()
    letter.add_paragraph("---\nallowed: hr\n---")
    letter.add_paragraph(text := secret(next(numbers)))
    put("letter.docx", word(letter), hidden, text)
    text = f"The vault of wing {(number := next(numbers))} opens with zebra{number}q."
    page = one_page(b"BT /F1 12 Tf 50 700 Td (%s) Tj ET" % text.encode(), b"/Font << /F1 5 0 R >>", FONT, LABELLED, trailer=b"/Info 6 0 R")
    put("vault.pdf", page, seen, text)
    outside = docs.parent / "outside"
    put("../outside/o.txt", "SECRET", hidden)
    (docs / "link").symlink_to(outside)
    return seen, hidden


FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
LABELLED = b"<< /Allowed (hr) >>"


@pytest.fixture
def guarded(served, tmp_path):
    for path in served.docs.iterdir():
        path.unlink()
    for name, text in PUBLIC.items():
        (served.docs / name).write_text(text, encoding="utf-8")
    served.serve()
    alone = LiveIndex(served.home)
    served.seen, served.hidden = write_documents(served.docs)
    served.made = served.serve()
    served.alone, served.live = alone.serving.retriever, LiveIndex(served.home)
    return served


def secrets_in(text: str, secrets: list[str]) -> list[str]:
    return [one for one in secrets if one in text or one.strip("。.")[-9:] in text]


def test_forty_documents_are_hidden_from_who_may_not_see_them(guarded):
    every = [*guarded.seen, *guarded.hidden]
    assert len(every) == len(set(every)) >= 40
    stranger, hr, alone = frozenset({"sales", "HR", "hr board"}), frozenset({"hr"}), guarded.alone
    retriever = guarded.live.serving.retriever
    assert {hit.document for text in every for hit in retriever.search(text, 5)} <= set(PUBLIC)
    assert retriever.documents(stranger) == retriever.documents() == alone.documents() == len(PUBLIC)
    assert retriever.documents(hr) == len(PUBLIC) + len(guarded.seen)
    for text in every:
        for groups in (frozenset(), stranger):
            found, wanted = retriever.search(text, 5, groups), alone.search(text, 5)
            assert [(hit.document, hit.text) for hit in found] == [(hit.document, hit.text) for hit in wanted]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], rel=1e-4, abs=1e-4)
            assert retriever.confidence(text, found, groups) == pytest.approx(alone.confidence(text, wanted), abs=1e-3)
    for text in guarded.seen:
        assert text in retriever.search(text, 1, hr)[0].text
    assert not [text for text in guarded.hidden if secrets_in("".join(hit.text for hit in retriever.search(text, 20, hr)), [text])]


def test_the_tables_say_which_are_hidden_and_why_and_hold_none_of_their_text(guarded):
    rows = guarded.table(guarded.made, "documents")
    hidden = [row for row in rows if row["status"] == "skipped"]
    assert len(hidden) == len(guarded.hidden) and all(row["reason"] and row["allowed"] is None for row in hidden)
    assert not secrets_in(json.dumps(hidden, ensure_ascii=False, default=str), guarded.hidden)
    assert {tuple(row["allowed"]) for row in rows if row["path"] in PUBLIC} == {()}
    assert all("hr" in row["allowed"] for row in rows if row["status"] == "indexed" and row["path"] not in PUBLIC)
    with Catalog.of(guarded.home).read() as connection:
        kept = connection.execute("SELECT count(*) FROM documents WHERE list_contains(allowed, 'hr')").fetchone()[0]
    assert kept == len(guarded.seen)


@pytest.fixture
def site(guarded, tmp_path):
    """(a client for a token, KeptChats) of a server that quotes what it finds."""
    from starlette.testclient import TestClient

    file = tmp_path / "tokens"
    file.write_text(f"{HR}:hr:Ann\n{STRANGER}:sales:Bob\n")
    settings = ChatSettings(chunks=3, cost_wrong=0.0)
    with ChatLog(guarded.home) as log:
        tools = bundled_tools(ToolSettings(), guarded.live)
        engine = ChatEngine(Mute(), guarded.live, settings, tools, None, {"en": "quote", "ja": "quote"})
        app = create_app(engine, KeptChats(log, About("m")), About("m", documents=99), ServeSettings(), TokenFile(file).tokens)

        def client(token: str) -> TestClient:
            return TestClient(app, base_url="http://127.0.0.1:8400", headers={"Authorization": f"Bearer {token}"})

        yield client, log, file, app


def told(events) -> str:
    """What somebody was shown: sources, what tools gave, and the answer; not what they asked themselves."""
    parts = []
    for name, data in events:
        parts += [source["title"] + source["text"] for source in data["sources"]] if name == "found" else []
        parts += [data["content"]] if name == "returned" and data["ok"] else []
        parts += [data["text"]] if name == "piece" else []
    return "\n".join(parts)


def test_answers_tools_and_counts_of_the_page_show_a_stranger_nothing(guarded, site):
    client, *_ = site
    stranger, ann = client(STRANGER), client(HR)
    assert stranger.get("/api/about").json()["documents"] == len(PUBLIC)
    assert ann.get("/api/about").json()["documents"] == len(PUBLIC) + len(guarded.seen)
    every = [*guarded.seen, *guarded.hidden]
    for text in every[::3]:
        for question in (text, f"Search the documents for {text}", f"Search the web for {text}"):
            shown = told(ask(stranger, question))
            assert shown and not secrets_in(shown, every), question
    assert guarded.seen[0] in json.dumps(ask(ann, guarded.seen[0]), ensure_ascii=False)


def test_who_lost_a_group_sees_nothing_in_old_conversations(guarded, site):
    client, _, _, app = site
    ann = client(HR)
    held = []
    for text in guarded.seen[:4]:
        for question in ("What of the vault?", f"Search the documents for {text[:-6]}"):
            begun = dict(ask(ann, question if question[0] == "S" else text[:-6]))["begun"]
            held.append(begun["conversation"])
    before = [json.dumps(ann.get(f"/api/conversations/{one}").json(), ensure_ascii=False) for one in held]
    assert any(secrets_in(one, guarded.seen) for one in before)
    service = app.state.service
    retriever = guarded.live
    admits = retriever.admits
    retriever.admits = lambda source, groups: admits(source, frozenset({"sales"}))  # whoever asks has lost the group
    after = [ann.get(f"/api/conversations/{one}").json()["messages"] for one in held]
    for messages in after:
        assert not secrets_in(json.dumps(messages[1:], ensure_ascii=False), guarded.seen)
        if messages[1].get("withheld"):
            assert service.conversation(messages).turns == []
    assert any(messages[1].get("withheld") for messages in after)


def test_what_a_tool_a_question_or_a_correction_carried_is_not_harvested(guarded, site):
    client, log, *_ = site
    ann = client(HR)
    english = next(text for text in guarded.seen if text.startswith("The"))
    japanese = next(text for text in guarded.seen if text.startswith("第"))
    for text in (english, japanese):
        talk = None
        for question in (
            text,
            f"Search the documents for {text[:-2]}",
            f"Search the web for {text[:-2]}",
            f"Is it true: {text}",
            "What of the lamp?",
        ):
            events = dict(ask(ann, question, talk))
            talk = talk or events["begun"]["conversation"]
            ann.post("/api/rate", json={"turn": events["ended"]["turn"]["turn_id"], "rating": 1, "correction": f"Better: {question}"})
        fresh = dict(ask(ann, "What is the lamp made of?"))
        ann.post("/api/rate", json={"turn": fresh["ended"]["turn"]["turn_id"], "rating": -1, "correction": f"I know: {text}"})
    lamp = dict(ask(client(STRANGER), "What is the lamp of the hall?"))
    client(STRANGER).post("/api/rate", json={"turn": lamp["ended"]["turn"]["turn_id"], "rating": -1, "correction": "It is brass."})
    log.flush()
    found = gather(guarded.home, HarvestSettings())
    write_harvest(guarded.home, found)
    assert not secrets_in(json.dumps([found.pairs, found.instructions, found.held], ensure_ascii=False), guarded.seen)
    assert found.instructions  # of the lamp
    reasons = {reason for reason, _ in found.left_out}
    assert reasons >= {"restricted source", "restricted tool result", "quotes a restricted source"}
    assert len(chats.rated_conversations(guarded.home)) == 13
