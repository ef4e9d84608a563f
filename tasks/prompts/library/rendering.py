"""A prompt with its fields filled in, as the messages of a conversation."""

import json
import random
import re
from collections.abc import Mapping, Sequence

from tasks.errors import MigakiError
from tasks.prompts.library.language import languages
from tasks.prompts.library.prompt import EXAMPLES, FIELD, Examples, Prompt
from tasks.text.judging import normalised
from tasks.text.messages import Message
from tasks.text.terms import terms

NO_EXAMPLES = re.compile(rf"\{{{EXAMPLES}\}}\n*")


def render(prompt: Prompt, values: Mapping[str, str], shown: Sequence[Mapping[str, str]] | None = None) -> list[Message]:
    """The messages. What is filled in is text: a field that stands in it is filled no more.

    Args:
        values: by field; those of the chain too, which `chained` works out.
        shown: few-shot examples in place of the prompt's own.

    Raises:
        MigakiError: a field is missing, or one is given that the prompt does not have.
    """
    wanted = [*prompt.fields, *prompt.chain]
    if missing := [name for name in wanted if name not in values]:
        raise MigakiError(f"the prompt {prompt.name!r} needs {', '.join(missing)}; its fields are {', '.join(wanted)}")
    if beyond := sorted(set(values) - set(wanted)):
        raise MigakiError(f"the prompt {prompt.name!r} has no field {', '.join(beyond)}; its fields are {', '.join(wanted) or 'none'}")
    return filled(prompt, values, shown)


def filled(prompt: Prompt, values: Mapping[str, str], shown: Sequence[Mapping[str, str]] | None = None) -> list[Message]:
    """As `render`; fields without a value stay as they are."""
    texts = dict(values)
    if prompt.examples:
        rows = drawn(prompt.examples, values) if shown is None else shown
        texts[EXAMPLES] = "\n\n".join(written(prompt.examples.layout, row) for row in rows)
    messages: list[Message] = []
    for turn in prompt.messages:
        content = turn.content if texts.get(EXAMPLES, "-") else NO_EXAMPLES.sub("", turn.content)
        messages.append({"role": turn.role, "content": _fill(content, texts)})
    tail = [_fill(text, texts) for text in _tail(prompt)]
    last = messages[-1]
    return [*messages[:-1], last | {"content": "\n\n".join([last["content"].rstrip("\n"), *tail])}]


def _fill(text: str, values: Mapping[str, str]) -> str:
    return FIELD.sub(lambda match: values.get(match[1], match[0]), text)


def _tail(prompt: Prompt) -> list[str]:
    """What output and reasoning add behind the last message."""
    if (prompt.output, prompt.reasoning) == ("free", "none"):  # the notes of a language that says no more are a prompt too
        return []
    language, found = languages()[prompt.lang], list[str]()
    if prompt.output == "one line":
        found.append(language.ONE_LINE)
    if prompt.output == "json":
        found.append(language.JSON.replace("{schema}", json.dumps(prompt.output_schema, ensure_ascii=False)))
    if prompt.reasoning == "written steps":
        found.append("\n".join([language.STEPS, *(f"{number}. {step}" for number, step in enumerate(prompt.steps, 1))]))
    if prompt.reasoning == "step by step":
        found.append(language.STEP_BY_STEP)
    return found


def written(layout: str, row: Mapping[str, str]) -> str:
    """An example as text; a line that is a field alone is left out where that is empty."""
    lines = [line for line in layout.splitlines() if not ((alone := FIELD.fullmatch(line)) and not row[alone[1]])]
    return _fill("\n".join(lines), row)


def drawn(examples: Examples, values: Mapping[str, str]) -> list[dict[str, str]]:
    """The written ones; of a file's as many as are asked for, of which none asks what is asked.

    At random they are the same for every question but one that is among them, so that prompts begin alike. By similarity the likest stands last, next
    to the question (Liu et al. 2022): a row's likeness is the share that its terms and the question's have in common (Jaccard).

    Raises:
        MigakiError: too few are left.
    """
    if not examples.file:
        return list(examples.rows)
    asked = values.get(examples.by, "")
    others = [row for row in examples.rows if normalised(row[examples.by]) != normalised(asked)]
    if len(others) < examples.count:
        raise MigakiError(f"{examples.count} examples are asked for, and {examples.file} has {len(others)} beside the question itself")
    if examples.draw == "random":
        order = random.Random(examples.seed).sample(list(examples.rows), len(examples.rows))
        return [row for row in order if row in others][: examples.count]
    own = set(terms(asked))
    likest = sorted(others, key=lambda row: -_shared(own, set(terms(row[examples.by]))))[: examples.count]
    return likest[::-1]


def _shared(left: set[str], right: set[str]) -> float:
    return len(left & right) / max(1, len(left | right))
