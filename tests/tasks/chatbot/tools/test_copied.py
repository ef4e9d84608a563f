"""Arguments that are copied from Japanese questions."""

import time

import jsonschema
import pytest

from tasks.chatbot.tools.arguments import decode_arguments
from tasks.chatbot.tools.copied import copier
from tasks.chatbot.tools.schema import enforceable
from tasks.chatbot.tools.toolbox import Tool
from tests.helpers.tiny_backend import Tiny

JAPANESE = copier("ja")


def tool(description: str, required: dict[str, tuple], **optional: tuple) -> Tool:
    """Parameters as (type, description); a type in a list is one of an array's items."""
    parts = {}
    for name, (kind, text) in (required | optional).items():
        parts[name] = {"description": text} | ({"type": kind} if isinstance(kind, str) else {"type": "array", "items": {"type": kind[0]}})
    return Tool.declared(
        {"name": "f", "description": description, "parameters": {"type": "object", "properties": parts, "required": list(required)}}
    )


def values(tool: Tool, question: str) -> dict:
    """Of the parameters that the question leaves no choice."""
    doubtful = JAPANESE.spoken_of(tool.parameters, question)
    schema = JAPANESE.copied(enforceable(tool.parameters, doubtful), tool.parameters, tool.description, question, doubtful)
    return {name: part["enum"][0] for name, part in schema["properties"].items() if "enum" in part}


TRAIN = tool(
    "列車の運賃を調べる", {"from_station": ("string", "出発駅"), "to_station": ("string", "到着駅")}, reserved=("boolean", "指定席かどうか")
)
LOAN = tool(
    "毎月の返済額を計算する",
    {"amount": ("integer", "借入額(円)"), "rate": ("number", "年利(パーセント)"), "years": ("integer", "返済期間(年)")},
)
MAIL = tool("メールを送る", {"to": ("string", "宛先"), "subject": ("string", "件名"), "body": ("string", "本文")})


@pytest.mark.parametrize(
    ("asked", "question", "expected"),
    [
        (TRAIN, "仙台から盛岡までの運賃はいくらですか?", {"from_station": "仙台", "to_station": "盛岡"}),
        (TRAIN, "盛岡まで、仙台駅から指定席でいくら?", {"from_station": "仙台駅", "to_station": "盛岡", "reserved": True}),
        (TRAIN, "仙台から盛岡まで、指定席なしの運賃は?", {"from_station": "仙台", "to_station": "盛岡", "reserved": False}),
        (LOAN, "年利1.5パーセントで2,500万円を20年借りると?", {"amount": 25_000_000, "rate": 1.5, "years": 20}),
        (LOAN, "二千万円を三十年、年利２%で", {"amount": 20_000_000, "rate": 2, "years": 30}),
        (
            MAIL,
            "件名「定例会の件」、本文「明日は10時からです。」で鈴木さんにメールして",
            {"to": "鈴木さん", "subject": "定例会の件", "body": "明日は10時からです。"},
        ),
        (
            tool("会議を登録する", {"title": ("string", "会議の名前"), "day": ("string", "日付"), "start": ("string", "開始時刻")}),
            "来週の火曜、午後二時に予算会議を入れて",
            {"title": "予算会議", "day": "来週の火曜", "start": "午後二時"},
        ),
        (
            tool("再起動する", {"server_id": ("string", "サーバーのID"), "count": ("integer", "回数")}),
            "サーバーdb-07を3回再起動して",
            {"server_id": "db-07", "count": 3},
        ),
        (tool("平均を求める", {"numbers": (["number"], "数値のリスト")}), "12、1,500と3.5の平均は?", {"numbers": [12, 1500, 3.5]}),
        (tool("レシピを探す", {"foods": (["string"], "食材のリスト")}), "豆腐とナスとひき肉で作れるレシピは?", {"foods": ["豆腐", "ナス"]}),
        (
            tool("QRコードを作る", {"url": ("string", "リンク先")}),
            "https://例.jpではなくhttps://example.jp/a?b=1のQRコード",
            {"url": "https://example.jp/a?b=1"},
        ),
        (tool("在庫を調べる", {"item": ("string", "商品名")}, colour=("string", "色")), "ABC商事の万年筆の在庫は?", {"item": "ABC商事"}),
        (tool("確率を小数で扱う", {"p": ("number", "確率(小数)")}), "確率20%で", {"p": 0.2}),
        (
            tool(
                "列車を探す",
                {"from": ("string", "出発駅"), "to": ("string", "到着駅")},
                people=("integer", "人数"),
                days=("integer", "日数"),
            ),
            "博多発広島行きで2名分お願いします",
            {"from": "博多", "to": "広島", "people": 2},
        ),
        (tool("天気", {"city": ("string", "都市名")}), "?", {}),
    ],
)
def test_values_are_found_by_their_form_the_particles_and_the_words_around_them(asked, question, expected):
    assert values(asked, question) == expected


def test_a_question_is_cut_at_particles_and_not_within_words():
    found = [(span.form, span.value) for span in JAPANESE.spans_in("田中さんとの打ち合わせを六本木の第二会議室で1月5日、午後3時に")]
    assert found == [
        ("name", "田中さん"),
        ("name", "打ち合わせ"),
        ("name", "六本木"),
        ("name", "第二会議室"),
        ("date", "1月5日"),
        ("time", "午後3時"),
    ]
    assert [span.value for span in JAPANESE.quantities_in("品番X-770を2個、1万5千円で")] == [2, 15000]


def test_what_the_schema_forbids_is_not_copied():
    short = {"type": "object", "properties": {"code": {"type": "string", "description": "名前", "maxLength": 2}}, "required": ["code"]}
    assert JAPANESE.copied(enforceable(short), short, "", "仙台駅前")["properties"]["code"].get("enum") is None
    few = {"type": "object", "properties": {"n": {"type": "integer", "description": "人数", "maximum": 5}}, "required": ["n"]}
    assert JAPANESE.copied(enforceable(few), few, "", "6人で")["properties"]["n"].get("enum") is None
    pair = {"type": "array", "items": {"type": "string"}, "minItems": 3, "description": "品目"}
    three = {"type": "object", "properties": {"items": pair}, "required": ["items"]}
    assert JAPANESE.copied(enforceable(three), three, "", "卵と牛乳")["properties"]["items"].get("enum") is None


@pytest.mark.parametrize("weak", [(), ("ja",)])
def test_a_model_that_writes_japanese_poorly_is_not_asked_for_what_can_be_copied(weak):
    question = "仙台から盛岡までの運賃はいくらですか?"
    arguments = decode_arguments(Tiny(), [], TRAIN, question, [], weak)
    assert jsonschema.Draft202012Validator(TRAIN.parameters).is_valid(arguments)
    assert (arguments == {"from_station": "仙台", "to_station": "盛岡"}) == (weak == ("ja",))
    english = "What is the fare from Sendai to Morioka?"
    assert decode_arguments(Tiny(), [], TRAIN, english, [], weak) == decode_arguments(Tiny(), [], TRAIN, english, [])


@pytest.mark.alone
@pytest.mark.parametrize("text", ["一" * 9000, "1," * 4000, "東京と" * 3000, "漢き" * 4000, "a.b-" * 2000, "「" * 9000, "\ufdfa" * 9000])
def test_no_question_keeps_it_busy(text):
    start = time.thread_time()
    values(tool("予約する", {"city": ("string", "都市名"), "n": ("integer", "人数"), "days": (["string"], "日付")}), text)
    assert time.thread_time() - start < 2
