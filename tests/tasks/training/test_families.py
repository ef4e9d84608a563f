"""Model families that no other test takes through every stage, as `benchmarks/families.py` takes all of them."""

import pytest

from tests.helpers.families import STAGES, Walk, walked


@pytest.mark.slow
@pytest.mark.parametrize("family", ["Gemma 2", "Cohere", "Qwen 3 MoE"])
def test_a_family_comes_through_whole_with_the_figures_of_its_own_forward(family, tmp_path):
    walk = walked(family, tmp_path)
    assert walk.whole and walk.right, walk
    assert set(walk.distances) == {"tune before", "tune after", "trained", "released"}
    assert set(walk.greedy) == {"base, sampling", "base, chat", "released, sampling", "released, chat", "released, generate"}


@pytest.mark.slow
def test_a_family_without_reward_models_says_why_and_is_aligned_by_kto(tmp_path):
    walk = walked("Bloom", tmp_path)
    assert walk.whole and walk.right, walk
    assert walk.stages["align"].startswith("kto") and "ALiBi" in walk.refused[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"distances": {"tune before": 2e-4}},
        {"distances": {"tune before": float("nan")}},
        {"greedy": {"base, chat": (15, 16)}},
        {"greedy": {"base, chat": (0, 0)}},
        {"faults": ["tune: KeyError"]},
        {"stages": {"tune": "1 to 2"}},
    ],
)
def test_what_differs_or_is_missing_without_a_reason_is_wrong(wrong):
    fine = {"distances": {"tune before": 1e-6}, "greedy": {"base, chat": (16, 16)}, "stages": dict.fromkeys(STAGES, "")}
    assert Walk("any", **fine).right and not Walk("any", **fine | wrong).right


def test_a_family_that_is_refused_with_a_reason_is_right_but_not_whole():
    walk = Walk("any", refused=["tune: this architecture is not supported"])
    assert walk.right and not walk.whole
