"""Arithmetic that is safe to offer to anybody: a list of allowed tokens, then a list of allowed nodes, and a bound on every number.

Nothing is executed: Python's parser only builds the tree, which is walked here. The parser itself is never shown a name that is not on the
list, a bracket, a quote, or more nesting than `MAX_DEPTH`; what a step would cost is checked before it is taken.
"""

import ast
import math
import operator
import re
from collections.abc import Callable

from tasks.errors import MigakiError
from tasks.text.widths import TO_ASCII

Number = int | float
MAX_LENGTH, MAX_DEPTH, MAX_BITS, MAX_PLACES = 500, 24, 1024, 15
FUNCTIONS: dict[str, Callable[..., Number]] = {
    name: getattr(math, name) for name in ("sqrt", "sin", "cos", "tan", "log", "exp", "floor", "ceil")
} | {"abs": abs, "round": round, "min": min, "max": max}
CONSTANTS = {"pi": math.pi, "e": math.e}
BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
UNARY: dict[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}

SIGNS = str.maketrans(
    {"×": "*", "✕": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "^": "**", "²": "**2", "³": "**3", "π": "pi", "√": "sqrt"}
)
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)(?![\w.])|(?P<name>[a-z]+)(?!\w)|(?P<sign>\*\*|//|[-+*/%(),]))\s*",
    re.I,
)
SEPARATED = re.compile(r"\s*[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?(?![\w.]|,[0-9])\s*")
PERCENT_OF = re.compile(r"%\s*of\b", re.I)
TIMES = re.compile(r"(?<=[\d)])\s+[xX]\s+(?=[\d(])|(?<=[1-9)])[xX](?=[1-9(])")
ASKED = re.compile(r"\s*=\s*\??\s*$")


class Uncomputable(MigakiError):
    """It is arithmetic, but has no value that could be given."""


def calculate(expression: str) -> str:
    """Compute an arithmetic expression exactly, such as (3 + 4) * 2, 15% of 80, sqrt(2) or 2 ** 10."""
    return f"{expression.strip()} = {shown(value_of(expression))}"


def value_of(expression: str) -> Number:
    """The value of an expression.

    Known are + - * / // % **, parentheses, sqrt sin cos tan log exp abs round min max floor ceil, pi and e; full-width characters and
    × ÷ ^ ² ³ √ π; thousands separators outside of functions; and N% (where no number follows; elsewhere % is the remainder).

    Raises:
        MigakiError: it is not such an expression, or too long or deep.
        Uncomputable: its value is not a finite real number of bounded size.
    """
    if len(expression) > MAX_LENGTH:
        raise MigakiError(f"the expression has {len(expression)} characters; {MAX_LENGTH} are the most")
    tokens = _tokens(_plain(expression), expression)
    try:
        tree = ast.parse(" ".join(tokens), mode="eval")
        return _checked(_value(tree.body, MAX_DEPTH))
    except SyntaxError as error:
        raise MigakiError(f"{expression!r} is not a complete arithmetic expression") from error
    except ZeroDivisionError as error:
        raise Uncomputable(f"{expression!r} divides by zero") from error
    except (ValueError, TypeError) as error:
        raise Uncomputable(f"{expression!r} has no real value: {error}") from error
    except (OverflowError, RecursionError, MemoryError) as error:
        raise Uncomputable(f"{expression!r} is too large to compute") from error


