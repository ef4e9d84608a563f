"""Which declared tool a question wants, if any, and the arguments it is called with."""

from dataclasses import replace

import pytest

from tasks.chatbot.tools.arguments import mentioned
from tasks.chatbot.tools.calls import Called, Returned
from tasks.chatbot.tools.relevance import WEIGHTS, features, most_relevant
from tasks.chatbot.tools.schema import enforceable
from tasks.chatbot.tools.select import next_call
from tasks.chatbot.tools.toolbox import Tool, ToolBox
from tasks.chatbot.tools.values import narrowed, numbers_in, numbers_needed
from tests.helpers.tiny_backend import Tiny

AREA = Tool.declared(
    {
        "name": "calculate_triangle_area",
        "description": "Calculate the area of a triangle given its base and height.",
        "parameters": {
            "type": "dict",
            "properties": {
                "base": {"type": "integer", "description": "The base of the triangle."},
                "height": {"type": "float", "description": "The height of the triangle."},
                "unit": {"type": "string", "enum": ["metre", "foot"]},
            },
            "required": ["base", "height"],
        },
    }
)
ROUTE = Tool.declared(
    {
        "name": "maps.find_route",
        "description": "Find the fastest route between two cities.",
        "parameters": {
            "type": "dict",
            "properties": {"start": {"type": "string"}, "end": {"type": "string"}},
            "required": ["start", "end"],
        },
    }
)
BOOKING = Tool.declared(
    {
        "name": "book_room",
        "description": "会議室を予約する",
        "parameters": {"type": "object", "properties": {"people": {"type": "integer", "description": "人数"}}, "required": ["people"]},
    }
)
BOX = ToolBox([AREA, ROUTE, BOOKING])
QUESTION = "Find the area of a triangle with a base of 10 and a height of 5.5 in foot."


def call(question, box=BOX, made=(), backend=None, earlier=()):
    return next_call(backend or Tiny(), [*earlier, {"role": "user", "content": question}], box, question, list(made))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_tool_is_found_and_its_arguments_are_of_the_question(seed):
    found = call(QUESTION, backend=Tiny(seed))
    assert found.name == "calculate_triangle_area" and found.arguments.keys() == {"base", "height", "unit"}
    assert found.arguments["base"] == 10 and found.arguments["height"] in (10, 5.5) and found.arguments["unit"] == "foot"


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "Who wrote Hamlet?",
        "こんにちは",
        "日本の首都はどこですか?",
        "",
        "Calculate the area of a triangle.",
    ],
)
def test_no_tool_is_called_for_what_none_can_do(question):
    assert call(question) is None


def test_a_japanese_question_finds_a_tool_that_is_described_in_japanese():
    assert call("5人の会議室を予約してください") == Called("book_room", {"people": 5})


def test_a_call_is_never_repeated_and_a_failed_one_is_tried_once_more_with_the_reason_in_sight():
    first = call(QUESTION)
    assert call(QUESTION, made=[(first, Returned(first.name, True, "27.5"))]) is None
    backend, failure = Tiny(), Returned(AREA.name, False, "the height must be given in metre")
    again = call(QUESTION, made=[(Called(AREA.name, {"base": 1, "height": 1}), failure)], backend=backend)
    assert again.name == AREA.name and "must be given in metre" in backend.asked[0][-1]["content"]
    assert call(QUESTION, made=[(first, failure)], backend=Tiny()) is None
    assert call(QUESTION, made=[(Called(AREA.name, {"base": n, "height": n}), failure) for n in (1, 2)]) is None


def test_a_forced_call_is_made_whatever_is_asked_and_more_than_once():
    for question in ("What is the capital of France?", "", "こんにちは"):
        forced = next_call(Tiny(), [{"role": "user", "content": question}], BOX, question, [], forced=True)
        assert forced.name in BOX.tools
    question = "5人の会議室を予約してください"
    first = call(question)
    again = next_call(
        Tiny(), [{"role": "user", "content": question}], BOX, question, [(first, Returned(first.name, True, "ok"))], forced=True
    )
    assert first == again == Called("book_room", {"people": 5})


def test_arguments_that_break_off_are_no_call():
    backend = Tiny()
    backend.complete_json = lambda *_: '{"base": 1'
    assert call(QUESTION, backend=backend) is None


