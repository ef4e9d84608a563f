"""The answer taken out of what a model wrote, by rules.

All of a text is NFKC, with what LaTeX writes around a value left out. Its last mark (####, \\boxed{, or one of a language's own such as "the answer is") has
the answer behind it, where there is one; a text without a mark is searched as a whole:

| kind | behind a mark | without one |
| --- | --- | --- |
| number | the first number, in digits or in words; of a calculation that of its last side which holds one alone | the last number in digits, else one in words that it begins with |
| choice | the choice, or the letter of one, that it begins with, else the first letter, else the only choice that is named there, else its place in digits | the letter that it begins with, else the only choice that it names, else the only letter, else its place in digits |
| yes_no | the first yes or no | the first yes or no |
| text | what is in quotes, else the first words | what is in quotes at the end, else the last words |

A fraction is one number (3/4, 1 1/2), and so are 3万5千 and minus 15. Words are taken as many as the right answer has. Behind a mark where nothing of the
kind stands, the mark before it counts, and without any the whole text. Marks, yes and no count in every language: models answer a question in one with
"Answer:" or "No" of another. Kojima et al. (2022, section 3) take the first number behind their trigger, and the last one of a chain of thought is Wei et
al.'s (2022).
"""

import math
import re
import unicodedata
from collections.abc import Callable

from tasks.studies.suites.language import StudiesLanguage, studies_languages
from tasks.studies.suites.question import NO, YES, Kind, Question, letter, numbered
from tasks.text.judging import accepts, normalised

MARKS = re.compile(r"####|\\boxed\{")  # of no language
LATEX = (
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,!;]"), ""),
)
MINUS = str.maketrans("\u2212\u2012\u2013", "---")  # the signs that NFKC leaves
MONEY = "$\u20ac\u00a3\u00a5"
NUMBER = re.compile(
    rf"(?P<minus>(?<![\d.)])-[{MONEY}]?)?"
    r"(?<![\d.])(?P<whole>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
    r"(?:\s*/\s*(?P<under>[1-9]\d*)|\s+(?P<over>\d+)/(?P<part>[1-9]\d*))?"
)
SENTENCE = re.compile(r"\n|[.!?](?=\s|$)|\u3002")
QUOTED = re.compile(r"[\"'“‘「『]([^\"'”’」』]+)[\"'”’」』]")
WORD = re.compile(r"[^\W_]+")


def taken_out(text: str, question: Question) -> str | None:
    """The answer to `question` in `text`, in the form of `Question.answer`; None where it holds none."""
    text = _plain(text)
    language, marks = studies_languages()[question.lang], [MARKS, *(one.MARKS for one in studies_languages().values())]
    behind, whole = FINDERS[question.kind]
    ends = sorted({found.end() for pattern in marks for found in pattern.finditer(text)})
    for end in reversed(ends):
        if (found := behind(text[end:], question, language)) is not None:
            return found
    return whole(text, question, language)


def number_in(text: str) -> str | None:
    """The number that a published answer is, with a sign of money before it and a unit of one word behind it at most; None where it is something else.

    It is read in the language that takes most of it for the number: 万 is no unit of 300万円.
    """
    text = _plain(text).lstrip(MONEY)
    if not (found := NUMBER.match(text)):
        return None
    read = list[tuple[int, str]]()
    for language in studies_languages().values():
        value, end = _valued(text, found, language)
        end += len(_multiple(text[end:], language))
        unit = text[end:].strip(" .\u3002%")
        if math.isfinite(value) and (not unit or (WORD.fullmatch(unit) and not re.search(r"\d", unit))):
            read.append((end, numbered(value)))
    return max(read, key=lambda one: one[0])[1] if read else None


