"""A sentence-transformers model as one module, token ids to unit vectors, and its trace: what an export and a fast question start from."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

log = logging.getLogger(__name__)


class UnitVectors(torch.nn.Module):
    """Token ids and mask (rows, tokens) to unit vectors (rows, dimension)."""

    def __init__(self, model: SentenceTransformer):
        super().__init__()
        # Not the model itself: a trace reads every attribute, and some of a SentenceTransformer's warn when read.
        self.steps = torch.nn.ModuleList(model)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        for step in self.steps:
            features = step(features)
        return torch.nn.functional.normalize(features["sentence_embedding"].float(), dim=1)


def example(rows: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask to trace with; the last row is padded, else the trace would have no mask."""
    ids = torch.ones(rows, tokens, dtype=torch.long)
    mask = ids.clone()
    mask[-1, tokens // 2 :] = 0
    return ids, mask


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of what becomes constant in a trace, which is compared with the model afterwards, of attributes that a trace reads, or of
    weights in float16, which are about to become something else; and no bars of progress."""
    before, loading = transformers_logging.get_verbosity(), logging.getLogger("sentence_transformers")
    level, bars = loading.level, transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    loading.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(before)
        loading.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


@torch.inference_mode()
def traced(graph: UnitVectors) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The graph without Python between its operators: a quarter of the time that a question takes.

    A model that cannot be traced, or whose trace computes something else for other shapes, is given back as it is.
    """
    try:
        with quiet():
            trace = torch.jit.trace(graph, example(2, 8), check_trace=False)
        for shape in ((1, 2), (3, 13)):
            torch.testing.assert_close(trace(*example(*shape)), graph(*example(*shape)), atol=1e-5, rtol=1e-4)
    except (RuntimeError, AssertionError) as error:
        log.info("questions are embedded without a trace: %s", error)
        return graph
    return trace