def test_two_things_asked_are_two_calls_and_a_similar_tool_is_not_one_more():
    circle = Tool.declared(
        AREA.schema["function"] | {"name": "calculate_circle_area", "description": "Calculate the area of a circle given its radius."}
    )
    box = ToolBox([AREA, circle, ROUTE])
    made = [(call(QUESTION, box), Returned(AREA.name, True, "27.5"))]
    assert made[0][0].name == AREA.name and call(QUESTION, box, made) is None
    both = f"{QUESTION} Then find the fastest route between Rome and Pisa, two cities."
    assert call(both, box, made).name == ROUTE.name


def test_what_was_said_before_is_shown_where_arguments_are_decoded():
    backend = Tiny()
    call(QUESTION, backend=backend, earlier=[{"role": "user", "content": "old"}, {"role": "assistant", "content": "reply"}])
    assert [message["content"] for message in backend.asked[0][2:4]] == ["old", "reply"]


def test_likelihood_decides_between_tools_that_words_cannot_tell_apart():
    class Prefers:
        def choose(self, messages, options):
            return [-1.0 if option == "send_b" and "\n" in messages[0]["content"] else -9.0 for option in options]

    tools = [Tool.declared({"name": name, "description": "Send a message to somebody."}) for name in ("send_a", "send_b")]
    best, probability = most_relevant(Prefers(), "Send somebody a message", tools, weights=replace(WEIGHTS["en"], lift=1.0))
    assert best.name == "send_b" and probability > 0.5


def test_features_count_what_question_and_tool_have_in_common():
    found = features(QUESTION, AREA)
    assert found["name"] == 1 and found["description"] == 1 and found["numbers"] == 0
    assert features("What is the area of a triangle?", AREA)["numbers"] == 2 and features("hello", ROUTE)["name"] == 0


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("5人の会議室を予約してください", {"description": 1, "question": 1, "numbers": 0, "filled": 1, "open": 0}),
        ("会議室を予約する意味って何?", {"description": 1, "numbers": 1, "filled": 0, "open": 1}),
        ("六人でカラオケに行きたい", {"description": 0, "numbers": 0, "filled": 1}),
    ],
)
def test_a_japanese_question_is_compared_by_kanji_and_told_from_one_for_knowledge(question, found):
    assert found.items() <= features(question, BOOKING).items()


def test_katakana_has_pairs_in_common():
    tool = Tool.declared({"name": "lights", "description": "リビングのライトを消す。"})
    assert features("ライトを消して", tool)["description"] == pytest.approx(3 / 6)  # ライ, イト, 消 of リビ, ビン, ング besides
    assert features("コーヒーを消して", tool)["description"] == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("base 10, height 5.5", [10, 5.5]),
        ("1,234,567 people and 5 million more", [1234567, 5000000]),
        ("at 5% for 3年", [5, 0.05, 3]),
        ("３万円を2人で", [30000, 2]),
        ("from -5 to 7 in 2020-2022", [-5, 7, 2020, 2022]),
        ("the list [1, -2]", [1, -2]),
        ("two adults and one child", [2, 1]),
        ("covid19 and B12", []),
        ("charges of 1e-9 and 2E3, sides 5, 5", [1e-9, 2000, 5, 5]),
        ("9" * 400 + " and 1e99", []),
        ("年収六百万円、扶養家族二人", [6000000, 2]),
        ("二〇二四年の三月十五日に四人前", [2024, 3, 15, 4]),
        ("二千二十四と1億、1万5千円、2億3,000万と1.5万", [100000000, 15000, 230000000, 15000, 2024]),
        ("一" * 5000 + "と" + "9" * 20000, []),
        ("三角形の一覧を十分に千葉で、四季と二十四節気", []),
    ],
)
def test_numbers_are_found_in_order(question, numbers):
    assert numbers_in(question) == numbers


def test_numbers_needed_and_narrowed():
    assert numbers_needed(AREA.parameters) == 2 and numbers_needed(ROUTE.parameters) == 0 and numbers_needed({}) == 0
    schema = narrowed(enforceable(AREA.parameters), QUESTION)
    assert schema["properties"]["base"] == {"enum": [10]} and schema["properties"]["height"] == {"enum": [10, 5.5]}
    assert schema["properties"]["unit"] == {"enum": ["foot"]}
    assert narrowed(enforceable({"type": "integer", "minimum": 20}), "10 times")["type"] == "integer"


def test_optional_parameters_are_offered_when_the_question_speaks_of_them():
    assert mentioned(AREA.parameters, QUESTION) == {"unit"} and mentioned(AREA.parameters, "area of a triangle") == frozenset()
    assert mentioned(AREA.parameters, "which unit?") == {"unit"}
