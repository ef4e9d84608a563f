"""The stage tune: teach the model to answer instructions, with the loss on the answers only."""

from storage.artifacts import ArtifactRef
from storage.kinds import Adapter
from tasks.data.records import load_instructions
from tasks.data.select import balanced
from tasks.errors import MigakiError
from tasks.stages.opening import open_checked
from tasks.stages.work import Work, require
from tasks.training.examples import encode_instructions, within_context
from tasks.training.fitting import fit, write_result
from tasks.training.loop import make_trainable
from tasks.training.settings import TuneSettings


def tune(settings: TuneSettings, inputs: dict[str, ArtifactRef], work: Work) -> Adapter:
    """An adapter, or with `tune.method` = full a whole model, on the base model or on the pre-trained one.

    Raises:
        MigakiError: the dataset has no instructions, or none is left within `tune.max_tokens`.
    """
    folder = work.open(require(inputs, "dataset", "prepare"))
    rows, _ = balanced(load_instructions(folder, "train"), settings.max_rows)
    if not rows:
        raise MigakiError("the dataset has no instruction rows to learn from: give some with --instructions")
    start = inputs.get("pretrained")
    model, tokenizer = open_checked(work, start)
    limit = within_context(model, settings.max_tokens)
    encoded = encode_instructions(tokenizer, rows, limit, "tune.max_tokens")
    held_out = encode_instructions(tokenizer, load_instructions(folder, "eval"), limit, "tune.max_tokens")
    if encoded.shortened or encoded.left_out:
        work.log(
            f"of {len(rows)} rows, {encoded.shortened} lost the end of their answer and {encoded.left_out} all of it to tune.max_tokens = {limit}"
        )
    trainable = make_trainable(model, settings)
    said = fit(trainable, encoded.examples, held_out.examples, settings, work, "tune")
    return write_result(
        trainable,
        tokenizer,
        start,
        work,
        said,
        rows=len(encoded.examples),
        rows_shortened=encoded.shortened,
        rows_left_out=encoded.left_out,
        held_out_rows=len(held_out.examples),
    )
