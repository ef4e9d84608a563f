"""`migaki models --check` and `migaki doctor --for tune`: what a model is, and what a run would refuse of it."""

import os
from typing import Any, cast

from flows.commands.doctor import trouble
from flows.commands.show import console, table
from flows.running.devices import gpu
from flows.running.parameters import RunParams
from storage.home import Home
from tasks.errors import MigakiError
from tasks.training.settings import TuneSettings


def check_model(home: Home, reference: str, params: RunParams) -> dict[str, Any]:
    """Print and return what there is to know of a model before it is tuned with these settings; the exit code is 1 when something would be refused.

    Args:
        reference: what `--model` takes.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from tasks.models.reference import resolve
    from tasks.training.inspection import inspect_model

    device = "cuda" if gpu() else "cpu"
    try:
        model = resolve(reference, home, console.print)
    except MigakiError as error:
        trouble(error)
        return {"model": reference, "facts": {}, "problems": [str(error)], "exit_code": 1}
    found = inspect_model(model.path, cast(TuneSettings, params.stages["tune"]), device)
    table(f"the model {reference}", ["", ""], [[name, text] for name, text in _told(found.facts, device)])
    for problem in found.problems:
        trouble(problem)
    if not found.problems:
        console.print("nothing in the way")
    return {
        "model": reference,
        "checksum": model.checksum,
        "device": device,
        "facts": found.facts,
        "problems": found.problems,
        "exit_code": 1 if found.problems else 0,
    }


def _told(facts: dict[str, Any], device: str) -> list[tuple[str, str]]:
    """The facts in words."""
    rows = [(label, f"{facts[name]:,}" if isinstance(facts[name], int) else facts[name]) for name, label in NAMED.items() if name in facts]
    if precision := facts.get("precision"):
        rows.append(("weights on disk", ", ".join(f"{kind} {share:.0%}" for kind, share in precision.items())))
    if "tokens" in facts:
        rows.append(("tokenizer", f"{facts['tokens']:,} tokens, embeddings for {facts.get('embedding_rows', 0):,}"))
    if "template" in facts:
        takes = [label for name, label in TAKEN.items() if facts.get(name)]
        rows.append(("chat template", f"{facts['template']}; {', '.join(takes) or 'no system turns, no tools'}"))
    if targets := facts.get("targets"):
        count = f"{targets['modules']} modules, " if targets["modules"] else ""
        where = f" in layers {targets['from_layer']} to {targets['layers'] - 1}" if "layers" in targets else ""
        experts = f"; {targets['frozen_experts']:,} of experts stay as they are" if targets.get("frozen_experts") else ""
        rows.append(
            ("tune trains", f"{', '.join(targets['names'])}{where}: {count}{targets['share']} parameters by {targets['method']}{experts}")
        )
    if (distance := facts.get("agreement")) is not None:
        rows.append(("Migaki's path", f"{distance:.1g} nats from the model's own forward, in float32"))
    if "need_mib" in facts:
        rows.append(
            (
                "memory of tune",
                f"{facts['need_mib']:,} MiB at most, while {facts['largest']}; {facts['free_mib']:,} MiB are free on the {device}, "
                f"enough for rows of up to {facts['longest_row_that_fits']:,} tokens",
            )
        )
    return [(label, str(text)) for label, text in rows if text is not None]


NAMED = {"family": "family", "parameters": "parameters", "context": "context", "end_token": "end token"}
TAKEN = {"system_turns": "takes system turns", "tools": "takes tools", "thoughts": "can have thoughts (tune.thinking)"}
