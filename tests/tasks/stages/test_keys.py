"""What is in an artifact's key: every file that can change what is computed, and nothing that cannot."""

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from flows.catalogue.stages import STAGES
from storage.artifacts import ArtifactRef
from tasks.stages import keys
from tasks.stages.keys import EXCLUDED, Ingredients, code_hash, is_excluded, reach, sources, versions
from tasks.training.settings import TuneSettings
from tests import ROOT
from tests.helpers.align_project import FREE, SMALL
from tests.helpers.models import tiny_llama, tiny_tokenizer

TRAINING = {
    "tune",
    "pretrain",
    "reward",
    "align",
    "choose",
    "quantize",
    "answering",
    "evaluate",
    "prompt_study",
    "own_prompts",
    "peft_study",
    "benchmark",
    "decoding_study",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The sources in a folder of their own."""
    root = tmp_path_factory.mktemp("tree")
    for layer in ("tasks", "storage", "flows", "tests", "docs"):
        shutil.copytree(ROOT / layer, root / layer, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", root)
    return root


@pytest.fixture
def copy(tree, monkeypatch):
    """The folder of the sources, which `keys` reads instead; who changes something there changes it back."""
    monkeypatch.setattr(keys, "ROOT", tree)
    return tree


def hashed() -> dict[str, dict[str, str]]:
    """SHA-256 of each file in its key, by stage and path."""
    return {name: sources(spec.module) for name, spec in STAGES.items()}


@contextmanager
def edited(copy, paths):
    """With one more line at the end of each file."""
    texts = {path: (copy / path).read_bytes() for path in paths}
    try:
        for path, text in texts.items():
            (copy / path).write_bytes(text + b"\n# one more line\n")
        yield
    finally:
        for path, text in texts.items():
            (copy / path).write_bytes(text)


def changed(copy, path: str) -> set[str]:
    """The stages whose keys change with one more line at the end of a file."""
    before = hashed()
    with edited(copy, [path]):
        after = hashed()
    return {name for name in before if before[name] != after[name]}


def test_an_edit_of_each_hashed_file_changes_the_key(copy, monkeypatch):
    before = hashed()
    with edited(copy, sorted(set().union(*before.values()))):
        after = hashed()
    for name, files in before.items():
        assert after[name].keys() == files.keys() and [path for path in files if after[name][path] == files[path]] == [], name
        found = {}
        for path in files:
            monkeypatch.setattr(keys, "sources", lambda module, one=files | {path: after[name][path]}: one)
            found[path] = code_hash(STAGES[name].module)
        monkeypatch.setattr(keys, "sources", lambda module, one=files: one)
        assert len({code_hash(STAGES[name].module), *found.values()}) == 1 + len(files), name


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("tasks/models/loader.py", TRAINING),
        ("tasks/models/opening.py", TRAINING),
        ("tasks/models/unmerged.py", TRAINING),
        ("tasks/models/quantized.py", TRAINING),
        ("tasks/models/lora.py", TRAINING),
        ("tasks/models/batching.py", TRAINING),
        ("tasks/prompts/template.py", TRAINING),
        ("tasks/rlhf/ppo.py", {"align"}),
        ("tasks/rlhf/reward.py", {"reward", "align", "choose", "evaluate"}),
        ("tasks/training/task_tune.py", {"tune"}),
        ("tasks/rag/chunking.py", {"index"}),
        ("tasks/evaluation/summary.py", {"evaluate"}),
    ],
)
def test_what_an_edit_makes_anew(copy, path, stages):
    assert changed(copy, path) == stages


def test_segments_are_in_the_key_of_the_index(copy):
    assert "index" in changed(copy, "storage/segments.py")


def test_a_language_counts_by_what_is_used_of_it(copy):
    assert changed(copy, "tasks/text/languages/ja/text.py") >= {"prepare", "index", "evaluate"}
    assert changed(copy, "tasks/text/languages/ja/chat.py") == {"calibrate", "answering", "evaluate", "own_prompts"}
    (copy / "tasks/text/languages/el").mkdir()
    before = hashed()
    (copy / "tasks/text/languages/el/text.py").write_text("CODE = 'el'\n", encoding="utf-8")
    after = hashed()
    shutil.rmtree(copy / "tasks/text/languages/el")
    assert {name for name in before if after[name] != before[name]} >= {"prepare", "index"}


def test_what_computes_nothing_is_in_no_key(copy):
    web = [
        path.relative_to(copy).as_posix()
        for path in (copy / "tasks/chatbot/web").rglob("*")
        if path.suffix in (".py", ".js", ".html", ".css")
    ]
    assert len(web) > 10
    pages = [path.relative_to(copy).as_posix() for path in (copy / "docs").rglob("*.md")]
    tests = ["tests/helpers/align_project.py", "tests/tasks/stages/test_keys.py"]
    alone = ["README.md", "flows/retrain.py", "flows/running/dispatch.py", *(name for name in EXCLUDED if "*" not in name)]
    before = hashed()
    with edited(copy, [*alone, *pages, *tests, *web]):
        assert hashed() == before


def test_every_exclusion_has_a_reason_and_a_file():
    for pattern, reason in EXCLUDED.items():
        assert len(reason) > 10 and list(ROOT.glob(pattern if "*" not in pattern else f"**/{pattern}")), pattern


def test_what_an_excluded_file_imports_is_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "ROOT", tmp_path)
    for name, text in {
        "tasks/x/task.py": "def body():\n    from tasks.progress import Bar\n",
        "tasks/progress.py": "from tasks.x.inner import f\n",
        "tasks/x/inner.py": "f = 1\n",
        "tasks/x/__init__.py": "",
        "tasks/x/other.py": "g = 1\n",
        "tasks/x/typing_only.py": "h = 1\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "tasks/x/inner.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tasks.x.typing_only import h\n"
    )
    assert set(sources("tasks.x.task")) == {"tasks/x/task.py", "tasks/x/inner.py", "tasks/x/__init__.py"}


def test_versions_are_of_the_libraries_that_the_body_imports(monkeypatch):
    monkeypatch.setattr(keys, "version", lambda package: "1.2+cpu")
    assert versions("tasks.data.task") == {}
    assert versions(STAGES["tune"].module) == dict.fromkeys(("bitsandbytes", "peft", "tokenizers", "torch", "transformers"), "1.2")
    assert "trl" in versions(STAGES["align"].module) and "trl" not in versions(STAGES["reward"].module)
    assert "sentence-transformers" in versions(STAGES["index"].module)


def test_each_ingredient_makes_another_key():
    ref = lambda artifact: ArtifactRef(id=artifact, kind="dataset", uri="")
    base = Ingredients.of(STAGES["tune"], TuneSettings(), {"dataset": ref("a")}, {})
    others = [
        Ingredients.of(STAGES["tune"], TuneSettings(epochs=1), {"dataset": ref("a")}, {}),
        Ingredients.of(STAGES["tune"], TuneSettings(), {"dataset": ref("b")}, {}),
        Ingredients.of(STAGES["tune"], TuneSettings(), {"pretrained": ref("a")}, {}),
        Ingredients(**vars(base) | {"versions": base.versions | {"torch": "0"}}),
        Ingredients(**vars(base) | {"models": {"model": "c"}}),
        Ingredients(**vars(base) | {"files": {"f": "d"}}),
    ]
    assert len({base.key, *(other.key for other in others)}) == 1 + len(others)


RUN = """
import json, sys
from pathlib import Path
from storage.artifacts import ArtifactRef
from storage.home import Home
from tasks.stages.execute import models_of, run_body
from tasks.stages.spec import load
from tasks.stages.work import Context, Work

job = json.loads(sys.argv[1])
spec, home = load(job["spec"]), Home(Path(job["home"]))
from tasks.stages import opening
context = Context(home, job["model"], job["embedder"], emit=lambda text, final: None, log=lambda text: None)
folder = Path(job["folder"]) / "id.tmp-1"
folder.mkdir(parents=True)
inputs = {role: ArtifactRef.model_validate(ref) for role, ref in job["inputs"].items()}
settings = spec.own_settings.model_validate(job["settings"])
opening.once = lambda *_: False  # as where the model was checked before: what checks it computes nothing of a stage
run_body(spec, settings, inputs, Work(spec, folder, context, models_of(spec, context)), context)
print(json.dumps([module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]))
"""
ALIGN = SMALL | FREE | {"updates": 1}
CASES = {
    "tune, lora": ("tasks.training.spec:TUNE", {"epochs": 1.0}),
    "tune, full": ("tasks.training.spec:TUNE", {"epochs": 1.0, "method": "full"}),
    "reward, float32": ("tasks.rlhf.spec:REWARD", {"trunk": "float32"}),
    "reward, bfloat16": ("tasks.rlhf.spec:REWARD", {"trunk": "bfloat16"}),
    "reward, nf4": ("tasks.rlhf.spec:REWARD", {"trunk": "nf4"}),
    "align, ppo": ("tasks.rlhf.spec:ALIGN", ALIGN),
    "align, rloo": ("tasks.rlhf.spec:ALIGN", ALIGN | {"algorithm": "rloo"}),
    "align, grpo": ("tasks.rlhf.spec:ALIGN", ALIGN | {"algorithm": "grpo"}),
    "align, dpo": ("tasks.rlhf.spec:ALIGN", ALIGN | {"algorithm": "dpo"}),
    "align, kto": ("tasks.rlhf.spec:ALIGN", ALIGN | {"algorithm": "kto"}),
    "choose": ("tasks.rlhf.spec:CHOOSE", {"answer_tokens": 4, "choose_prompts": 4}),
    "quantize": ("tasks.quantization.spec:QUANTIZE", {"eval_tokens": 400}),
}


@pytest.fixture(scope="module")
def align_project(new_align_project):
    """A home with a dataset that has held-out rows, a tuned model and reward models."""
    from tasks.data.records import load_instructions, load_preferences, save

    align_project = new_align_project()
    with align_project.draft("dataset") as folder:
        former = align_project.path(align_project.dataset)
        for split in ("train", "eval"):
            save(folder / f"instructions/{split}.parquet", load_instructions(former, "train"))
            save(folder / f"preferences/{split}.parquet", load_preferences(former, "train"))
        align_project.dataset = align_project.commit(folder, {})
    with align_project.draft("adapter") as folder:  # bitsandbytes takes widths of whole blocks of 64 on a CPU
        tiny_llama(layers=2, hidden=64).save_pretrained(folder / "model")
        tiny_tokenizer().save_pretrained(folder / "model")
        align_project.wide = align_project.commit(folder, {"adapters": [folder.name.partition(".tmp-")[0]], "model": "model"})
    return align_project


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_each_file_that_a_run_loads_is_in_the_key_or_excluded(case, align_project, tmp_path):
    address, settings = CASES[case]
    if address.endswith("REWARD"):
        settings = settings | {"reward_batch_pairs": 4, "reward_epochs": 1.0, "reward_normalise_prompts": 4, "reward_answer_tokens": 4}
    inputs = {
        "dataset": align_project.dataset,
        "tuned": align_project.tuned,
        "reward": align_project.reward,
        "aligned": align_project.wide,
    }
    job = {
        "spec": address,
        "home": str(align_project.home.root),
        "model": align_project.context.model,
        "embedder": "",
        "folder": str(tmp_path),
        "settings": settings,
        "inputs": {role: ref.model_dump(mode="json") for role, ref in inputs.items()},
    }
    done = subprocess.run([sys.executable, "-c", RUN, json.dumps(job)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    name = case.partition(",")[0]
    hashed = set(sources(STAGES[name].module))
    loaded = {file.removeprefix(f"{ROOT}/") for file in json.loads(done.stdout.strip().splitlines()[-1]) if file.startswith(f"{ROOT}/")}
    ours = {path for path in loaded if path.split("/")[0] in ("tasks", "storage")}
    assert len(ours) > 20 and {path for path in ours if path not in hashed and not is_excluded(path)} == set()
    assert STAGES[name].module.replace(".", "/") + ".py" in {path.relative_to(ROOT).as_posix() for path in reach(STAGES[name].module)}
