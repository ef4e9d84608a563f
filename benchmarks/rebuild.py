"""How long an index of some 10,000 chunks takes: cold, after 1 % of the documents changed, and when nothing did.

    python benchmarks/rebuild.py ../shared/data [--home DIR] [--backend auto] [--chunk-tokens 128] [--rounds 3]

The corpus is the paragraphs of JSQuAD, JaQuAD and XQuAD and the abstracts of Cranfield, a text file each, and Debian's manuals in HTML.
The stage is measured in this process after its imports (looking up its key, building, checksums); the command as a user runs it.
Prints a line of JSON for every build, and at the end one with the ratios.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss  # noqa: F401  (imported by the stage: its time is not the build's)
import sentence_transformers  # noqa: F401

from flows.running.parameters import BUNDLED_EMBEDDER, BUNDLED_EMBEDDER_EN
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from storage.registry import register
from tasks.rag.settings import IndexSettings
from tasks.rag.spec import INDEX
from tasks.rag.task import index
from tasks.stages.execute import ingredients, models_of
from tasks.stages.work import Context, Work

ROOT = Path(__file__).resolve().parent.parent
QUIET = {"emit": lambda text, final: None, "log": lambda text: None}


def write_corpus(data: Path, folder: Path) -> list[Path]:
    """The documents, as files; returns those that can be changed."""
    folder.mkdir(parents=True)
    texts = [
        paragraph["context"]
        for file in [data / "qa/jsquad_valid.json", *sorted((data / "qa/jaquad").glob("*.json")), data / "qa/xquad_en_half.json"]
        for article in json.loads(file.read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
    ]
    cranfield = (data / "qa/cranfield/cran.all.1400").read_text(encoding="latin-1")
    texts += [re.sub(r"\n\.[A-Z]\n", "\n\n", text.partition("\n")[2]) for text in re.split(r"^\.I ", cranfield, flags=re.M)[1:]]
    written = []
    for number, text in enumerate(dict.fromkeys(texts)):
        written.append(folder / f"{number // 100:03}" / f"{number:05}.txt")
        written[-1].parent.mkdir(exist_ok=True)
        written[-1].write_text(text, encoding="utf-8")
    for page in sorted((data / "docs").rglob("*.html")):
        target = folder / "debian" / page.relative_to(data / "docs")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, target)
    return written


def change(files: list[Path], share: float, number: int) -> int:
    """Put a new sentence before the text of some of the files, others in each round."""
    chosen = files[number :: round(1 / share)]
    for path in chosen:
        path.write_text(f"Revision {number} of this page. {path.read_text(encoding='utf-8')}", encoding="utf-8")
    return len(chosen)


def build(context: Context, settings: IndexSettings, dataset: ArtifactRef) -> tuple[ArtifactRef, float]:
    """The stage's artifact, found or made, and the seconds that took; as `tasks.stages.execute` does it, without Prefect's own time."""
    start, store = time.perf_counter(), ArtifactStore(context.home)
    key = ingredients(INDEX, settings, {"dataset": dataset}, context).key
    found = store.find("index", key)
    if found is None:
        with store.draft("index", key) as folder:
            work = Work(INDEX, folder, context, models_of(INDEX, context))
            record = index(settings, {"dataset": dataset}, work)
            work.write_tables()
            found = store.commit(folder, manifest("index", record.meta(), {"dataset": dataset.id}))
    return found, time.perf_counter() - start


def manifest(stage: str, meta: dict, inputs: dict) -> dict:
    about = {"stage": stage, "run_id": "benchmark", "settings": {}, "inputs": inputs, "model": None, "embedder": BUNDLED_EMBEDDER}
    return about | {"meta": meta, "seconds": 0.0, "created": "2026-01-01T00:00:00"}


def empty_dataset(home: Home) -> ArtifactRef:
    store = ArtifactStore(home)
    with store.draft("dataset", "0" * 64) as folder:
        made = store.commit(folder, manifest("prepare", {}, {}))
    register(home, made)
    return made


def command(home: Home, documents: Path, settings: IndexSettings) -> float:
    """Seconds of `migaki index`."""
    words = [
        "index",
        "--documents",
        str(documents),
        "--home",
        str(home.root),
        "--set",
        f"index.embedder_backend={settings.embedder_backend}",
    ]
    words += ["--set", f"index.chunk_tokens={settings.chunk_tokens}"]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "flows.commands.main", *words],
        cwd=ROOT,
        check=True,
        capture_output=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    return time.perf_counter() - start


def tell(what: str, seconds: float, **more: object) -> None:
    print(json.dumps({"build": what, "seconds": round(seconds, 2)} | more), flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--home", type=Path, help="with the bundled embedder in it (default: MIGAKI_HOME)")
    arguments.add_argument("--backend", default="auto")
    arguments.add_argument("--chunk-tokens", type=int, default=IndexSettings().chunk_tokens)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as place:
        home, documents = Home(Path(place) / "home"), Path(place) / "documents"
        shutil.copytree((given.home or Home.current().root) / "models", home.root / "models")
        files = write_corpus(given.data, documents)
        context = Context(home, "", BUNDLED_EMBEDDER, embedder_en=BUNDLED_EMBEDDER_EN, **QUIET)
        settings = IndexSettings(documents=[str(documents)], embedder_backend=given.backend, chunk_tokens=given.chunk_tokens)
        dataset = empty_dataset(home)
        made, cold = build(context, settings, dataset)
        tell("cold", cold, documents=made.meta["documents"], chunks=made.meta["chunks"])
        same = [build(context, settings, dataset)[1] for _ in range(given.rounds)]
        tell("nothing changed", statistics.median(same))
        anew = [build(context, settings.model_copy(update={"k1": 0.5 + 0.01 * (i + 1)}), dataset)[1] for i in range(given.rounds)]
        tell("nothing changed but a setting of the search", statistics.median(anew))
        changed = []
        for number in range(given.rounds):
            count = change(files, 0.01, number)
            changed.append(build(context, settings, dataset)[1])
            tell("1 % changed", changed[-1], documents=count)
        change(files, 0.01, given.rounds)
        tell("1 % changed, the whole command", command(home, documents, settings))
        tell("nothing changed, the whole command", command(home, documents, settings))
        print(json.dumps({"cold_over_changed": round(cold / statistics.median(changed), 1), "backend": given.backend}))


if __name__ == "__main__":
    main()