def yes_or_no(text: str) -> str | None:
    """`YES` or `NO` where a text is nothing but that, in any language."""
    text = _plain(text).rstrip(" .!\u3002")
    for language in studies_languages().values():
        for answer, pattern in ((YES, language.YES), (NO, language.NO)):
            if pattern.fullmatch(text):
                return answer
    return None


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).translate(MINUS).strip()
    for pattern, plain in LATEX:
        text = pattern.sub(plain, text)
    for language in studies_languages().values():
        text = language.FRACTION.sub(lambda found: f"{found['over']}/{found['under']}", text)
    return text


Finder = Callable[[str, Question, StudiesLanguage], str | None]


def _first_number(text: str, question: Question, language: StudiesLanguage) -> str | None:
    """In words only directly behind the mark."""
    sentence = next((one for one in SENTENCE.split(text) if NUMBER.search(one)), text)
    sides = sentence.split("=")
    sentence = next((side for side in reversed(sides) if len(NUMBER.findall(side)) == 1), sides[-1])
    text = sentence if len(sides) > 1 else text
    found, spelled = NUMBER.search(text), language.spelled(text)
    if spelled is not None:
        return numbered(spelled)
    return _value(text, found, language) if found else None


def _last_number(text: str, question: Question, language: StudiesLanguage) -> str | None:
    values, end = list[str](), -1
    for found in NUMBER.finditer(text):
        if found.start() >= end:  # else a part of the one before
            value, end = _valued(text, found, language)
            values.append(numbered(value))
    spelled = language.spelled(text)
    return values[-1] if values else numbered(spelled) if spelled is not None else None


def _value(text: str, found: re.Match[str], language: StudiesLanguage) -> str:
    return numbered(_valued(text, found, language)[0])


def _valued(text: str, found: re.Match[str], language: StudiesLanguage) -> tuple[float, int]:
    """A number with the words that multiply it, and further ones of a smaller multiple directly behind (3万5千); and where it ends."""
    sign = -1 if found["minus"] or language.MINUS.search(text[: found.start()]) else 1
    value, end = _read(found) * _times(text[found.end() :], language), found.end()
    least = _times(text[end:], language)
    while least > 1 and (more := NUMBER.match(text, end + len(_multiple(text[end:], language)))):
        times = _times(text[more.end() :], language)
        if _read(more) * times >= least:
            break
        value, end, least = value + _read(more) * times, more.end(), times
    return sign * value, end


def _read(found: re.Match[str]) -> float:
    whole = float(found["whole"].replace(",", ""))
    if found["part"]:
        return whole + int(found["over"]) / int(found["part"])
    return whole / int(found["under"] or 1)


def _times(behind: str, language: StudiesLanguage) -> int:
    return language.MULTIPLES.get(_multiple(behind, language).strip().lower(), 1)


def _multiple(behind: str, language: StudiesLanguage) -> str:
    """The word that multiplies the number before it, and the space before that; "" for none."""
    bare = behind.lstrip()
    word = next((word for word in language.MULTIPLES if re.match(rf"{word}s?(?![a-z])", bare, re.IGNORECASE)), "")  # not millionaires
    return behind[: len(behind) - len(bare) + len(word)] if word else ""


def _behind_mark(text: str, question: Question, language: StudiesLanguage) -> str | None:
    said, choices = normalised(text), [normalised(choice) for choice in question.choices]
    # A choice such as ~B is, without its sign, the letter too.
    begun = [place for place, choice in enumerate(choices) if len(choice) > 1 and said.startswith(choice)]
    if begun:
        return letter(max(begun, key=lambda place: len(choices[place])))
    return _lettered(BEHIND, text, question) or _named(text, question) or _placed(text, question, language)


def _of_whole(text: str, question: Question, language: StudiesLanguage) -> str | None:
    return _lettered(FIRST, text, question) or _named(text, question) or _only_letter(text, question) or _placed(text, question, language)


def _letters(question: Question) -> str:
    return "".join(letter(place) for place in range(len(question.choices)))


