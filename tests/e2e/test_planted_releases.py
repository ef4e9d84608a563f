"""Planted releases on the bundled model: three that do not come to serve, each with an effect of at least twice what the questions can show."""

import pytest

from flows.running.parameters import BUNDLED_MODEL
from storage.home import Home
from tasks.chatbot.engine import ChatEngine
from tasks.chatbot.settings import ChatSettings
from tasks.evaluation.asking import ask_all
from tasks.evaluation.promotion import Evidence, decide
from tasks.evaluation.settings import PromoteSettings
from tasks.models.reference import resolve
from tasks.stages.serving import serving_model
from tests.helpers.planted_releases import WITHOUT_CONTEXT, KilnIndex, kiln_items

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def asked():
    """The rows of what the bundled model says to the questions about kilns; it writes English, and quotes in Japanese."""
    home, items = Home.current(), kiln_items()
    found = resolve(BUNDLED_MODEL, home)
    backend = serving_model(home, found.checksum, found.path, "fp32", "auto", "cpu")

    def ask(role, index=None, templates=None, **chat):
        settings = ChatSettings(chunks=1, max_new_tokens=32, **chat)
        engine = ChatEngine(backend, index or KilnIndex(), settings, answering={"ja": "quote"}, templates=templates or {})
        return ask_all(engine, items, role)

    champion = ask("champion")
    yield lambda **fault: [*champion, *ask("release", **fault)]
    backend.close()


@pytest.mark.parametrize(
    "fault",
    [{"temperature": 3.0, "top_k": 0, "top_p": 1.0}, {"templates": WITHOUT_CONTEXT}, {"index": KilnIndex(never=True)}],
    ids=["temperature 3", "a template without context", "always abstains"],
)
def test_a_bad_release_of_the_bundled_model_is_kept_out(asked, fault):
    found = decide(Evidence([], asked(**fault), "champion", no_loss="the same model"), PromoteSettings())
    assert found.decision == "keep" and found.high < 0 and -found.difference >= 2 * found.smallest, found.reason
