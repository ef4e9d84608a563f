"""The answer taken out of what a model wrote, by rules.

All of a text is NFKC. Its last mark (####, \\boxed{, or a language's own such as "the answer is") has the answer behind it, where there is one; a text
without a mark is searched as a whole:

| kind | behind a mark | without one |
| --- | --- | --- |
| number | the first number, in digits or in words; of a calculation what is behind its last = | the last number in digits |
| choice | the first letter of a choice, else the only choice that is named there | the letter that it begins with, else the only choice that it names |
| yes_no | the first yes or no | the first yes or no |
| text | what is in quotes, else the first word | the last word |

Behind a mark where nothing of the kind stands, the mark before it counts, and without any the whole text. Kojima et al. (2022, section 3) take the first
number behind their trigger, and the last one of a chain of thought is Wei et al.'s (2022).
"""

import re
import unicodedata
from collections.abc import Callable

from tasks.studies.suites.language import StudiesLanguage, studies_languages
from tasks.studies.suites.question import NO, YES, Kind, Question, letter, numbered
from tasks.text.judging import accepts

MARKS = re.compile(r"####|\\boxed\{")  # of no language
NUMBER = re.compile(r"(?<![\d.])-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")
QUOTED = re.compile(r"[\"'“‘「『]([^\"'”’」』]+)[\"'”’」』]")
WORD = re.compile(r"[^\W_]+")


def taken_out(text: str, question: Question) -> str | None:
    """The answer to `question` in `text`, in the form of `Question.answer`; None where it holds none."""
    text = unicodedata.normalize("NFKC", text).strip()
    language = studies_languages()[question.lang]
    behind, whole = FINDERS[question.kind]
    ends = sorted(found.end() for pattern in (MARKS, language.MARKS) for found in pattern.finditer(text))
    for end in reversed(ends):
        if (found := behind(text[end:], question, language)) is not None:
            return found
    return whole(text, question, language)


Finder = Callable[[str, Question, StudiesLanguage], str | None]


def _first_number(text: str, question: Question, language: StudiesLanguage) -> str | None:
    """In words only directly behind the mark."""
    line = next((line for line in text.split("\n") if NUMBER.search(line)), text)
    if "=" in line:
        text = line.rpartition("=")[2]
    found, spelled = NUMBER.search(text), language.spelled(text)
    if spelled is not None and not (found and text[: found.start()].strip() == ""):
        return str(spelled)
    return _value(text, found, language) if found else None


def _last_number(text: str, question: Question, language: StudiesLanguage) -> str | None:
    found = list(NUMBER.finditer(text))
    return _value(text, found[-1], language) if found else None


def _value(text: str, found: re.Match[str], language: StudiesLanguage) -> str:
    value, behind = float(found[0].replace(",", "")), text[found.end() :].lstrip()
    times = next((value for word, value in language.MULTIPLES.items() if behind.lower().startswith(word)), 1)
    return numbered(value * times)


def _letter_of(pattern: str) -> Finder:
    def find(text: str, question: Question, language: StudiesLanguage) -> str | None:
        letters = "".join(letter(i) for i in range(len(question.choices)))
        found = re.search(pattern.replace("LETTERS", letters), text)
        return next(one for one in found.groups() if one) if found else _named(text, question)

    return find


def _named(text: str, question: Question) -> str | None:
    """The letter of the choice that the text names; None where it names none or several. A choice inside a longer one that is named does not count."""
    named = [i for i, choice in enumerate(question.choices) if accepts(text, [choice])]
    longest = [i for i in named if not any(i != j and accepts(question.choices[j], [question.choices[i]]) for j in named)]
    return letter(longest[0]) if len(longest) == 1 else None


def _first_yes_or_no(text: str, question: Question, language: StudiesLanguage) -> str | None:
    found = [(place.start(), answer) for answer, pattern in ((YES, language.YES), (NO, language.NO)) if (place := pattern.search(text))]
    return min(found)[1] if found else None


def _first_word(text: str, question: Question, language: StudiesLanguage) -> str | None:
    line = text.strip().partition("\n")[0]
    found = QUOTED.search(line)
    word = WORD.search(line) if found is None else None
    return found[1].strip().lower() if found else word[0].lower() if word else None


def _last_word(text: str, question: Question, language: StudiesLanguage) -> str | None:
    words = WORD.findall(text)
    return words[-1].lower() if words else None


# A capital letter by itself: "(B)", "B." or "B" before a script without spaces. "A dog" begins with an article, and names no choice.
ALONE = r"([LETTERS])(?![A-Za-z0-9]|\s+[a-z]|['’])"
FIRST = rf"^\W*{ALONE}"
BEHIND = rf"^\W*([LETTERS])(?![A-Za-z0-9])|\(([LETTERS])\)|(?<![A-Za-z0-9]){ALONE}"
FINDERS: dict[Kind, tuple[Finder, Finder]] = {
    "number": (_first_number, _last_number),
    "choice": (_letter_of(BEHIND), _letter_of(FIRST)),
    "yes_no": (_first_yes_or_no, _first_yes_or_no),
    "text": (_first_word, _last_word),
}
