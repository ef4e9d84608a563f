"""A newcomer's walk in Chromium: from the platform's own words to Prefect's page, its form, a run, the report on the chat's page, and a release that serves."""

import json
import re

import pytest

from tests.helpers.deaths import platform_in
from tests.helpers.small_project import SmallProject

TOKEN = "walking-0123456789abcdef"
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return SmallProject.write(tmp_path_factory.mktemp("walk") / "project")


@pytest.fixture(scope="module")
def platform(project, tmp_path_factory):
    with platform_in(tmp_path_factory.mktemp("walk")) as found:
        yield found


class Form:
    """The form of a deployment's run on Prefect's page."""

    def __init__(self, page):
        self.page = page
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Custom run").click()
        page.get_by_text("run (Optional)").wait_for()

    def write(self, field, text):
        self.page.get_by_label(field).first.fill(text)

    def choose(self, field, value):
        self.page.get_by_role("button", name=f"Select {field}", exact=True).click()
        self.page.get_by_role("option", name=value, exact=True).click()

    def as_json(self, section, value):
        label = self.page.locator("label").filter(has_text=re.compile(rf"^{section} \(Optional\)$"))
        label.locator("xpath=ancestor::div[contains(@class, 'grid')][1]").get_by_role("button", name="Open menu").click()
        self.page.get_by_role("menuitem", name="Use JSON Input").click()
        label.locator("xpath=ancestor::div[contains(@class, 'group')][1]").locator(".cm-content").fill(
            json.dumps(value, ensure_ascii=False)
        )

    def submit(self):
        self.page.get_by_role("button", name="Submit").click()
