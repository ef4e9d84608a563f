"""How the stage prepare is declared."""

from tasks.data.settings import PrepareSettings
from tasks.stages.spec import StageSpec

PREPARE = StageSpec(
    name="prepare",
    help="read, clean and split the data",
    settings=PrepareSettings,
    kind="dataset",
    body="tasks.data.task:prepare",
    models=(),
    fingerprint="tasks.data.sources:input_files",
)
