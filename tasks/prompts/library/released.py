"""Prompts of the library as a release's templates: how a question is put with what the index found for it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from storage.parts import NamedPrompt
from tasks.errors import MigakiError
from tasks.prompts.context import FIELDS, bundled_templates, checked
from tasks.prompts.library.files import SUFFIXES, read_prompt
from tasks.prompts.library.library import NOTES, notes_prompt, open_library
from tasks.prompts.library.prompt import NAME, Prompt, version_of
from tasks.prompts.library.rendering import filled
from tasks.text.language import languages

OWN = "own"  # the name of a template that is a file of text, not a prompt of the library


def read_templates(given: Sequence[str]) -> dict[str, Prompt]:
    """Prompts by language, of which a release's templates are made.

    Args:
        given: names of the bundled library, each in all its languages; files of prompts (brief.ja.yaml); or files of text, each named by its language
            (templates/en.txt). The later one of a language takes an earlier one's place.

    Raises:
        MigakiError: there is no such prompt or file, it is for no language that is known, or it is no template of a release.
    """
    found: dict[str, Prompt] = {}
    texts: set[str] = set()
    for name in given:
        path = Path(name).expanduser()
        if re.fullmatch(NAME, name):
            for lang, prompt in open_library().named(name).items():
                template_of(prompt, f"chat.templates: the prompt {name!r}")
                found[lang] = prompt
        elif path.suffix in SUFFIXES:
            prompt = read_prompt(path)
            template_of(prompt, f"chat.templates: {name!r}")
            found[prompt.lang] = prompt
        else:
            found[path.stem] = _of_text(name, path, texts)
            texts.add(path.stem)
    return found


def _of_text(name: str, path: Path, others: set[str]) -> Prompt:
    if path.stem not in languages() or path.stem in others:
        wrong = "which another file is for already" if path.stem in others else "which is no language that is known here"
        raise MigakiError(
            f"chat.templates: {name!r} is named {path.stem!r}, {wrong}; accepted: one file each for {', '.join(languages())}, or a prompt's name or file"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise MigakiError(f"chat.templates: {name!r} cannot be read as a text in UTF-8: {error}") from error
    return notes_prompt(OWN, path.stem, checked(text.strip("\r\n"), f"chat.templates: {name!r}"))


def template_of(prompt: Prompt, where: str) -> str:
    """The text that a release has of a prompt, in which {context} and {question} alone are open.

    Raises:
        MigakiError: it is none that a release can have; `where` says which prompt it is.
    """
    if wrong := next(_against(prompt), None):
        raise MigakiError(f"{where} ({prompt.lang}) {wrong}")
    return checked(filled(prompt, {})[0]["content"], f"{where} ({prompt.lang})")


def _against(prompt: Prompt) -> Iterator[str]:
    if prompt.kind != "answer":
        yield f"is of the kind {prompt.kind!r}: a release answers questions, with one of the kind 'answer'"
    if [turn.role for turn in prompt.messages] != ["user"]:
        yield "has other messages than one of the user: chat.system is a release's system message"
    if prompt.chain:
        yield f"takes the outputs of {', '.join(prompt.chain.values())}: a release asks its model once"
    if set(prompt.fields) != {field.strip("{}") for field in FIELDS}:
        yield f"has the fields {', '.join(prompt.fields) or 'none'}: a release fills {' and '.join(FIELDS)}"
    if prompt.output == "json":
        yield "asks for JSON: a release's answers are sentences, held against their sources"
    if prompt.examples and prompt.examples.file:
        yield "draws its examples: a release shows written ones, the same to everybody"


def named(prompt: Prompt) -> NamedPrompt:
    """A prompt without a chain, as it is kept."""
    return NamedPrompt(prompt.name, version_of(prompt.content), prompt.lang, prompt.kind, prompt.content)


def named_in(templates: dict[str, str], known: Sequence[NamedPrompt] | None) -> list[NamedPrompt]:
    """The prompts that a release's templates are, those that it names and the others: the bundled `notes`, or texts of one's own."""
    said, bundled = {one.lang: one for one in known or ()}, bundled_templates()
    return [
        said.get(lang) or named(notes_prompt(NOTES if text == bundled.get(lang) else OWN, lang, text))
        for lang, text in sorted(templates.items())
    ]
