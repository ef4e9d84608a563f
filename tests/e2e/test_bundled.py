"""The bundled models and the example project, end to end through the command, at a size that takes minutes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.catalog import Catalog
from storage.home import Home
from tests import ROOT
from tests.helpers.command import migaki

SMALL = [
    "tune.max_rows=32",
    "tune.epochs=1",
    "align.updates=1",
    "align.episodes=8",
    "align.answer_tokens=12",
    "align.reward_max_pairs=32",
    "align.reward_epochs=1",
    "align.reward_normalise_prompts=8",
    "align.reward_answer_tokens=12",
    "quantize.eval_tokens=400",
    "evaluate.loss_items=12",
    "evaluate.prompts=12",
    "evaluate.answer_tokens=8",
    "evaluate.choice_items=4",
    "evaluate.timed_items=2",
]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with one finished run; the models are taken from the working tree's own home where they are there."""
    folder = tmp_path_factory.mktemp("bundled")
    (folder / "models").mkdir()
    for model in (ROOT / ".migaki" / "models").glob("*-*.*"):
        (folder / "models" / model.name).symlink_to(model)
    options = [word for text in SMALL for word in ("--set", text)]
    answer = migaki(folder, "retrain", "--profile", "quick", *options)
    return folder, answer


def test_the_example_project_is_learnt(home):
    folder, answer = home
    rows = Catalog.of(Home(folder)).query(
        "SELECT * FROM evaluations WHERE model = 'tuned - base' AND metric = 'answer_loss_per_character' AND lang = 'all'"
    )
    assert rows[0]["value"] < 0
    found = {
        row["lang"]: row["value"]
        for row in Catalog.of(Home(folder)).query("SELECT * FROM evaluations WHERE model = 'index' AND metric = 'hit@5'")
    }
    assert min(found["en"], found["ja"]) >= 0.8
    assert Path(answer["report"]).exists()


def test_the_champion_answers_in_both_languages(home):
    folder, _ = home
    model = Catalog.of(Home(folder)).query("SELECT model_id FROM models LIMIT 1")[0]["model_id"]
    said = "What does LoRA train?\nLoRAとは何ですか?\n/sources\n/quit\n"
    done = subprocess.run(
        [sys.executable, "-m", "flows.commands.main", "chat", "--artifact", model, "--set", "chat.max_new_tokens=24"],
        cwd=ROOT,
        input=said,
        text=True,
        capture_output=True,
        env=os.environ | {"MIGAKI_HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "引用" in done.stdout and "lora" in done.stdout
    assert Catalog.of(Home(folder)).query("SELECT count(*) AS n FROM messages")[0]["n"] == 4
