"""The formats that people's files have: nothing of a row is lost silently."""

import json
from contextlib import suppress

import pytest

from tasks.data.normalise import instruction, preference
from tasks.data.records import Feedback
from tasks.data.rows import Fields, LeftOut, Malformed
from tasks.data.sources import read_rows
from tasks.documents.tables import BadRow
from tests.helpers.shared import CASES, needs_cases

ASKED, SAID = {"role": "user", "content": "窯はどこですか。"}, {"role": "assistant", "content": "門のそばです。"}
SYSTEM = {"role": "system", "content": "Answer briefly."}


def read(row, kind=instruction):
    fields = Fields(row)
    return kind(fields, "f"), fields


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [SYSTEM, ASKED, SAID]},
        {"messages": [ASKED, SAID], "system": "Answer briefly."},
        {"messages": [SYSTEM, ASKED, SAID], "system": "Answer briefly. "},
        {
            "messages": [
                SYSTEM,
                {"role": "user", "content": [{"type": "text", "text": "窯はどこですか。"}]},
                SAID,
                {"role": "user", "content": "Thanks!"},
            ]
        },
        {
            "conversations": [
                {"from": "system", "value": "Answer briefly."},
                {"from": "human", "value": "窯はどこですか。"},
                {"from": "gpt", "value": "門のそばです。"},
            ]
        },
        {
            "conversations": [{"from": "human", "value": "窯はどこですか。"}, {"from": "gpt", "value": "門のそばです。"}],
            "system": "Answer briefly.",
        },
        {"system": "Answer briefly.", "instruction": "窯はどこですか。", "output": "門のそばです。"},
        {"system": "Answer briefly.", "prompt": "窯はどこですか。", "completion": "門のそばです。"},
        {"prompt": [SYSTEM, ASKED], "completion": [SAID]},
        {"prompt": [SYSTEM, ASKED], "completion": [SAID], "label": True},
    ],
)
def test_a_system_text_is_a_turn_of_the_prompt_in_every_format(row):
    record, fields = read(row)
    assert record.messages == [SYSTEM, ASKED] and record.answer == "門のそばです。" and record.lang == "ja" and fields.unread == []


@pytest.mark.parametrize(
    "row",
    [
        {"system": "Answer briefly.", "prompt": "窯はどこですか。", "chosen": "門のそばです。", "rejected": "知りません。"},
        {"system": "Answer briefly.", "question": "窯はどこですか。", "chosen": "門のそばです。", "rejected": "知りません。"},
        {"prompt": [SYSTEM, ASKED], "chosen": [SAID], "rejected": [{"role": "assistant", "content": "知りません。"}]},
        {"prompt": [SYSTEM, ASKED], "chosen": [SYSTEM, ASKED, SAID], "rejected": [ASKED, {"role": "assistant", "content": "知りません。"}]},
        {"chosen": [SYSTEM, ASKED, SAID], "rejected": [SYSTEM, ASKED, {"role": "assistant", "content": "知りません。"}]},
        {"chosen": [ASKED, SAID], "rejected": [ASKED, {"role": "assistant", "content": "知りません。"}], "system": "Answer briefly."},
        {
            "prompt": "窯はどこですか。",
            "chosen": [ASKED, SAID],
            "rejected": [ASKED, {"role": "assistant", "content": "知りません。"}],
            "system": "Answer briefly.",
        },
        {"messages": [ASKED], "system": "Answer briefly.", "chosen": "門のそばです。", "rejected": "知りません。"},
    ],
)
def test_pairs_in_every_form(row):
    record, fields = read(row, preference)
    assert (record.messages, record.chosen, record.rejected) == ([SYSTEM, ASKED], "門のそばです。", "知りません。") and fields.unread == []


def test_history_is_turns_of_the_prompt_in_order():
    row = {
        "instruction": "And the lattice?",
        "output": "By the gate.",
        "history": [["Hello", "Good day."], ["窯は?", "庭です。"]],
        "system": "S",
    }
    record, _ = read(row)
    assert [turn["content"] for turn in record.messages] == ["S", "Hello", "Good day.", "窯は?", "庭です。", "And the lattice?"]
    assert [turn["role"] for turn in record.messages] == ["system", *["user", "assistant"] * 2, "user"]
    assert instruction(row | {"history": json.dumps(row["history"])}, "f").messages == record.messages  # as a cell of a CSV file


