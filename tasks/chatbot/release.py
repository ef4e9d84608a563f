"""What a release holds, as the engine takes it: its settings, and the engine made of its opened parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from storage.kinds import Answering, Release
from tasks.chatbot.safety.settings import GuardSettings, SafetySettings
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.tools.settings import ToolSettings
from tasks.models.catalogue import known, weak_languages
from tasks.settings import StageSettings
from tasks.text.language import languages

if TYPE_CHECKING:  # commands that only look at releases open no model
    from tasks.chatbot.engine import ChatEngine
    from tasks.chatbot.index import Index
    from tasks.chatbot.safety.guard import Guard
    from tasks.inference.backend import Backend

S = TypeVar("S", bound=StageSettings)
SMALL = 10**9  # parameters; below that a model that nothing tuned writes past what its sources say


@dataclass(frozen=True)
class Sections:
    """The settings that a release is made of."""

    chat: ChatSettings
    tools: ToolSettings
    safety: GuardSettings

    @classmethod
    def of(cls, said: Mapping[str, dict[str, Any]], release: Release | None = None) -> "Sections":
        """What is said, over what a release has, over the defaults. What it has of settings that are gone by now is passed over.

        Raises:
            MigakiError: what is said has an unknown name or a wrong value.
        """

        chat = release.chat | {"server": release.server, "server_model": release.server_model} if release else {}
        tools, safety = (release.tools, release.safety) if release else ({}, {})
        return cls(
            _over(chat, "chat", ChatSettings, ChatSettings, said),
            _over(tools, "tools", ToolSettings, ToolSettings, said),
            _over(safety, "safety", SafetySettings, GuardSettings, said),
        )

    @classmethod
    def given(cls, chat: ChatSettings, tools: ToolSettings, safety: SafetySettings) -> "Sections":
        """What a run was given."""
        return cls(chat, tools, GuardSettings.model_validate({name: getattr(safety, name) for name in GuardSettings.model_fields}))


def _over(has: dict[str, Any], name: str, section: type[StageSettings], part: type[S], said: Mapping[str, dict[str, Any]]) -> S:
    """The settings that are this part of a section: what is said of them, over what a release has."""
    given = section.build(name, said.get(name, {})).model_dump(
        exclude_unset=True
    )  # by itself first: a message is about what somebody wrote
    return part.build(name, {key: value for key, value in (has | given).items() if key in part.model_fields})


def answering_of(base: str, tuned: bool) -> dict[str, Answering]:
    """How each language is answered: by quoting where the catalogue calls the base weak, or where nothing has tuned a small base, else by writing.

    Args:
        base: reference of the base model; of a server, of which nothing is known, "".
        tuned: whether anything was trained on it.
    """
    untuned = not tuned and (entry := known(base)) and entry.parameters < SMALL
    weak = languages() if untuned else weak_languages(base)
    return {lang: "quote" if lang in weak else "write" for lang in languages()}


def engine_of(
    release: Release,
    sections: Sections,
    backend: "Backend",
    retriever: "Index | None",
    guard: "Guard | None",
    release_id: str = "",
    unreleased: str = "",
) -> "ChatEngine":
    """The engine of a release, of its parts.

    Raises:
        MigakiError: what its tools need cannot be read.
    """
    from tasks.chatbot.engine import ChatEngine
    from tasks.chatbot.tools.bundled import bundled_tools

    chat = sections.chat
    tools = bundled_tools(sections.tools, retriever) if chat.max_calls else None
    return ChatEngine(backend, retriever, chat, tools, guard, release.answering, release.templates, release_id, unreleased)
