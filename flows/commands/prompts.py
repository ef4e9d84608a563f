"""`migaki prompts`: the prompt library looked at, filled in, tried on a model, advised on, and compared by version."""

import difflib
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import yaml

from flows.commands.show import table
from storage.home import Home
from storage.queries.prompts import used_prompts
from tasks.errors import MigakiError
from tasks.prompts.library.files import SUFFIXES
from tasks.prompts.library.language import languages
from tasks.prompts.library.library import Library, open_library
from tasks.prompts.library.lint import advise
from tasks.prompts.library.prompt import Prompt, version_of
from tasks.shown import shown
from tasks.text.detection import detect
from tasks.text.messages import Message

if TYPE_CHECKING:
    from tasks.inference.backend import Backend, Sampling

ORDINAL = "v"  # of a version: v1 is the first that was used
Answer = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What was asked of the command, and where it prints for people."""

    home: Home
    library: Library
    names: Sequence[str]
    out: TextIO
    fields: dict[str, str] = field(default_factory=dict)
    lang: str | None = None
    artifact: str | None = None
    said: dict[str, dict[str, Any]] = field(default_factory=dict)

    def say(self, text: str = "", end: str = "\n") -> None:
        print(shown(text), end=end, file=self.out, flush=True)

    def one(self, count: int = 1) -> list[str]:
        """The names, so many."""
        if len(self.names) != count:
            raise MigakiError(f"this takes {count} name{'s' * (count > 1)} of the library or files, and {len(self.names)} were given")
        return list(self.names)


def prompts(home: Home, action: str, names: Sequence[str], folder: str, given: Sequence[str], out: TextIO, **more: Any) -> Answer:
    """Do one of `ACTIONS`.

    Args:
        names: NAME, NAME.LANG, or with the version, NAME@v1 or NAME.LANG@1a2b3c; or a prompt's file.
        folder: a team's own prompts, "" for none.
        given: fields as `name=value`, or `name=@FILE`.

    Raises:
        MigakiError, StorageError: a prompt or a field is not as it must be, or there is no model that can be asked.
    """
    fields = list(map(_field, given))
    if twice := next((name for place, (name, _) in enumerate(fields) if name in dict(fields[:place])), None):
        raise MigakiError(f"--field {twice}=... is given twice: a field has one value")
    asked = Asked(home, open_library(folder), names, out, dict(fields), **more)
    if asked.lang not in (None, *languages()):
        raise MigakiError(f"--lang {asked.lang!r} is no language that is known here; accepted: {', '.join(languages())}")
    return ACTIONS[action](asked)


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise MigakiError(f"--field {text!r} is not of the form name=value, or name=@FILE")
    if value.startswith("@"):
        try:
            value = Path(value[1:]).expanduser().read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise MigakiError(f"--field {text!r}: the file cannot be read as a text in UTF-8: {error}") from error
    return name, value


def listed(asked: Asked) -> Answer:
    library = asked.library
    found = [
        {
            "name": name,
            "lang": lang,
            "version": library.versions[name, lang],
            "kind": prompt.kind,
            "fields": [*prompt.fields, *prompt.chain],
        }
        | {"purpose": prompt.purpose, "file": library.files[name, lang]}
        for (name, lang), prompt in sorted(library.prompts.items())
        if asked.lang in (None, lang)
    ]
    table(
        "prompts",
        ["name", "lang", "version", "kind", "fields", "purpose"],
        [[row["name"], row["lang"], row["version"], row["kind"], ", ".join(row["fields"]), row["purpose"]] for row in found],
    )
    return {"prompts": found}


def show(asked: Asked) -> Answer:
    found = [one for name in asked.one() for one in _named(asked, name)]
    for prompt, content in found:
        asked.say(_headed(prompt, content))
        asked.say(_as_yaml(content))
    return {"prompts": [{"name": prompt.name, "version": version_of(content), "content": content} for prompt, content in found]}


def render(asked: Asked) -> Answer:
    """The messages of the prompt and of its chain, with the name of each in place of what it would answer."""
    library, prompt = _chosen(asked)
    steps: list[Answer] = []

    def step(inner: Prompt, messages: list[Message]) -> str:
        _say_messages(asked, inner, messages)
        steps.append({"name": inner.name, "messages": messages})
        return f"[what {inner.name} answers]"

    step(prompt, library.asked(prompt, asked.fields, step))
    return {"prompts": steps}


def attempt(asked: Asked) -> Answer:
    """Ask the champion's model, or the base where none serves or --model names it."""
    library, prompt = _chosen(asked)
    _check_schemas([prompt, *(one for _, one in library.chained(prompt))])
    missing = [name for _, one in [*library.chained(prompt), ("", prompt)] for name in one.fields if name not in asked.fields]
    if missing:
        raise MigakiError(f"the prompt {prompt.name!r} needs --field {missing[0]}=...")
    backend, sampling, model = _model(asked)
    try:

        def ask(inner: Prompt, messages: list[Message]) -> str:
            asked.say(f"{inner.name} ({inner.lang}), asked of {model}:")
            answer = _answer(backend, sampling, inner, messages, asked.say)
            asked.say("\n")
            return answer

        answer = ask(prompt, library.asked(prompt, asked.fields, ask))
    finally:
        backend.close()
    return {"name": prompt.name, "lang": prompt.lang, "model": model, "answer": answer}


