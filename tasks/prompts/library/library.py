"""All prompts by name and language: those that come with Migaki, and over them a team's own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tasks.errors import MigakiError
from tasks.prompts.context import bundled_templates
from tasks.prompts.library.files import SUFFIXES, read_prompt
from tasks.prompts.library.prompt import Prompt, Turn, version_of
from tasks.prompts.library.rendering import render
from tasks.text.messages import Message

BUNDLED = Path(__file__).parents[1] / "bundled"
NOTES = "notes"  # the prompt of a release for which nothing else is said
Key = tuple[str, str]  # name, language


@dataclass(frozen=True)
class Library:
    """Prompts by name and language, and the file that each is from ("" of one that is no file)."""

    prompts: Mapping[Key, Prompt]
    files: Mapping[Key, str]

    @cached_property
    def versions(self) -> dict[Key, str]:
        """A version covers those of the prompts whose outputs it takes."""
        found: dict[Key, str] = {}
        for key in self.prompts:
            self._version(key, found)
        return found

    def _version(self, key: Key, found: dict[Key, str]) -> str:
        if key not in found:
            found[key] = version_of(self.content(key, found))
        return found[key]

    def content(self, key: Key, known: dict[Key, str] | None = None) -> dict[str, object]:
        """What its version is made of."""
        prompt = self.prompts[key]
        found = self.versions if known is None else known
        chain = {field: f"{name}@{self._version((name, prompt.lang), found)}" for field, name in prompt.chain.items()}
        return prompt.content | ({"chain": chain} if chain else {})

    def including(self, path: Path) -> tuple["Library", Prompt]:
        """This library with a prompt's file over it, and that prompt.

        Raises:
            MigakiError: the file holds no prompt, or its chain names one that is not in the library, or runs in a circle.
        """
        prompt = read_prompt(path)
        key = prompt.name, prompt.lang
        found = Library({**self.prompts, key: prompt}, {**self.files, key: str(path)})
        _check_chain(found, key)
        return found, prompt

    def named(self, name: str) -> dict[str, Prompt]:
        """The prompts of a name by language.

        Raises:
            MigakiError: there is none.
        """
        found = {lang: prompt for (own, lang), prompt in self.prompts.items() if own == name}
        if not found:
            raise MigakiError(f"there is no prompt {name!r}; there are {', '.join(sorted({own for own, _ in self.prompts}))}")
        return found

    def taken_up(self, name: str) -> str:
        """The value of `chat.templates` with which a release takes a prompt up: its name, and behind it the files of a team's own."""
        files = [self.files[name, lang] for lang in self.named(name)]
        own = [file for file in files if file and not Path(file).is_relative_to(BUNDLED)]
        return ",".join([name] * (len(own) < len(files)) + own)

    def chained(self, prompt: Prompt) -> list[tuple[str, Prompt]]:
        """(field, prompt) of all whose outputs it takes, directly or not, each after those that it takes itself."""
        found: list[tuple[str, Prompt]] = []
        for field, name in prompt.chain.items():
            inner = self.prompts[name, prompt.lang]
            found += [one for one in self.chained(inner) if one not in found] + [(field, inner)]
        return found

    def asked(self, prompt: Prompt, values: Mapping[str, str], ask: Callable[[Prompt, list[Message]], str]) -> list[Message]:
        """The messages of a prompt, whose chain was asked first.

        Args:
            values: fields of all prompts of the chain: one of a name is the same everywhere.

        Raises:
            MigakiError: a field is missing, or one is given that none of them has.
        """
        chain = self.chained(prompt)
        takers = [prompt, *(inner for _, inner in chain)]
        wanted = {field for one in takers for field in one.fields}
        if beyond := sorted(set(values) - wanted):
            raise MigakiError(f"the prompt {prompt.name!r} has no field {', '.join(beyond)}; its fields are {', '.join(sorted(wanted))}")
        said = dict(values)
        for field, inner in chain:
            said[field] = ask(inner, render(inner, _own(inner, said)))
        return render(prompt, _own(prompt, said))


def _own(prompt: Prompt, values: Mapping[str, str]) -> dict[str, str]:
    return {name: values[name] for name in (*prompt.fields, *prompt.chain) if name in values}


def open_library(folder: str = "") -> Library:
    """The bundled prompts, and a team's own over them: one of the same name and language takes the bundled one's place.

    Raises:
        MigakiError: a file holds no prompt, two of a folder have the same name and language, or a chain names none, or runs in a circle.
    """
    prompts: dict[Key, Prompt] = {(NOTES, lang): notes_prompt(NOTES, lang, text) for lang, text in bundled_templates().items()}
    files = {key: "" for key in prompts}
    for place in [BUNDLED, *([_folder(folder)] if folder else [])]:
        for key, (path, prompt) in _read(place).items():
            prompts[key], files[key] = prompt, str(path)
    library = Library(prompts, files)
    for key in prompts:
        _check_chain(library, key)
    return library


def notes_prompt(name: str, lang: str, template: str) -> Prompt:
    """A release's template, which holds {context} and {question}, as a prompt."""
    return Prompt(name=name, lang=lang, kind="answer", messages=(Turn(role="user", content=template),), fields=("context", "question"))


def _folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise MigakiError(f"prompts are looked for in {name!r}, which is no folder: give the one that holds their YAML files")
    return folder


def _read(folder: Path) -> dict[Key, tuple[Path, Prompt]]:
    found: dict[Key, tuple[Path, Prompt]] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
        prompt = read_prompt(path)
        key = prompt.name, prompt.lang
        if key in found:
            raise MigakiError(f"{path}: {prompt.name!r} in the language {prompt.lang!r} is in {found[key][0].name} already")
        found[key] = path, prompt
    return found


def _check_chain(library: Library, key: Key) -> None:
    for path in _paths(library, [key]):
        if path[-1] not in library.prompts:
            name, lang = path[-1]
            raise MigakiError(
                f"{library.files[path[-2]]}: the chain of {path[-2][0]!r} names {name!r}, and there is no such prompt in {lang!r}; "
                "--prompts DIR gives the folder that has a team's own"
            )
        if path[-1] in path[:-1]:
            raise MigakiError(f"{library.files[path[-2]]}: the chain runs in a circle: {' -> '.join(name for name, _ in path)}")


def _paths(library: Library, path: list[Key]) -> Iterator[list[Key]]:
    """All ways down a chain; one ends where there is no such prompt, or it comes back to itself."""
    yield path
    if path[-1] in library.prompts and path[-1] not in path[:-1]:
        for name in library.prompts[path[-1]].chain.values():
            yield from _paths(library, [*path, (name, path[-1][1])])
