"""A stage body in several processes at once, as a configuration file of accelerate says: data parallel, on several GPUs or on CPUs.

The stage stays one Prefect task. Its process starts `accelerate launch`, hands on what the first process has to say, and takes its figures
over; that one alone writes into the artifact. Where the body trains, `tasks.models.data_parallel` shards the rows and sums the gradients.
"""

import json
import os
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from storage.artifacts import ArtifactRef
from storage.files import replacing
from storage.home import Home
from storage.kinds import RECORDS, Record
from tasks.errors import MigakiError
from tasks.processes import last_words, leave_with, listen_to
from tasks.settings import StageSettings
from tasks.stages.execute import models_of
from tasks.stages.spec import StageSpec, function, load
from tasks.stages.work import Context, Work

JOB, RESULT, MISTAKES, ERRORS = "job.json", "result.json", "mistakes", "errors.log"


def run_in_processes(spec: StageSpec, settings: StageSettings, inputs: dict[str, ArtifactRef], work: Work, context: Context) -> Record:
    """Run a body in the processes of `context.accelerate`; its figures come to `work`.

    Raises:
        MigakiError: the configuration file is missing, the body raised one, or a process failed; all of them have ended.
    """
    config = Path(context.accelerate).expanduser()
    if not config.is_file():
        raise MigakiError(
            f"run.accelerate = {context.accelerate!r} is no file; make one with `accelerate config --config_file {config.name}`"
        )
    with TemporaryDirectory(dir=context.home.root, prefix=".processes-") as scratch:
        folder = Path(scratch)
        job = {
            "spec": {"name": spec.name, "kind": spec.kind, "body": spec.body, "models": spec.models, "help": spec.help},
            "settings_class": f"{type(settings).__module__}:{type(settings).__qualname__}",
            "settings": settings.model_dump(mode="json"),
            "inputs": {role: ref.model_dump(mode="json") for role, ref in inputs.items()},
            "path": str(work.path),
            "waits": os.getpid(),
            "context": {
                "home": str(context.home.root),
                "model": context.model,
                "embedder": context.embedder,
                "embedder_en": context.embedder_en,
                "device": context.device,
            },
        }
        (folder / JOB).write_text(json.dumps(job), encoding="utf-8")
        (folder / MISTAKES).mkdir()
        _launch(config, folder, work)
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        work.take_figures(result["figures"])
        return RECORDS[spec.kind].of(result["meta"], f"what the processes of {spec.name} made")


def _launch(config: Path, folder: Path, work: Work) -> None:
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(config),
        "-m",
        "tasks.stages.distributed",
        str(folder),
    ]
    code = listen_to(command, lambda line: _hand_on(line, work), folder / ERRORS)
    if code:
        if mistakes := sorted((folder / MISTAKES).glob("*.txt")):
            raise MigakiError(mistakes[0].read_text(encoding="utf-8"))
        raise MigakiError(f"`accelerate launch --config_file {config.name}` ended with {code}:\n{last_words(folder / ERRORS)}")


def _hand_on(line: str, work: Work) -> None:
    """What the first process says: one JSON array a line, [what, ...]. Other output is some library's."""
    try:
        what, *words = json.loads(line)
    except (ValueError, TypeError):
        return
    if what == "log":
        work.log(*words)
    elif what == "progress":
        work.emit(*words)
    elif what == "share":
        work.watch(*words)


def main(folder: Path) -> None:
    """One of the processes. The first reports; the others keep quiet and write aside, and each tells what it fails of."""
    from accelerate import PartialState

    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    threading.Thread(target=leave_with, args=(job["waits"],), daemon=True).start()
    state = PartialState(cpu=job["context"]["device"] == "cpu")
    settings_class, first = load(job["settings_class"]), state.process_index == 0
    spec = StageSpec(**job["spec"], settings=settings_class)
    say = _say if first else lambda *_: None
    facts = job["context"]
    home = Home(Path(facts["home"]))
    context = Context(
        home,
        facts["model"],
        facts["embedder"],
        facts["device"],
        lambda text, last: say("progress", text, last),
        lambda text: say("log", text),
        embedder_en=facts["embedder_en"],
        watch=lambda label, share, last: say("share", label, share, last),
    )
    path = Path(job["path"])
    own = path if first else folder / f"{path.name}-{state.process_index}"
    own.mkdir(exist_ok=True)
    inputs = {role: ArtifactRef.model_validate(ref) for role, ref in job["inputs"].items()}
    work = Work(spec, own, context, models_of(spec, context), keeps=first)
    try:
        record = function(spec.body)(settings_class.model_validate(job["settings"]), inputs, work)
    except MigakiError as error:
        _tell(str(error), folder / MISTAKES, state.process_index)
        raise
    if first:
        (folder / RESULT).write_text(json.dumps({"figures": work.figures(), "meta": record.meta()}), encoding="utf-8")
    state.wait_for_everyone()
    state.destroy_process_group()


def _tell(mistake: str, folder: Path, process: int) -> None:
    """Whichever process made it: the launcher kills the others at once, often before they can tell the same. Renamed, as a kill may fall into the writing."""
    with replacing(folder / f"{process:05}.txt") as draft:
        draft.write_text(mistake, encoding="utf-8")


def _say(*what: Any) -> None:
    print(json.dumps(what, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    from torch.distributed.elastic.multiprocessing.errors import record

    record(main)(Path(sys.argv[1]))  # the launcher quotes the traceback of an error that is no mistake of the user's
