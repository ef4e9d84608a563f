"""The forms in which benchmarks are published, and what a row of each says. A form is told by its fields; the language of a suite is detected later."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.studies.suites.extraction import number_in, yes_or_no
from tasks.studies.suites.language import studies_languages
from tasks.studies.suites.question import NO, YES, Kind, Question, Style, letter, numbered
from tasks.studies.suites.rows import CELLS, LABEL, Row, labels_of

CALCULATED = re.compile(r"<<[^<>]*>>")  # GSM8K's annotations of what a calculator gives
FINAL = "####"  # stands before the answer in GSM8K
HINT = re.compile(r"\s*\[[^\]]*\]")  # WikiHow's, in HellaSwag: [header], [title], [step]
OPTION = re.compile(r"([a-z]+)(\d+)")  # an answer of the instruction form: answer2, solution1
FORMAT = "Answer format:"
COLUMNS = [[f"choice{i}" for i in range(26)], [letter(i).lower() for i in range(26)], [letter(i) for i in range(26)]]


@dataclass(frozen=True)
class Form:
    """A published form: whose it is, how it is told, what a row of it says, and what of a choice is scored.

    `told` is asked of the first row of a file, whose others must be alike. `question` raises MigakiError for a row that is not as it must be.
    """

    name: str
    kind: Kind
    told: Callable[[Mapping[str, Any]], bool]
    question: Callable[[Row, str], Question]
    style: Style = "text"


def has(*fields: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: set(fields) <= set(row)


def _choice(row: Row, id: str, question: str, choices: Iterable[str], right: int, subject: str = "") -> Question:
    return Question(id, "", question, tuple(choices), letter(right), "choice", subject)


def _right(row: Row, field: str, choices: int) -> int:
    """The index of the right choice, from 0, that a field has as a number or in digits."""
    value = row.fields.get(field)
    if str(value).isdecimal() and int(str(value)) < choices:
        return int(str(value))
    hint = f", here or in {labels_of(row.path).name}" if field == LABEL and field not in row.fields else ""
    raise row.broken(field, f"0 to {choices - 1}, the place of the right one of {choices} choices{hint}")


def _texts(row: Row, field: str) -> list[str]:
    values = row.fields.get(field)
    if not isinstance(values, list) or len(values) < 2:
        raise row.broken(field, "a list of two texts or more")
    each = row.part({f"{field}[{i}]": value for i, value in enumerate(values)})
    return [each.text(name) for name in each.fields]


def _number_at(row: Row, field: str) -> str:
    """A number as `Question.answer` has it, from one or from how people write it."""
    value = row.fields.get(field)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return numbered(value)
    number = number_in(str(value))
    if number is None:
        raise row.broken(field, "a number")
    return number


def _cells(row: Row, id: str) -> Question:
    """A line of MMLU's or JMMLU's tables: a question, four choices, and the letter of the right one or its place."""
    cells = row.fields[CELLS]
    if len(cells) != 6:
        raise row.broken(CELLS, "question, four choices, answer: six cells")
    named = row.part(dict(zip(("question", *(f"choice{i}" for i in range(4)), "answer"), cells, strict=True)))
    named.text("choice3")  # with a header a question may have fewer choices than another
    return _columns(named, id)


def _columns(row: Row, id: str) -> Question:
    """A column for each choice, called choice0 and so on, or by its letter; the last of them may be empty. Other columns do not matter."""
    names = next(names for names in COLUMNS if names[0] in row.fields)
    names = names[: 1 + max(place for place, name in enumerate(names) if name in row.fields)]
    while len(names) > 2 and not str(row.fields.get(names[-1]) or "").strip():
        names.pop()
    choices = [row.text(name) for name in names]
    return _choice(row, id, row.text("question"), choices, _meant(row, choices, True), str(row.fields.get("subject") or ""))


def _instruction(row: Row, id: str) -> Question:
    """The choices stand inside the text, numbered: "...: QUESTION\\n\\nAnswer1: ... Answer2: ...\\n\\nAnswer format: answer1/answer2"."""
    found = OPTION.fullmatch(str(row.fields.get("answer")))
    if not found:
        raise row.broken("answer", "a name and a number, such as answer1 or solution2")
    label = found[1].capitalize()
    text, _, format = row.text("instruction").rpartition(FORMAT)
    options = [option.strip() for option in format.split("/")]
    wanted = [f"{found[1]}{number}" for number in range(1, len(options) + 1)]
    if len(options) < 2 or options != wanted:
        raise row.broken("instruction", f"a text that ends in {FORMAT!r} and {found[1]}1/{found[1]}2 and so on")
    parts = re.split(rf"\s*\b{label}(\d+): ", text.strip())
    if parts[1::2] != [str(number) for number in range(1, len(options) + 1)] or not all(part.strip() for part in parts[::2]):
        raise row.broken("instruction", f"a question and {len(options)} choices, from {label}1: to {label}{len(options)}:")
    if str(row.fields["answer"]) not in options:
        raise row.broken("answer", f"one of {', '.join(options)}")
    return _choice(row, id, parts[0].partition(": ")[2].strip(), (part.strip() for part in parts[2::2]), int(found[2]) - 1)


def _numbered_fields(row: Row, id: str) -> Question:
    """JCommonsenseQA: choice0 to choice4, and label."""
    last = max(int(field.removeprefix("choice")) for field in row.fields if re.fullmatch(r"choice\d", field))
    choices = [row.text(f"choice{i}") for i in range(last + 1)]
    return _choice(row, id, row.text("question"), choices, _right(row, LABEL, len(choices)))


def _labelled(row: Row, id: str) -> Question:
    """ARC, CommonsenseQA and OpenBookQA as JSON: choices with labels of their own (A to E, or 1 to 5), and answerKey."""
    inside = row.fields.get("question")
    at = row.part(inside) if isinstance(inside, dict) else row
    stem = at.text("stem" if at is not row else "question_stem" if "question_stem" in row.fields else "question")
    given = at.fields.get("choices")
    if isinstance(given, list) and all(isinstance(one, dict) for one in given):
        given = {"text": [one.get("text") for one in given], "label": [one.get("label") for one in given]}
    if not isinstance(given, dict):
        raise at.broken("choices", "choices with text and label")
    choices = row.part(given)
    texts, labels, key = _texts(choices, "text"), choices.fields.get("label"), str(row.fields.get("answerKey")).strip()
    labels = [str(label).strip() for label in labels] if isinstance(labels, list) else []
    if len(texts) != len(labels) or len(set(labels)) != len(labels):
        raise choices.broken("label", f"a label of its own for each of {len(texts)} choices")
    if key not in labels:
        raise row.broken("answerKey", f"one of {', '.join(labels)}")
    return _choice(row, id, stem, texts, labels.index(key))


def _listed(row: Row, id: str) -> Question:
    """MMLU as JSON: a list of choices and the place of the right one; or its letter, or its text."""
    choices = _texts(row, "choices" if "choices" in row.fields else "options")
    subject = row.fields.get("subject")
    return _choice(row, id, row.text("question"), choices, _meant(row, choices, False), str(subject or ""))


def _meant(row: Row, choices: list[str], table: bool) -> int:
    """The index of the right choice, by its place from 0, its letter in any language, or its text. Of numbers a table means places, and JSON says which."""
    given = row.fields.get("answer")
    value = str(given).strip()
    if (table or not isinstance(given, str) or value not in choices) and value.isdecimal() and int(value) < len(choices):
        return int(value)
    letters = [letter(place) for place in range(len(choices))]
    for names in (choices, letters, *(language.LABELS for language in studies_languages().values())):
        if value in list(names)[: len(choices)]:
            return list(names).index(value)
    last = len(choices) - 1
    raise row.broken("answer", f"0 to {last}, the place of the right one of {len(choices)} choices; or A to {letter(last)}; or its text")


def _solutions(row: Row, id: str) -> Question:
    """PIQA: a goal and two ways to it; which is right may stand in a file beside (`labels_of`)."""
    return _choice(row, id, row.text("goal"), [row.text("sol1"), row.text("sol2")], _right(row, LABEL, 2))


def _endings(row: Row, id: str) -> Question:
    """HellaSwag: a beginning and four endings, cleaned of WikiHow's hints as its authors' evaluation and lm-eval do (Zellers et al. 2019)."""
    context = f"{row.fields.get('ctx_a') or ''} {str(row.fields.get('ctx_b') or '').capitalize()}".strip() or row.text("ctx")
    endings = _texts(row, "endings")
    question = _cleaned(f"{row.text('activity_label')}: {context}")
    return _choice(row, id, question, map(_cleaned, endings), _right(row, LABEL, len(endings)))


def _cleaned(text: str) -> str:
    return " ".join(HINT.sub("", text.replace(" [title]", ". ")).split())


def _steps(row: Row, id: str) -> Question:
    """GSM8K: steps, then the number behind ####."""
    steps, mark, final = row.text("answer").rpartition(FINAL)
    number = number_in(final)
    if not mark or number is None:
        raise row.broken("answer", f"steps that end in {FINAL} and a number")
    return Question(id, "", row.text("question"), (), number, "number", "", CALCULATED.sub("", steps).strip())


