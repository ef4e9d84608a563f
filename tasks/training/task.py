"""The stages tune (instruction tuning) and pretrain (continued next-token training)."""

import math
from typing import TYPE_CHECKING

from storage import ArtifactRef
from tasks.errors import MigakiError
from tasks.stage import Work, require, stage
from tasks.training.settings import PretrainSettings, TrainingSettings, TuneSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tasks.models.batching import Example
    from tasks.training.loop import Trainable


@stage("tune", kind="adapter", settings=TuneSettings)
def tune(settings: TuneSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Teach the model to answer instructions: loss on the answers only."""
    from tasks.data.records import load_instructions
    from tasks.data.select import balanced
    from tasks.training.examples import instruction_examples

    folder = work.open(require(inputs, "dataset", "prepare"))
    model, tokenizer = work.load(inputs.get("pretrained"))
    rows, _ = balanced(load_instructions(folder, "train"), settings.max_rows)
    if not rows:
        raise MigakiError("the dataset has no instruction rows to learn from: give some with --instructions")
    examples, left_out = instruction_examples(tokenizer, rows, settings.max_tokens)
    held_out, _ = instruction_examples(tokenizer, load_instructions(folder, "eval"), settings.max_tokens)
    work.meta["rows"], work.meta["rows_without_answer"] = len(examples), left_out
    if left_out:
        work.log(f"{left_out} of {len(rows)} rows were left out: their prompts alone reach tune.max_tokens = {settings.max_tokens}")
    _fit(model, tokenizer, examples, held_out, settings, settings.epochs, work, "tune", inputs.get("pretrained"))


@stage("pretrain", kind="adapter", settings=PretrainSettings)
def pretrain(settings: PretrainSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Go on with next-token training on raw text, in packed blocks."""
    from tasks.data.records import load_text
    from tasks.training.examples import packed_blocks

    folder = work.open(require(inputs, "dataset", "prepare"))
    model, tokenizer = work.load()
    blocks = packed_blocks(tokenizer, load_text(folder, "train"), settings.block_tokens)
    if not blocks:
        raise MigakiError(f"the dataset has no raw text, or less than half a block of {settings.block_tokens} tokens: give some with --text")
    held_out = []
    for lang in ("en", "ja"):
        own = [text for text in load_text(folder, "eval") if text.lang == lang]
        held_out += packed_blocks(tokenizer, own, settings.block_tokens)[: settings.max_eval_blocks]
    blocks = blocks[:: max(1, len(blocks) // settings.max_blocks)][: settings.max_blocks] if settings.max_blocks else blocks
    work.meta["blocks"] = len(blocks)
    _fit(model, tokenizer, blocks, held_out, settings, settings.epochs, work, "pretrain", None)


def _fit(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", examples: "list[Example]", held_out: "list[Example]", settings: TrainingSettings,
         epochs: float, work: Work, name: str, start: ArtifactRef | None) -> None:
    """Train, measure held-out loss before and after, and write the adapter (or the whole model)."""
    from tasks.models.likelihood import CachedTrunk, score_examples
    from tasks.training.loop import make_trainable, total_steps, train

    trainable = make_trainable(model, examples, settings)
    states = CachedTrunk(trainable.model, trainable.layer, held_out, settings.cache_mb << 20) if settings.method == "lora" else None
    trainable.model.eval()
    with work.progress(f"{name}: held-out loss", len(held_out)) as bar:
        before = score_examples(trainable.model, held_out, final_states=states, on_batch=bar.advance)
    with work.progress(name, total_steps(len(examples), settings.batch_size, epochs)) as bar:
        def on_step(step: int, loss: float, _rows: int) -> None:
            work.metric(f"{name}.loss", loss, step)
            bar.advance(loss=loss)

        train(trainable, examples, settings, epochs, on_step)
    after = score_examples(trainable.model, held_out, final_states=states)
    _report(name, held_out, before, after, work)
    _save(trainable, tokenizer, settings, work, start)


def _report(name: str, held_out: "list[Example]", before: list, after: list, work: Work) -> None:
    from tasks.models.likelihood import mean_per_character

    for lang in sorted({example.lang for example in held_out}):
        for when, scores in (("before", before), ("after", after)):
            own = [score for example, score in zip(held_out, scores, strict=True) if example.lang == lang]
            per_token = sum(score.nll for score in own) / max(1, sum(score.tokens for score in own))
            work.metric(f"{name}.held_out_loss_{when}.{lang}", mean_per_character(own))
            work.metric(f"{name}.perplexity_{when}.{lang}", math.exp(min(50.0, per_token)))
    if held_out:
        work.headline("held-out loss per character", mean_per_character(before), mean_per_character(after))


def _save(trainable: "Trainable", tokenizer: "PreTrainedTokenizerBase", settings: TrainingSettings, work: Work, start: ArtifactRef | None) -> None:
    parameters = sum(p.numel() for p in trainable.parameters)
    work.meta["trained_parameters"] = parameters
    if settings.method == "full":
        trainable.model.save_pretrained(work.path / "model")
        tokenizer.save_pretrained(work.path / "model")
        work.meta |= {"adapters": [], "model": "model"}
    else:
        trainable.model.save_pretrained(work.path / "adapter")
        work.meta["adapters"] = start.meta["adapters"] if start else []
