"""The stage tune: teach the model to answer instructions, with the loss on the answers only."""

import json
import sys

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef
from storage.kinds import Adapter
from tasks.data.records import Instruction, load_instructions
from tasks.data.select import balanced
from tasks.errors import MigakiError
from tasks.models.data_parallel import gather, world_size
from tasks.models.opening import ChatChoice
from tasks.prompts.templates import OWN, template_name
from tasks.stages.opening import open_checked
from tasks.stages.work import Work, require
from tasks.training.estimate import longest_row
from tasks.training.examples import Encoded, Limit, encode_instructions, within_context
from tasks.training.fitting import fit, write_result
from tasks.training.methods import make_trainable, reserved
from tasks.training.settings import TuneSettings

LOUD = 0.01  # share of answer tokens cut from which it is a headline
NAMED = 5  # rows that are named
LEAST = 64  # tokens of a row that are tried however little memory is free


def tune(settings: TuneSettings, inputs: dict[str, ArtifactRef], work: Work) -> Adapter:
    """An adapter, or with `tune.method` = full a whole model, on the base model or on the pre-trained one.

    Raises:
        MigakiError: the dataset has no instructions, or none is left within `tune.max_tokens`.
    """
    dataset = require(inputs, "dataset", "prepare")
    folder, start = work.open(dataset), inputs.get("pretrained")
    rows, _ = balanced(load_instructions(folder, "train"), settings.max_rows)
    if not rows:
        raise MigakiError("the dataset has no instruction rows to learn from: give some with --instructions")
    chat = ChatChoice(settings.template, settings.thinking)
    trunk = "nf4" if settings.method == "qlora" else "float32"
    model, tokenizer = open_checked(work, start, trunk, chat, work.today(inputs))
    if (name := template_name(tokenizer)) != OWN:
        work.log(f"tune: the model has no chat template of its own; it learns the template {name!r} (tune.template)")
        work.headline("chat template", None, name)
    others = load_instructions(folder, "eval")
    limit, encoded = within_limit(settings, model, tokenizer, rows, others, work)
    held_out = encode_instructions(tokenizer, others, limit, settings.learn)
    report_lengths(encoded, limit, len(rows), work)
    trainable = make_trainable(model, settings)
    said = fit(trainable, encoded.examples, held_out.examples, settings, work, "tune")
    return write_result(
        trainable,
        tokenizer,
        start,
        work,
        said,
        rows=len(rows) - encoded.left_out,
        rows_shortened=encoded.shortened,
        rows_left_out=encoded.left_out,
        held_out_rows=len(held_out.examples),
        turns=encoded.turns,
        answer_tokens=encoded.answer_tokens,
        answer_tokens_cut=encoded.cut_tokens,
        max_tokens=limit.tokens,
        template=name,
        thinking=settings.thinking,
        notes=dict(encoded.notes) or None,
    )


def within_limit(
    settings: TuneSettings,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Instruction],
    held_out: list[Instruction],
    work: Work,
) -> tuple[Limit, Encoded]:
    """What `tune.max_tokens` comes to with this model, these rows and this machine, and the rows within it. Held-out rows count as well: one that
    is longer than all others would be measured on its beginning alone, and later stages would say another loss of it."""
    if settings.max_tokens != "auto":
        limit = Limit(within_context(model, settings.max_tokens, reserved(settings)), settings.cuts)
        return limit, encode_instructions(tokenizer, rows, limit, settings.learn)
    uncut = Limit(sys.maxsize, settings.cuts)
    whole = encode_instructions(tokenizer, rows, uncut, settings.learn)
    longest = max(whole.longest, encode_instructions(tokenizer, held_out, uncut, settings.learn).longest)
    context = within_context(model, longest, reserved(settings))
    memory = min(gather(world_size(), lambda processes: [longest_row(model, settings, len(rows), work.device, context)] * len(processes)))
    if memory < context:
        work.log(
            f"tune: rows of up to {memory:,} tokens are learnt whole, for the memory that is free; the longest has {longest:,}. A smaller "
            f"tune.micro_batch (now {settings.micro_batch}) lets longer ones in, tune.max_tokens sets the limit by hand"
        )
    limit = Limit(min(context, max(LEAST, memory)), settings.cuts)
    return limit, whole if limit.tokens >= whole.longest else encode_instructions(tokenizer, rows, limit, settings.learn)


def report_lengths(encoded: Encoded, limit: Limit, rows: int, work: Work) -> None:
    """Say what the limit cuts: in a line, and from a hundredth of the answer tokens on as a headline, with the rows in `cut.json`."""
    for note, count in sorted(encoded.notes.items()):
        work.log(f"tune: {count} of {rows} rows: {note}")
    work.metric("tune.answer_tokens_cut", encoded.cut_share)
    if not encoded.cut_tokens and not encoded.left_out:
        return
    worst = sorted(encoded.cut_rows, key=lambda row: -encoded.cut_rows[row])
    (work.path / "cut.json").write_text(json.dumps({row: encoded.cut_rows[row] for row in worst}, indent=1), encoding="utf-8")
    work.log(
        f"tune: {encoded.cut_share:.1%} of the answer tokens are not learnt: {encoded.shortened} of {rows} rows lost a part and "
        f"{encoded.left_out} all of it to {limit.setting} = {limit.tokens} (most: {', '.join(worst[:NAMED])}; all are in cut.json). "
        f"tune.max_tokens=auto takes rows whole where the context and the memory allow it; tune.cuts says which end goes"
    )
    if encoded.cut_share > LOUD:
        work.headline("ANSWER TOKENS NOT LEARNT", None, f"{encoded.cut_share:.1%}")
