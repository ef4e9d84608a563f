"""Arguments copied from a question, for languages that models write poorly: the bundled one repeats its example instead.

A question is cut into spans: quotations, addresses, dates, times, codes, and names up to the next particle; numbers are found apart. How well a
span fits a parameter is read off its form, what stands behind it (東京から is where something begins) and the words before it (件名「…」).
Spans and parameters are then matched, each once, so that the sum is greatest; at a tie they keep their order. What fits nothing is left to
the model. What all this is in a language says `CopyingLanguage`.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from tasks.chatbot.tools.language import CopyingLanguage, languages
from tasks.chatbot.tools.schema import Schema, kind_of
from tasks.chatbot.tools.values import NUMBER, fits, numbers_in

READ = 1000  # characters of a question that are looked at: the patterns are not linear
NEAR = 8  # characters in which a label stands before its value
EARLY, ORDER = 0.05, 0.01  # what it is worth to come early, and to come in the order of the parameters
NUMERIC = ("integer", "number")
STRICT = ("date", "time", "address")  # forms that only parameters want which want them
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
    """One that is to be filled: `about` is its name in words and its description, `words` those of it that mean something, `topic` what its tool does,
    `wants` the form of its values. A `doubtful` one may be left out."""

    name: str
    schema: Schema
    about: str
    words: frozenset[str]
    topic: str
    wants: str
    doubtful: bool


@cache
def copier(lang: str) -> "Copier | None":
    """What copies arguments from questions in a language; None for one whose questions are the model's to read."""
    language = languages()[lang].Copying
    return Copier(language) if language is not None else None