@pytest.mark.parametrize(
    ("chat", "kept", "note"),
    [
        ([{"role": "system", "content": ""}, ASKED, SAID], [ASKED], "empty system turns left out"),
        ([ASKED, {"role": "user", "content": "Be quick."}, SAID], [ASKED, {"role": "user", "content": "Be quick."}], None),
        ([ASKED, SAID, ASKED, SAID], [ASKED, SAID, ASKED], None),
        ([ASKED, SAID, {"role": "user", "content": "Thanks!"}], [ASKED], "turns after the last answer cut off"),
    ],
)
def test_turns_as_they_come(chat, kept, note):
    record, fields = read({"messages": chat})
    assert record.messages == kept and fields.notes == ([note] if note else [])


@pytest.mark.parametrize(("value", "text"), [(3, "3"), (2.5, "2.5"), (True, "true"), (0, "0")])
def test_answers_that_are_no_text_in_json_are_read_as_text(value, text):
    assert read({"instruction": "How many?", "output": value})[0].answer == text
    assert read({"messages": [ASKED, {"role": "assistant", "content": value}]})[0].answer == text


def test_what_was_not_liked_is_nothing_to_learn_and_no_pair():
    row = {"prompt": "Where?", "completion": "No idea.", "label": False}
    with pytest.raises(LeftOut) as left:
        instruction(row, "f")
    assert left.value.args[0] == "disliked"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "窯はどこですか。", "completion": "門のそばです。", "system": "Answer briefly."},
        {"prompt": [SYSTEM, ASKED], "completion": [SAID]},
        {"prompt": [SYSTEM, ASKED], "completion": [SYSTEM, ASKED, SAID]},
    ],
)
@pytest.mark.parametrize(("label", "liked"), [(True, True), ("false", False), (0, False), ("1", True), ("TRUE", True)])
def test_unpaired_feedback_is_a_record_of_its_own(row, label, liked):
    record, fields = read(row | {"label": label}, preference)
    assert record == Feedback(record.id, [SYSTEM, ASKED], "門のそばです。", liked, "ja", "f") and fields.unread == []
    assert record.id != read(row | {"label": not liked}, preference)[0].id


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "Where?", "completion": "Here."}, "label is None, true or false expected"),
        ({"prompt": "Where?", "completion": "Here.", "label": "perhaps"}, "label is 'perhaps', true or false expected"),
        ({"prompt": "Where?", "completion": "", "label": True}, "'completion' is empty"),
        ({"prompt": [SYSTEM], "completion": "Here.", "label": True}, "no question of a user"),
        ({"completion": "Here.", "label": True}, "'prompt' is missing"),
    ],
)
def test_feedback_that_says_too_little_is_malformed(row, says):
    with pytest.raises(Malformed, match=says):
        preference(row, "f")


def test_fields_that_nothing_reads_are_named_and_empty_ones_are_not():
    _, fields = read({"instruction": "Where?", "output": "Here.", "id": 7, "source": "x", "tools": [], "note": None})
    assert fields.unread == ["id", "source"]


@needs_cases
@pytest.mark.parametrize(
    ("file", "kind", "rows", "kept", "turns"),
    [
        ("alpaca_sys.jsonl", instruction, 12, 12, ["system", "user", "assistant", "user"]),
        ("system.jsonl", instruction, 12, 12, ["system", "user"]),
        ("empty_system.jsonl", instruction, 12, 12, ["user"]),
        ("multiturn.jsonl", instruction, 12, 12, ["user", "assistant", "user", "assistant", "user"]),
        ("consecutive.jsonl", instruction, 12, 12, None),
        ("trailing.jsonl", instruction, 12, 12, ["user"]),
        ("sharegpt.jsonl", instruction, 12, 12, ["system", "user"]),
        ("tools.jsonl", instruction, 12, 12, ["user", "assistant", "tool"]),
        ("inject.jsonl", instruction, 12, 12, None),
        ("surrogate.jsonl", instruction, 12, 11, ["user"]),
        ("intents.jsonl", instruction, 160, 160, ["system", "user"]),
        ("excel.csv", instruction, 40, 40, ["user"]),
        ("utf16.csv", instruction, 40, 40, ["user"]),
        ("semicolon.csv", instruction, 40, 40, ["user"]),
        ("kto.jsonl", preference, 12, 12, ["user"]),
        ("pref_conv.jsonl", preference, 12, 12, ["user"]),
        ("pref_implicit.jsonl", preference, 12, 12, ["user"]),
        ("pref_sys.jsonl", preference, 12, 12, ["system", "user"]),
        ("orca.jsonl", preference, 12, 12, ["system", "user"]),
    ],
)
def test_the_cases(file, kind, rows, kept, turns):
    found = list(read_rows(CASES / "training" / file))
    records = [kind(row.value, row.source) for row in found if not isinstance(row, BadRow)]
    assert (len(found), len(records)) == (rows, kept)
    if turns:
        assert all([turn["role"] for turn in record.messages] == turns for record in records)


