"""A newcomer's walk in Chromium: from the platform's own words to Prefect's page, its form, a run, the report on the chat's page, and a release that serves."""

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest

from flows.running.local import free_port
from tests.helpers.backends import until
from tests.helpers.command import Served
from tests.helpers.deaths import platform_in
from tests.helpers.small_project import SmallProject

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
TOKEN = "walking-0123456789abcdef"
DAY = r"\d{4}-\d\d-\d\d"
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


class Form:
    """The form of a deployment's run on Prefect's page."""

    def __init__(self, page):
        self.page = page
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Custom run").click()
        page.get_by_text("run (Optional)", exact=True).wait_for()

    def write(self, field, text):
        self.page.get_by_label(field).first.fill(text)

    def choose(self, field, value):
        button = self.page.get_by_role("button", name=f"Select {field}", exact=True)
        self._pick(button, self.page.get_by_role("option", name=value, exact=True), lambda: button.inner_text().strip() == value)

    def as_json(self, section, value):
        label = self.page.locator("label").filter(has_text=re.compile(rf"^{section} \(Optional\)$"))
        menu = label.locator("xpath=ancestor::div[contains(@class, 'grid')][1]").get_by_role("button", name="Open menu")
        editor = label.locator("xpath=ancestor::div[contains(@class, 'group')][1]").locator(".cm-content")
        if not editor.is_visible():
            self._pick(menu, self.page.get_by_role("menuitem", name="Use JSON Input"), editor.is_visible)
        for _ in range(5):
            if reads(editor, value):
                return
            editor.click()
            self.page.keyboard.press("Control+A")  # the editor has only those lines in the document that are seen
            self.page.keyboard.insert_text(json.dumps(value, ensure_ascii=False))
            with suppress(AssertionError):
                until(lambda: reads(editor, value), 5)
        raise AssertionError(f"{section} reads {editor.inner_text()!r} where {value} was written")

    def _pick(self, button, item, done):
        """Open a list and take something of it. Where it closes before it is clicked, as on a busy machine, a person opens it again."""
        for _ in range(5):
            if not item.is_visible():
                button.click()
            with suppress(playwright.TimeoutError):
                item.click(timeout=5_000)
            with suppress(AssertionError):
                until(done, 5)
                return
        raise AssertionError(f"nothing came of {item}")

    def submit(self):
        self.page.get_by_role("button", name="Submit").click()


def reads(editor, value):
    """Whether an editor of JSON has that value."""
    with suppress(ValueError):
        return json.loads(editor.inner_text()) == value
    return False


def signed_in(page, said):
    """Prefect's page with the main job, opened and signed in to by what the platform says on its terminal."""
    page.goto(re.search(r"The main job is (\S+):", said)[1])
    page.get_by_placeholder("admin:pass").fill(Path(re.search(r"enter the line of (\S+)", said)[1]).read_text(encoding="utf-8").strip())
    page.get_by_role("button", name="Login").click()
    page.get_by_role("link", name="retrain", exact=True).first.click()


def started(page, platform, project, chat):
    """A quick retrain, from the form; wrong values are refused there."""
    form = Form(page)
    form.write("Stage Hours", "1000")
    form.submit()
    assert "720" in page.get_by_label("Stage Hours").evaluate("node => node.validationMessage")
    form.write("Stage Hours", "48")
    form.write("Chat Address", "チャット")
    form.submit()
    page.get_by_text("Validation failed for field 'run.chat_address'").wait_for()
    assert platform.runs() == []
    form.write("Chat Address", chat)
    form.write("Model", project.model)
    form.write("Embedder", project.embedder)
    form.choose("Profile", "quick")
    form.choose("Approval", "always")
    for section, values in 2 * [*({"prepare": project.files} | project.settings).items()]:
        form.as_json(section, values)  # twice: the form takes what is written a moment later, and a busy one loses it
    page.locator("[data-sonner-toast]").wait_for(state="detached")  # it lies over the button
    run = begun(form, platform)
    page.goto(f"http://127.0.0.1:{platform.port}/v2/runs/flow-run/{run['id']}")  # where the button leads that the page shows for a while


def begun(form, platform):
    """The run that the form begins. Where a busy server did not take it, a person presses the button again."""
    for _ in range(3):
        form.submit()
        with suppress(AssertionError):
            until(platform.runs, 20)
            return platform.runs()[0]
    raise AssertionError("no run was begun")


def followed(page, platform):
    """The run's page until the run has ended: its stages as they come, and what it leaves; the address of its report."""
    page.get_by_text(re.compile(rf"^retrain quick {DAY}$")).first.wait_for(timeout=60_000)
    page.get_by_role("tab", name="Subflow Runs").click()
    for stage in ("prepare", "tune", "evaluate"):
        page.get_by_role("link", name=re.compile(rf"^{stage} quick {DAY}$")).wait_for(timeout=400_000)
    run = {"id": re.search(r"flow-run/([0-9a-f-]+)", page.url)[1]}
    assert platform.finished(run, 400)["state"]["type"] == "COMPLETED"
    page.reload()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_role("link", name=re.compile("The report of the run")).click()
    page.get_by_role("link", name=re.compile(r"^[0-9a-f]{8}$")).click()
    return page.locator("a[href*='/report#']").get_attribute("href")


def decided(page, report, chat):
    """The report read and the release approved of on the chat's page; the release's id as far as that page shows it."""
    page.goto(report)
    page.locator("#token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.frame_locator("#report").get_by_role("heading").first.wait_for()
    page.goto(chat)
    page.get_by_role("link", name="Decisions (1)").click()
    release = re.search(r"[0-9a-f]{12}", page.locator(".decision h2").inner_text())[0]
    page.get_by_label("Why?").fill("初回なので承認")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("Nothing waits for a decision").wait_for()
    return release


def test_from_the_platforms_own_words_to_a_release_that_serves(chromium, tmp_path):
    project, port = SmallProject.write(tmp_path / "project"), free_port()
    (tmp_path / "tokens").write_text(f"{TOKEN}::杏:admin\n", encoding="utf-8")
    chat = f"http://127.0.0.1:{port}/"
    with platform_in(tmp_path) as platform:
        context = chromium.new_context(viewport={"width": 1200, "height": 900}, locale="en-US")
        page = context.new_page()
        signed_in(page, platform.log.read_text(encoding="utf-8"))
        started(page, platform, project, chat)
        report = followed(page, platform)
        assert report.startswith(f"{chat}report#")
        served = Served(
            platform.home.root, "--port", str(port), "--token-file", str(tmp_path / "tokens"), "--set", f"run.model={project.model}"
        )
        try:
            served.says(r"http\S+", 60)
            release = decided(page, report, chat)
            served.says(f"release {release}", 60)
            page.goto(chat)
            page.locator(f"#version[title*='{release}']").wait_for()
        finally:
            served.end()
        told = {"filter": {"event": {"name": ["migaki.release.promoted"]}}}
        until(lambda: platform.api("/events/filter", told)["events"], 30)
        context.close()
