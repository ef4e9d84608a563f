"""Prompts of a chat's page are told from people's questions by their form, in any language, and say which JSON they ask for."""

import pytest

from tasks.chatbot.housekeeping import housekeeping
from tests.helpers.housekeeping import HISTORY, IN_OTHER_WORDS, PROMPTS, QUESTIONS, TITLE

TEXT = {"type": "string", "maxLength": 200}
TEXTS = {"type": "array", "items": TEXT, "maxItems": 8}
ASKED = {
    "title": {"title": TEXT},
    "tags": {"tags": TEXTS},
    "follow_ups": {"follow_ups": TEXTS},
    "queries": {"queries": TEXTS},
    "autocomplete": {"text": TEXT},
    "in_japanese": {"title": TEXT},
    "before_anything_was_said": {"text": TEXT},
}


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_is_known_by_its_form_and_the_json_that_it_asks_for_by_its_example(name):
    found = housekeeping(PROMPTS[name])
    assert found is not None and found.prompt == PROMPTS[name]
    if name in ("in_plain_text", *IN_OTHER_WORDS):
        assert found.schema is None
    else:
        fields = ASKED[name]
        assert found.schema == {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_a_person_asks_is_none(name):
    assert housekeeping(QUESTIONS[name]) is None


def test_json_without_an_example_is_any_object_and_examples_in_the_conversation_are_none():
    bare = (
        TITLE.replace('{ "title": "the name comes here" }', "of one name")
        .replace('{ "title": "🧱 Building with Bricks" }', "")
        .replace('{ "title": "A Walk in Kyoto" }', "")
    )
    assert housekeeping(bare).schema == {"type": "object"}
    spoken = housekeeping(bare.replace("JSON", "").replace(HISTORY, f'{HISTORY}\nUSER: {{"title": "JSON"}}'))
    assert spoken.schema is None


def test_of_a_long_conversation_the_end_is_kept_and_the_rest_of_the_prompt_as_it_was():
    long = TITLE.replace(HISTORY, f"USER: {'x' * 5000}\nASSISTANT: the end")
    cut = housekeeping(long).within(lambda text: len(text) <= 1200)
    assert len(cut) <= 1200 and cut.startswith(TITLE.partition("<chat_history>")[0]) and cut.endswith("the end\n</chat_history>")
    assert housekeeping(TITLE).within(lambda text: True) == TITLE
    assert HISTORY not in housekeeping(TITLE).within(lambda text: False)


def test_a_long_text_is_read_in_no_time():
    for text in ("# a\n" * 40_000, TITLE + "<a>" * 60_000, TITLE.replace(HISTORY, "USER: " + "{" * 150_000), "{" * 150_000 + TITLE):
        housekeeping(text)
    assert housekeeping("# a\n# b\n" + "{" * 150_000 + f"<chat_history>\n{HISTORY}\n</chat_history>").schema is None
