"""A conversation as a file: Markdown to read, or JSON lines, which `--instructions` accepts."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from storage.files import replacing
from tasks.chatbot.events import Turn
from tasks.errors import MigakiError


def markdown(turns: list[Turn]) -> str:
    """Questions as headings, answers below them with their sources."""
    parts = []
    for turn in turns:
        question = turn.question.strip().split("\n")
        parts += [f"## {question[0]}", *(["\n".join(question[1:])] if len(question) > 1 else []), turn.answer.strip()]
        parts += [
            "\n".join(f"- `{call.name}({json.dumps(call.arguments, ensure_ascii=False)})`: {result.content}" for call, result in turn.calls)
        ]
        parts += ["\n".join(f"{source.number}. {source.heading or source.title} ({source.document})" for source in turn.sources)]
    return "\n\n".join(part for part in parts if part) + "\n"


def json_lines(turns: list[Turn]) -> str:
    """An object a line: the question and its answer as `messages`, and everything else of the turn."""
    rows = []
    for turn in turns:
        messages = [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer}]
        facts = asdict(turn)
        del facts["question"], facts["answer"]
        rows.append(json.dumps({"messages": messages} | facts, ensure_ascii=False))
    return "".join(f"{row}\n" for row in rows)


FORMS: dict[str, Callable[[list[Turn]], str]] = {".md": markdown, ".markdown": markdown, ".jsonl": json_lines, ".ndjson": json_lines}


def save(turns: list[Turn], path: Path, *, replace: bool = False) -> None:
    """Write the turns in the form that the file's suffix names; whole, or nothing changes.

    Raises:
        MigakiError: another suffix, a file that is there already (without `replace`), or a place that cannot be written.
    """
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise MigakiError(f"{path.name!r} ends in {path.suffix or 'no suffix'!r}; .md writes Markdown, .jsonl JSON lines")
    if path.exists() and not replace:
        raise MigakiError(f"{str(path)!r} is there already; /save! {path} replaces it")
    try:
        with replacing(path) as draft:
            draft.write_text(form(turns), encoding="utf-8")
    except OSError as error:
        raise MigakiError(f"{str(path)!r} cannot be written: {error.strerror}") from error
