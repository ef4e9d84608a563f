"""The loss on reference answers: one that is cut is divided by what was scored of it, and a question without room for one is passed over."""

import pytest

from tasks.evaluation.items import Item
from tasks.evaluation.measure import answer_losses, loss_example
from tasks.progress import Bar
from tests.helpers.models import tiny_llama, tiny_tokenizer


def item(question: str, reference: str, lang: str = "en") -> Item:
    return Item("i", "instructions", [{"role": "user", "content": question}], reference, lang)


@pytest.mark.parametrize(("sentence", "lang"), [("The kiln stands by the gate. ", "en"), ("窯は門のそばにあります。", "ja")])
def test_a_cut_answer_is_divided_by_the_characters_that_were_scored(sentence, lang):
    tokenizer = tiny_tokenizer()
    whole = loss_example(tokenizer, item("Where?", sentence * 3, lang), 4096)
    cut = loss_example(tokenizer, item("Where?", sentence * 40, lang), len(whole.ids))
    assert whole.characters == len(sentence * 3) and len(cut.ids) == len(whole.ids)
    assert abs(cut.characters - whole.characters) <= 1  # of the end token, which only the whole one has


def test_a_question_without_room_for_its_answer_is_passed_over():
    items = [item("Where? " * 100, "By the gate."), item("Where?", "By the gate.")]
    rows = answer_losses("m", tiny_llama(), tiny_tokenizer(), items, 128, Bar("loss", 2, print))
    assert len(rows) == 1 and rows[0]["prompt"] == "Where?" and rows[0]["characters"] == len("By the gate.")
