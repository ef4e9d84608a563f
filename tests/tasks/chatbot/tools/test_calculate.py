"""`calculate`: right where it answers, and nothing executed, nothing hanging, whatever it is given."""

import ast
import math
import time

import pytest

from tasks.chatbot.tools.arithmetic import arithmetic_asked
from tasks.chatbot.tools.calculate import MAX_LENGTH, calculate, value_of
from tasks.chatbot.tools.toolbox import Tool, ToolBox
from tasks.errors import MigakiError
from tests import ROOT

RIGHT = {
    "1 + 2 * 3": 7,
    "(3+4)×2": 14,
    "2 ** 10": 1024,
    "2^10": 1024,
    "-2 ** 2": -4,
    "2 ** 3 ** 2": 512,
    "7 // 2": 3,
    "10 % 4": 2,
    "15% of 80": 12,
    "200 * 10%": 20,
    "50%": 0.5,
    "1,234,567 + 1": 1234568,
    "max(1,200,3)": 200,
    "(1,234)*2": 2468,
    "２＋３＝": 5,
    "（１２÷４）−１": 2,
    "5²": 25,
    "√2 * √2": 2,
    "sqrt(16)": 4,
    "3 x 4": 12,
    "007 + 1": 8,
    "log(8, 2)": 3,
    "round(2.675, 1)": 2.7,
    "floor(2.7) + ceil(2.1)": 5,
    "abs(-3) + min(4, 5)": 7,
    "cos(0) + sin(pi / 2)": 2,
    "1e3 / 4": 250,
    "exp(0)": 1,
    "2 ** -1": 0.5,
    "+".join("1" * 200): 200,
}

NAMES = "__import__ eval exec open compile globals locals vars dir getattr setattr input print exit quit help type object int str bytes list range sum pow divmod factorial comb perm gamma nan inf True False None lambda yield await self os sys math builtins __builtins__ __name__ __file__ _ j".split()
HOSTILE = [
    *NAMES,
    *(f"{name}(1)" for name in NAMES[:24]),
    *(
        f"{attribute}"
        for name in ("(1)", "sqrt", "pi", "''", "[]")
        for attribute in (f"{name}.__class__", f"{name}.__class__.__mro__[1].__subclasses__()", f"{name}.real")
    ),
    "__import__('os').system('id')",
    "().__class__.__bases__[0].__subclasses__()",
    "sqrt.__self__.__dict__",
    "getattr(sqrt, '__self__')",
    "max(1, key=print)",
    "min(*[1, 2])",
    "max(**{})",
    "round(number=5)",
    "lambda: 1",
    "(lambda: 1)()",
    "[1 for _ in (1,2)]",
    "[x for x in range(10**9)]",
    "{1: 2}",
    "{1, 2}",
    "(x for x in (1,))",
    "[1][0]",
    "'a' * 10**9",
    "'1' + '1'",
    '"1"',
    "b'1'",
    "f'{1+1}'",
    "f'{__import__(\"os\")}'",
    "r'\\n'",
    '"""1"""',
    "(x := 5)",
    "x := 5",
    "x = 5",
    "1 == 1",
    "1 < 2 < 3",
    "1 if 1 else 2",
    "1 and 2",
    "not 1",
    "1 or 2",
    "1 in (1,)",
    "1 is 1",
    "1 | 2",
    "1 & 3",
    "1 << 100000000",
    "1 >> 1",
    "~1",
    "1 @ 2",
    "1; 2",
    "1\n2",
    "1\\\n+2",
    "1 # comment",
    "import os",
    "del x",
    "assert 0",
    "raise SystemExit",
    "while 1: pass",
    "yield 1",
    "await 1",
    "...",
    "1...2",
    "9**9**9",
    "9**9**9**9**9",
    "2**100000000",
    "(2**1000)**1000",
    "10**309",
    "-(10**400)",
    "(9**99)**99",
    "99999999999**99999999999",
    "2**2**2**2**2**2",
    "1e999",
    "-1e999",
    "1e308*10",
    "1e308+1e308",
    "exp(1000)",
    "exp(exp(exp(10)))",
    "(1e200)**2",
    "1e308**1e308",
    "round(5, -1000000000)",
    "round(5, 1000000000)",
    "round(1e308, -308) * 10",
    "1/0",
    "1//0",
    "1%0",
    "0**-1",
    "0.0**-1",
    "1/(2-2)",
    "log(0)",
    "log(-1)",
    "log(1, 1)",
    "log(8, 0)",
    "sqrt(-1)",
    "(-8)**0.5",
    "(-1)**(1/3)",
    "1e999 - 1e999",
    "1e999 * 0",
    "floor(1e999)",
    "1j",
    "5j * 5j",
    "1_000",
    "0x10",
    "0b11",
    "0o17",
    "1__0",
    "1e",
    "1.2.3",
    "1.e.2",
    "12 34",
    "1,23",
    "1,2345",
    ",1",
    "(1,2)",
    "()",
    "(",
    ")",
    ")(",
    "((1)",
    "",
    "   ",
    "+",
    "**2",
    "2***3",
    "*1",
    "1 +",
    "sqrt",
    "sqrt()",
    "sqrt(1, 2)",
    "sqrt x",
    "max()",
    "sin()",
    "sqrt(sqrt)",
    "pi()",
    "pi(2)",
    "2(3)",
    "(2)(3)",
    "5!",
    "factorial(100000)",
    "100000!",
    "5₂",
    "½",
    "3½",
    "③",
    "Ⅷ",
    "²",
    "١+١",
    "𝟏+𝟏",
    "１＿０",
    "ｅｖａｌ(1)",
    "ｅｖａｌ（１）",
    "ev\u200bal(1)",
    "1\u200b+1",
    "1\u202e+1",
    "1\x00+1",
    "ｓｑｒｔ.__class__",
    "ＯＳ",
    "ªbs(1)",
    "ſqrt(4)",
    "𝐞𝐯𝐚𝐥(1)",
    "eval\uff08'1'\uff09",
    "＿＿import＿＿('os')",
    "1 + 一",
    "💣",
    "1" * (MAX_LENGTH + 1),
    "1+" * 100_000 + "1",
    "9" * 400,
    "9" * 499,
    "(" * 100 + "1" + ")" * 100,
    "(" * 250,
    "(" * 10_000,
    "sqrt(" * 90 + "1" + ")" * 90,
    "-" * 400 + "1",
    "+-" * 200 + "1",
    "2**" * 120 + "2",
    "((((" * 60 + "1" + "))))" * 60,
    "max(" * 100,
    "(1," * 100,
    "1**" * 150,
    "[" * 400,
    "{" * 400,
    "%" * 400,
    "1" + "%" * 400,
    "1 " * 240,
    "," * 400,
    "e" * 400,
    "." * 400,
    "1,000" * 90,
    "\\" * 100,
    "\ud800",
]