CALL = {"id": "call00001", "type": "function", "function": {"name": "find", "arguments": {"item": "窯"}}}
RESULT = {"role": "tool", "content": "shelf 7", "tool_call_id": "call00001", "name": "find"}
SCHEMA = {"name": "find", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    "row",
    [
        {
            "messages": [
                ASKED,
                {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "find", "arguments": '{"item": "窯"}'}}]},
                {"role": "tool", "content": "shelf 7"},
                SAID,
            ],
            "tools": [{"type": "function", "function": SCHEMA}],
        },
        {
            "messages": [
                ASKED,
                {"role": "assistant", "function_call": {"name": "find", "arguments": {"item": "窯"}}},
                {"role": "function", "name": "find", "content": "shelf 7"},
                SAID,
            ],
            "functions": [SCHEMA],
        },
        {
            "conversations": [
                {"from": "human", "value": "窯はどこですか。"},
                {"from": "function_call", "value": '{"name": "find", "arguments": {"item": "窯"}}'},
                {"from": "observation", "value": "shelf 7"},
                {"from": "gpt", "value": "門のそばです。"},
            ],
            "tools": json.dumps([SCHEMA]),
        },
    ],
)
def test_turns_of_tools_in_every_form_become_one(row):
    record, fields = read(row)
    assert record.messages == [ASKED, {"role": "assistant", "content": "", "tool_calls": [CALL]}, RESULT]
    assert record.answer == "門のそばです。" and record.calls == [] and record.tools == [{"type": "function", "function": SCHEMA}]
    assert fields.unread == [] and record.lang == "ja"


def test_results_go_to_their_calls_and_a_last_call_is_an_answer():
    calls = [{"id": name, "function": {"name": name, "arguments": {}}} for name in ("a", "b")]
    results = [{"role": "tool", "content": f"of {name}", "tool_call_id": name} for name in ("b", "a")]
    record, fields = read({"messages": [ASKED, {"role": "assistant", "tool_calls": calls}, *results, {"role": "user", "content": "x"}]})
    assert record.answer == "" and [call["id"] for call in record.calls] == ["a", "b"] and record.messages == [ASKED]
    assert record.chat[-1]["tool_calls"] == record.calls and fields.notes == ["turns after the last answer cut off"]
    record, _ = read({"messages": [ASKED, {"role": "assistant", "tool_calls": calls}, *results, SAID]})
    assert [message["name"] for message in record.messages[2:]] == ["b", "a"]


def test_rows_that_differ_in_a_call_alone_are_two():
    def calling(item):
        return {"messages": [ASKED, {"role": "assistant", "tool_calls": [{"name": "find", "arguments": {"item": item}}]}]}

    (first, _), (second, _), (again, _) = read(calling("窯")), read(calling("門")), read(calling("窯"))
    assert first.id != second.id and first.id == again.id


def test_what_was_not_liked_is_not_learnt_and_other_labels_are_no_judgement():
    for label in (False, "false"):
        with pytest.raises(LeftOut):
            read({"messages": [ASKED, SAID], "label": label})
    record, fields = read({"messages": [ASKED, SAID], "label": True})
    assert record.answer == SAID["content"] and fields.unread == []
    record, _ = read({"messages": [ASKED, SAID], "label": "greeting"})
    assert record.answer == SAID["content"]
    feedback, fields = read({"messages": [SYSTEM, ASKED, SAID], "label": False}, preference)
    assert (feedback.messages, feedback.completion, feedback.liked) == ([SYSTEM, ASKED], SAID["content"], False) and fields.unread == []


