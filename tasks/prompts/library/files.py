"""Prompts from YAML files, one in each, and the rows that their examples are drawn from. What is wrong is told by file and line."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tasks.errors import MigakiError
from tasks.prompts.library.prompt import FIELD, Examples, Prompt, check

SUFFIXES = (".yaml", ".yml")


def read_prompt(path: Path) -> Prompt:
    """The prompt in a file.

    Raises:
        MigakiError: the file cannot be read, is no YAML, or holds no prompt, or one that contradicts itself.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        node, said = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
        _check_names(node, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise MigakiError(f"{path}, line {mark.line + 1 if mark else 1}: this is no YAML: {error.problem or error.context}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise MigakiError(f"{path} cannot be read as a prompt: {error}") from error
    if not isinstance(said, dict):
        raise MigakiError(f"{path}: a prompt is a mapping with name, lang, kind and messages; this is {type(said).__name__}")
    try:
        prompt = Prompt.model_validate(said)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        line = _line(node, problem["loc"])
        known = f"; known are {', '.join(Prompt.model_fields)}" if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1 else ""
        lacking = problem["type"] in ("missing", "extra_forbidden")  # else what stands there says more than what is wrong with it
        value = "" if lacking else f" = {problem['input']!r:.80}"
        pattern = (
            "; accepted are small letters of a to z, digits and _, a letter first" if problem["type"] == "string_pattern_mismatch" else ""
        )
        raise MigakiError(f"{path}, line {line}: {name}{value}: {problem['msg'].replace('tuple', 'list')}{pattern}{known}") from error
    check(prompt, str(path))
    if prompt.examples and prompt.examples.file:
        prompt = _with_rows(prompt, prompt.examples, path)
    return prompt


def _check_names(node: yaml.Node | None, path: Path) -> None:
    """Raises MigakiError: a mapping says a name twice, of which YAML would take the last."""
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value]
        if twice := next((key for place, (key, _) in enumerate(node.value) if key.value in names[:place]), None):
            raise MigakiError(f"{path}, line {twice.start_mark.line + 1}: {twice.value} stands there twice")
    if isinstance(node, yaml.CollectionNode):
        for one in node.value:
            for inner in one if isinstance(one, tuple) else (one,):
                _check_names(inner, path)


def _line(node: yaml.Node, place: Sequence[int | str]) -> int:
    """Where a value stands, or what it is missing in."""
    for part in place:
        if isinstance(node, yaml.MappingNode):
            inner = next((value for key, value in node.value if key.value == str(part)), None)
        else:
            inner = node.value[part] if isinstance(node, yaml.SequenceNode) and isinstance(part, int) else None
        if inner is None:
            break
        node = inner
    return node.start_mark.line + 1


def _with_rows(prompt: Prompt, examples: Examples, path: Path) -> Prompt:
    """The prompt with the rows of its file, which its version then depends on by their hash."""
    file = path.parent / examples.file
    if not file.resolve().is_relative_to(path.parent.resolve()):
        raise MigakiError(f"{path}: examples.file = {examples.file!r} lies outside of the prompt's folder")
    rows, sha256 = read_rows(file, sorted(set(FIELD.findall(examples.layout))))
    if len(rows) < examples.count:
        raise MigakiError(f"{path}: examples.count asks for {examples.count}, and {file} has {len(rows)}")
    return prompt.model_copy(update={"examples": examples.model_copy(update={"rows": tuple(rows), "sha256": sha256})})


def read_rows(path: Path, wanted: Sequence[str]) -> tuple[list[dict[str, str]], str]:
    """The fields `wanted` of each row of JSON Lines or of a JSON list, and the SHA-256 of the file.

    Raises:
        MigakiError: the file cannot be read, a line is no JSON object, or a row lacks a field.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise MigakiError(f"the examples in {path} cannot be read: {error}") from error
    try:
        listed = text.lstrip().startswith("[")
        found = list(enumerate(json.loads(text), 1)) if listed else _lines(text, path)
    except ValueError as error:
        raise MigakiError(f"the examples in {path} are no JSON: {error}") from error
    place = "row" if listed else "line"
    return [_row(row, wanted, f"{path}, {place} {number}") for number, row in found], hashlib.sha256(raw).hexdigest()


def _lines(text: str, path: Path) -> list[tuple[int, Any]]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append((number, json.loads(line)))
            except ValueError as error:
                raise MigakiError(f"{path}, line {number}: this is no JSON: {error}") from error
    return found


def _row(row: Any, wanted: Sequence[str], where: str) -> dict[str, str]:
    if not isinstance(row, Mapping):
        raise MigakiError(f"{where}: an example is a JSON object with {', '.join(wanted)}")
    for name in wanted:
        if not isinstance(row.get(name), str | int | float):
            raise MigakiError(f"{where}: the field {name!r} is missing, or no text; an example has {', '.join(wanted)}")
    return {name: str(row[name]) for name in wanted}
