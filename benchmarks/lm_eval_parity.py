"""Multiple-choice benchmarks beside lm-evaluation-harness, in alternation on one machine: the choices taken, examples per second, peak memory.

    python benchmarks/lm_eval_parity.py setup PEER_ENV                                  # the peer's own environment, once
    python benchmarks/lm_eval_parity.py run ../shared/data --env PEER_ENV               # PIQA, ARC-easy, JCommonsenseQA at 0 and 3 shots
    python benchmarks/lm_eval_parity.py run ../shared/data --env PEER_ENV --tasks arc_easy jcommonsenseqa --shots 0 --runs 3

Both sides read the same files of questions and of worked examples, which are written here out of the published ones, put them in the same words (task files
in YAML for the peer), open the same folder with the same tokenizer in float32, and are timed from texts to log-likelihoods; opening is left out. `cpu`
figures count the seconds of all cores that the process had, which other work on the machine disturbs less than the clock.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from common import alternate, compare

LM_EVAL = "0.4.13"
SAME_VERSIONS = ("transformers", "datasets", "tokenizers", "accelerate", "numpy")  # of both sides
TASKS = ("piqa", "arc_easy", "jcommonsenseqa")
CLOSE = 1e-4  # scores that differ by less may fall either way
BATCH = 16


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = options.add_subparsers(dest="command", required=True)
    commands.add_parser("setup").add_argument("env", type=Path)
    run = commands.add_parser("run")
    run.add_argument("data", type=Path, help="the folder of benchmarks")
    run.add_argument("--env", type=Path, required=True)
    run.add_argument("--tasks", nargs="+", default=TASKS)
    run.add_argument("--shots", nargs="+", type=int, default=[0, 3])
    run.add_argument("--items", type=int, default=200)
    run.add_argument("--runs", type=int, default=1)
    for name in ("migaki", "peer"):  # one side, in a process of its own
        side = commands.add_parser(name)
        side.add_argument("model", type=Path)
        side.add_argument("folder", type=Path, help="questions, worked examples and the peer's task file")
    chosen = options.parse_args()
    {"setup": setup, "run": whole, "migaki": migaki, "peer": peer}[chosen.command](chosen)


def setup(chosen: argparse.Namespace) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(chosen.env)], check=True)
    same = [f"{name}=={version(name)}" for name in SAME_VERSIONS]
    for packages in ([f"torch=={version('torch').partition('+')[0]}"], [*same, f"lm-eval=={LM_EVAL}"]):
        subprocess.run([chosen.env / "bin" / "pip", "install", "--quiet", *packages], check=True)


def whole(chosen: argparse.Namespace) -> None:
    from common import bundled_model

    model = bundled_model()
    for task in chosen.tasks:
        for shots in chosen.shots:
            with tempfile.TemporaryDirectory() as folder:
                _write(task, shots, chosen, Path(folder))
                sides = {
                    "migaki": [sys.executable, __file__, "migaki", model, folder],
                    "peer": [chosen.env / "bin" / "python", __file__, "peer", model, folder],
                }
                found = alternate(sides, chosen.runs, ("per_second", "per_cpu_second", "peak_rss_mib"))
            print(f"{task}, {shots} shots: {_agreement(found['migaki'][0], found['peer'][0])}")
            print(f"  {compare(found, 'per_second')}; {compare(found, 'per_cpu_second')}", flush=True)


def _write(task: str, shots: int, chosen: argparse.Namespace, folder: Path) -> None:
    """Questions and examples as one form that both sides read, and the peer's task file."""
    from tasks.studies.benchmarks.prompting import draw
    from tasks.studies.suites.language import studies_languages
    from tasks.studies.suites.reading import read_suite

    drawn = draw(read_suite(task, chosen.data), shots, chosen.items, 0)
    files = {"questions": drawn.questions, "examples": next(iter(drawn.examples.values()))}
    for name, questions in files.items():
        lines = [
            json.dumps({"question": one.question, "choices": one.choices, "answer": one.right}, ensure_ascii=False) for one in questions
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    language = studies_languages()[drawn.questions[0].lang]
    task_file = {
        "task": "beside",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {name: str(folder / f"{name}.jsonl") for name in files if files[name]}},
        "output_type": "multiple_choice",
        "test_split": "questions",
        "doc_to_text": language.ASK.replace("{question}", "{{question}}"),
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "answer",
        "target_delimiter": language.JOINT,
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }
    if shots:
        task_file |= {"num_fewshot": shots, "fewshot_split": "examples", "fewshot_config": {"sampler": "first_n"}}
    (folder / "beside.yaml").write_text(json.dumps(task_file, ensure_ascii=False), encoding="utf-8")  # JSON is YAML


