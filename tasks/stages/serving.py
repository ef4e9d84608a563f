"""A model as it serves: in the precision that its machine computes fastest, with packed layers, held once against the model without them."""

from functools import partial
from pathlib import Path

from storage.home import Home
from tasks.inference.agreement import Verdict, packed, probe_ids
from tasks.inference.local import LocalModel
from tasks.models.loader import load_model, load_tokenizer
from tasks.models.packed import multiplies_bfloat16, pack_linear
from tasks.stages.opening import once


def serving_model(home: Home, name: str, folder: Path, precision: str, dtype: str, device: str) -> LocalModel:
    """The model in a folder, for many people at once. The verdict on its packed layers is kept in the home.

    Args:
        name: what tells it from other models: the id of its artifact, or the checksum of a base.
        precision: what its weights are in (fp32, fp16, int8, nf4).
        dtype: what it is to compute in, as `chat.dtype` says.
        device: "cpu" or "cuda".

    Raises:
        MigakiError: it cannot be opened, or with packed layers it does not give what it gives without.
    """
    quantized = precision in ("int8", "nf4")
    dtype = compute_dtype(dtype, device, quantized)
    model, tokenizer = load_model(folder, dtype, device), load_tokenizer(folder)
    exact = None if quantized else partial(load_model, folder)

    def check() -> Verdict:
        return packed(model, probe_ids(model, tokenizer), precision if quantized else dtype, exact)

    if not once(home, name, f"packed {precision} in {dtype}", model.device, check):
        pack_linear(model, head=model.get_output_embeddings())
    return LocalModel(model, tokenizer, name)


def compute_dtype(wanted: str, where: str, quantized: bool) -> str:
    """What a model computes in, `wanted` or, of "auto", what is fast on that device: bitsandbytes computes in float32 on a CPU."""
    if quantized and where == "cpu":
        return "float32"
    if wanted != "auto":
        return wanted
    return "bfloat16" if where == "cuda" or multiplies_bfloat16() else "float32"