@pytest.mark.parametrize("expression", RIGHT, ids=lambda text: text[:20])
def test_arithmetic_is_right(expression):
    assert value_of(expression) == pytest.approx(RIGHT[expression], rel=1e-12)


def test_the_hostile_ones_are_many():
    assert len(set(HOSTILE)) >= 200


@pytest.mark.alone
@pytest.mark.parametrize("expression", HOSTILE, ids=lambda text: ascii(text)[:24])
def test_nothing_hostile_is_executed_or_hangs(expression, without_collection):
    start = time.thread_time()
    with pytest.raises(MigakiError) as caught:
        calculate(expression)
    assert time.thread_time() - start < 0.2 and str(caught.value)


def test_a_hostile_call_becomes_a_message_for_the_model():
    box = ToolBox([Tool.of(calculate)])
    assert all(not box.call("calculate", {"expression": expression}).ok for expression in HOSTILE[::7])


def test_values_are_shown_as_people_write_them():
    assert (
        calculate("0.1 + 0.2") == "0.1 + 0.2 = 0.3" and calculate("6 / 2") == "6 / 2 = 3" and calculate("2 / 3").endswith("0.666666666667")
    )
    assert calculate("2**100").endswith(str(2**100)) and math.isclose(float(calculate("1e300 * 10").split("= ")[1]), 1e301)


def test_no_tool_evaluates_or_executes_text():
    for path in (ROOT / "tasks" / "chatbot").rglob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)}
        assert not names & {"eval", "exec", "compile", "__import__"}, path


@pytest.mark.parametrize(
    ("question", "expressions"),
    [
        ("What is 3+4?", ["3+4"]),
        ("Calculate (12 + 8) * 3.", ["(12 + 8) * 3"]),
        ("How much is 1,200 times 3?", ["1,200*3"]),
        ("What is 2 to the power of 10?", ["2**10"]),
        ("the square root of 144", ["sqrt(144)"]),
        ("What is 3 + 4 and 5 * 6?", ["3 + 4", "5 * 6"]),
        ("What's 12*7, and what time is it?", ["12*7"]),
        ("What is 9**9**9?", ["9**9**9"]),
        ("200の15%は?", ["15% of 200"]),
        ("1000円の8%はいくら?", ["8% of 1000"]),
        ("3かける4はいくつですか?", ["3*4"]),
        ("12×12を計算してください", ["12×12"]),
        ("3+4と5*6を計算して", ["3+4", "5*6"]),
        ("2の10乗は?", ["2**10"]),
        ("320と450を足して", ["320+450"]),
        ("三百二十に四百五十を足してください。", ["320+450"]),
        ("10から三を引くといくつになりますか", ["10-3"]),
        ("百を七で割った答えは?", ["100/7"]),
        ("1万5千円の20%引きはいくら", ["15000*(1-20/100)"]),
        ("2000円の3割引は? 500円の2割を教えて", ["2000*(1-3/10)", "500*2/10"]),
        ("1と2を足して、3と4を掛けて", ["1+2", "3*4"]),
        ("7に8を足して2を掛けると?", []),
        ("7に8を足して2", []),
        ("一石二鳥とは?", []),
        ("千代田区の一か所を十分に説明して", []),
        ("What is the 2024-2025 budget?", []),
        ("2024-01-15", []),
        ("Call 03-1234-5678", []),
        ("Is 24/7 support offered?", []),
        ("3 times a day", []),
        ("Explain PPO with clip 0.2", []),
        ("What is LoRA?", []),
        ("量子化とは何ですか?", []),
        ("第2章から第3章まで要約して", []),
    ],
)
def test_a_question_that_is_arithmetic_is_told_from_one_that_has_numbers(question, expressions):
    assert [arguments["expression"] for arguments in arithmetic_asked(question)] == expressions
