"""Every accepted format becomes the same record; what a row lacks is said by name."""

import json

import pytest

from tasks.data.normalise import followup, instruction, preference, questions
from tasks.data.records import Document, Question
from tasks.data.rows import Malformed

USER = [{"role": "user", "content": "Name a colour."}]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Name a colour.", "input": "", "output": " Red. "},
        {"instruction": "Name a colour.", "output": "Red."},
        {"messages": [*USER, {"role": "assistant", "content": "Red."}]},
        {"messages": json.dumps([*USER, {"role": "assistant", "content": "Red."}])},  # as a cell of a CSV file
        {"prompt": "Name a colour.", "completion": "Red."},
    ],
)
def test_instruction_formats_agree(row):
    record = instruction(row, "f")
    assert (record.messages, record.answer, record.lang) == (USER, "Red.", "en")
    assert record.id == instruction({"prompt": "Name a colour.", "completion": "Red."}, "elsewhere").id


def test_alpaca_input_follows_the_instruction():
    assert (
        instruction({"instruction": "Sum up.", "input": "A long text.", "output": "Short."}, "f").messages[0]["content"]
        == "Sum up.\n\nA long text."
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"instruction": "Name a colour.", "output": ""}, "'output' is empty"),
        ({"instruction": "Name a colour."}, "'output' is missing"),
        ({"instruction": "Name a colour.", "input": ["x"], "output": "Red."}, "'input' is empty or no text"),
        ({"prompt": "Name a colour.", "completion": None}, "'completion' is empty or no text"),
        ({"messages": []}, "no list of messages"),
        ({"messages": "not JSON"}, "'messages' is no list"),
        ({"messages": USER}, "the last message is not an answer"),
        ({"messages": [{"role": "oracle", "content": "x"}, {"role": "assistant", "content": "y"}]}, "message 1 has the role 'oracle'"),
        ({"messages": [*USER, {"role": "assistant", "tool_calls": [{"function": {}}]}]}, "message 2 has a call of a tool without a name"),
        (
            {"messages": [*USER, {"role": "assistant", "tool_calls": [{"name": "find", "arguments": "kiln"}]}]},
            "message 2 calls 'find' with arguments that are no JSON: 'kiln'",
        ),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "find()"}]},
            "message 2 calls a tool with what is no JSON",
        ),
        ({"messages": [*USER, {"role": "assistant", "content": "y"}], "tools": [{"type": "function"}]}, "'tools' holds something other"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "a part of the type 'image_url'; only texts"),
        (
            {"messages": [{"role": "user", "content": " "}, {"role": "assistant", "content": "y"}]},
            "message 1, of the role 'user', is empty",
        ),
        ({"instruction": "a", "output": "b", "history": [["a"]]}, "'history' holds something other than pairs"),
        ({"prompt": "a", "completion": "b", "label": "maybe"}, "label is 'maybe', true or false expected"),
        ({"prompt": [{"role": "system", "content": "x"}], "completion": "b"}, "the prompt holds no question of a user"),
        ({"text": "x"}, "belong to none of the formats alpaca, messages, sharegpt, prompt_completion"),
    ],
)
def test_malformed_instructions(row, says):
    with pytest.raises(Malformed, match=says):
        instruction(row, "f")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Name a colour.", "chosen": "Red.", "rejected": "No."},
        {"chosen": "\n\nHuman: Name a colour.\n\nAssistant: Red.", "rejected": "\n\nHuman: Name a colour.\n\nAssistant: No."},
        {"prompt": "Name a colour.", "response_1": "Red.", "response_2": "No.", "preference": 1},
        {"prompt": "Name a colour.", "response_1": "No.", "response_2": "Red.", "preference": "2"},
        {"prompt": "Name a colour.", "response_1": "No.", "response_2": "Red.", "preference": 2.0},
        {"prompt": "Name a colour.", "response_1": "No.", "response_2": "Red.", "preference": "response_2"},
    ],
)
def test_preference_formats_agree(row):
    record = preference(row, "f")
    assert (record.messages, record.chosen, record.rejected, record.margin, record.weight) == (USER, "Red.", "No.", 0.0, 1.0)


def test_hh_dialogue_keeps_its_turns():
    start = "\n\nHuman: Hi\nthere\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant:"
    record = preference({"chosen": f"{start} Because.", "rejected": f"{start} No."}, "f")
    assert [turn["role"] for turn in record.messages] == ["user", "assistant", "user"]
    assert record.messages[0]["content"] == "Hi\nthere" and record.chosen == "Because."


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "p", "response_1": "a", "response_2": "b", "preference": 3}, "preference is 3, 1 or 2 expected"),
        ({"prompt": "p", "response_1": "a", "response_2": "b"}, "preference is None"),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"}, "differ before the last answer"),
        ({"chosen": "Lost words\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: d"}, "does not begin with Human"),
        ({"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: a"}, "does not end with an answer"),
        ({"prompt": "p", "chosen": "a", "rejected": "b", "weight": "heavy"}, "weight is 'heavy'"),
        ({"prompt": "p", "chosen": "a", "rejected": "b", "margin": float("nan")}, "margin is nan"),
    ],
)
def test_malformed_preferences(row, says):
    with pytest.raises(Malformed, match=says):
        preference(row, "f")


