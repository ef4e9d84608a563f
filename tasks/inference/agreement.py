"""Whether a model, opened as Migaki computes with it, gives what its own forward gives: run in parts, decoded from a cache, and packed.

In float32 all ways must agree to 1e-4 nats, or where a large model rounds by more than that, to twice what is between its own forward with its own
cache and without. In fewer bits each way rounds in its own order, so they may be as far apart as the model's own
forward in those bits is from the one in float32, and no farther; and the same model in float32 must agree as above.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.inference.sampling import forced_logits
from tasks.models.agreement import TOLERANCE, Agreement, Forward, agreement, logprobs_of, model_forward, noted, row_of, worst
from tasks.models.families import context_length
from tasks.models.packed import pack_linear
from tasks.models.trunk import causal_lm, input_embeddings, layer_count

TEXT = "Kyoto has 1,600 temples; each of them is worth a visit, isn't it?"
PROBE, DRAWN, SHORTER = 12, 3, 3  # tokens of the probe, those of them that come from the cache, and by how much a second row is shorter
# Nats allowed where float32 does not fit in memory to measure what fewer bits explain: twice to five times what is between decoding from the
# cache and a whole forward of the bundled model. LLM.int8() rounds by what else is in the pass.
UNMEASURED = {"bfloat16": 1.0, "nf4": 1.0, "int8": 4.0}
FEWER_BITS = 0.05  # of the largest state: what rounding to them explains inside of a model
OWN_TWICE = 2  # times the distance between a model's own two ways: what rounding explains of a third
SPARE = 1.25  # memory for float32 weights and what comes on top


@dataclass(frozen=True)
class Verdict:
    """How far a model's ways are from its own forward (nats of log-probability), by way; and the most that was allowed."""

    distances: dict[str, float]
    limit: float

    @property
    def distance(self) -> float:
        return max(self.distances.values())


