"""Ways of decoding by their names; what is none is refused with what would be accepted."""

from dataclasses import replace

import pytest

from tasks.errors import MigakiError
from tasks.inference.strategies import WHOLE, decodings


def test_each_way_that_draws_is_there_at_each_temperature():
    shared = replace(WHOLE, max_new_tokens=9, no_repeat_ngram=2)
    found = decodings(["greedy", "beam:5", "sample", "top_k:50", "top_p:0.95", "min_p:.1"], [0.3, 1.5], shared)
    assert {one.name: one.sampling for one in found} == {
        "greedy": shared,
        "beam:5": replace(shared, num_beams=5),
        "sample T=0.3": replace(shared, temperature=0.3),
        "sample T=1.5": replace(shared, temperature=1.5),
        "top_k:50 T=0.3": replace(shared, temperature=0.3, top_k=50),
        "top_k:50 T=1.5": replace(shared, temperature=1.5, top_k=50),
        "top_p:0.95 T=0.3": replace(shared, temperature=0.3, top_p=0.95),
        "top_p:0.95 T=1.5": replace(shared, temperature=1.5, top_p=0.95),
        "min_p:.1 T=0.3": replace(shared, temperature=0.3, min_p=0.1),
        "min_p:.1 T=1.5": replace(shared, temperature=1.5, min_p=0.1),
    }
    assert [one.draws for one in found] == [False, False] + [True] * 8


@pytest.mark.parametrize(
    "wrong",
    ["foo", "", "beam:0", "beam:1", "beam:9", "beam:2.5", "top_k:0", "top_k:-1", "top_p:2", "top_p:0", "top_p:nan", "min_p:", "greedy:1"],
)
def test_what_is_no_strategy_is_refused(wrong):
    with pytest.raises(MigakiError, match=rf"{wrong!r} is no decoding strategy: accepted are greedy, sample, beam:N"):
        decodings(["greedy", wrong], [1.0])


@pytest.mark.parametrize(
    ("strategies", "temperatures", "said"),
    [
        (["sample"], [-1.0], "-1 is no temperature"),
        (["sample"], [0.0], "0 is no temperature.*greedy takes the likeliest"),
        (["sample"], [float("nan")], "nan is no temperature"),
        (["greedy", "sample"], [], "'sample' draws, and there is no temperature"),
        (["greedy", "greedy"], [], "strategy 'greedy' is named twice"),
        (["sample"], [1.0, 1.0], "temperature 1.0 is named twice"),
        ([], [1.0], "no strategy to decode by"),
    ],
)
def test_what_cannot_be_drawn_by_is_refused(strategies, temperatures, said):
    with pytest.raises(MigakiError, match=said):
        decodings(strategies, temperatures)