def _answer(backend: "Backend", sampling: "Sampling", prompt: Prompt, messages: list[Message], say: Callable[..., None]) -> str:
    if prompt.output == "json":
        answer = backend.complete_json(messages, prompt.output_schema, "", sampling.max_new_tokens)
        say(answer, end="")
        return answer
    pieces = []
    for delta in backend.stream(messages, sampling, threading.Event()):
        pieces.append(delta.text)
        say(delta.text, end="")
    return "".join(pieces).strip()


def _model(asked: Asked) -> "tuple[Backend, Sampling, str]":
    from flows.running.parameters import RunParams
    from flows.serving.base import base_model
    from flows.serving.engine import load, open_variant
    from flows.serving.wanted import wanted
    from storage.artifacts import ArtifactStore
    from storage.releases import champion_release
    from tasks.chatbot.release import Sections
    from tasks.inference.backend import Sampling  # with torch, all of them

    chat = Sections.of(asked.said).chat
    base = asked.said.get("run", {}).get("model")
    if base or not (asked.artifact or chat.server or champion_release(asked.home)):
        reference = RunParams(asked.said).run.model
        backend, _ = load(ArtifactStore(asked.home), base_model(asked.home, reference), chat)
        model = reference
    else:
        want = wanted(asked.home, asked.artifact, asked.said)
        chat = want.sections.chat
        backend, about = open_variant(asked.home, want.release, chat)
        model = f"{about.model} ({want.unreleased or 'the champion'})"
    return backend, Sampling(**{name: getattr(chat, name) for name in asdict(Sampling()) if name in type(chat).model_fields}), model


def lint(asked: Asked) -> Answer:
    """Advice; a prompt that is none raises before any."""
    found = [one for name in asked.names or sorted({name for name, _ in asked.library.prompts}) for one in _named(asked, name)]
    _check_schemas([prompt for prompt, _ in found])
    answers = []
    for prompt, content in found:
        advice = advise(prompt)
        asked.say(f"{prompt.name}.{prompt.lang}: {sum(one.kept for one in advice)} of {len(advice)}")
        for one in advice:
            if not one.kept:
                asked.say(f"  no {one.principle}: {one.advice}")
        answers.append(
            {"name": prompt.name, "lang": prompt.lang, "version": version_of(content), "advice": [asdict(one) for one in advice]}
        )
    return {"prompts": answers}


def _check_schemas(prompts: Sequence[Prompt]) -> None:
    """Raises MigakiError: no answer can be held to the schema of one."""
    from tasks.inference.schemas import why_not  # with llguidance

    for prompt in prompts:
        if prompt.output == "json" and (why := why_not(prompt.output_schema)):
            raise MigakiError(f"{prompt.name}.{prompt.lang}: output_schema cannot be enforced: {why}")