def migaki(chosen: argparse.Namespace) -> None:
    from tasks.inference.continuations import ContinuationScorer
    from tasks.models.loader import load_model, load_tokenizer
    from tasks.studies.benchmarks.likelihood import Chooser
    from tasks.studies.benchmarks.prompting import ask
    from tasks.studies.suites.reading import read_file

    model, tokenizer = load_model(chosen.model), load_tokenizer(chosen.model)
    questions, examples = read_file(chosen.folder / "questions.jsonl").questions, ()
    if (chosen.folder / "examples.jsonl").read_text(encoding="utf-8"):
        examples = read_file(chosen.folder / "examples.jsonl").questions
    asked = [ask(one, examples) for one in questions]
    chooser = Chooser(ContinuationScorer(model, BATCH), tokenizer, empty_prompt=False)
    watch = _Watch()
    scores = [choices.loglikelihoods for choices in chooser.choices(asked)]
    watch.tell(scores)


def peer(chosen: argparse.Namespace) -> None:
    import lm_eval
    import torch
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(chosen.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(chosen.model)

    class Timed(HFLM):
        def loglikelihood(self, requests, disable_tqdm=False):
            self.watch = _Watch()
            return super().loglikelihood(requests, disable_tqdm=True)

    timed = Timed(pretrained=model, tokenizer=tokenizer, batch_size=BATCH, device="cpu")
    manager = TaskManager(include_path=str(chosen.folder), include_defaults=False)
    told = {}

    def scored(requests, disable_tqdm=False, own=timed.loglikelihood):
        answers = own(requests, disable_tqdm)
        told["watch"] = timed.watch.stopped()
        return answers

    timed.loglikelihood = scored
    results = lm_eval.simple_evaluate(timed, tasks=["beside"], task_manager=manager, log_samples=True, bootstrap_iters=0)
    samples = sorted(results["samples"]["beside"], key=lambda sample: sample["doc_id"])
    timed.watch.tell([[float(answer[0]) for answer in sample["filtered_resps"]] for sample in samples], told["watch"])


class _Watch:
    """Seconds by the clock and by all cores, from when it was made."""

    def __init__(self) -> None:
        self.clock, self.cpu = time.perf_counter(), time.process_time()

    def stopped(self) -> tuple[float, float]:
        return time.perf_counter() - self.clock, time.process_time() - self.cpu

    def tell(self, scores: list, took: tuple[float, float] | None = None) -> None:
        clock, cpu = took or self.stopped()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = {"per_second": len(scores) / clock, "per_cpu_second": len(scores) / cpu, "peak_rss_mib": peak, "scores": scores}
        print(json.dumps(told))


def _agreement(ours: dict, theirs: dict) -> str:
    pairs = list(zip(ours["scores"], theirs["scores"], strict=True))
    other = [(a, b) for a, b in pairs if a.index(max(a)) != b.index(max(b))]
    real = [a for a, _ in other if math.fabs(sorted(a)[-1] - sorted(a)[-2]) >= CLOSE]
    farthest = max(math.fabs(x - y) for a, b in pairs for x, y in zip(a, b, strict=True))
    return (
        f"{len(pairs)} questions, {len(other)} other choices, {len(real)} of them where the best two differ by {CLOSE} or more; scores at most {farthest:.1e} "
        "nats apart"
    )


if __name__ == "__main__":
    main()
