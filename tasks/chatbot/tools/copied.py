"""Arguments copied from a Japanese question, for models that write the language poorly: the bundled one repeats its example instead.

A question is cut into spans: quotations, addresses, dates, times, codes, and names up to the next particle; numbers are found apart. How well a
span fits a parameter is read off its form, the particle behind it (東京から is where something begins) and the words before it (件名「…」).
Spans and parameters are then matched, each once, so that the sum is greatest; at a tie they keep their order. What fits nothing is left to
the model.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from tasks.chatbot.tools.schema import Schema, kind_of
from tasks.chatbot.tools.values import COUNTERS, KANJI, MIXED, NUMBER, NUMERALS, fits, numbers_in

COUNT = rf"(?:\d|{NUMERALS}){{1,3}}"
CHARACTER = r"[\u3005\u30a1-\u30fa\u30fc\u4e00-\u9fff・&]"
COUNTED = rf"{NUMERALS}+(?:{COUNTERS})(?![\u4e00-\u9fff])"
FORMS = {  # of those that begin at one place, the first is taken
    "quote": r"「[^「」]+」|『[^『』]+』|“[^”]+”|\"[^\"]+\"",
    "address": r"https?://[\x21-\x7e]+|[\w.+-]+@[\w-]+(?:\.[A-Za-z]+)+",
    "date": rf"(?:\d{{4}}年)?{COUNT}月{COUNT}日|\d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}}|\d{{4}}年{COUNT}月|(?:(?:今|来|再来|先)週の?)?[月火水木金土日]曜日?|"
    "明後日|明日|今日|一昨日|昨日|今週末|週末|再来週|[今来先][週月]|[今来去昨]年",
    "time": rf"(?:(?:午前|午後|朝|昼|夕方|夜)の?)?{COUNT}時(?!間|速)(?:半|{COUNT}分)?|\d{{1,2}}:\d\d",
    "number": rf"\d[\d,]*(?:\.\d+)?[千万億兆]*\s*(?:{COUNTERS}|%|°|[a-zA-Z]{{1,2}}(?![A-Za-z0-9]))|{COUNTED}",
    "code": rf"(?:(?=[A-Za-z0-9-]*[A-Za-z])|(?=\d+-\d|\d{{4}}))(?>[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*)(?!{CHARACTER})",
}
# A syllable or two between kanji and at the end are part of the word (打ち合わせ), unless they are particles; so are letters before it (ABC商事)
# and one behind.
WORDLIKE = rf"(?:{CHARACTER}|(?<=[\u4e00-\u9fff])[きぎしじちみりびいけげせてれねめえべむわも]{{1,2}}(?=[\u4e00-\u9fff]))"
ENDING = r"[わもりみげしきせえけれめち]{1,2}(?=[をのはがにで、。]|$)"
FORMS["name"] = (
    rf"[A-Za-z0-9]*(?:(?!宛|行き|発{CHARACTER}{{1,8}}[行着]|{COUNTED}|{FORMS['date']}|{FORMS['time']}){WORDLIKE})+(?:さん|さま|[A-Z](?![A-Za-z0-9-])|{ENDING})?"
)
SPAN = re.compile("|".join(f"(?P<{name}>{form})" for name, form in FORMS.items()))
QUANTITY = re.compile("|".join(pattern.pattern for pattern in (MIXED, NUMBER, KANJI)))
# The form that a parameter wants, by its name and description; of all others, a name.
WANTS = {
    "address": re.compile(r"\b(url|link|e-?mail)\b|アドレス|リンク", re.I),
    "time": re.compile(r"\btime\b(?! ?zone)|時刻|時間帯", re.I),
    "date": re.compile(
        r"\b(date|day|check.?in|check.?out|deadline|birthday)\b|日付|日時|曜日|期日|締め?切|(?:開始|終了|希望|出発|到着|配達|予約|イン|アウト|生年月|宿泊)日",
        re.I,
    ),
    "code": re.compile(
        r"\b(id|code|sku|user.?name|isbn|ticker|host.?name|server)\b|\b(tracking|order|flight|part|serial|model) number\b|品番|番号|型番|コード",
        re.I,
    ),
    "quote": re.compile(
        r"\b(message|body|text|subject|title|keyword|content|phrase|word|sentence)\b|本文|件名|題名|メッセージ|文章|キーワード|語|内容",
        re.I,
    ),
}
BEGINS = re.compile(r"\b(from|origin|departure|pick.?up|source)\b|出発|発送元|乗車|換算元|変換元", re.I)
ENDS = re.compile(r"\b(to|destination|arrival|drop.?off|target|recipient)\b|到着|目的地|行き先|宛先|降車|換算先|変換先|翻訳先|送り先", re.I)
FROM, TO = re.compile(r"から|より|発|を.+に"), re.compile(r"まで|へ|に(?!つ)|行き|宛")
LIST = re.compile(r"と|や|、|,|・|および")
WORD = re.compile(r"[\u4e00-\u9fff]{2,}|[\u30a1-\u30fc]{2,}|[\u4e00-\u9fff]さ|[A-Za-z]{3,}")
GENERAL = frozenset(["名前", "種類", "指定", "任意", "対象", "単位", "数値", "リスト", "配列", "the", "name", "for", "number", "list"])
UNITS = {
    **{
        "yen": "円",
        "金額": "円",
        "dollar": "ドル",
        "euro": "ユーロ",
        "people": "人",
        "person": "人",
        "metre": "メートル",
        "meter": "メートル",
    },
    **{
        "gram": "グラム",
        "hour": "時間",
        "minute": "分",
        "day": "日",
        "year": "年",
        "percent": "パーセント",
        "ohm": "オーム",
        "ampere": "アンペア",
    },
    **{"night": "泊", "page": "ページ", "年齢": "歳", "人数": "名"},
}
# What may stand behind a name. Other kana go on with a verb (入れて); and what is to be done is no value (予約をお願い).
AFTER = re.compile(
    r"(?!でき|を?お願い|を?し[てた]|をする)(?:[^\u3041-\u3096]|$|[のをはがにへでともやかな]|から|まで|より|って|だけ|くらい|ぐらい|など|さん|さま|あたり)"
)
BOUNDS = frozenset(["以上", "以下", "以内", "未満", "合計", "最新", "最大", "最小"])
NEGATED = re.compile(r"\s*[をはもが]?\s*(?:オフ|なし|無し|不要|しない|せず|いら|要ら|では?な|じゃな)")
FRACTION = re.compile("小数|割合|fraction|decimal", re.I)
READ = 1000  # characters of a question that are looked at: the patterns are not linear
NEAR = 8  # characters in which a label stands before its value
EARLY, ORDER = 0.05, 0.01  # what it is worth to come early, and to come in the order of the parameters
NUMERIC = ("integer", "number")
NEVER = -9.0  # worth of what cannot be
LEAST = {"string": 0.4, "integer": 1.5, "number": 1.5}  # worth below which a parameter that may be left out is


@dataclass(frozen=True)
class Span:
    """A piece of a question that may be a value, and what stands before and behind it."""

    form: str
    value: Any
    start: int
    end: int
    before: str
    behind: str


@dataclass(frozen=True)
class Parameter:
    """One that is to be filled: `about` is its name in words and its description, `words` those of it that mean something, `topic` what its tool does.
    A `doubtful` one may be left out."""

    name: str
    schema: Schema
    about: str
    words: frozenset[str]
    topic: str
    doubtful: bool

    @property
    def wants(self) -> str:
        return next((form for form, pattern in WANTS.items() if pattern.search(self.about)), "name")


def copied(schema: Schema, parameters: Schema, topic: str, question: str, doubtful: Collection[str] = ()) -> Schema:
    """An enforceable schema of an object in which what the question says stands as the only value allowed.

    Args:
        schema: of the arguments that are wanted.
        parameters: the tool's own, with descriptions.
        topic: the tool's description.
        doubtful: parameters to leave out where nothing fits them.
    """
    text = unicodedata.normalize("NFKC", question[:READ])[:READ]
    open_ones = [(name, part) for name, part in schema["properties"].items() if "enum" not in part]
    wanted = [parameter(name, part, parameters["properties"][name], topic, name in doubtful) for name, part in open_ones]
    kinds = {kind: [one for one in wanted if one.schema.get("type") == kind] for kind in ("string", "boolean", "array")}
    spans = spans_in(text)
    values = matched(kinds["string"], [span for span in spans if span.form != "number"], text_worth)
    values |= matched([one for one in wanted if one.schema.get("type") in NUMERIC], quantities_in(text), number_worth)
    values |= {one.name: said for one in kinds["boolean"] if (said := stated(one, text)) is not None}
    values |= {one.name: items for one in kinds["array"] if (items := items_of(one, spans, text))}
    kept = {name: part for name, part in schema["properties"].items() if name in values or name not in doubtful}
    return schema | {"properties": {name: {"enum": [values[name]]} if name in values else part for name, part in kept.items()}}


def spoken_of(parameters: Schema, question: str) -> frozenset[str]:
    """The optional parameters of whose descriptions a question has a word, and numbers, which may be known by what they count."""
    text = unicodedata.normalize("NFKC", question[:READ])[:READ]
    optional = [(name, part) for name, part in parameters.get("properties", {}).items() if name not in parameters.get("required", [])]
    return frozenset(
        name for name, part in optional if kind_of(part) in NUMERIC or any(word in text for word in parameter(name, part, part).words)
    )


def parameter(name: str, schema: Schema, described: Schema, topic: str = "", doubtful: bool = False) -> Parameter:
    said = re.split("省略時|例:", unicodedata.normalize("NFKC", str(described.get("description", ""))))[0]
    about = f"{re.sub(r'[_.]|(?<=[a-z])(?=[A-Z])', ' ', name)} {said}"
    return Parameter(name, schema, about, frozenset(WORD.findall(said)) - GENERAL, topic, doubtful)


def spans_in(text: str) -> list[Span]:
    """The pieces that may be values, in order; a quotation is what stands inside."""
    return [
        _span(text, str(found.lastgroup), found, found[0][1:-1] if found.lastgroup == "quote" else found[0])
        for found in SPAN.finditer(text)
    ]


def quantities_in(text: str) -> list[Span]:
    """The numbers, in order, but for those of codes and addresses."""
    codes = [span for span in spans_in(text) if span.form in ("code", "address")]
    found = []
    for match in QUANTITY.finditer(text):
        if any(code.start <= match.start() < code.end for code in codes):
            continue
        values = numbers_in(match[0] + re.match(r"[^\d]{0,5}", text[match.end() :])[0])
        if values:
            found.append(_span(text, "number", match, values[0]))
    return found


def _span(text: str, form: str, found: re.Match[str], value: Any) -> Span:
    return Span(
        form, value, found.start(), found.end(), text[max(0, found.start() - NEAR) : found.start()], text[found.end() : found.end() + NEAR]
    )


def matched(wanted: Sequence[Parameter], spans: Sequence[Span], worth: Callable[[Parameter, Span], float]) -> dict[str, Any]:
    """The values of the parameters that have one, so that their worths sum up to the most."""
    if not wanted or not spans:
        return {}
    worths = np.array([[worth(one, span) for span in spans] for one in wanted])
    rows, columns = np.arange(len(wanted))[:, None], np.arange(len(spans))[None]
    pairs = zip(*linear_sum_assignment(worths - EARLY * columns + ORDER * rows * columns, maximize=True), strict=True)
    least = [LEAST[one.schema["type"]] if one.doubtful else NEVER for one in wanted]
    return {wanted[row].name: _typed(wanted[row], spans[column].value) for row, column in pairs if worths[row, column] > least[row]}


def _typed(one: Parameter, value: Any) -> Any:
    return round(value / 100, 10) if isinstance(value, int | float) and FRACTION.search(one.about) and value > 1 else value


def text_worth(one: Parameter, span: Span) -> float:
    """How well a piece of text fits a parameter."""
    wants, strict = one.wants, ("date", "time", "address")
    if (span.form != wants and (span.form in strict or wants in strict)) or not _long_enough(span.value, one.schema):
        return NEVER
    worth = 3.0 if span.form == wants != "name" else 1.5 if span.form == "quote" else 1.0
    begins, ends = BEGINS.search(one.about), ENDS.search(one.about)
    worth += 2.0 * bool((begins and FROM.match(span.behind)) or (ends and TO.match(span.behind)))
    worth += 2.0 * any(word in span.before for word in one.words)
    if span.form == "name":
        worth += 0.5 * (span.value[-1] in one.about and span.value[-1] >= "\u4e00")  # 緑町 is a 町名
        named = span.value in one.topic or span.value in one.about or span.value in BOUNDS
        worth -= 1.5 * (named or not AFTER.match(span.behind))
    return worth


def number_worth(one: Parameter, span: Span) -> float:
    """How well a number fits a parameter, by the words before it and by what it counts."""
    if not fits(_typed(one, span.value), one.schema):
        return NEVER
    behind = span.behind.strip()
    units = [
        *re.findall(r"\(([^)]{1,8})\)", one.about),
        *re.findall("(.)数", one.about),
        *(unit for word, unit in UNITS.items() if word in one.about.lower()),
    ]
    worth = 1.0 + 2.0 * any(word in span.before for word in one.words) + 2.0 * any(behind.startswith(unit) for unit in units)
    worth += 3.0 * bool(re.search(rf"(?<![A-Za-z]){re.escape(one.name)}\s*=\s*$", span.before))
    return worth - 0.5 * bool(re.match("[年月日時]", behind))


def stated(one: Parameter, text: str) -> bool | None:
    """Whether the question wants what a parameter switches; None where it does not speak of it."""
    places = [text.index(word) + len(word) for word in one.words if word in text]
    return not NEGATED.match(text[max(places) :]) if places else None


def items_of(one: Parameter, spans: list[Span], text: str) -> list[Any]:
    """The longest list in a question (AとBとC), or its numbers; nothing where the schema wants more of them, and never more than it allows."""
    found = [span.value for span in _listed(one.schema["items"], spans, text)]
    return found[: one.schema["maxItems"]] if len(found) >= max(1, one.schema["minItems"]) else []


def _listed(items: Schema, spans: list[Span], text: str) -> list[Span]:
    kind = items.get("type")
    if kind in NUMERIC:
        return [span for span in quantities_in(text) if fits(span.value, items)]
    if kind != "string":
        return []
    runs: list[list[Span]] = [[]]
    for span in [span for span in spans if span.form in ("name", "quote", "code") and _long_enough(span.value, items)]:
        joined = runs[-1] and LIST.fullmatch(text[runs[-1][-1].end : span.start])
        runs.append([*runs.pop(), span] if joined else [span])
    return max(runs, key=len) if max(map(len, runs)) > 1 else []


def _long_enough(text: str, schema: Schema) -> bool:
    return schema["minLength"] <= len(text) <= schema["maxLength"]