def _word_problem(row: Row, id: str) -> Question:
    """SVAMP: a story, a question about it, and a number."""
    right, body = _number_at(row, "Answer"), row.text("Body")
    whole = f"{body} {row.text('Question')}" if body.endswith((".", "?", "!", ",")) else f"{body}. {row.text('Question')}"
    return Question(id, "", whole, (), right, "number", str(row.fields.get("Type") or ""))


def _two_cells(row: Row, id: str) -> Question:
    """MGSM's tables: a question and a number."""
    cells = row.fields[CELLS]
    if len(cells) != 2:
        raise row.broken(
            CELLS,
            "a question and a number (in a .tsv with a tab between them), or a first line that names the columns, one of them question",
        )
    named = row.part({"question": cells[0], "number": cells[1]})
    return Question(id, "", named.text("question"), (), _number_at(named, "number"), "number")


def _answer_number(row: Row, id: str) -> Question:
    """MGSM as JSON: answer_number, and in its worked examples steps as `answer`."""
    number = _number_at(row, "answer_number")
    return Question(id, "", row.text("question"), (), number, "number", "", str(row.fields.get("answer") or ""))


def _targets(row: Row, id: str) -> Question:
    """StrategyQA as BIG-bench has it: scores of Yes and No, and the answer with its reasons."""
    scores = row.fields.get("target_scores")
    if not isinstance(scores, dict) or sorted(scores) != ["No", "Yes"] or sorted(scores.values()) != [0, 1]:
        raise row.broken("target_scores", '{"Yes": 1, "No": 0} or the other way round')
    rationale = str(row.fields.get("target") or "").partition(". ")[2]
    return Question(id, "", row.text("input"), (), YES if scores["Yes"] else NO, "yes_no", "", rationale)


