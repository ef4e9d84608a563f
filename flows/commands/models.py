"""`migaki models`: what is known of models, the memory of any size, and benchmarks as published and as measured here."""

from dataclasses import asdict
from typing import Any

from flows.commands.show import table
from storage.home import Home
from storage.queries.studies import measured_benchmarks
from tasks.models.catalogue import ARCHITECTURES, CATALOGUE, PUBLISHED, parameters_of, weight_memory

PRECISIONS = {"fp32": "fp32", "fp16": "fp16", "8-bit": "8bit", "4-bit": "4bit"}


def models(home: Home, reference: str | None, size: str | None, said: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is known of models; or what the one of that reference is; or the memory of that size.

    Raises:
        MigakiError: the model cannot be looked at, or the size is none.
    """
    if reference is not None:
        from flows.commands.check_model import check_model  # loads torch
        from flows.running.parameters import RunParams  # and this the settings of every section

        return check_model(home, reference, RunParams(said))
    return models_table(home) if size is None else memory_table(parameters_of(size))


def models_table(home: Home) -> dict[str, Any]:
    """The catalogue of models with the memory of their weights, what their families are made of, and figures of benchmarks."""
    table(
        "models (memory of the weights in GiB)",
        ["reference", "family", "parameters", "context", "licence", "languages", *PRECISIONS, ""],
        [
            [m.reference, m.family, f"{m.parameters:,}", f"{m.context:,}", m.licence, " ".join(m.languages), *_memory(m.parameters), m.note]
            for m in CATALOGUE
        ],
        right=("parameters", "context", *PRECISIONS),
    )
    columns = ["family", "normalisation", "activation", "positions", "attention"]
    table("what the families are made of", columns, [[family, *asdict(made).values()] for family, made in ARCHITECTURES.items()])
    here = measured_benchmarks(home)
    told = [[one.benchmark, one.model, f"{one.value:.1f}", one.source] for one in PUBLISHED] + [
        [
            one.measure,
            one.arm,
            f"{100 * one.value:.1f}",
            f"measured here, {one.items} questions ({100 * one.low:.1f} to {100 * one.high:.1f})",
        ]
        for one in here
    ]
    table("benchmarks: right answers (other prompts give other figures)", ["benchmark", "model", "%", "from"], sorted(told), right=("%",))
    return {
        "models": [asdict(model) | {"architecture": asdict(model.architecture)} for model in CATALOGUE],
        "published": [asdict(one) for one in PUBLISHED],
        "measured": [asdict(one) for one in here],
    }


def memory_table(parameters: int) -> dict[str, Any]:
    """The memory of the weights of a model of any size."""
    memory = _memory(parameters)
    table(f"{parameters:,} parameters: GiB of weights", list(PRECISIONS), [memory], right=tuple(PRECISIONS))
    return {"parameters": parameters, "gib": dict(zip(PRECISIONS.values(), map(float, memory), strict=True))}


def _memory(parameters: int) -> list[str]:
    return [f"{weight_memory(parameters, precision):.2f}" for precision in PRECISIONS.values()]