def probe_ids(model: nn.Module, tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    """The first tokens of a fixed text; tokens spread over the vocabulary where the tokenizer makes fewer of it, or some that the model has not."""
    rows = input_embeddings(model).weight.shape[0]
    length = min(PROBE, context_length(causal_lm(model).config) or PROBE)
    ids = list(tokenizer(TEXT, add_special_tokens=False)["input_ids"])[:length] if tokenizer else []
    return ids if len(ids) == length and max(ids) < rows else [(1 + 7 * i * rows // 61) % rows for i in range(length)]


@torch.no_grad()
def cached_agreement(model: nn.Module, ids: Sequence[int], tolerance: float = TOLERANCE, wanted: Forward | None = None) -> Agreement:
    """Hold batched sampling with its key-value cache against `model(input_ids).logits`, for a row of `ids` and a shorter one beside it.

    `wanted` is `model_forward` of the ids, where it is there already.

    Raises:
        MigakiError: the architecture keeps a cache that is not known.
    """
    rows = [list(ids), list(ids[SHORTER:])]
    try:
        with noted(model) as entering:
            logits = forced_logits(model, rows, DRAWN)
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as cause:
        raise MigakiError(
            f"models of the family {causal_lm(model).config.model_type!r} cannot be decoded from a cache ({type(cause).__name__}: {cause}): "
            "this architecture is not supported"
        ) from cause
    found = [Forward(logprobs_of(logits[i]), row_of(entering, i, len(row))) for i, row in enumerate(rows)]
    own = [wanted or model_forward(model, ids), model_forward(model, rows[1])]
    return worst([one.against(other, tolerance) for one, other in zip(found, own, strict=True)])


def examined(
    model: PreTrainedModel, ids: Sequence[int], precision: str, exact: Callable[[], PreTrainedModel] | None, log: Callable[[str], object]
) -> Verdict:
    """The verdict on a model that is to be trained or measured.

    Args:
        precision: of the weights: "float32", or what takes fewer bits.
        exact: opens the same model in float32 on the CPU; called for fewer bits only, and where it fits in memory. None where there is none.

    Raises:
        MigakiError: a way is farther from the model's own forward than the precision explains; says how far, and where it begins.
    """
    original = _original(model, precision, exact, log)
    if original is not None:  # a slip of Migaki's own may be smaller than what fewer bits round, and shows here
        exactly = model_forward(original, ids)
        ways = _ways(original, ids, exactly, "float32")
        _judged(original, ways, _float32_limit(original, ids, exactly, ways), "float32")
    wanted = model_forward(model, ids)
    ways = _ways(model, ids, wanted, precision)
    limit = _float32_limit(model, ids, wanted, ways) if precision == "float32" else _limit(ids, wanted, precision, original)
    return _judged(model, ways, limit, precision)


@torch.no_grad()
def _float32_limit(model: PreTrainedModel, ids: Sequence[int], wanted: Forward, ways: Mapping[str, Agreement]) -> float:
    """Nats that float32 explains. What the model's own two ways are apart is measured only where the usual is not enough."""
    if all(one.distance <= TOLERANCE for one in ways.values()):
        return TOLERANCE
    half = len(ids) // 2
    tokens = torch.tensor([list(ids)], device=model.device)
    begun = model(input_ids=tokens[:, :half], use_cache=True)
    ended = model(input_ids=tokens[:, half:], past_key_values=begun.past_key_values, use_cache=True)
    own = torch.cat([logprobs_of(begun.logits[0]), logprobs_of(ended.logits[0])])
    return max(TOLERANCE, OWN_TWICE * float((own - wanted.logprobs.to(own.device)).abs().max()))


def _ways(model: PreTrainedModel, ids: Sequence[int], wanted: Forward, precision: str) -> dict[str, Agreement]:
    tolerance = TOLERANCE if precision == "float32" else FEWER_BITS
    return {
        "run in parts": agreement(model, ids, tolerance, wanted),
        "decoded from the cache": cached_agreement(model, ids, tolerance, wanted),
    }


def packed(model: PreTrainedModel, ids: Sequence[int], precision: str, exact: Callable[[], PreTrainedModel] | None) -> Verdict:
    """Put packed layers into a model that is to be served (`tasks.models.packed`), and give the verdict on it. Arguments and errors: `examined`."""
    wanted = model_forward(model, ids)
    limit = _limit(ids, wanted, precision, _original(model, precision, exact))
    pack_linear(model, head=model.get_output_embeddings())
    found = model_forward(model, ids).against(wanted, TOLERANCE if precision == "float32" else FEWER_BITS)
    return _judged(model, {"with packed layers": found}, limit, precision)


def _original(
    model: PreTrainedModel,
    precision: str,
    exact: Callable[[], PreTrainedModel] | None,
    log: Callable[[str], object] = lambda line: None,
) -> PreTrainedModel | None:
    """The model in float32, for one in fewer bits and where it is to be had and fits; `log` hears of it where not."""
    if precision == "float32":
        return None
    needed, free = SPARE * 4 * model.num_parameters(), psutil.virtual_memory().available
    if exact is not None and needed <= free:
        return exact()
    why = f"{free / 2**30:.1f} GiB are free and it takes {needed / 2**30:.1f}" if exact else "it is not to be had"
    log(
        f"the model is not held against itself in float32 ({why}): in {precision}, {UNMEASURED[precision]} nats between two ways through it are let pass"
    )
    return None


def _limit(ids: Sequence[int], wanted: Forward, precision: str, original: PreTrainedModel | None) -> float:
    """Nats that the precision explains: in fewer bits the distance of the model's own forward from that in float32."""
    if precision == "float32":
        return TOLERANCE
    return max(TOLERANCE, wanted.against(model_forward(original, ids)).distance) if original else UNMEASURED[precision]


def _judged(model: nn.Module, found: Mapping[str, Agreement], limit: float, precision: str) -> Verdict:
    for way, one in found.items():
        if not one.distance <= limit:  # so put, a distance that is no number is refused
            layers = layer_count(model)
            where = (
                f"at layer {one.layer} of {layers}"
                if one.layer is not None and one.layer < layers
                else "after the last layer (norm and head)"
            )
            raise MigakiError(
                f"a {causal_lm(model).config.model_type!r} model in {precision} on {causal_lm(model).device.type} {way} does not give what its own forward "
                f"gives: log-probabilities differ by up to {one.distance:.2g} nats, {limit:.2g} are explained by rounding; the difference begins {where}. "
                "Whatever was computed on it would be wrong: take another model, or float32 where that agrees"
            )
    return Verdict({way: one.distance for way, one in found.items()}, limit)