def _lettered(pattern: str, text: str, question: Question) -> str | None:
    letters = _letters(question)
    found = re.search(pattern.replace("LETTERS", letters).replace("SMALL", letters.lower()), text)
    return next(one for one in found.groups() if one).upper() if found else None


def _only_letter(text: str, question: Question) -> str | None:
    found = set(re.findall(APART.replace("LETTERS", _letters(question)), text))
    return found.pop() if len(found) == 1 else None


def _named(text: str, question: Question) -> str | None:
    """The letter of the choice that the text names; None where it names none or several. A choice inside a longer one that is named does not count."""
    named = [i for i, choice in enumerate(question.choices) if accepts(text, [choice])]
    longest = [i for i in named if not any(i != j and accepts(question.choices[j], [question.choices[i]]) for j in named)]
    return letter(longest[0]) if len(longest) == 1 else None


def _placed(text: str, question: Question, language: StudiesLanguage) -> str | None:
    """By the number or the language's letter that stands for its place; none where choices are numbers themselves."""
    if any(NUMBER.fullmatch(choice) for choice in question.choices):
        return None
    labels = "|".join(language.LABELS[: len(question.choices)])
    found = re.match(rf"\W*(?:([1-9])(?![\d.,/]\d|\d)|({labels or '(?!)'})(?=\W|$|{language.ENDING.pattern}))", text)
    place = -1 if not found else int(found[1]) - 1 if found[1] else language.LABELS.index(found[2])
    return letter(place) if 0 <= place < len(question.choices) else None


def _first_yes_or_no(text: str, question: Question, language: StudiesLanguage) -> str | None:
    patterns = [(answer, pattern) for one in studies_languages().values() for answer, pattern in ((YES, one.YES), (NO, one.NO))]
    found = [(place.start(), answer) for answer, pattern in patterns if (place := pattern.search(text))]
    return min(found)[1] if found else None


def _words(question: Question) -> int:
    return max(1, len(WORD.findall(question.answer)))


def _first_words(text: str, question: Question, language: StudiesLanguage) -> str | None:
    line = text.strip().partition("\n")[0]
    if found := QUOTED.search(line):
        return found[1].strip().lower()
    ending = language.ENDING.search(line)
    return _joined(list(WORD.finditer(line[: ending.start() if ending else None]))[: _words(question)], line)


def _last_words(text: str, question: Question, language: StudiesLanguage) -> str | None:
    endings = list(language.ENDING.finditer(text))
    if endings and not WORD.search(text, endings[-1].end()):
        text = text[: endings[-1].start()]
    text = text.rstrip(" .!?\u3002\n*")
    quoted = list(QUOTED.finditer(text))
    if quoted and quoted[-1].end() == len(text):
        return quoted[-1][1].strip().lower()
    text = language.TOPIC.sub("", text.rpartition("\n")[2])
    return _joined(list(WORD.finditer(text))[-_words(question) :], text)


def _joined(words: list[re.Match[str]], text: str) -> str | None:
    return text[words[0].start() : words[-1].end()].lower() if words else None


# A capital letter by itself: "(B)", "B." or "B" before a script without spaces. "A dog" begins with an article, and names no choice. A small one counts
# where nothing but a sign is behind it.
ALONE = r"([LETTERS])(?![A-Za-z0-9]|\s+[a-z]|['’])"
APART = rf"(?<![A-Za-z0-9]){ALONE}"
SMALL = r"^\W*([SMALL])(?:[).:]|\W*(?:\n|$))"
FIRST = rf"^\W*{ALONE}|{SMALL}"
BEHIND = rf"^\W*([LETTERS])(?![A-Za-z0-9])|{SMALL}|\(([LETTERS])\)|{APART}"
FINDERS: dict[Kind, tuple[Finder, Finder]] = {
    "number": (_first_number, _last_number),
    "choice": (_behind_mark, _of_whole),
    "yes_no": (_first_yes_or_no, _first_yes_or_no),
    "text": (_first_words, _last_words),
}
