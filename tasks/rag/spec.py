"""How the stage index is declared."""

from tasks.rag.settings import IndexSettings
from tasks.stages.spec import StageSpec

INDEX = StageSpec(
    name="index",
    help="build the knowledge index",
    settings=IndexSettings,
    kind="index",
    body="tasks.rag.task:index",
    needs={"dataset": ("prepare",)},
    spared={"dataset": "documents"},
    models=("embedder", "embedder_en"),
    fingerprint="tasks.rag.fingerprint:named_documents",
)
