"""How the stage benchmark is declared."""

from tasks.stages.spec import StageSpec
from tasks.studies.benchmarks.settings import BenchmarkSettings

BENCHMARK = StageSpec(
    name="benchmark",
    help="run standard benchmarks from local files, of a model and of what was trained on it",
    settings=BenchmarkSettings,
    kind="study",
    body="tasks.studies.benchmarks.task:benchmark",
    # What is measured beside the base model is named by those who run it.
    takes={"trained": ()},
    fingerprint="tasks.studies.benchmarks.fingerprint:benchmark_files",
    pool="gpu",
    in_retrain=False,
)
