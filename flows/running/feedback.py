"""What people said here becomes data of the next run: comparisons of `migaki label`, and what `migaki harvest` made of the chats."""

from pathlib import Path

from flows.commands.label import export
from storage.home import Home
from tasks.data.settings import PrepareSettings

HARVESTED = {"preferences": "chats.preferences.jsonl", "instructions": "chats.instructions.jsonl"}


def harvested(home: Home, kind: str) -> Path:
    """Where the harvest leaves rows for that setting of prepare, "preferences" or "instructions". No file is there when there are none."""
    return home.root / "feedback" / HARVESTED[kind]


def with_feedback(settings: PrepareSettings) -> PrepareSettings:
    """The settings with what people said here among the files of the kinds that are wanted; as they are where nobody said anything."""
    home = Home.current()
    if not (settings.feedback and home.warehouse.exists()):
        return settings
    added = {kind: [str(path)] for kind in HARVESTED if (path := harvested(home, kind)).exists()}
    compared = home.root / "feedback" / "preferences.jsonl"
    if settings.preferences and export(home, compared):
        added["preferences"] = [f"pairs:{compared}", *added.get("preferences", [])]
    return settings.model_copy(update={kind: [*files, *more] for kind, more in added.items() if (files := getattr(settings, kind))})