def test_weight_zero_is_zero():
    assert preference({"prompt": "p", "chosen": "a", "rejected": "b", "weight": 0}, "f").weight == 0


def test_halves_are_even_and_do_not_move():
    halves = [preference({"prompt": f"p{i}", "chosen": "a", "rejected": "b"}, "f").half for i in range(400)]
    assert 140 < sum(halves) < 260


def test_question_with_distractors():
    row = {"question": "Who?", "answer": "Me.", "document": "en/a.md", "distractors": ["You.", "Me.", "They."]}
    assert next(questions(row, "f")).choices == ["Me.", "You.", "They."]
    assert next(questions(row | {"distractors": '["You."]'}, "f")).choices == ["Me.", "You."]
    with pytest.raises(Malformed, match="is no list"):
        next(questions(row | {"distractors": "You."}, "f"))


def test_question_with_what_judges_its_answers():
    row = {
        "question": "Who?",
        "answer": "Me.",
        "document": "en/a.md",
        "accept": [" me ", "I"],
        "evidence": "It is me. ",
        "also": ["ja/a.md"],
    }
    found = next(questions(row, "f"))
    assert (found.accept, found.evidence, found.also) == (["me", "I"], ["It is me."], ["ja/a.md"])
    cells = next(
        questions({"question": "Who?", "answer": "Me.", "accept": '["me"]', "evidence": '["It is me."]', "also": ""}, "f")
    )  # of a CSV file
    assert (cells.accept, cells.evidence, cells.also) == (["me"], ["It is me."], [])
    without = next(questions({"question": "Who?", "answer": "Me.", "accept": None}, "f"))
    assert (without.accept, without.evidence, without.also) == ([], [], [])
    assert without.id == next(questions({"question": "Who?", "answer": "Me.", "accept": ["me"]}, "f")).id
    assert next(questions({"question": "Who?", "accept": ["me", "I"]}, "f")).answer == "me"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"accept": "me"}, "the field 'accept' is no list"),
        ({"accept": 5}, "the field 'accept' is no list"),
        ({"accept": ["me", ""]}, "the field 'accept' holds ''"),
        ({"accept": ["me", 5]}, "the field 'accept' holds 5"),
        ({"accept": ["me", "。"]}, "the field 'accept' holds '。', of which nothing is left"),
        ({"evidence": ["It is me.", " "]}, "the field 'evidence' holds ' '"),
        ({"evidence": {"text": "It is me."}}, "the field 'evidence' is no list"),
        ({"also": "ja/a.md"}, "the field 'also' is no list"),
        ({"also": [["ja/a.md"]]}, "the field 'also' holds \\['ja/a.md'\\]"),
        ({"answer": ""}, "the field 'answer' is empty"),
    ],
)
def test_malformed_questions(fields, says):
    with pytest.raises(Malformed, match=says):
        next(questions({"question": "Who?", "answer": "Me."} | fields, "f"))


def test_two_questions_in_a_row():
    row = {"kind": "real", "first": "窯とは?", "second": "いつ?", "accept": ["1931"], "document": "a.md", "also": ["b.md"]}
    found = followup(row, "f")
    assert (found.lang, found.accept, found.document, found.also) == ("ja", ["1931"], "a.md", ["b.md"])
    assert followup({"kind": "topic_change", "first": "Who?", "second": "Why?"}, "f").document == ""
    for fields, says in (
        ({"kind": "other"}, "'other'; accepted are real, topic_change"),
        ({"second": ""}, "second"),
        ({"accept": ["。"]}, "accept"),
    ):
        with pytest.raises(Malformed, match=says):
            followup(row | fields, "f")


def test_short_answers_of_squad_are_accepted():
    long = "because it had been left there by somebody who had looked for another place for it all day long"
    answers = [{"text": "庭"}, {"text": "庭です"}, {"text": "庭"}, {"text": "。"}, {"text": ""}, {"text": long}]
    qas = [{"question": "猫はどこ?", "answers": answers}, {"question": "Why?", "answers": [{"text": long}]}]
    _, first, second = questions({"data": [{"paragraphs": [{"context": f"猫は庭です。 {long}", "qas": qas}]}]}, "q.json")
    assert first.accept == ["庭", "庭です"] and (second.answer, second.accept) == (long, [])


def test_squad_gives_questions_and_contexts():
    qas = [{"question": "猫はどこ?", "answers": [{"text": "庭"}, {"text": "庭です"}]}, {"question": "犬はどこ?", "answers": []}]
    found = list(questions({"data": [{"title": "動物", "paragraphs": [{"context": "猫は庭にいる。", "qas": qas}]}]}, "q.json"))
    document, first, unanswerable = found
    assert isinstance(document, Document) and document.title == "動物" and document.lang == "ja"
    assert isinstance(first, Question) and (first.answer, first.document) == ("庭", document.path)
    assert unanswerable.answer == ""
    with pytest.raises(Malformed, match="not in SQuAD's form"):
        list(questions({"data": [{"title": "x"}]}, "q.json"))
