"""A prompt of the library: what it says, which fields it takes, and the version that follows from what it holds."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.errors import MigakiError
from tasks.prompts.library.language import languages

EXAMPLES = "examples"  # the field that few-shot examples stand in
FIELD_NAME = r"[^\W\dA-Z][^\WA-Z]*"  # letters of any script but capitals, digits and _: {question}, {質問}
FIELD = re.compile(rf"\{{({FIELD_NAME})\}}")  # other braces, as of JSON or of \boxed{X}, are text
NAME = r"[a-z][a-z0-9_]*"
VERSION = 12  # characters of the hash


class Closed(BaseModel):
    """A part of a prompt; names that it does not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Turn(Closed):
    """A message, whose text may hold fields."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


class Examples(Closed):
    """Few-shot examples (Brown et al. 2020), put where `{examples}` stands.

    Attributes:
        layout: how one is written, with the fields of a row. A line that is a field alone is left out where that is empty.
        rows: the written ones.
        file: JSON Lines, or a JSON list, beside the prompt's file, of which `count` are drawn.
        draw: at random by the seed, the same ones for every question; or those whose field `by` shares most terms with the question's.
        by: the field that tells what a row is about. A row that says there what is asked is never drawn.
        sha256: of the file, filled in when the prompt is read.
    """

    layout: str = Field(min_length=1)
    rows: tuple[dict[str, str], ...] = ()
    file: str = ""
    count: int = Field(0, ge=0)
    draw: Literal["random", "similar"] = "random"
    by: str = "question"
    seed: int = 0
    sha256: str = ""


class Prompt(Closed):
    """A prompt. Each field of `fields` is used by its texts, and each that they use stands there; `{examples}` and the fields of `chain` aside.

    Attributes:
        kind: what it is for: answer, rewrite, summarise, classify, translate, judge, solve, or a word of one's own.
        output: how the answer is to look; `output_schema` goes with "json".
        reasoning: whether the model is made to reason before it answers; `steps` go with "written steps".
        chain: by field, the prompt of the same language whose output it is.
    """

    name: str = Field(pattern=rf"^{NAME}$")
    lang: str
    kind: str = Field(pattern=rf"^{NAME}$")
    purpose: str = ""
    messages: tuple[Turn, ...] = Field(min_length=1)
    fields: tuple[str, ...] = ()
    examples: Examples | None = None
    output: Literal["free", "one line", "json"] = "free"
    output_schema: dict[str, Any] = {}
    reasoning: Literal["none", "step by step", "written steps"] = "none"
    steps: tuple[str, ...] = ()
    chain: dict[str, str] = {}

    @property
    def content(self) -> dict[str, Any]:
        """All that decides what a model is asked, in plain values: not the name, and not what it is for in words. Rows of a file stand there by its hash."""
        without: dict[str, Any] = {"name": True, "purpose": True}
        if self.examples and self.examples.file:
            without["examples"] = {"rows"}
        return self.model_dump(mode="json", exclude=without, exclude_defaults=True)

    @property
    def texts(self) -> tuple[str, ...]:
        return (*(turn.content for turn in self.messages), *self.steps)

    @property
    def used(self) -> list[str]:
        """Fields in the texts, in their order."""
        return list(dict.fromkeys(name for text in self.texts for name in FIELD.findall(text)))


def version_of(content: Mapping[str, Any]) -> str:
    """The first characters of the SHA-256 of the canonical JSON of a prompt's content."""
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:VERSION]


def check(prompt: Prompt, where: str) -> None:
    """Hold a prompt to itself.

    Raises:
        MigakiError: a field is undefined or unused, its examples are none, or settings contradict each other; `where` says which prompt it is.
    """
    if wrong := next(_faults(prompt), None):
        raise MigakiError(f"{where}: {wrong}")


def _faults(prompt: Prompt) -> Iterator[str]:
    if prompt.lang not in languages():
        yield f"lang {prompt.lang!r} is no language that is known here; accepted: {', '.join(languages())}"
    for name in (*prompt.fields, *prompt.chain):
        if not re.fullmatch(FIELD_NAME, name):
            yield f"a field cannot be called {name!r}: accepted are letters of any script other than capitals, digits and _, such as question"
    known = {*prompt.fields, *prompt.chain} | ({EXAMPLES} if prompt.examples else set())
    for name in prompt.used:
        if name not in known:
            told = ", ".join(sorted(known)) or "none"
            wanted = ", ".join(field for field in prompt.used if field not in {EXAMPLES, *prompt.chain})
            how = "it needs `examples`" if name == EXAMPLES else f"all that are used would be `fields: [{wanted}]`"
            yield f"the field {{{name}}} is used and not defined; defined are {told}; {how}"
    for name in sorted(known - set(prompt.used)):
        yield f"the field {{{name}}} is defined and not used: no message or step holds it"
    if twice := set(prompt.fields) & set(prompt.chain):
        yield f"{sorted(twice)[0]!r} is in `fields` and in `chain`: it is either given or another prompt's output"
    if EXAMPLES in {*prompt.fields, *prompt.chain}:
        yield f"a field cannot be called {EXAMPLES!r}: few-shot examples stand there"
    if prompt.messages[-1].role != "user":
        yield f"the last message is of the role {prompt.messages[-1].role!r}: a model answers one of the role 'user'"
    if (prompt.reasoning == "written steps") != bool(prompt.steps):
        yield "`steps` and reasoning 'written steps' go together: one is there without the other"
    if (prompt.output == "json") != bool(prompt.output_schema):
        yield "`output_schema` and output 'json' go together: one is there without the other"
    if prompt.examples:
        yield from _faults_of_examples(prompt.examples, prompt.fields)


def _faults_of_examples(examples: Examples, fields: tuple[str, ...]) -> Iterator[str]:
    wanted = sorted(set(FIELD.findall(examples.layout)))
    if not wanted:
        yield "examples.layout holds no field: every example would be the same"
    if examples.rows and examples.file:
        yield "examples have `rows` and a `file`: they are either written or drawn"
    for number, row in enumerate(examples.rows, 1):
        if sorted(row) != wanted:
            yield f"example {number} has the fields {', '.join(sorted(row)) or 'none'}, and examples.layout takes {', '.join(wanted)}"
    if examples.rows and examples.count not in (0, len(examples.rows)):
        yield f"examples.count asks for {examples.count}, and there are {len(examples.rows)}"
    if examples.file and not examples.count:
        yield "examples.count is missing: how many are drawn of the file"
    if examples.file and not (examples.by in wanted and examples.by in fields):
        yield f"examples.by = {examples.by!r} must be a field of examples.layout ({', '.join(wanted)}) and of the prompt ({', '.join(fields) or 'none'})"
