"""Packed layers for a model that serves, held once against the model without them."""

from functools import partial

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from storage.kinds import Model
from tasks.inference.agreement import Verdict, packed, probe_ids
from tasks.models.loader import load_model
from tasks.models.packed import pack_linear
from tasks.stages.opening import once


def pack_checked(home: Home, ref: ArtifactRef, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, dtype: str) -> None:
    """Put packed layers into the model of a `model` artifact, which is open in `dtype`. The verdict is kept in the home.

    Raises:
        MigakiError: with them the model does not give what it gives without.
    """
    record = Model.of(ref.meta, f"the model {ref.id[:12]}")
    quantized = record.precision in ("int8", "nf4")
    exact = None if quantized else partial(load_model, ArtifactStore(home).path(ref) / record.model)

    def check() -> Verdict:
        return packed(model, probe_ids(model, tokenizer), record.precision if quantized else dtype, exact)

    if not once(home, ref.id, f"packed {record.precision} in {dtype}", model.device, check):
        pack_linear(model, head=model.get_output_embeddings())