def shown(value: Number) -> str:
    """A number as people write it: 0.1 + 0.2 is 0.3."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def _plain(expression: str) -> str:
    """The expression in ASCII, with signs that Python knows. Only width is folded: NFKC would make 5² into 52."""
    text = ASKED.sub("", expression.translate(TO_ASCII).translate(SIGNS))
    text = re.sub(r"sqrt\s*(\d+\.?\d*)", r"sqrt(\1)", text)
    return TIMES.sub(" * ", PERCENT_OF.sub("/ 100 *", text))


def _tokens(text: str, expression: str) -> list[str]:
    """The tokens, all of them allowed and not nested too deep."""
    tokens: list[str] = []
    calls: list[bool] = []  # of each parenthesis that is open, whether it is a function's
    place = 0
    while place < len(text.rstrip()):
        separated = None if any(calls) else SEPARATED.match(text, place)
        token = separated or TOKEN.match(text, place)
        if token is None:
            raise MigakiError(f"{expression!r}: {text[place : place + 12]!r} is no number, operator or function known here")
        word, place = token[0].strip().replace(",", "") if separated else token[0].strip(), token.end()
        if not separated and token["name"]:
            word = _known(word)
        if word == "(":
            calls.append(bool(tokens) and tokens[-1] in FUNCTIONS)
        elif word == ")" and calls:
            calls.pop()
        if len(calls) > MAX_DEPTH:
            raise MigakiError(f"{expression!r} is nested deeper than {MAX_DEPTH} parentheses")
        tokens.append(_number(word))
    return _percent(tokens)


def _known(name: str) -> str:
    if name.lower() not in FUNCTIONS and name.lower() not in CONSTANTS:
        raise MigakiError(f"{name!r} is not known here; functions: {', '.join(FUNCTIONS)}; constants: {', '.join(CONSTANTS)}")
    return name.lower()


def _number(word: str) -> str:
    """Without the leading zeros that Python refuses."""
    return re.sub(r"^0+(?=\d)", "", word)


def _percent(tokens: list[str]) -> list[str]:
    """N % as N / 100, where nothing follows that could be divided by."""
    divided = []
    for i, token in enumerate(tokens):
        follows = tokens[i + 1] if i + 1 < len(tokens) else ""
        if token == follows == "%":
            raise MigakiError("one % after another means nothing")
        remainder = token != "%" or follows == "(" or follows[:1].isalnum() or follows[:1] == "."
        divided += [token] if remainder else ["/", "100"]
    return divided


def _value(node: ast.expr, depth: int) -> Number:
    if depth < 0:
        raise MigakiError(f"the expression is nested deeper than {MAX_DEPTH} steps: compute it in parts")
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _checked(node.value)
    if isinstance(node, ast.Name) and node.id in CONSTANTS:
        return CONSTANTS[node.id]
    if isinstance(node, ast.UnaryOp) and type(node.op) in UNARY:
        return UNARY[type(node.op)](_value(node.operand, depth - 1))
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        return _binary(node, depth)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and not node.keywords:
        return _checked(_call(node.func.id, [_value(argument, depth - 1) for argument in node.args]))
    raise MigakiError("only numbers, operators, parentheses and the functions named are allowed in an expression")


def _binary(node: ast.BinOp, depth: int) -> Number:
    """Long sums lean to the left: they are walked in a loop, so that their length is no depth."""
    chain: list[ast.BinOp] = []
    left: ast.expr = node
    while isinstance(left, ast.BinOp) and type(left.op) in BINARY:
        chain.append(left)
        left = left.left
    value = _value(left, depth - 1)
    for step in reversed(chain):
        right = _value(step.right, depth - 1)
        if isinstance(step.op, ast.Pow):
            _check_power(value, right)
        value = _checked(BINARY[type(step.op)](value, right))
    return value


def _check_power(base: Number, exponent: Number) -> None:
    """Refuse what would be large before it is computed."""
    if (
        isinstance(base, int)
        and isinstance(exponent, int)
        and exponent > 0
        and base.bit_length() * exponent > 2 * MAX_BITS
        and abs(base) > 1
    ):
        raise Uncomputable(f"{base} ** {exponent} is too large to compute")


def _call(name: str, values: list[Number]) -> Number:
    if name == "round" and len(values) > 1 and abs(values[1]) > MAX_PLACES:
        raise Uncomputable(f"round takes at most {MAX_PLACES} places, not {values[1]}")
    if name in ("min", "max") and len(values) == 1:
        return values[0]
    return FUNCTIONS[name](*values)


def _checked(value: object) -> Number:
    """The value, when it is a finite real number of bounded size."""
    if type(value) is int and value.bit_length() <= MAX_BITS:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, complex):
        raise ValueError("it is a complex number")
    raise OverflowError("not finite or too large")
