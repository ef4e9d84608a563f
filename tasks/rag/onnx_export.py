"""The embedder as an ONNX graph in int8: pooling and normalisation inside, weights quantized per output channel, activations as they come.

Made once per model and versions of what makes it, in a folder that appears whole or not at all. The loss is measured on sentences in
every language and kept beside the graph. Activations share one scale per batch, so a vector depends a little on its batch.
"""

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from sentence_transformers import SentenceTransformer

from tasks.errors import MigakiError
from tasks.models.word_table import PackedTable
from tasks.rag.unit_vectors import UnitVectors, example, quiet
from tasks.text.language import languages

GRAPH, FACTS, TABLE = "model.onnx", "facts.json", "table.bin"
LARGEST = 2**24  # bytes of what lies in the graph's own file
OPSET = 17
Encode = Callable[[list[str]], list[list[int]]]
log = logging.getLogger(__name__)


class Int8Model:
    """An exported model, opened. `facts` has its cosine with fp32: `cosine.mean.LANGUAGE` and `cosine.min.LANGUAGE`."""

    def __init__(self, folder: Path, threads: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Weights are freed where they were read once they are packed, and lie in no arena, which would grow by doubling.
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would take the cores from PyTorch's
        self.session = onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
        facts = folder / FACTS
        self.facts: dict[str, float] = json.loads(facts.read_text(encoding="utf-8")) if facts.exists() else {}

    def run(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(rows, dimension) unit vectors of (rows, tokens) ids."""
        return self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def export_int8(model: SentenceTransformer, checksum: str, cache: Path, encode: Encode) -> Path:
    """The folder below `cache` with the model's int8 graph, made when it is not there.

    Args:
        model: in fp32 on the CPU, its layers as they were loaded.
        checksum: of the model; with the limit and the versions it names the folder.
        encode: texts to token ids, as the embedder does it.

    Raises:
        MigakiError: the folder cannot be written.
    """
    versions = f"torch{torch.__version__.partition('+')[0]}-ort{onnxruntime.__version__}"
    folder = cache / f"{checksum[:32]}-{model.max_seq_length}-{versions}"
    if (folder / FACTS).exists():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MigakiError(
            f"the embedder's int8 export cannot be kept in {str(cache)!r} ({error.strerror}): take the backend torch, "
            "or copy the model to a folder beside which files can be written"
        ) from error
    with tempfile.TemporaryDirectory(dir=cache, prefix=".export-") as scratch:
        built = _build(model, Path(scratch), encode)
        try:
            built.rename(folder)
        except OSError:  # another process was first
            if not (folder / FACTS).exists():
                raise
    return folder


def _build(model: SentenceTransformer, scratch: Path, encode: Encode) -> Path:
    """A folder with the quantized graph and its facts."""
    built, exported, shaped, quantized = (scratch / name for name in ("built", "fp32.onnx", "shaped.onnx", "int8.onnx"))
    built.mkdir()
    graph = UnitVectors(model).eval()
    _export(graph, exported)
    quant_pre_process(str(exported), str(shaped), skip_symbolic_shape=True)
    # A packed word table stays as it is: its scales are no weights to be quantized again.
    kinds = ["MatMul"] if any(isinstance(part, PackedTable) for part in graph.modules()) else None
    quantize_dynamic(str(shaped), str(quantized), op_types_to_quantize=kinds, per_channel=True, weight_type=QuantType.QInt8)
    # A large table lies in a file of its own, which is mapped: only what texts look up of it is in memory.
    onnx.save_model(
        onnx.load(str(quantized)),
        str(built / GRAPH),
        save_as_external_data=True,
        location=TABLE,
        size_threshold=LARGEST,
        convert_attribute=False,
    )
    facts = cosine_loss(graph, Int8Model(built, torch.get_num_threads()), encode)
    (built / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    log.info("embedder exported in int8, cosine with fp32: %s", facts)
    return built


def _export(graph: UnitVectors, file: Path) -> None:
    axes = {0: "rows", 1: "tokens"}
    with torch.no_grad(), quiet():
        torch.onnx.export(
            graph,
            example(2, 8),
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=["vectors"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "vectors": {0: "rows"}},
        )


@torch.no_grad()
def cosine_loss(graph: torch.nn.Module, quantized: Int8Model, encode: Encode) -> dict[str, float]:
    """Cosine of the int8 vectors with the fp32 ones, mean and least, over sentences of each language."""
    facts: dict[str, float] = {}
    for lang, language in languages().items():
        cosines = []
        for ids in encode(list(language.SAMPLE)):
            row = np.array([ids], dtype=np.int64)
            exact = graph(torch.from_numpy(row), torch.ones(row.shape, dtype=torch.long)).numpy()
            cosines.append(float((exact * quantized.run(row, np.ones_like(row))).sum()))
        facts |= {f"cosine.mean.{lang}": float(np.mean(cosines)), f"cosine.min.{lang}": min(cosines)}
    return facts
