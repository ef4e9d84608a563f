"""A browser for whatever has a page."""

import shutil

import pytest


@pytest.fixture(scope="module")  # for as long as a file needs it: other files must find neither its processes nor its event loop
def chromium():
    if (found := shutil.which("chromium")) is None:
        pytest.skip("needs Debian's chromium on the PATH")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
