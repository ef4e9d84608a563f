"""Run standard benchmarks from local files, of a model and of what was trained on it."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from flows.running.releases import on_its_base
from tasks.studies.benchmarks.settings import BenchmarkSettings


@flow(name="benchmark", flow_run_name=named)
def benchmark(
    benchmark: BenchmarkSettings = BenchmarkSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Run standard benchmarks from local files, of a model and of what was trained on it, on the base that it was trained on. Returns the artifact's id.

    Args:
        inputs: An artifact id as `trained`: an adapter, a model or a release that is measured too
    """
    return stage_flow("benchmark", benchmark, on_its_base(run, inputs.get("trained", "")), inputs, parent_run)
