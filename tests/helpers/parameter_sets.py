"""Sets of parameters that people give deployments, right and wrong ones, and what is to become of each."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.small_project import SmallProject

Said = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """What is said to a deployment.

    Attributes:
        pool: whose worker begins the run.
        refused: by whom: the "server", which makes no run of it, or the "run", before it begins a stage; "" for one that is right.
        words: what the one who refuses it says, the setting's name among it.
        stages: that the run is to hand to the pool `gpu`; of a flow that hands none over, nothing.
    """

    flow: str
    said: Said
    pool: str
    refused: str = ""
    words: tuple[str, ...] = ()
    stages: frozenset[str] = frozenset()

    def parameters(self, project: SmallProject) -> Said:
        """With the small project's models where nothing is said of them."""
        run = self.said.get("run", {})
        models = {"model": project.model, "embedder": project.embedder}
        return self.said | {"run": models | run} if isinstance(run, dict) else self.said


def wrong(by: str, flow: str, said: Said, *words: str, pool: str = "cpu") -> Given:
    return Given(flow, said, pool, by, words)


def refused_by_the_server() -> list[Given]:
    """What breaks the schema of a deployment's parameters."""
    return [
        wrong("server", "retrain", {"tunes": {"epochs": 1}}, "'tunes' is not one of", "'tune'"),
        wrong("server", "retrain", {"プロファイル": "quick"}, "'プロファイル' is not one of"),
        wrong("server", "retrain", {"run": {"profle": "quick"}}, "'run'", "'profle' is not one of", "'profile'"),
        wrong("server", "retrain", {"tune": {"epoch": 1}}, "'tune'", "'epoch' was unexpected"),
        wrong("server", "retrain", {"tune": {"epochs": -1}}, "'tune.epochs'", "-1 is less than or equal to the minimum of 0"),
        wrong("server", "retrain", {"run": {"where": "nowhere"}}, "'run.where'", "'nowhere' is not one of ['local', 'prefect']"),
        wrong("server", "retrain", {"run": {"profile": ""}}, "'run.profile'", "'' is not one of ['quick', 'standard']"),
        wrong("server", "retrain", {"run": {"stage_hours": 1e9}}, "'run.stage_hours'", "greater than the maximum of 720"),
        wrong("server", "retrain", {"run": {"chat_address": "javascript:alert(1)"}}, "'run.chat_address'", "does not match"),
        wrong("server", "retrain", {"run": {"model": ""}}, "'run.model'", "'' should be non-empty"),
        wrong("server", "retrain", {"run": "quick"}, "'run'", "'quick' is not of type 'object'"),
        wrong("server", "retrain", {"promote": {"approval": True}}, "'promote.approval'", "True is not one of ['never'"),
        wrong(
            "server", "retrain", {"promote": {"max_benchmark_loss": {"piqa": 7}}}, "'promote.max_benchmark_loss.piqa'", "7 is greater than"
        ),
        wrong("server", "promote", {"parent_run": "x"}, "'parent_run' is not one of ['promote', 'run']"),
        wrong("server", "tune", {"tune": {"epochs": "many"}}, "'tune.epochs'", "'many' is not of type 'number'", pool="gpu"),
        wrong("server", "tune", {"tune": {"seed": 1.5}}, "'tune.seed'", "1.5 is not of type 'integer'", pool="gpu"),
        wrong("server", "align", {"part": "everything"}, "'part'", "'everything' is not one of ['all'", pool="gpu"),
        wrong("server", "index", {"index": {"documents": "手引き.md"}}, "'index.documents'", "'手引き.md' is not of type 'array'"),
        wrong("server", "index", {"index": {"b": 1.5}}, "'index.b'", "1.5 is greater than the maximum of 1"),
    ]


def refused_by_the_run(elsewhere: Path) -> list[Given]:
    """What only the run can know to be wrong.

    Args:
        elsewhere: a folder that is there, and that runs may not read.
    """
    return [
        wrong("run", "retrain", {"tune": {"method": "prefix"}}, "tune.method = prefix leaves what cannot be merged"),
        wrong("run", "retrain", {"evaluate": {"benchmarks": ["mmlu"]}}, "benchmark"),
        wrong("run", "retrain", {"chat": {"templates": ["ない"]}}, "chat.templates"),
        wrong("run", "retrain", {"run": {"model": str(elsewhere)}}, f"run.model = {str(elsewhere)!r} lies outside of"),
        wrong("run", "retrain", {"run": {"embedder": "models/ない"}}, "run.embedder: 'models/ない' is no model folder"),
        wrong(
            "run",
            "index",
            {"run": {"where": "local"}, "index": {"documents": [f"{elsewhere}/日本語.md"]}},
            "index.documents",
            "lies outside of",
        ),
        wrong("run", "index", {"index": {"roots": ["/"]}}, "index.roots names '/'"),
        wrong("run", "tune", {"tune": {"seed": 0}, "inputs": {"dataset": "なし"}}, "なし", pool="gpu"),
    ]


HANDED_OVER = frozenset({"tune", "reward", "align", "choose", "quantize", "answering", "evaluate"})  # by a retrain that finds nothing made


def right(project: SmallProject, folder: Path) -> list[Given]:
    """What runs to its end, one after the other in one home.

    Args:
        folder: where files with Japanese names are made of the project's.
    """
    files = {kind: _renamed(paths, folder / "資料") for kind, paths in project.files.items()}
    whole = {"prepare": files} | project.settings
    anew = [whole | {"evaluate": project.settings["evaluate"] | {"resamples": number}} for number in (201, 202, 203)]
    evaluate = project.settings["evaluate"]
    return [
        Given("retrain", whole | {"run": {"profile": "quick"}}, "cpu", stages=HANDED_OVER),
        Given("retrain", anew[0] | {"run": {"where": "local"}, "promote": {"approval": "always"}}, "cpu", stages=HANDED_OVER),
        Given("retrain", anew[1] | {"run": {"where": "prefect", "device": "cpu"}}, "cpu", stages=frozenset({"evaluate"})),
        Given("retrain", anew[2] | {"run": {"align": False}}, "cpu", stages=frozenset({"quantize", "answering", "evaluate"})),
        Given("prepare", {"prepare": files}, "cpu"),
        Given("index", {"index": {"documents": files["documents"], "chunk_tokens": 60}}, "cpu"),
        Given("index", {"index": {"documents": files["documents"], "chunk_tokens": 40}, "serve_anyway": True}, "cpu"),
        Given("safety", {"safety": project.settings["safety"], "run": {"where": "local"}}, "cpu"),
        Given("calibrate", {"run": {"where": "prefect"}}, "cpu"),
        Given("promote", {}, "cpu"),
        Given("harvest", {}, "cpu"),
        Given("tune", {"tune": project.settings["tune"] | {"seed": 5}, "run": {"where": "local"}}, "gpu"),
        Given("tune", {"tune": project.settings["tune"] | {"seed": 6}, "parent_run": "x", "run": {"profile_applied": True}}, "gpu"),
        Given("quantize", {"quantize": project.settings["quantize"], "run": {"where": "local", "profile": "quick"}}, "gpu"),
        Given("evaluate", {"evaluate": evaluate | {"seed": 3}, "run": {"where": "local"}}, "gpu"),
    ]


def _renamed(paths: list[str], folder: Path) -> list[str]:
    """Copies of files and folders under Japanese names."""
    made = []
    for path in map(Path, paths):
        copy = folder / f"版一-{path.name}"
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copy(path, copy)
        made.append(str(copy))
    return made