def diff(asked: Asked) -> Answer:
    """The differences of two prompts, in each language that both have."""
    left, right = ({prompt.lang: (prompt, content) for prompt, content in _named(asked, name)} for name in asked.one(2))
    both = [lang for lang in left if lang in right]
    if not both:
        raise MigakiError(
            f"{asked.names[0]} is in {', '.join(left)}, and {asked.names[1]} in {', '.join(right)}: there is nothing to compare"
        )
    told = []
    for lang in both:
        sides = [
            (f"{prompt.name}.{lang}@{version_of(content)}", _as_yaml(content).splitlines()) for prompt, content in (left[lang], right[lang])
        ]
        lines = list(difflib.unified_diff(sides[0][1], sides[1][1], sides[0][0], sides[1][0], lineterm=""))
        asked.say("\n".join(lines) if lines else f"{sides[0][0]} and {sides[1][0]} are the same")
        told.append({"lang": lang, "same": not lines, "diff": lines})
    return {"diffs": told}


def _named(asked: Asked, name: str) -> list[tuple[Prompt, dict[str, Any]]]:
    """The prompts of a name, with the content that their version is of; in all languages where none is said."""
    path = Path(name).expanduser()
    if path.suffix in SUFFIXES:
        library, prompt = asked.library.including(path)
        return [(prompt, dict(library.content((prompt.name, prompt.lang))))]
    name, _, version = name.partition("@")
    name, _, lang = name.partition(".")
    wanted = lang or asked.lang
    if version:
        return _used(asked.home, name, version, wanted)
    found = asked.library.named(name)
    if wanted and wanted not in found:
        raise MigakiError(f"the prompt {name!r} is in {', '.join(found)}, and not in {wanted!r}")
    return [(prompt, dict(asked.library.content((name, lang)))) for lang, prompt in found.items() if wanted in (None, lang)]


def _used(home: Home, name: str, version: str, lang: str | None) -> list[tuple[Prompt, dict[str, Any]]]:
    """A version that a release or a study used, by its hash or as v1, v2, in the order of their use in each language."""
    used = [one for one in used_prompts(home, name) if lang in (None, one.lang)]
    if version[:1] == ORDINAL and version[1:].isdecimal():
        by_lang: dict[str, list[Any]] = {}
        for one in used:
            by_lang.setdefault(one.lang, []).append(one)
        found = [own[int(version[1:]) - 1] for own in by_lang.values() if 0 < int(version[1:]) <= len(own)]
    else:
        found = [one for one in used if one.version.startswith(version)]
    if not found:
        known = ", ".join(f"{one.version} ({one.lang})" for one in used) or "none"
        raise MigakiError(f"no release or study used the prompt {name!r} in a version {version!r}; used were {known}")
    return [(Prompt.model_construct(name=one.name, lang=one.lang, kind=one.kind, messages=()), one.content) for one in found]


def _chosen(asked: Asked) -> tuple[Library, Prompt]:
    """The one prompt that is meant, in the language that is named, or that what is filled in is in; and the library that has its chain."""
    [name] = asked.one()
    if Path(name).suffix in SUFFIXES:
        return asked.library.including(Path(name).expanduser())
    if "@" in name:
        raise MigakiError(
            f"{name!r}: `migaki prompts show` and `diff` look at versions that were used; only what is in a file is filled in"
        )
    found = {prompt.lang: prompt for prompt, _ in _named(asked, name)}
    lang = detect("\n".join(asked.fields.values()))
    return asked.library, found[lang] if lang in found else next(iter(found.values()))


def _headed(prompt: Prompt, content: dict[str, Any]) -> str:
    return f"{prompt.name}.{prompt.lang}@{version_of(content)} ({prompt.kind}){': ' * bool(prompt.purpose)}{prompt.purpose}"


class Lines(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Writes texts of several lines as such."""


Lines.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None))


def _as_yaml(content: dict[str, Any]) -> str:
    return str(yaml.dump(content, Dumper=Lines, allow_unicode=True, sort_keys=True, width=140))


def _say_messages(asked: Asked, prompt: Prompt, messages: list[Message]) -> None:
    for message in messages:
        asked.say(f"--- {prompt.name}: {message['role']}\n{message['content']}")


ACTIONS: dict[str, Callable[[Asked], Answer]] = {
    "list": listed,
    "show": show,
    "render": render,
    "try": attempt,
    "lint": lint,
    "diff": diff,
}