def _yes_no(row: Row, id: str) -> Question:
    """StrategyQA as its authors have it: true or false, and facts."""
    answer, facts = row.fields.get("answer"), row.fields.get("facts") or []
    if not isinstance(answer, bool):
        raise row.broken("answer", "true or false")
    return Question(id, "", row.text("question"), (), YES if answer else NO, "yes_no", "", " ".join(map(str, facts)))


def _number(row: Row, id: str) -> Question:
    """A question and a number, as a number or as it is written: 1,250 or 3万5千円."""
    number = number_in(_said(row))
    if number is None:
        raise row.broken("answer", "a number, as the first row of the file has one")
    return Question(id, "", row.text("question"), (), number, "number")


def _decided(row: Row, id: str) -> Question:
    """A question and yes or no."""
    answer = yes_or_no(_said(row))
    if answer is None:
        raise row.broken("answer", "yes or no, as the first row of the file has one of them")
    return Question(id, "", row.text("question"), (), answer, "yes_no")


def _text(row: Row, id: str) -> Question:
    """Last letters: a question and a word, whose case does not matter."""
    answer = _said(row).lower() or row.text("answer")
    if FINAL in answer:
        raise row.broken("answer", f"a word, as in the first row: in the form that has {FINAL} every row has it")
    return Question(id, "", row.text("question"), (), answer, "text")


def _said(row: Mapping[str, Any] | Row) -> str:
    """The answer as text; "" where it is none."""
    answer = (row.fields if isinstance(row, Row) else row).get("answer")
    return str(answer).strip() if isinstance(answer, str | int | float) and not isinstance(answer, bool) else ""


# Looked at in this order: of two that a row has the fields of, the first.
FORMS = (
    Form("MMLU's table", "choice", lambda row: CELLS in row and len(row[CELLS]) != 2, _cells, "letters"),
    *(Form("MMLU's table with a header", "choice", has("question", *names[:2], "answer"), _columns, "letters") for names in COLUMNS),
    Form("MGSM's table", "number", has(CELLS), _two_cells),
    Form("instructions with the choices inside", "choice", has("instruction", "answer"), _instruction),
    Form("JCommonsenseQA", "choice", has("question", "choice0", "choice1", "label"), _numbered_fields),
    Form("ARC, CommonsenseQA or OpenBookQA", "choice", has("answerKey"), _labelled),
    Form("PIQA", "choice", has("goal", "sol1", "sol2"), _solutions),
    Form("HellaSwag", "choice", has("endings"), _endings, "continued"),
    Form("MMLU", "choice", has("question", "choices", "answer"), _listed, "letters"),
    Form("MMLU with options", "choice", has("question", "options", "answer"), _listed, "letters"),
    Form("SVAMP", "number", has("Body", "Question", "Answer"), _word_problem),
    Form("MGSM", "number", has("question", "answer_number"), _answer_number),
    Form("StrategyQA of BIG-bench", "yes_no", has("input", "target_scores"), _targets),
    Form("StrategyQA", "yes_no", lambda row: isinstance(row.get("answer"), bool), _yes_no),
    Form("GSM8K", "number", lambda row: FINAL in str(row.get("answer")), _steps),
    Form("questions with a number as the answer", "number", lambda row: "question" in row and number_in(_said(row)) is not None, _number),
    Form("questions with yes or no as the answer", "yes_no", lambda row: "question" in row and yes_or_no(_said(row)) is not None, _decided),
    Form("questions with a word as the answer", "text", has("question", "answer"), _text),
)
