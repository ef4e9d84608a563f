"""The page of decisions in Chromium: an administrator reads both chatbots' answers and decides; what they say is text."""

import pytest

from tasks.chatbot.web.tokens import TokenFile
from tests.e2e.test_browser import serving, visit  # noqa: F401  (fixtures)
from tests.helpers.web import MemoryApprovals

ADMIN, READER = "admin-0123456789abcdef", "reader-0123456789abcde"
pytestmark = pytest.mark.e2e


def sign_in(page, token):
    page.locator("#token").fill(token)
    page.keyboard.press("Enter")
    page.locator(".welcome").wait_for()


def test_an_administrator_comes_from_the_chat_reads_and_approves(serving, visit, tmp_path):  # noqa: F811
    file = tmp_path / "tokens"
    file.write_text(f"{ADMIN}::安:admin\n{READER}\n", encoding="utf-8")
    approvals = MemoryApprovals("one", "two")
    site = serving(approvals=approvals, tokens=TokenFile(file).tokens)
    page = visit(site.url)
    page.locator("#sign-in[open]").wait_for()
    visit.wrong.clear()  # the browser's line about the 401 before the token
    sign_in(page, ADMIN)
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


def test_somebody_else_decided_meanwhile(serving, visit):  # noqa: F811
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


def test_a_reader_sees_no_link_and_is_told_on_the_page(serving, visit, tmp_path):  # noqa: F811
    file = tmp_path / "tokens"
    file.write_text(f"{READER}\n")
    page = visit(serving(approvals=MemoryApprovals("one"), tokens=TokenFile(file).tokens).url)
    sign_in(page, READER)
    assert page.locator("#decisions").is_hidden()
    page.goto(f"{page.url}approvals")
    page.get_by_text("only an administrator decides on releases").wait_for()
    assert page.locator(".decision").count() == 0
    page.evaluate("localStorage.removeItem('migaki.token')")
    page.reload()
    page.get_by_text("Please sign in on the page of the chat first").wait_for()
    visit.wrong[:] = [line for line in visit.wrong if "401" not in line and "403" not in line]
