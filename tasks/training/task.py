"""The stages tune (instruction tuning) and pretrain (continued next-token training)."""

import math
from typing import TYPE_CHECKING

from storage.artifacts import ArtifactRef
from tasks.errors import MigakiError
from tasks.stages.stage import Work, require, stage
from tasks.training.settings import PretrainSettings, TrainingSettings, TuneSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.models.batching import Example
    from tasks.models.likelihood import Score
    from tasks.training.loop import Trainable


@stage("tune", kind="adapter", settings=TuneSettings, parallel=True)
def tune(settings: TuneSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Teach the model to answer instructions: loss on the answers only."""
    from tasks.data.records import load_instructions
    from tasks.data.select import balanced
    from tasks.training.examples import encode_instructions, within_context
    from tasks.training.loop import make_trainable

    folder = work.open(require(inputs, "dataset", "prepare"))
    rows, _ = balanced(load_instructions(folder, "train"), settings.max_rows)
    if not rows:
        raise MigakiError("the dataset has no instruction rows to learn from: give some with --instructions")
    model, tokenizer = work.load(inputs.get("pretrained"))
    limit = within_context(model, settings.max_tokens)
    encoded = encode_instructions(tokenizer, rows, limit, "tune.max_tokens")
    held_out = encode_instructions(tokenizer, load_instructions(folder, "eval"), limit, "tune.max_tokens")
    work.meta |= {
        "rows": len(encoded.examples),
        "rows_shortened": encoded.shortened,
        "rows_left_out": encoded.left_out,
        "held_out_rows": len(held_out.examples),
    }
    if encoded.shortened or encoded.left_out:
        work.log(
            f"of {len(rows)} rows, {encoded.shortened} lost the end of their answer and {encoded.left_out} all of it to tune.max_tokens = {limit}"
        )
    trainable = make_trainable(model, settings)
    fit(trainable, encoded.examples, held_out.examples, settings, work, "tune")
    write_result(trainable, tokenizer, inputs.get("pretrained"), work)


@stage("pretrain", kind="adapter", settings=PretrainSettings, parallel=True)
def pretrain(settings: PretrainSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Go on with next-token training on raw text, in packed blocks."""
    from tasks.data.records import load_text
    from tasks.training.examples import packed_blocks, spread, within_context
    from tasks.training.loop import make_trainable

    folder = work.open(require(inputs, "dataset", "prepare"))
    texts = load_text(folder, "train")
    if not texts:
        raise MigakiError("the dataset has no raw text to learn from: give some with --text")
    model, tokenizer = work.load()
    size = within_context(model, settings.block_tokens)
    blocks = spread(packed_blocks(tokenizer, texts, size), settings.max_blocks)
    held_out = spread(packed_blocks(tokenizer, load_text(folder, "eval"), size), settings.max_eval_blocks)
    work.meta |= {"blocks": len(blocks), "held_out_blocks": len(held_out), "tokens": sum(len(block.ids) for block in blocks)}
    trainable = make_trainable(model, settings)
    fit(trainable, blocks, held_out, settings, work, "pretrain")
    write_result(trainable, tokenizer, None, work)


def fit(
    trainable: "Trainable", examples: "list[Example]", held_out: "list[Example]", settings: TrainingSettings, work: Work, name: str
) -> None:
    """Train, with the loss curve and the held-out loss before and after in the metrics."""
    from tasks.models.likelihood import score_examples
    from tasks.training.loop import total_steps, train

    states = trainable.final_states(held_out, settings.cache_mb)

    def score(when: str) -> "list[Score]":
        with work.progress(f"{name}: loss {when}", len(held_out)) as bar:
            return score_examples(trainable.model, held_out, final_states=states, on_batch=bar.advance)

    before = score("before")
    with work.progress(name, total_steps(len(examples), settings.batch_size, settings.epochs)) as bar:

        def on_step(step: int, loss: float) -> None:
            work.metric(f"{name}.loss", loss, step)
            bar.advance(loss=loss)

        train(trainable, examples, settings, on_step)
    report_held_out(name, held_out, before, score("after"), work)


def report_held_out(name: str, held_out: "list[Example]", before: "list[Score]", after: "list[Score]", work: Work) -> None:
    """Per language: loss per character (comparable across tokenizers), loss per token, perplexity; and the key figure over all."""
    from tasks.models.likelihood import mean_per_character

    if not held_out:
        work.log(f"{name}: the dataset has no held-out rows, so what was learnt is not measured (prepare.eval_share)")
        return
    for lang in sorted({example.lang for example in held_out}):
        for when, scores in (("before", before), ("after", after)):
            own = [score for example, score in zip(held_out, scores, strict=True) if example.lang == lang]
            work.metric(f"{name}.loss_per_character_{when}.{lang}", mean_per_character(own))
            per_token = sum(score.nll for score in own) / sum(score.tokens for score in own)
            work.metric(f"{name}.loss_per_token_{when}.{lang}", per_token)
            work.metric(f"{name}.perplexity_{when}.{lang}", math.exp(per_token))
    work.headline("held-out loss per character", mean_per_character(before), mean_per_character(after))


def write_result(trainable: "Trainable", tokenizer: "PreTrainedTokenizerBase", start: ArtifactRef | None, work: Work) -> None:
    """The adapter, on top of the chain it was trained on; or the whole model, with which a chain begins anew."""
    from peft import PeftModel

    from tasks.models.lora import save_adapter

    work.meta["trained_parameters"] = sum(p.numel() for p in trainable.parameters)
    if isinstance(trainable.model, PeftModel):
        save_adapter(trainable.model, "default", work.path / "adapter")
        work.meta["adapters"] = start.meta["adapters"] if start else []
    else:
        trainable.model.save_pretrained(work.path / "model")
        tokenizer.save_pretrained(work.path / "model")
        work.meta |= {"adapters": [], "model": "model"}
