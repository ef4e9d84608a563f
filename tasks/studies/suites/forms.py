"""The forms in which benchmarks are published, and what a row of each says. A form is told by its fields; the language of a suite is detected later."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.studies.suites.question import NO, YES, Kind, Question, Style, letter, numbered
from tasks.studies.suites.rows import CELLS, LABEL, Row, labels_of

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
CALCULATED = re.compile(r"<<[^<>]*>>")  # GSM8K's annotations of what a calculator gives
FINAL = "####"  # stands before the answer in GSM8K
HINT = re.compile(r"\s*\[[^\]]*\]")  # WikiHow's, in HellaSwag: [header], [title], [step]
OPTION = re.compile(r"([a-z]+)(\d+)")  # an answer of the instruction form: answer2, solution1
FORMAT = "Answer format:"


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


def _number(row: Row, field: str, value: object) -> str:
    """A number as `Question.answer` has it, from one or from digits with or without separators."""
    text = str(value).strip().replace(",", "")
    if NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return numbered(float(text))
    raise row.broken(field, "a number")


def _cells(row: Row, id: str) -> Question:
    """A line of MMLU's or JMMLU's tables: a question, four choices, and the letter of the right one or its place."""
    cells = row.fields[CELLS]
    if len(cells) != 6:
        raise row.broken(CELLS, "question, four choices, answer: six cells")
    return _four(row.part(dict(zip(("question", *(f"choice{i}" for i in range(4)), "answer"), cells, strict=True))), id)


def _four(named: Row, id: str) -> Question:
    """The same with a header, which calls the choices choice0 to choice3 or A to D; what else it has does not matter."""
    names = [f"choice{i}" for i in range(4)] if "choice0" in named.fields else ["a", "b", "c", "d"]
    question, *choices = (named.text(field) for field in ("question", *names))
    answer = str(named.fields["answer"]).strip()
    right = "ABCD".find(answer) if len(answer) == 1 and not answer.isdecimal() else "0123".find(answer)
    if len(answer) != 1 or right < 0:
        raise named.broken("answer", "A to D, or 0 to 3")
    return _choice(named, id, question, choices, right, str(named.fields.get("subject") or ""))


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
    texts, labels, key = _texts(choices, "text"), _texts(choices, "label"), row.fields.get("answerKey")
    if len(texts) != len(labels) or len(set(labels)) != len(labels):
        raise choices.broken("label", f"a label of its own for each of {len(texts)} choices")
    if key not in labels:
        raise row.broken("answerKey", f"one of {', '.join(labels)}")
    return _choice(row, id, stem, texts, labels.index(key))


def _listed(row: Row, id: str) -> Question:
    """MMLU as JSON: a list of choices and the place of the right one."""
    choices = _texts(row, "choices")
    subject = row.fields.get("subject")
    return _choice(row, id, row.text("question"), choices, _right(row, "answer", len(choices)), str(subject or ""))


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
    number = final.strip().replace(",", "")
    if not mark or not NUMBER.fullmatch(number) or not math.isfinite(float(number)):
        raise row.broken("answer", f"steps that end in {FINAL} and a number")
    return Question(id, "", row.text("question"), (), numbered(float(number)), "number", "", CALCULATED.sub("", steps).strip())


def _word_problem(row: Row, id: str) -> Question:
    """SVAMP: a story, a question about it, and a number."""
    answer, body = row.fields.get("Answer"), row.text("Body")
    if not isinstance(answer, (int, float)):
        raise row.broken("Answer", "a number")
    right = _number(row, "Answer", answer)
    whole = f"{body} {row.text('Question')}" if body.endswith((".", "?", "!", ",")) else f"{body}. {row.text('Question')}"
    return Question(id, "", whole, (), right, "number", str(row.fields.get("Type") or ""))


def _two_cells(row: Row, id: str) -> Question:
    """MGSM's tables: a question and a number."""
    cells = row.fields[CELLS]
    if len(cells) != 2:
        raise row.broken(CELLS, "a question and a number, with a tab between them")
    named = row.part({"question": cells[0], "number": cells[1]})
    return Question(id, "", named.text("question"), (), _number(named, "number", cells[1]), "number")


def _answer_number(row: Row, id: str) -> Question:
    """MGSM as JSON: answer_number, and in its worked examples steps as `answer`."""
    number = _number(row, "answer_number", row.fields.get("answer_number"))
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


def _text(row: Row, id: str) -> Question:
    """Last letters: a question and a word, whose case does not matter."""
    if FINAL in row.text("answer"):
        raise row.broken("answer", f"a word, as in the first row: in the form that has {FINAL} every row has it")
    return Question(id, "", row.text("question"), (), row.text("answer").lower(), "text")


# Looked at in this order: of two that a row has the fields of, the first.
FORMS = (
    Form("MMLU's table", "choice", lambda row: CELLS in row and len(row[CELLS]) != 2, _cells, "letters"),
    Form("MMLU's table with a header", "choice", has("question", "choice0", "choice3", "answer"), _four, "letters"),
    Form("MMLU's table with a header", "choice", has("question", "a", "b", "c", "d", "answer"), _four, "letters"),
    Form("MGSM's table", "number", has(CELLS), _two_cells),
    Form("instructions with the choices inside", "choice", has("instruction", "answer"), _instruction),
    Form("JCommonsenseQA", "choice", has("question", "choice0", "choice1", "label"), _numbered_fields),
    Form("ARC, CommonsenseQA or OpenBookQA", "choice", has("answerKey"), _labelled),
    Form("PIQA", "choice", has("goal", "sol1", "sol2"), _solutions),
    Form("HellaSwag", "choice", has("endings"), _endings, "continued"),
    Form("MMLU", "choice", has("question", "choices", "answer"), _listed, "letters"),
    Form("SVAMP", "number", has("Body", "Question", "Answer"), _word_problem),
    Form("MGSM", "number", has("question", "answer_number"), _answer_number),
    Form("StrategyQA of BIG-bench", "yes_no", has("input", "target_scores"), _targets),
    Form("StrategyQA", "yes_no", lambda row: isinstance(row.get("answer"), bool), _yes_no),
    Form("GSM8K", "number", lambda row: FINAL in str(row.get("answer")), _steps),
    Form("questions with a word as the answer", "text", has("question", "answer"), _text),
)
