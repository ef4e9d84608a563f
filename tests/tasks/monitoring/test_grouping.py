"""Questions without documents, grouped."""

import numpy as np
import pytest

from tasks.monitoring.grouping import Embedded, Group, group, groups, similarity

PARKING, HOLIDAYS = [1.0, 0.0, 0.1], [0.0, 1.0, 0.1]
VECTORS = {
    "Where can I park?": PARKING,
    "Is there a car park?": [1.0, 0.1, 0.0],
    "Parking for visitors?": [1.0, 0.0, 0.0],
    "How many holidays are there?": HOLIDAYS,
    "駐車場はどこですか。": PARKING,
    "車はどこに停めますか。": [1.0, 0.1, 0.1],
}


def embed(lang: str, texts: list[str]) -> list[Embedded]:
    assert all(text.isascii() == (lang == "en") for text in texts)
    vectors = np.array([VECTORS[text] for text in texts])
    return [Embedded(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 0.2)]


def test_questions_about_one_thing_are_one_group_in_each_language():
    asked = [(f"t{number}", "en" if text.isascii() else "ja", text) for number, text in enumerate(VECTORS)]
    assert group(asked, embed, 0.5) == [Group("en", ("t2", "t0", "t1")), Group("ja", ("t4", "t5")), Group("en", ("t3",))]
    assert group([], embed, 0.5) == []


def test_similarity_is_a_share_of_the_way_from_unrelated_texts_as_a_mean_over_embedders():
    vectors = np.array([[1.0, 0.0], [0.8, 0.6]])
    assert similarity([Embedded(vectors, 0.6)])[0] == pytest.approx([1.0, 0.5])
    assert similarity([Embedded(vectors, 0.6), Embedded(np.eye(2), 0.0)])[0] == pytest.approx([1.0, 0.25])


def test_a_chain_is_no_group():
    """Each like the next, the first and the last not at all."""
    alike = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.55], [0.0, 0.55, 1.0]])
    assert groups(alike, 0.5) == [[0, 1], [2]]
    assert groups(alike, 0.25) == [[1, 0, 2]]


def test_one_question_is_a_group():
    assert groups(np.ones((1, 1)), 0.5) == [[0]] and groups(np.ones((0, 0)), 0.5) == []
