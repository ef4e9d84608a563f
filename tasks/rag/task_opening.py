"""The index among a stage's inputs."""

from storage.artifacts import ArtifactRef
from storage.kinds import Calibration
from tasks.rag.opening import open_index
from tasks.rag.retrieval import Retriever
from tasks.stages.work import Work, require


def open_retriever(inputs: dict[str, ArtifactRef], work: Work) -> Retriever:
    """The index among a stage's inputs, with the calibration among them, else the bundled one.

    Raises:
        MigakiError: there is no index, or it was made with other embedders than the run's.
    """
    calibration = work.record(inputs["calibration"], Calibration) if "calibration" in inputs else None
    index = work.open(require(inputs, "index", "index"))
    return open_index(index, work.embedder, work.companions, work.device, exports=work.home.exports, calibration=calibration)
