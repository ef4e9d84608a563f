"""The page in Chromium, as a person uses it: ask, watch it stream, open a source, rate, reload, go on; and what an answer must not be able to do."""

import socket
import threading
import time
from dataclasses import replace

import pytest
import uvicorn

from tasks.chatbot.web.tokens import TokenFile
from tests.helpers.command import Served, migaki
from tests.helpers.embedder import save_tiny_embedder
from tests.helpers.models import save_tiny
from tests.helpers.web import ABOUT, MemoryApprovals, MemoryChats, ScriptedEngine, app

TOKEN = "browser-0123456789abcdef"
pytestmark = pytest.mark.e2e


class Site:
    """A server on a free port, in a thread."""

    def __init__(self, **settings):
        self.engine, self.chats = ScriptedEngine(lambda: time.sleep(0.05)), MemoryChats()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"
        self.app = app(self.engine, self.chats, **settings)
        self.server = uvicorn.Server(uvicorn.Config(self.app, log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)

    def close(self):
        self.server.should_exit = True
        self.thread.join(20)
        self.socket.close()


@pytest.fixture
def serving():
    sites = []

    def start(**settings):
        sites.append(Site(**settings))
        sites[-1].thread.start()
        return sites[-1]

    yield start
    for site in sites:
        site.close()


@pytest.fixture
def visit(chromium, serving):
    """Opens a page, which is closed before its server is; in the end nothing may have gone wrong in it that nobody saw."""
    contexts, wrong = [], []

    def open_page(url, locale="en-US", **options):
        contexts.append(chromium.new_context(locale=locale, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(url) else None)
        page.goto(url)
        return page

    open_page.wrong = wrong
    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def send(page, text):
    answered = page.locator(".verdict").count()
    page.get_by_role("textbox", name="Ask a question").fill(text)
    page.keyboard.press("Enter")
    page.locator(".verdict").nth(answered).wait_for()


def test_ask_stream_open_a_source_rate_reload_and_go_on(serving, visit):
    site = serving()
    page = visit(site.url)
    box = page.get_by_role("textbox", name="Ask a question")
    box.fill("please reckon with LoRA")
    pieces = threading.Semaphore(1)
    site.engine.between = lambda: pieces.acquire(timeout=30)
    page.keyboard.press("Enter")
    body = page.locator(".answer .body")
    body.get_by_text("LoRA trains two small").wait_for()
    assert "fast" not in body.inner_text() and page.get_by_role("button", name="Stop the answer").is_visible()
    pieces.release(2)
    page.locator(".verdict").wait_for()
    assert "fast" in body.inner_text() and "→ 42" in page.locator(".call").inner_text()
    site.engine.between = lambda: None

    assert page.locator(".unsupported").first.inner_text() == "It needs "
    page.get_by_role("button", name="Source 1: Fine-tuning").click()
    source = page.locator("details.source").first
    assert source.get_attribute("open") is not None and "<b>beside</b>" in source.locator("blockquote").inner_text()
    assert "Fine-tuning › LoRA · p. 3" in source.inner_text() and source.locator("b").count() == 0

    page.get_by_role("button", name="Good answer").click()
    page.get_by_text("This would be better").click()
    page.get_by_role("textbox", name="A better answer").fill("もっと短く。")
    page.get_by_role("button", name="Save").click()
    page.locator(".given").wait_for()
    assert list(site.chats.ratings.values()) == [(1, "もっと短く。")]

    page.reload()
    page.locator(".verdict").wait_for()
    assert page.locator(".question").inner_text() == "please reckon with LoRA" and "fast" in body.inner_text()
    assert page.get_by_role("button", name="Good answer").get_attribute("aria-pressed") == "true"
    assert page.locator(".given").inner_text() == "もっと短く。" and "→ 42" in page.locator(".call").inner_text()
    assert "87" in page.locator(".sure").inner_text()
    send(page, "and then?")
    assert page.locator(".question").all_inner_texts() == ["please reckon with LoRA", "and then?"]
    assert len(site.engine.heard[1][0].turns) == 2 and len(site.chats.turns) == 1
    assert "SmolLM2-135M-Instruct int8 3fa9c1d · index 9b12aa0" in page.locator("#version").inner_text()


def test_conversations_are_opened_begun_and_deleted(serving, visit):
    site = serving()
    page = visit(site.url)
    send(page, "the first")
    page.get_by_role("button", name="New conversation").click()
    page.get_by_text("What would you like to know?").wait_for()
    send(page, "the second")
    page.get_by_role("link", name="the first").click()
    page.locator(".question", has_text="the first").wait_for()
    link = page.get_by_role("link", name="the second").element_handle()
    with page.expect_response(lambda answer: answer.url.endswith("/api/conversations")):
        send(page, "on the first")
    page.wait_for_timeout(500)  # the page has read its list
    assert link.evaluate("node => node.isConnected")  # a click that falls into the list's coming is not lost
    page.get_by_role("link", name="the second").hover()
    page.get_by_role("button", name="Delete “the second”").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("link", name="the second").wait_for(state="detached")
    assert len(site.chats.owners) == 1 and page.locator(".question").all_inner_texts() == ["the first", "on the first"]


def test_escape_stops_and_composing_does_not_send(serving, visit):
    site = serving()
    site.engine.endless = True
    page = visit(site.url)
    box = page.get_by_role("textbox", name="Ask a question")
    box.fill("go on")
    composing = "(node, more) => node.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true, ...more}))"
    box.evaluate(composing, {"isComposing": True})
    box.evaluate(composing, {"keyCode": 229})
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("please")
    assert box.input_value() == "go on\nplease" and site.engine.heard == []
    page.keyboard.press("Enter")
    page.locator(".body", has_text="and on and on").wait_for()
    page.keyboard.press("Escape")
    page.locator(".notes", has_text="Stopped.").wait_for()
    assert next(iter(site.chats.turns.values()))[0].finish == "stopped"


def test_after_a_failure_the_question_is_still_there_and_can_be_asked_again(serving, visit):
    site = serving()
    page = visit(site.url)
    page.get_by_text("No conversations yet").wait_for()
    kept = site.chats.conversations
    site.chats.conversations = lambda owner: [kept(owner), time.sleep(1)][0]  # a slow server: the page must not wait for its list
    box = page.get_by_role("textbox", name="Ask a question")
    box.fill("this is too much")
    page.keyboard.press("Enter")
    page.get_by_text("ask in fewer words").wait_for()
    assert box.input_value() == "this is too much" and page.locator("#list li").count() == 0 and page.title() == "Migaki"
    send(page, "this is less")
    send(page, "and this")
    assert len(site.chats.owners) == 1


def test_markup_in_questions_answers_and_titles_stays_text(serving, visit):
    site = serving()
    page = visit(site.url)
    attack = 'echo <img src=x onerror="document.title=1"><script>document.title=2</script> **b**'
    send(page, attack)
    page.reload()
    page.locator(".verdict").wait_for()
    assert page.locator(".question").inner_text() == attack
    # The 1 is the citation after the sentence.
    assert page.locator(".body").inner_text() == attack.replace("**b**", "b") + "1" and page.locator(".body strong").inner_text() == "b"
    assert page.locator("#thread img, #thread script, #list img").count() == 0 and page.title().endswith("Migaki")


def test_japanese_and_dark_on_a_phone(serving, visit):
    site = serving()
    page = visit(site.url, "ja-JP", viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.get_by_text("何をお調べしますか").wait_for()
    page.get_by_role("textbox", name="質問を入力してください").fill("量子化とは?")
    page.get_by_role("button", name="送信").click()
    page.locator(".verdict").wait_for()
    assert page.locator(".answer").get_attribute("lang") == "ja" and page.locator(".unsupported").inner_text() == "速度は十倍になります。"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="会話の一覧").click()
    page.get_by_role("button", name="配色: システムに合わせる").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.get_by_role("button", name="English").click()
    page.get_by_role("button", name="Good answer").wait_for()


def test_the_panel_is_worked_with_the_keyboard_and_remembered_by_this_browser_alone(serving, visit):
    plain = visit(serving().url)
    plain.get_by_text("What would you like to know?").wait_for()
    assert plain.locator("#tune").is_hidden()
    site = serving(generation_panel=True)
    page = visit(site.url)
    page.get_by_role("button", name="How answers are written").focus()
    page.keyboard.press("Enter")
    slider = page.get_by_role("slider", name="Temperature")
    assert slider.get_attribute("aria-valuetext") == "0.3" and slider.evaluate("node => node === document.activeElement")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    for name in ("top_p", "max_tokens"):  # a slow browser moves its focus after the key
        page.keyboard.press("Tab")
        page.wait_for_function("name => document.activeElement.id === name", arg=name)
    page.keyboard.press("End")
    page.wait_for_function("document.getElementById('max_tokens').value === '1024'")
    page.keyboard.press("Enter")  # sends nothing
    assert site.engine.heard == [] and page.get_by_role("slider", name="Longest answer").get_attribute("aria-valuetext") == "1,024 tokens"
    page.keyboard.press("Escape")
    button = page.get_by_role("button", name="How answers are written (changed)")
    assert page.locator("#generation").is_hidden() and button.evaluate("node => node === document.activeElement")
    send(page, "hello")
    page.reload()
    page.locator(".verdict").wait_for()
    send(page, "again")
    sampling = [heard[3] for heard in site.engine.heard]
    assert [(one.temperature, one.top_p, one.max_new_tokens) for one in sampling] == [(0.5, 0.9, 1024)] * 2
    button.click()
    page.get_by_role("button", name="Back to the server's own").click()
    send(page, "and again")
    assert site.engine.heard[2][3] is None and page.evaluate("localStorage.getItem('migaki.generation')") is None
    page.get_by_role("button", name="日本語").click()
    page.get_by_role("slider", name="温度(ばらつき)").wait_for()
    assert page.get_by_role("slider", name="回答の長さの上限").get_attribute("aria-valuetext") == "96トークン"


@pytest.mark.parametrize("kept", ['{"temperature": 9, "top_p": "x", "max_tokens": 32}', "no json", "null", "[]"])
def test_what_a_browser_kept_and_the_server_does_not_offer_is_passed_over(serving, visit, kept):
    site = serving(generation_panel=True)
    page = visit(site.url)
    page.evaluate("kept => localStorage.setItem('migaki.generation', kept)", kept)
    page.reload()
    send(page, "hello")
    sampling = site.engine.heard[0][3]
    assert (sampling and sampling.max_new_tokens) == (32 if "32" in kept else None) and (sampling is None or sampling.temperature == 0.3)


@pytest.mark.parametrize(
    ("locale", "box", "unsure", "unanswered"),
    [("en-US", "Ask a question", "Unsure:", "Unanswered:"), ("ja-JP", "質問を入力してください", "確信のない回答です。", "未回答です。")],
)
def test_how_an_answer_ended_is_said_below_it_and_after_a_reload(serving, visit, locale, box, unsure, unanswered):
    page = visit(serving().url, locale)
    for number, question in enumerate(("perhaps", "unknown", "hello")):
        page.get_by_role("textbox", name=box).fill(question)
        page.keyboard.press("Enter")
        page.locator(".verdict").nth(number).wait_for()
    for _ in range(2):
        perhaps, unknown, hello = page.locator(".answer").all()
        assert unsure in perhaps.locator(".notes").inner_text() and perhaps.locator(".source").count() == 2
        assert unanswered in unknown.locator(".notes").inner_text() and unknown.locator(".source").count() == 0
        assert unsure not in hello.inner_text() and unanswered not in hello.inner_text()
        page.reload()
        page.locator(".verdict").nth(2).wait_for()


def test_a_token_is_asked_for_where_one_is_needed(serving, visit, tmp_path):
    (tmp_path / "tokens").write_text(f"{TOKEN}::Anna\n")
    site = serving(tokens=TokenFile(tmp_path / "tokens").tokens)
    page = visit(site.url)
    page.get_by_label("Token").fill("wrong-0123456789abcdef")
    page.keyboard.press("Enter")
    page.get_by_text("This token is not known here.").wait_for()
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    send(page, "hello")
    assert next(iter(site.chats.owners.values())) != ""
    page.reload()
    page.locator(".verdict").wait_for()
    refused = [text for text in visit.wrong if "401" in text]  # the browser itself writes these down
    assert refused
    visit.wrong[:] = [text for text in visit.wrong if text not in refused]


@pytest.mark.parametrize(("locale", "word"), [("en-US", "unreleased"), ("ja-JP", "リリース外")])
def test_what_is_served_beside_the_release_is_said_in_the_pages_language(serving, visit, locale, word):
    site = serving()
    plain = visit(site.url, locale)
    expect = plain.locator("#version")
    expect.filter(has_text=ABOUT.model).wait_for()
    assert word not in expect.text_content()
    site.app.state.service.about = replace(ABOUT, unreleased="unreleased: chat.temperature = 1.0")
    plain.reload()
    plain.locator("#version").filter(has_text=f"{word}: chat.temperature = 1.0").wait_for()


def test_from_documents_alone_to_answers_and_the_open_page_answers_from_the_next_index(visit, tmp_path):
    home, docs = tmp_path / "home", tmp_path / "docs"
    docs.mkdir()
    (docs / "cat.md").write_text("# Cats\n\nThe cat sleeps in the garden.", encoding="utf-8")
    words = ["--set", f"run.embedder={save_tiny_embedder(tmp_path / 'embedder')}", "--set", "index.chunk_tokens=60"]
    index = ["index", *words, "--documents", str(docs)]
    assert migaki(home, *index)["serving"]
    model = ["--set", f"run.model={save_tiny(tmp_path / 'base')}"]
    server = Served(home, *model, "--set", "chat.cost_wrong=0", "--set", "chat.max_new_tokens=8", "--set", "chat.max_calls=0")
    try:
        page = visit(server.says(r"http://\S+", 120))
        send(page, "Where does the cat sleep?")
        page.locator("details.source", has_text="Cats").wait_for()
        (docs / "cat.md").unlink()
        (docs / "hayabusa.md").write_text("# 隼\n\n隼は崖に巣を作る。", encoding="utf-8")
        made = migaki(home, *index)["artifact"]["id"]
        server.says(f"answering from index {made[:12]} now", 5)  # nobody has asked
        send(page, "隼はどこに巣を作る?")
        page.locator("details.source", has_text="隼").wait_for()
    finally:
        server.end()


DECIDING, READING = "admin-0123456789abcdef", "reader-0123456789abcde"


def sign_in_as(page, token):
    page.locator("#token").fill(token)
    page.keyboard.press("Enter")
    page.locator(".welcome").wait_for()


def test_an_administrator_comes_from_the_chat_reads_and_approves(serving, visit, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{DECIDING}::安:admin\n{READING}\n", encoding="utf-8")
    approvals = MemoryApprovals("one", "two")
    site = serving(approvals=approvals, tokens=TokenFile(file).tokens)
    page = visit(site.url)
    page.locator("#sign-in[open]").wait_for()
    visit.wrong.clear()  # the browser's line about the 401 before the token
    sign_in_as(page, DECIDING)
    page.get_by_role("link", name="Decisions (2)").click()
    card = page.locator("[data-id=one]")
    card.wait_for()
    assert "could not tell" in card.inner_text() and "-0.05 to +0.11" in card.inner_text() and page.locator(".beside img").count() == 0
    assert "<img src=x onerror=alert(1)>" in card.inner_text() and "It is **1,200 °C**." in card.inner_text()
    assert card.locator(".asked").nth(1).get_attribute("lang") == "ja"

    card.get_by_role("button", name="Approve").click()
    assert page.locator("#status").inner_text() == "Please say in words why." and approvals.words == []
    card.get_by_label("Why?").fill("二問とも良い")
    page.get_by_role("button", name="日本語").click()
    assert card.get_by_label("理由").input_value() == "二問とも良い" and "自動判定では差が分からず" in card.inner_text()
    assert page.title() == "承認待ち · Migaki" and "理由を入力" in page.locator("#status").inner_text()
    card.get_by_role("button", name="承認する").click()
    page.get_by_text("承認しました").wait_for()
    assert approvals.words == [("one", "approve", "安", "二問とも良い")] and page.locator(".decision").count() == 1

    approvals.against = ("champion_changed", "the champion changed since")
    page.reload()
    last = page.locator("[data-id=two]")
    last.wait_for()
    assert "今の版が替わったため" in last.inner_text() and last.get_by_role("button", name="承認する").is_disabled()
    last.get_by_label("理由").fill("古い")
    last.get_by_role("button", name="却下する").click()
    page.get_by_text("判断を待つものはありません").wait_for()
    assert approvals.words[-1] == ("two", "refuse", "安", "古い")


def test_somebody_else_decided_meanwhile(serving, visit):
    approvals = MemoryApprovals("one")
    site = serving(approvals=approvals)
    page = visit(site.url)
    page.get_by_role("link", name="Decisions (1)").click()
    page.get_by_label("Why?").fill("fine")
    approvals.waits.clear()
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("Nothing waits for a decision").wait_for()
    assert "no decision waits" in page.locator("#status").inner_text() and approvals.words == []
    visit.wrong[:] = [line for line in visit.wrong if "404" not in line]  # the browser's own line about it


def test_a_reader_sees_no_link_and_is_told_on_the_page(serving, visit, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{READING}\n")
    page = visit(serving(approvals=MemoryApprovals("one"), tokens=TokenFile(file).tokens).url)
    sign_in_as(page, READING)
    assert page.locator("#decisions").is_hidden()
    page.goto(f"{page.url}approvals")
    page.get_by_text("only an administrator decides on releases").wait_for()
    assert page.locator(".decision").count() == 0
    page.evaluate("localStorage.removeItem('migaki.token')")
    page.reload()
    page.get_by_text("Please sign in on the page of the chat first").wait_for()
    visit.wrong[:] = [line for line in visit.wrong if "401" not in line and "403" not in line]
