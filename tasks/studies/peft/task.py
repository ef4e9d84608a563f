"""The stage peft_study: the tuning methods side by side on the same rows, each in a process of its own."""

import os
from collections.abc import Sequence
from pathlib import Path

from storage.artifacts import ArtifactRef
from storage.kinds import Studied
from tasks.errors import MigakiError
from tasks.models.loader import require_causal
from tasks.models.memory import model_of_shapes
from tasks.models.opening import open_tokenizer
from tasks.pages.charts import intervals
from tasks.stages.work import Work, require
from tasks.studies.figures import Figure
from tasks.studies.peft.arm import SHARE, Job, encode_each, read_rows
from tasks.studies.peft.settings import PeftStudySettings
from tasks.studies.peft.study import NLL, PeftStudy, arm_of, item_of
from tasks.studies.study import Arm, Results
from tasks.studies.task_run import studied, whole
from tasks.training.examples import within_context
from tasks.training.inspection import require_trainable
from tasks.training.settings import TuneSettings

NOTES = (
    "The methods saw the same training rows in the same order, and learnt at their own default learning rates (tune.learning_rate), which were chosen on "
    "training rows of the example project that were left out; the loss is that of held-out rows.",
    "A method is trained in a process of its own. Memory is that of the whole process while it trains; with a GPU that of its tensors.",
    "LoRA, adapter and (IA)^3 learn in the upper third of the layers (tune.top_fraction), whose lower layers run once per row; QLoRA in all: a share of "
    "parameters is that of all layers, and tokens per second count rows as often as they were learnt.",
    "The textbook's shares of trained parameters stand beside those of its methods. They hold for models of billions of parameters: in a small one the same "
    "rank or width is a larger share.",
    "What adapter, prompt and prefix learn cannot be merged into the weights: a release carries it beside them, without RLHF and in fp16.",
)


def peft_study(settings: PeftStudySettings, inputs: dict[str, ArtifactRef], work: Work) -> Studied:
    """Train each method on the same rows, and compare what it says of held-out ones.

    Raises:
        MigakiError: the dataset has no rows to learn from or to hold out, or the model's family cannot have one of the methods.
    """
    dataset, today = work.open(require(inputs, "dataset", "prepare")), work.today(inputs)
    base, tokenizer = work.model.path, open_tokenizer(work.model.path, None, work.adapter, today)
    tunes = {method: tune_settings(method, settings) for method in settings.methods}
    require_possible(base, list(tunes.values()))
    some = next(iter(tunes.values()))
    tokens = within_context(model_of_shapes(base), settings.max_tokens, some.virtual_tokens)  # the same for all, so that all see the same
    learnt = encode_each(tokenizer, read_rows(dataset, "train", settings.max_rows), tokens)
    rows = read_rows(dataset, "eval", settings.max_items)
    kept = encode_each(tokenizer, rows, tokens)
    for what, found, option in (("learn from", learnt, "--instructions"), ("be measured on", kept, "prepare.eval_share")):
        if not found:
            raise MigakiError(f"the dataset has no instruction rows to {what} within peft_study.max_tokens = {tokens}: see {option}")
    work.log(f"peft_study: {len(learnt)} rows to learn, {len(kept)} held-out rows, up to {tokens} tokens of each")
    first = settings.methods[0]

    def job_of(arm: Arm) -> Job:
        said = tunes[arm.settings["method"]].model_dump(mode="json")
        return Job(str(base), str(dataset), said, tokens, settings.max_items, work.device, today, os.getpid())

    def on_step(arm: str, step: int, steps: int, loss: float) -> None:
        work.emit(f"{arm}: step {step} of {steps}, loss {loss:.3f}", step == steps)

    items = [item_of(row) for row in rows if row.id in kept]
    study = PeftStudy([arm_of(method, first) for method in settings.methods], items, job_of, on_step, work.path)
    return studied(study, work, _plots, NOTES)


def tune_settings(method: str, settings: PeftStudySettings) -> TuneSettings:
    """How an arm is tuned: as tune does by default, but for what the study says for all."""
    shared = settings.model_dump(include={"epochs", "max_rows", "batch_size", "micro_batch", "seed"})
    return TuneSettings.model_validate(shared | {"method": method})


def require_possible(base: Path, tunes: Sequence[TuneSettings]) -> None:
    """
    Raises:
        MigakiError: the model goes on with no text, or its family cannot have one of the methods, tried on its shapes: told before hours of others.
    """
    require_causal(base)
    for tune in tunes:
        try:
            require_trainable(base, tune)
        except MigakiError as error:
            raise MigakiError(f"peft_study.methods: {error}. Leave {tune.method} out of peft_study.methods") from error


def _plots(results: Results, figures: Sequence[Figure]) -> list[str]:
    own = [one for one in figures if one.against and one.measure == NLL.name and one.lang == whole(figures, NLL.name)]
    points = {one.arm: (results.facts[one.arm][SHARE], one.interval.value, one.interval.low, one.interval.high) for one in own}
    title = f"Held-out loss less that of {own[0].against}" if own else ""
    return [intervals(title, "trained parameters, % of all", NLL.label, points)] if own else []
