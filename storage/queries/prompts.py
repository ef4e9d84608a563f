"""Prompts that were used: rows of `prompts`, which come with the releases and studies that used them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage.catalog import JSON, Catalog
from storage.home import Home


@dataclass(frozen=True)
class UsedPrompt:
    """A version of a prompt, and when it was first used."""

    name: str
    version: str
    lang: str
    kind: str
    created: datetime
    content: dict[str, Any] = field(metadata=JSON)


def used_prompts(home: Home, name: str) -> list[UsedPrompt]:
    """The versions of a prompt, oldest first, each once."""
    source = (
        "FROM (SELECT name, version, lang, kind, min(created) AS created, any_value(content) AS content FROM prompts WHERE name = ? "
        "GROUP BY name, version, lang, kind) ORDER BY created, version, lang"
    )
    return Catalog.of(home).select(UsedPrompt, source, [name])