class Copier:
    """Copies arguments from questions in one language."""

    def __init__(self, language: type[CopyingLanguage]):
        self.language = language
        self.quantity = re.compile(f"{language.QUANTITY}|{NUMBER.pattern}")

    def copied(self, schema: Schema, parameters: Schema, topic: str, question: str, doubtful: Collection[str] = ()) -> Schema:
        """An enforceable schema of an object in which what the question says stands as the only value allowed.

        Args:
            schema: of the arguments that are wanted.
            parameters: the tool's own, with descriptions.
            topic: the tool's description.
            doubtful: parameters to leave out where nothing fits them.
        """
        text = unicodedata.normalize("NFKC", question[:READ])[:READ]
        open_ones = [(name, part) for name, part in schema["properties"].items() if "enum" not in part]
        wanted = [self.parameter(name, part, parameters["properties"][name], topic, name in doubtful) for name, part in open_ones]
        kinds = {kind: [one for one in wanted if one.schema.get("type") == kind] for kind in ("string", "boolean", "array")}
        spans = self.spans_in(text)
        values = self.matched(kinds["string"], [span for span in spans if span.form != "number"], self.text_worth)
        values |= self.matched([one for one in wanted if one.schema.get("type") in NUMERIC], self.quantities_in(text), self.number_worth)
        values |= {one.name: said for one in kinds["boolean"] if (said := self.stated(one, text)) is not None}
        values |= {one.name: items for one in kinds["array"] if (items := self.items_of(one, spans, text))}
        kept = {name: part for name, part in schema["properties"].items() if name in values or name not in doubtful}
        return schema | {"properties": {name: {"enum": [values[name]]} if name in values else part for name, part in kept.items()}}

    def spoken_of(self, parameters: Schema, question: str) -> frozenset[str]:
        """The optional parameters of whose descriptions a question has a word, and numbers, which may be known by what they count."""
        text = unicodedata.normalize("NFKC", question[:READ])[:READ]
        optional = [(name, part) for name, part in parameters.get("properties", {}).items() if name not in parameters.get("required", [])]
        return frozenset(
            name
            for name, part in optional
            if kind_of(part) in NUMERIC or any(word in text for word in self.parameter(name, part, part).words)
        )

    def parameter(self, name: str, schema: Schema, described: Schema, topic: str = "", doubtful: bool = False) -> Parameter:
        said = self.language.ASIDE.split(unicodedata.normalize("NFKC", str(described.get("description", ""))))[0]
        about = f"{re.sub(r'[_.]|(?<=[a-z])(?=[A-Z])', ' ', name)} {said}"
        words = frozenset(self.language.WORD.findall(said)) - self.language.GENERAL
        wants = next((form for form, pattern in self.language.WANTS.items() if pattern.search(about)), "name")
        return Parameter(name, schema, about, words, topic, wants, doubtful)

    def spans_in(self, text: str) -> list[Span]:
        """The pieces that may be values, in order; a quotation is what stands inside."""
        return [
            _span(text, str(match.lastgroup), match, match[0][1:-1] if match.lastgroup == "quote" else match[0])
            for match in self.language.SPAN.finditer(text)
        ]

    def quantities_in(self, text: str) -> list[Span]:
        """The numbers, in order, but for those of codes and addresses."""
        codes = [span for span in self.spans_in(text) if span.form in ("code", "address")]
        quantities = []
        for match in self.quantity.finditer(text):
            if any(code.start <= match.start() < code.end for code in codes):
                continue
            values = numbers_in(match[0] + re.split(r"\d", text[match.end() : match.end() + 5], maxsplit=1)[0])
            if values:
                quantities.append(_span(text, "number", match, values[0]))
        return quantities

    def matched(self, wanted: Sequence[Parameter], spans: Sequence[Span], worth: Callable[[Parameter, Span], float]) -> dict[str, Any]:
        """The values of the parameters that have one, so that their worths sum up to the most."""
        if not wanted or not spans:
            return {}
        worths = np.array([[worth(one, span) for span in spans] for one in wanted])
        rows, columns = np.arange(len(wanted))[:, None], np.arange(len(spans))[None]
        pairs = zip(*linear_sum_assignment(worths - EARLY * columns + ORDER * rows * columns, maximize=True), strict=True)
        least = [LEAST[one.schema["type"]] if one.doubtful else NEVER for one in wanted]
        return {
            wanted[row].name: self._typed(wanted[row], spans[column].value) for row, column in pairs if worths[row, column] > least[row]
        }

    def _typed(self, one: Parameter, value: Any) -> Any:
        is_share = isinstance(value, int | float) and value > 1 and self.language.FRACTION.search(one.about)
        return round(value / 100, 10) if is_share else value

    def text_worth(self, one: Parameter, span: Span) -> float:
        """How well a piece of text fits a parameter."""
        language = self.language
        if (span.form != one.wants and (span.form in STRICT or one.wants in STRICT)) or not _long_enough(span.value, one.schema):
            return NEVER
        worth = 3.0 if span.form == one.wants != "name" else 1.5 if span.form == "quote" else 1.0
        begins, ends = language.BEGINS.search(one.about), language.ENDS.search(one.about)
        worth += 2.0 * bool((begins and language.FROM.match(span.behind)) or (ends and language.TO.match(span.behind)))
        worth += 2.0 * any(word in span.before for word in one.words)
        if span.form == "name":
            kind = language.KIND.search(span.value)  # 緑町 is a 町名
            worth += 0.5 * bool(kind and kind[0] in one.about)
            named = span.value in one.topic or span.value in one.about or span.value in language.BOUNDS
            worth -= 1.5 * (named or not language.AFTER.match(span.behind))
        return worth

    def number_worth(self, one: Parameter, span: Span) -> float:
        """How well a number fits a parameter, by the words before it and by what it counts."""
        if not fits(self._typed(one, span.value), one.schema):
            return NEVER
        behind = span.behind.strip()
        units = [
            *re.findall(r"\(([^)]{1,8})\)", one.about),
            *self.language.COUNTS.findall(one.about),
            *(unit for word, unit in self.language.UNITS.items() if word in one.about.lower()),
        ]
        worth = 1.0 + 2.0 * any(word in span.before for word in one.words) + 2.0 * any(behind.startswith(unit) for unit in units)
        worth += 3.0 * bool(re.search(rf"(?<![A-Za-z]){re.escape(one.name)}\s*=\s*$", span.before))
        return worth - 0.5 * bool(self.language.WHEN.match(behind))

    def stated(self, one: Parameter, text: str) -> bool | None:
        """Whether the question wants what a parameter switches; None where it does not speak of it."""
        places = [text.index(word) + len(word) for word in one.words if word in text]
        return not self.language.NEGATED.match(text[max(places) :]) if places else None

    def items_of(self, one: Parameter, spans: list[Span], text: str) -> list[Any]:
        """The longest list in a question (AとBとC), or its numbers; nothing where the schema wants more of them, and never more than it allows."""
        items = [span.value for span in self._listed(one.schema["items"], spans, text)]
        return items[: one.schema["maxItems"]] if len(items) >= max(1, one.schema["minItems"]) else []

    def _listed(self, items: Schema, spans: list[Span], text: str) -> list[Span]:
        kind = items.get("type")
        if kind in NUMERIC:
            return [span for span in self.quantities_in(text) if fits(span.value, items)]
        if kind != "string":
            return []
        runs: list[list[Span]] = [[]]
        for span in [span for span in spans if span.form in ("name", "quote", "code") and _long_enough(span.value, items)]:
            joined = runs[-1] and self.language.LIST.fullmatch(text[runs[-1][-1].end : span.start])
            runs.append([*runs.pop(), span] if joined else [span])
        return max(runs, key=len) if max(map(len, runs)) > 1 else []


def _span(text: str, form: str, match: re.Match[str], value: Any) -> Span:
    before, behind = text[max(0, match.start() - NEAR) : match.start()], text[match.end() : match.end() + NEAR]
    return Span(form, value, match.start(), match.end(), before, behind)


def _long_enough(text: str, schema: Schema) -> bool:
    return schema["minLength"] <= len(text) <= schema["maxLength"]
