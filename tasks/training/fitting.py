"""What tune and pretrain share: training with its figures, and what is left of it."""

import math
from typing import Any

from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef
from storage.kinds import Adapter
from tasks.models.batching import Example
from tasks.models.likelihood import Score, mean_per_character, score_examples
from tasks.models.lora import adapted_modules, expert_parameters, save_adapter
from tasks.models.trunk import causal_lm
from tasks.stages.work import Work
from tasks.training.loop import Trainable, total_steps, train
from tasks.training.settings import TrainingSettings


def fit(trainable: Trainable, examples: list[Example], held_out: list[Example], settings: TrainingSettings, work: Work, name: str) -> None:
    """Train, with the loss curve and the held-out loss before and after in the metrics."""
    if isinstance(trainable.model, PeftModel) and (experts := expert_parameters(trainable.model)):
        work.log(
            f"{name}: adapters are on {', '.join(adapted_modules(trainable.model))}; the experts of this model ({experts:,} parameters) stay as they are"
        )
    states = trainable.final_states(held_out, settings.cache_mb)

    def score(when: str) -> list[Score]:
        with work.progress(f"{name}: loss {when}", len(held_out)) as bar:
            return score_examples(trainable.model, held_out, final_states=states, on_batch=bar.advance)

    before = score("before")
    with work.progress(name, total_steps(len(examples), settings.batch_size, settings.epochs)) as bar:

        def on_step(step: int, loss: float) -> None:
            work.metric(f"{name}.loss", loss, step)
            bar.advance(loss=loss)

        train(trainable, examples, settings, on_step)
    report_held_out(name, held_out, before, score("after"), work)


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


def write_result(trainable: Trainable, tokenizer: PreTrainedTokenizerBase, start: ArtifactRef | None, work: Work, **counts: Any) -> Adapter:
    """The adapter, on top of the chain it was trained on; or the whole model, with which a chain begins anew. `counts` are fields of `Adapter`."""
    trained = sum(p.numel() for p in trainable.parameters)
    if isinstance(trainable.model, PeftModel):
        save_adapter(trainable.model, "default", work.path / "adapter")
        below = work.record(start, Adapter).adapters if start else []
        return Adapter(adapters=[*below, work.id], trained_parameters=trained, **counts)
    causal_lm(trainable.model).save_pretrained(work.path / "model")
    tokenizer.save_pretrained(work.path / "model")
    return Adapter(adapters=[work.id], model="model", trained_parameters=trained, **counts)
