"""The calibration of an index: held to the bundled one, moved by the questions of a team, told by documents that it was not fitted on."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.calibration.fitting import (
    FEWEST,
    LEAST,
    NEAR,
    Case,
    auroc,
    curve,
    ended,
    fit,
    folds,
    out_of_fold,
    probabilities,
    with_least,
    with_thresholds,
    worth,
)
from tasks.rag.confidence import FEATURES, Calibration

PRIOR = Calibration(-1.0, (2.0,) + (0.0,) * (len(FEATURES) - 1), 0.3, 0.5)


def asked(count: int, sign: int, seed: int = 0, apart: float = 2.0) -> list[Case]:
    """Questions whose answers are told by one sign; each asked with its document and without, two to a document."""
    draw = np.random.default_rng(seed)
    found = []
    for number in range(count):
        for answered in (True, False):
            signs = 0.3 * draw.standard_normal(len(FEATURES))
            signs[sign] += apart * answered
            found.append(Case(str(number), "en", signs, answered, number % 4 > 0 if answered else None, f"{number // 2}.md"))
    return found


def test_with_hardly_a_question_it_stays_what_is_bundled():
    assert fit([], PRIOR) is PRIOR and fit(asked(FEWEST - 1, 3), PRIOR) is PRIOR
    only = [case for case in asked(50, 3) if case.answered]
    assert fit(only, PRIOR) is PRIOR  # nothing says what a question without an answer looks like


def test_the_more_questions_the_further_it_goes_by_them():
    moved = [fit(asked(count, 3), PRIOR).weights[3] for count in (10, 40, 400)]
    assert 0 < moved[0] < moved[1] < moved[2]
    held = fit(asked(40, 3), PRIOR, strength=1e6)
    assert held.weights == pytest.approx(PRIOR.weights, abs=1e-2) and (held.least, held.sure) == (PRIOR.least, PRIOR.sure)


def test_the_fit_is_where_the_penalised_likelihood_is_highest():
    cases, strength = asked(30, 2, apart=0.5), 3.0
    rows, answered = np.array([case.signs for case in cases]), np.array([case.answered for case in cases])
    spread = rows.std(axis=0)

    def loss(fitted: Calibration) -> float:
        p = probabilities(rows, fitted)
        off = (np.array(fitted.weights) - np.array(PRIOR.weights)) * spread
        bias = fitted.bias - PRIOR.bias
        return float(-np.log(np.where(answered, p, 1 - p)).sum() + 0.5 * strength * (off @ off + 0.01 * bias**2))

    best = fit(cases, PRIOR, strength)
    for place in range(len(FEATURES)):
        for step in (-0.05, 0.05):
            weights = tuple(value + step * (at == place) for at, value in enumerate(best.weights))
            assert loss(replace(best, weights=weights)) > loss(best)
    assert loss(replace(best, bias=best.bias + 0.05)) > loss(best) < loss(replace(best, bias=best.bias - 0.05))


def test_a_document_is_on_one_side_of_every_fold():
    cases = asked(30, 1)
    held = list(folds(cases, 5))
    assert np.array(held).sum(axis=0).tolist() == [1] * len(cases)
    for part in held:
        inside, outside = ({case.group for case, out in zip(cases, part, strict=True) if out == side} for side in (True, False))
        assert inside and outside and not inside & outside


def test_what_is_told_out_of_fold_was_not_fitted_on():
    inside, outside = [], []
    for seed in range(8):
        noise = asked(40, 1, seed, apart=0.0)  # nothing tells them apart
        rows, answered = np.array([case.signs for case in noise]), np.array([case.answered for case in noise])
        for found, scores in ((inside, probabilities(rows, fit(noise, PRIOR, 0.01))), (outside, out_of_fold(noise, PRIOR, 10, 0.01))):
            found.append(auroc(scores[answered], scores[~answered]))
    assert np.mean(inside) > 0.58 > 0.54 > np.mean(outside)


def test_auroc_counts_pairs_and_ties_by_half():
    assert auroc(np.array([0.9, 0.5]), np.array([0.5, 0.1])) == pytest.approx((1 + 1 + 0.5 + 1) / 4)


def test_no_more_end_unsure_than_are_allowed():
    scores = np.linspace(0.0, 0.99, 100)
    limited = with_least(PRIOR, scores, 0.18)
    assert ((scores >= limited.least) & (scores < limited.sure)).sum() == 18
    assert with_least(PRIOR, np.array([0.9, 0.01]), 0.18).least >= LEAST
    assert with_least(PRIOR, scores, 0.0).least == pytest.approx(PRIOR.sure, abs=0.02)


def test_how_questions_end():
    cases = [Case(str(i), "en", np.zeros(len(FEATURES)), i < 4, (i % 2 == 0) if i < 4 else None, "a") for i in range(6)]
    found = ended(cases, np.array([0.9, 0.8, 0.4, 0.1, 0.6, 0.4]), PRIOR)
    assert (found.right, found.wrong, found.turned_away, found.told) == (0.25, 0.25, 0.25, 0.5)
    assert found.unsure == pytest.approx(2 / 6) and found.auroc == pytest.approx((2 + 2 + 0.5 + 0) / 8)


def test_the_curve_rises_to_everything():
    cases = asked(20, 1)
    points = curve(cases, probabilities(np.array([case.signs for case in cases]), PRIOR))
    assert points[-1] == (1.0, 1.0) and points == sorted(points)


def judged(*ends: tuple[bool, bool | None]) -> list[Case]:
    return [Case(str(n), "en", np.zeros(len(FEATURES)), answered, right, str(n)) for n, (answered, right) in enumerate(ends)]


def test_what_an_end_is_worth():
    cases = judged((True, True), (True, False), (True, None), (False, False), (False, False))
    scores = np.array([0.9, 0.9, 0.4, 0.4, 0.1])  # answered right and wrong, unsure; unsure and turned away of those without an answer
    assert worth(cases, scores, PRIOR) == pytest.approx(0.7 * (1 - 1 + 0.5) / 3 + 0.3 * (-0.5 + 0) / 2)


def test_the_threshold_moves_to_what_is_worth_most_and_no_further_than_near():
    cases = judged((True, True), (True, True), (True, True), (False, False), (False, False), (False, False))
    right_below = np.array([0.45, 0.46, 0.47, 0.1, 0.1, 0.1])
    assert with_thresholds(PRIOR, cases, right_below, 1.0).sure == pytest.approx(PRIOR.sure - 0.06)
    wrong_above = np.array([0.9, 0.9, 0.9, 0.53, 0.54, 0.55])
    assert with_thresholds(PRIOR, cases, wrong_above, 0.0).sure == pytest.approx(PRIOR.sure + 0.06)
    plain = np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.1])
    assert with_thresholds(PRIOR, cases, plain, 1.0).sure == PRIOR.sure
    far_below = np.array([0.3, 0.3, 0.3, 0.1, 0.1, 0.1])
    assert with_thresholds(PRIOR, cases, far_below, 1.0).sure >= PRIOR.sure + min(NEAR)