def test_pairs_behind_a_chat_of_sharegpt():
    row = {
        "conversations": [{"from": "human", "value": ASKED["content"]}],
        "chosen": {"from": "gpt", "value": SAID["content"]},
        "rejected": {"from": "gpt", "value": "知りません。"},
    }
    pair, fields = read(row, preference)
    assert (pair.messages, pair.chosen, pair.rejected) == ([ASKED], SAID["content"], "知りません。") and fields.unread == []
    with pytest.raises(Malformed, match="--preferences"):
        read(row)
    row = {"instruction": ASKED["content"], "input": "", "output_1": "知りません。", "output_2": SAID["content"], "preference": 2.0}
    pair, _ = read(row, preference)
    assert (pair.messages, pair.chosen, pair.rejected) == ([ASKED], SAID["content"], "知りません。")


def test_thoughts_and_calls_that_are_parts_of_a_message():
    calling = [
        {"type": "reasoning", "value": "I must look."},
        {"type": "tool_call", "value": '{"name": "find", "arguments": {"item": "窯"}}'},
    ]
    said = [{"type": "reasoning", "value": "There."}, {"type": "text", "value": SAID["content"]}]
    turns = [
        ASKED,
        {"role": "assistant", "content": calling},
        {"role": "tool", "content": "shelf 7"},
        {"role": "assistant", "content": said},
    ]
    record, fields = read({"messages": turns})
    assert record.messages[1] == {"role": "assistant", "content": "", "reasoning_content": "I must look.", "tool_calls": [CALL]}
    assert record.answer == SAID["content"] and record.thoughts == "There." and record.chat[-1]["reasoning_content"] == "There."
    assert fields.notes == ["thoughts kept apart, learnt with tune.thinking where the model's template has them"]


def test_utterances_with_names():
    record, _ = read({"utterances": [{"name": "user", "text": ASKED["content"]}, {"name": "agent", "text": SAID["content"]}]})
    assert (record.messages, record.answer) == ([ASKED], SAID["content"])


@pytest.mark.parametrize(
    "row",
    [
        {"system_prompt": "Answer briefly.", "instruction": ASKED["content"], "chosen": SAID["content"], "rejected": "知りません。"},
        {"system_message": "Answer briefly.", "question": ASKED["content"], "chosen": SAID["content"], "rejected": "知りません。"},
    ],
)
def test_pairs_behind_an_instruction_and_other_names_of_the_system_text(row):
    pair, fields = read(row, preference)
    assert (pair.messages, pair.chosen, pair.rejected) == ([SYSTEM, ASKED], SAID["content"], "知りません。") and fields.unread == []


def test_roles_in_capitals_and_results_that_are_no_texts():
    turns = [
        {"from": "Human", "value": ASKED["content"]},
        {"from": "function_call", "value": {"name": "find", "arguments": {"item": "窯"}}},
        {"from": "function_response", "value": {"shelf": 7, "near": ["門"]}},
        {"from": "AI", "value": SAID["content"]},
    ]
    record, _ = read({"conversations": turns, "tools": [json.dumps(SCHEMA)]})
    assert record.messages == [
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        RESULT | {"content": '{"shelf": 7, "near": ["門"]}'},
    ]
    assert record.tools == [{"type": "function", "function": SCHEMA}]


def test_a_history_of_messages():
    earlier = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}]
    record, _ = read({"instruction": ASKED["content"], "output": SAID["content"], "history": earlier, "system": "Answer briefly."})
    assert record.messages == [SYSTEM, *earlier, ASKED]


@pytest.mark.parametrize("strange", [5, ["x"], {"a": 1}, True, None, "x"])
@pytest.mark.parametrize("field", ["reasoning_content", "tool_calls", "function_call", "content", "role", "name", "tool_call_id"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_whatever_a_field_of_a_message_holds_a_row_is_read_or_malformed(field, strange, place):
    turns = [dict(ASKED), {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "7"}, dict(SAID)]
    turns[place] = turns[place] | {field: strange}
    for row in (
        {"messages": turns},
        {"messages": turns, "tools": strange},
        {"prompt": turns[:1], "chosen": turns[1:], "rejected": turns[1:]},
    ):
        for kind in (instruction, preference):
            with suppress(Malformed, LeftOut):
                read(row, kind)
