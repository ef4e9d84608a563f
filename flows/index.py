"""Build the knowledge index. Runs on demand, when documents changed, and after every retraining."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.running.dispatch import print_line, stage_flow
from flows.running.parameters import RunSettings
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from storage.kinds import Index
from storage.registry import champion_index, set_champion_index
from tasks.rag.settings import IndexSettings

MAX_DROP = 0.02  # of hit@5


@flow(name="index")
def index(
    index: IndexSettings = IndexSettings(),
    run: RunSettings = RunSettings(),
    inputs: Annotated[dict[str, str], Field(description="Artifact ids by role; empty takes the newest")] = {},
    parent_run: Annotated[str, Field(description="Left empty: set when a retraining run started this one")] = "",
) -> str:
    """Build the knowledge index. Runs on demand, when documents changed, and after every retraining. Returns the artifact's id."""
    made = stage_flow("index", index, run, inputs, parent_run)
    if not parent_run:
        go_live(Home.current(), ArtifactStore(Home.current()).get(made))
    return made


def go_live(home: Home, index: ArtifactRef) -> bool:
    """Let an index serve, unless it finds the right documents clearly less often than the one that serves now (hit@5 over the stored questions)."""
    now = champion_index(home)
    if now and now.artifact_id == index.id:
        return True
    before, after = (now.hit_at_5 if now else None), Index.of(index.meta, f"the index {index.id[:12]}").hit_at_5
    if before is not None and after is not None and after < before - MAX_DROP:
        print_line(f"index: hit@5 fell from {before:.3f} to {after:.3f}; the former index goes on serving")
        return False
    set_champion_index(home, index.id)
    return True
