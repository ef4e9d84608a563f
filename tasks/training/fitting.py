"""What tune and pretrain share: training with its figures, and what is left of it."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef
from storage.kinds import Adapter
from tasks.errors import MigakiError
from tasks.models.batching import Example
from tasks.models.likelihood import FinalStates, Score, mean_per_character, score_examples, whole_model
from tasks.models.lora import adapted_modules, expert_parameters
from tasks.models.opening import open_model
from tasks.stages.work import Work
from tasks.training.loop import total_steps, train
from tasks.training.methods import MODEL, SOFT_PROMPTS, Trainable
from tasks.training.settings import TrainingSettings

RESCORED = 16  # rows
TOLERANCE = 1e-4  # nats a token by which merging adapters into float32 weights may round


@dataclass(frozen=True)
class Said:
    """Rows, and their scores under a model as it was trained."""

    rows: list[Example]
    scores: list[Score]


def fit(trainable: Trainable, examples: list[Example], held_out: list[Example], settings: TrainingSettings, work: Work, name: str) -> Said:
    """Train, with the loss curve and the held-out loss before and after in the metrics.

    Returns:
        What the trained model says of some rows, for `write_result`.
    """
    work.log(f"{name}: {trainable.method} trains {trainable.share} parameters")
    if adapted_modules(trainable.model) and (experts := expert_parameters(trainable.model)):
        work.log(
            f"{name}: adapters are on {', '.join(adapted_modules(trainable.model))}; the experts of this model ({experts:,} parameters) stay as they are"
        )
    states = trainable.final_states(held_out, settings.cache_mb)

    def score(when: str, states: FinalStates) -> list[Score]:
        with work.progress(f"{name}: loss {when}", len(held_out)) as bar:
            return score_examples(trainable.model, held_out, final_states=states, on_batch=bar.advance)

    # Fresh virtual tokens change what the model says, all else that is fresh does not.
    fresh = whole_model(trainable.model) if trainable.method in SOFT_PROMPTS else states
    before = work.step("measure_loss", partial(score, "before", fresh), "before")

    def run_steps() -> None:
        with work.progress(name, total_steps(len(examples), settings.batch_size, settings.epochs)) as bar:

            def on_step(step: int, loss: float) -> None:
                work.metric(f"{name}.loss", loss, step)
                bar.advance(loss=loss)

            train(trainable, examples, settings, on_step)

    work.step("train", run_steps)
    after = work.step("measure_loss", partial(score, "after", states), "after")
    report_held_out(name, held_out, before, after, work)
    work.headline("trained parameters", None, trainable.share)  # the first one is the key figure
    if held_out:
        chosen = spread_rows(len(held_out))
        return Said([held_out[row] for row in chosen], [after[row] for row in chosen])
    work.log(f"{name}: what is kept of it is held against what was trained on training rows, as there are no others")
    rows = [examples[row] for row in spread_rows(len(examples))]
    return Said(rows, score_examples(trainable.model, rows, final_states=trainable.final_states(rows, 0)))


def spread_rows(count: int) -> list[int]:
    """At most `RESCORED` row numbers below `count`, evenly spread."""
    wanted = min(count, RESCORED)
    return [i * count // wanted for i in range(wanted)]


def report_held_out(name: str, held_out: list[Example], before: list[Score], after: list[Score], work: Work) -> None:
    """Per language: loss per character (comparable across tokenizers), loss per token, perplexity; and the key figure over all."""
    if not held_out:
        work.log(f"{name}: the dataset has no held-out rows, so what was learnt is not measured (prepare.eval_share)")
        return
    for lang in sorted({example.lang for example in held_out}):
        for when, scores in (("before", before), ("after", after)):
            of_lang = [score for example, score in zip(held_out, scores, strict=True) if example.lang == lang]
            work.metric(f"{name}.loss_per_character_{when}.{lang}", mean_per_character(of_lang))
            per_token = sum(score.nll for score in of_lang) / sum(score.tokens for score in of_lang)
            work.metric(f"{name}.loss_per_token_{when}.{lang}", per_token)
            work.metric(f"{name}.perplexity_{when}.{lang}", math.exp(per_token))
    work.headline("held-out loss per character", mean_per_character(before), mean_per_character(after))


def write_result(
    trainable: Trainable, tokenizer: PreTrainedTokenizerBase, start: ArtifactRef | None, work: Work, said: Said, **counts: Any
) -> Adapter:
    """The adapter, on top of the chain it was trained on; or the whole model, with which a chain begins anew. `counts` are fields of `Adapter`.

    What was written is opened as later stages will open it, and scored on the rows of `said`. The trained model is given up for that: its
    weights leave the memory.

    Raises:
        MigakiError: the scores are not those that the trained model gave.
    """
    trainable.save(work.path, tokenizer)
    whole = trainable.method == "full"
    below = work.record(start, Adapter).adapters if start and not whole else []
    record = Adapter(
        adapters=[*below, work.id],
        model=MODEL if whole else None,
        trained_parameters=trainable.trained,
        total_parameters=trainable.total,
        method=trainable.method,
        trunk="nf4" if trainable.method == "qlora" else None,
        **counts,
    )
    for parameter in trainable.model.parameters():  # in place, whoever else still names the model: two of them need not fit
        parameter.data = parameter.data.new_empty(0)
    if work.keeps:  # one of the processes is enough, as all write the same
        require_as_said(record, said, work)
    return record


def require_as_said(record: Adapter, said: Said, work: Work) -> None:
    """
    Raises:
        MigakiError: what is in the work's folder, opened as later stages open it, does not score the rows as the trained model did.
    """

    def find(artifact: str) -> tuple[Path, Adapter]:
        return (work.path, record) if artifact == work.id else work.adapter(artifact)

    model, _ = open_model(work.model.path, (work.path, record), find, work.device, beside=True)
    found = score_examples(model, said.rows)
    tokens = sum(score.tokens for score in said.scores)
    apart = sum(abs(one.nll - other.nll) for one, other in zip(found, said.scores, strict=True)) / max(1, tokens)
    if not apart <= TOLERANCE:  # so put, a loss that is no number is refused
        trained, opened = (sum(score.nll for score in scores) / max(1, tokens) for scores in (said.scores, found))
        raise MigakiError(
            f"the {work.model.path.name!r} model that was trained has a loss of {trained:.4f} nats a token on {len(said.rows)} rows, and {opened:.4f} once it is "
            f"saved and opened again ({apart:.2g} apart, {TOLERANCE} is explained by rounding): its adapters cannot be merged truly, so nothing was kept. "
            f"Accepted: lora_targets = attention or all-linear, or method = full"
        )
