"""A browser for whatever has a page."""

import shutil

import pytest


@pytest.fixture(scope="session")
def chromium():
    if (found := shutil.which("chromium")) is None:
        pytest.skip("needs Debian's chromium on the PATH")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
