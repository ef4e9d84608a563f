"""What runs are called on Prefect's page, and by which tags they are found there."""

from datetime import datetime
from pathlib import Path

from prefect import runtime

from flows.catalogue.stages import STAGES
from flows.running.parameters import RunSettings


def run_name(what: str, run: RunSettings) -> str:
    """`tune quick 2026-11-28`: a flow or a stage, the profile, and the day where it runs."""
    return f"{what} {run.profile} {datetime.now().astimezone():%Y-%m-%d}"


def named() -> str:
    """The name of the flow run that begins: what every flow gives as its `flow_run_name`."""
    flow, given = runtime.flow_run.flow_name, runtime.flow_run.parameters
    parts = [spec.name for spec in STAGES.values() if spec.command == flow and spec.part and spec.part.items() <= given.items()]
    return run_name(parts[0] if parts else flow, RunSettings.model_validate(given["run"]))


def tags_of(what: str, run: RunSettings, pool: str = "cpu") -> list[str]:
    """Of a run: the flow or the stage, the base model, and `gpu` where it needs that work pool."""
    kind, _, named = run.model.partition(":")
    model = named if kind in ("wheel", "hub") else Path(run.model).name  # where a folder lies is nobody's tag
    return [what, model, *(["gpu"] if pool == "gpu" else [])]
