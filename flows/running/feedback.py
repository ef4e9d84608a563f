"""What people said here becomes data of the next run: comparisons of `migaki label`, and what `migaki harvest` made of the chats."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from storage.artifacts import ArtifactStore
from storage.chat_log import recover
from storage.chats import rated_conversations
from storage.files import replacing
from storage.home import Home
from storage.queries.comparisons import compared_pairs
from storage.registry import champion_index, record_metrics
from tasks.data.settings import PrepareSettings
from tasks.flywheel.settings import HarvestSettings
from tasks.rlhf.labelling import TIE

if TYPE_CHECKING:
    from tasks.flywheel.harvest import Harvest

COMPARED = "preferences.jsonl"
HARVESTED = {"preferences": "chats.preferences.jsonl", "instructions": "chats.instructions.jsonl"}
HELD = "chats.held.jsonl"  # beside them, for a person to read: nothing is learnt from it


def harvested(home: Home, kind: str) -> Path:
    """Where the harvest leaves rows for that setting of prepare, "preferences" or "instructions". No file is there when there are none."""
    return home.root / "feedback" / HARVESTED[kind]


def with_feedback(settings: PrepareSettings) -> PrepareSettings:
    """The settings with what people said here among the files of the kinds that are wanted; as they are where nobody said anything."""
    home = Home.current()
    if not (settings.feedback and home.warehouse.exists()):
        return settings
    added = {kind: [str(path)] for kind in HARVESTED if (path := harvested(home, kind)).exists()}
    compared = home.root / "feedback" / COMPARED
    if settings.preferences and export(home, compared):
        added["preferences"] = [f"pairs:{compared}", *added.get("preferences", [])]
    return settings.model_copy(update={kind: [*files, *more] for kind, more in added.items() if (files := getattr(settings, kind))})


def export(home: Home, path: Path) -> int:
    """Write all comparisons as preference pairs, one JSON object a line: messages, chosen, rejected, and `tie` where neither was better.

    Returns how many there are; for none, no file is written.
    """
    lines = []
    for pair in compared_pairs(home):
        chosen, rejected = (pair.answer_b, pair.answer_a) if pair.choice == "b" else (pair.answer_a, pair.answer_b)
        row = {"messages": pair.messages, "chosen": chosen, "rejected": rejected}
        lines.append(json.dumps(row | ({"tie": True} if pair.choice == TIE else {}), ensure_ascii=False))
    if lines:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def gather(home: Home, settings: HarvestSettings) -> "Harvest":
    """What the chats of a home give, but for what rests on documents that the index has no longer or not for everybody. Nothing is written.

    Raises:
        MigakiError, StorageError: the index that serves cannot be read.
    """
    # Retraining reads no chats: what judges them is loaded where they are harvested.
    from tasks.chatbot.safety.guard import Guard
    from tasks.chatbot.safety.learning import mask, speaks_of_health
    from tasks.flywheel.harvest import harvest
    from tasks.rag.labels import quoting, standing

    recover(home)
    guard, store, index = Guard(), ArtifactStore(home), champion_index(home)

    def unsafe(text: str) -> bool:
        return guard.check_output(text).blocked or bool(guard.check_document(text).code)

    turns = [asdict(turn) for turn in rated_conversations(home)]
    folder = store.path(store.get(index.artifact_id)) if index else None
    asked = standing(folder) if folder else lambda source: ""
    texts = [turn[name] for turn in turns for name in ("question", "answer", "correction") if turn[name]]
    return harvest(turns, settings, mask, unsafe, asked, speaks_of_health, quoting(folder, texts) if folder else ())


def write_harvest(home: Home, found: "Harvest") -> None:
    """Replace the files that the next retraining reads, and the one that a person reads, each whole or not at all; an empty one is removed."""
    held = home.root / "feedback" / HELD
    for path, rows in (
        (harvested(home, "preferences"), found.pairs),
        (harvested(home, "instructions"), found.instructions),
        (held, found.held),
    ):
        if not rows:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as draft:
            draft.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def record_harvest(home: Home, found: "Harvest", run_id: str) -> None:
    """The counts as metrics of the run."""
    figures = {
        f"harvest.{'_'.join(count['kind'].split())}.{'_'.join(count['reason'].split())}.{count['lang']}": count["rows"]
        for count in found.counts()
    }
    record_metrics(home, run_id, figures)
