"""What the guards measure, when they stop a run, and when the alarm of the second reward model rings."""

import pytest

from tasks.rlhf.guards import WINDOW, Guards, alarm, copy_rate, distinct_2
from tasks.rlhf.settings import PPOSettings

FINE = {"kl": 0.5, "length": 30.0, "distinct_2": 0.8, "refused": 0.0, "copied": 0.1}


def watched(figures: dict[str, float], before: int = WINDOW, after: int = WINDOW) -> str | None:
    """What is said of the last of `after` rounds with these figures, after `before` fine ones."""
    guards, said = Guards(PPOSettings(), str), None
    for change in [{}] * before + [figures] * after:
        said = guards.reason_to_stop(FINE | change)
    return said


def test_distinct_2_counts_pairs_within_answers():
    assert distinct_2([[1, 2, 3], [1, 2]]) == pytest.approx(2 / 3)  # 12 23 12
    assert distinct_2([[1, 1, 1, 1]]) == pytest.approx(1 / 3)
    assert distinct_2([[1], []]) == 1.0


def test_copy_rate_looks_into_an_answers_own_prompt():
    assert copy_rate([[1, 2, 3, 4, 5], [9]], [[1, 2, 3, 4, 7], [1, 2, 3, 4]]) == pytest.approx(1 / 3)
    assert copy_rate([[1, 2, 3, 4]], [[1, 2, 3]]) == 0.0


def test_refusals_are_told_in_both_languages():
    texts = {1: "I cannot answer that.", 2: "申し訳ありません。", 3: "Paris."}
    assert Guards(PPOSettings(), lambda ids: texts[ids[0]]).measure([[0]] * 3, [[1], [2], [3]])["refused"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("figures", "setting"),
    [
        ({"kl": 9.0}, "align.kl_limit = 8"),
        ({"length": 45.0}, "align.length_limit"),
        ({"length": 15.0}, "align.length_limit"),
        ({"distinct_2": 0.6}, "align.distinct_limit"),
        ({"refused": 0.4}, "align.refusal_limit"),
        ({"copied": 0.5}, "align.copy_limit"),
    ],
)
def test_each_limit_stops_a_run_and_names_its_setting(figures, setting):
    assert setting in watched(figures)


def test_small_changes_and_single_rounds_pass():
    assert watched({"length": 33.0, "distinct_2": 0.76, "refused": 0.1, "copied": 0.2, "kl": 7.9}) is None
    assert watched({"length": 45.0}, after=1) is None  # one round of few answers proves nothing
    assert watched({"length": 300.0}, before=1, after=1) is None  # too early to compare


def test_the_alarm_rings_when_the_scores_part():
    up = [0.0, 0.1, 0.05, 0.1, 0.4, 0.8, 0.9, 1.0]
    assert "reward hacking" in alarm(up, [-x for x in up])
    assert alarm(up, up) is None
    assert alarm(up, [0.3, -0.3] * 4) is None  # noise is no fall
    assert alarm(up[:3], [-x for x in up[:3]]) is None  # too short to say
