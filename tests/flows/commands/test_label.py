"""Human feedback: sides stay hidden, decisions are kept at once and can be undone, and the next run reads what was said."""

import io
import json
import random
from pathlib import Path

import pytest
import torch

from flows.catalogue.stages import STAGES
from flows.commands.label import Feedback, ask, contestants, prompts_from, unseen
from flows.running.feedback import export, with_feedback
from storage.catalog import Catalog
from storage.home import Home
from tasks.data.normalise import preference
from tasks.data.settings import PrepareSettings
from tasks.errors import MigakiError
from tasks.rlhf.labelling import Session, hide
from tasks.rlhf.losses import bradley_terry
from tasks.stages.execute import ingredients
from tasks.stages.work import Context

MODELS = ("champion-id", "challenger-id")


def comparisons(count: int = 4):
    generator = random.Random(0)
    return [hide([{"role": "user", "content": f"質問{i}?"}], (f"champ {i}", f"挑戦{i}"), MODELS, generator) for i in range(count)]


def scripted(home: Home, keys: str, count: int = 4) -> tuple[Session, str]:
    """A session whose keys are typed from a script, which ends the input when it is over."""
    typed, out, session = iter(keys), io.StringIO(), Session(comparisons(count))

    def read(_: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    ask(session, Feedback(home), read, out)
    return session, out.getvalue()


def rows(home: Home) -> list[dict]:
    return Catalog.of(home).query("SELECT * FROM feedback ORDER BY ts")


def test_the_order_is_random_and_a_choice_means_the_answer_and_not_its_place():
    generator = random.Random(0)
    shown = [hide([], ("a", "b"), MODELS, generator) for _ in range(200)]
    assert 60 < sum(comparison.at(0) == "a" for comparison in shown) < 140
    session = Session(shown)
    for comparison in shown:
        decision = session.say("first")
        assert comparison.answers[decision.better] == comparison.at(0)


def test_decisions_are_kept_at_once_and_models_are_not_named(home):
    session, said = scripted(home, "1t2")
    assert [row["choice"] for row in rows(home)] == [
        "ab"[session.comparisons[0].shown[0]],
        "tie",
        "ab"[session.comparisons[2].shown[1]],
    ]
    assert json.loads(rows(home)[0]["messages"]) == [{"role": "user", "content": "質問0?"}]
    assert "質問0?" in said and "champ 0" in said and "挑戦0" in said
    assert "champion-id" not in said and "challenger-id" not in said


def test_undo_takes_back_the_last_one_a_skipped_one_too(home):
    session, _ = scripted(home, "1suu2")
    assert len(session.decisions) == 1 and [row["choice"] for row in rows(home)] == ["ab"[session.comparisons[0].shown[1]]]
    assert "nothing to undo" in scripted(home, "u")[1]


def test_a_wrong_key_asks_again_and_q_leaves(home):
    session, said = scripted(home, "xq1")
    assert session.decisions == [] and "'x' is none of the keys" in said and rows(home) == []


def test_what_was_said_comes_back_as_preferences(home, tmp_path):
    session, _ = scripted(home, "1t")
    assert export(home, tmp_path / "pairs.jsonl") == 2
    first, tie = [preference(json.loads(line), "f") for line in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert first.chosen == session.comparisons[0].at(0) and first.rejected == session.comparisons[0].at(1)
    assert first.messages == [{"role": "user", "content": "質問0?"}] and not first.tie and tie.tie


def test_prepare_reads_feedback_and_its_key_changes_only_when_there_is_some(home, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}), encoding="utf-8")
    empty = {kind: [] for kind in PrepareSettings.PATHS}
    settings = PrepareSettings(**empty | {"preferences": [str(file)]})
    key = lambda settings: ingredients(STAGES["prepare"], with_feedback(settings), {}, Context(home, "", "")).key
    before = key(settings)
    assert key(settings) == before
    scripted(home, "1")
    after = key(settings)
    assert after != before and key(settings.model_copy(update={"feedback": False})) != after
    assert with_feedback(settings.model_copy(update={"feedback": False})).preferences == [str(file)]
    assert with_feedback(PrepareSettings(**empty)).preferences == []  # RLHF was not asked for
    scripted(home, "1")
    assert key(settings) != after


def test_prompts_that_were_compared_are_not_asked_again(home):
    scripted(home, "1t")
    prompts = [comparison.messages for comparison in comparisons()]
    assert unseen(home, prompts, MODELS) == prompts[2:] == unseen(home, prompts, MODELS[::-1])
    assert unseen(home, prompts, ("other", "champion-id")) == prompts


def test_it_says_what_is_missing(home, tmp_path):
    with pytest.raises(MigakiError, match="migaki retrain"):
        contestants(home, None)
    with pytest.raises(MigakiError, match="migaki prepare"):
        prompts_from(home, None)
    with pytest.raises(MigakiError, match="is no file"):
        prompts_from(home, Path("nothing.txt"))
    (tmp_path / "p.txt").write_text("東京は?\n\nWhy?\n", encoding="utf-8")
    assert [messages[0]["content"] for messages in prompts_from(home, tmp_path / "p.txt")] == ["東京は?", "Why?"]


def test_a_tie_is_half_a_preference_for_either_side():
    scores, zero, one = torch.tensor([2.0]), torch.tensor([0.0]), torch.ones(1)
    both = [bradley_terry(*order, zero, one) for order in ((scores, zero), (zero, scores))]
    tie = bradley_terry(scores, zero, zero, one, tie=torch.tensor([True]))
    torch.testing.assert_close(tie, sum(both) / 2)
    torch.testing.assert_close(bradley_terry(scores, zero, zero, one, tie=torch.tensor([False])), both[0])
