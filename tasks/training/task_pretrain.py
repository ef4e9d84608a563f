"""The stage pretrain: go on with next-token training on raw text, in packed blocks."""

from storage.artifacts import ArtifactRef
from storage.kinds import Adapter
from tasks.data.records import load_text
from tasks.errors import MigakiError
from tasks.stages.opening import open_checked
from tasks.stages.work import Work, require
from tasks.training.examples import packed_blocks, spread, within_context
from tasks.training.fitting import fit, write_result
from tasks.training.methods import make_trainable
from tasks.training.settings import PretrainSettings


def pretrain(settings: PretrainSettings, inputs: dict[str, ArtifactRef], work: Work) -> Adapter:
    """An adapter, or with `pretrain.method` = full a whole model, on the base model.

    Raises:
        MigakiError: the dataset has no raw text.
    """
    folder = work.open(require(inputs, "dataset", "prepare"))
    texts = load_text(folder, "train")
    if not texts:
        raise MigakiError("the dataset has no raw text to learn from: give some with --text")
    model, tokenizer = open_checked(work, None)
    size = within_context(model, settings.block_tokens)
    blocks = spread(packed_blocks(tokenizer, texts, size), settings.max_blocks)
    held_out = spread(packed_blocks(tokenizer, load_text(folder, "eval"), size), settings.max_eval_blocks)
    trainable = make_trainable(model, settings)
    said = fit(trainable, blocks, held_out, settings, work, "pretrain")
    tokens = sum(len(block.ids) for block in blocks)
    return write_result(trainable, tokenizer, None, work, said, blocks=len(blocks), held_out_blocks=len(held_out), tokens=tokens)
