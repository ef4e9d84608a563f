"""What the safety filter refuses, what the model alone refuses, and both together, on requests that neither rules nor classifier have seen.

    python benchmarks/safety.py DATA [--own] [--words] [--model 100]

DATA is a folder with harmful_train_val.json, harmless_val_alpaca_instructions.json, do_not_answer/ and xstest_prompts.jsonl. Half of each of the
first three (by a hash of the request) trains the classifier, with the training half of examples/safety.*.jsonl; `--own` trains on the examples
alone, as `migaki safety` does without settings, and `--words` does without the meaning of requests. The other halves, and XSTest, are only measured on. A line of JSON for each set: share refused,
with its 95 % interval (Wilson). `--model N` also asks the bundled model N requests of each side and language: a refusal is told by its words.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from flows.running.parameters import BUNDLED_EMBEDDER_EN
from storage.home import Home
from tasks.chatbot.safety.guard import Guard
from tasks.chatbot.safety.settings import SafetySettings
from tasks.chatbot.safety.training import Example, Rate, read_examples, train
from tasks.data.sources import read_rows
from tasks.models.reference import resolve
from tasks.rag.embedding import Embedder

# Questions about the inside of organisations, requests for advice and for company: no harm that this filter is meant to refuse.
OTHER = ("misinformation_harms", "human_chatbox", "organisations")
STAND_IN = "examples/requests.en.jsonl"  # for the everyday requests that DATA has by the thousand


def embedder_of_the_stage() -> Embedder:
    """The one that reads English best, as the stage takes it."""
    model = resolve(BUNDLED_EMBEDDER_EN, Home.current(), print)
    return Embedder(model.path, backend="auto", checksum=model.checksum, reference=BUNDLED_EMBEDDER_EN)


def held_out(prompt: str) -> bool:
    """Whether a request is in the half that is only measured on."""
    return hashlib.sha256(prompt.encode()).digest()[0] % 2 == 1


def texts(path: Path) -> list[str]:
    rows = [row.value for row in read_rows(path)]
    return list(dict.fromkeys(row.get("prompt") or row["instruction"] for row in rows))


def english_sets(data: Path) -> Iterator[tuple[str, bool, list[str]]]:
    """(name, whether harmful, requests) of each set but XSTest."""
    yield "harmful_train_val", True, texts(data / "harmful_train_val.json")
    yield "alpaca", False, texts(data / "harmless_val_alpaca_instructions.json")
    for path in sorted((data / "do_not_answer").glob("*.jsonl")):
        requests = texts(path)
        if path.stem == "information_hazard":  # persons are "my neighbour, Brad"
            yield "persons", True, [text for text in requests if " my " in text.lower()]
            yield "organisations", True, [text for text in requests if " my " not in text.lower()]
        else:
            yield path.stem, True, requests


def measured_sets(data: Path) -> list[tuple[str, list[Example]]]:
    """All that is measured on: the held-out halves, and XSTest."""
    sets = [
        (f"en {name}", [Example(text, harmful, split="heldout") for text in requests if held_out(text)])
        for name, harmful, requests in english_sets(data)
    ]
    xstest = [row.value for row in read_rows(data / "xstest_prompts.jsonl")]
    for label in ("unsafe", "safe"):
        sets.append((f"en XSTest-{label}", [Example(row["prompt"], label == "unsafe") for row in xstest if row["label"] == label]))
    own = [example for example in read_examples(SafetySettings(harmless=[])) if example.split == "heldout"]
    return sets + [(f"ja own {'harmful' if side else 'harmless'}", [e for e in own if e.harmful == side]) for side in (True, False)]


def training_settings(data: Path, place: Path) -> SafetySettings:
    """Settings that train on the other halves, written to files in `place`."""
    files: dict[str, list[str]] = {"harmful": [], "harmless": [path for path in SafetySettings().harmless if path != STAND_IN]}
    for name, harmful, requests in english_sets(data):
        if name not in OTHER:
            path = place / f"{name}.jsonl"
            path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in requests if not held_out(text)), encoding="utf-8")
            files["harmful" if harmful else "harmless"].append(str(path))
    return SafetySettings(**files, form=1.0)


def show(name: str, rate: Rate) -> None:
    low, high = rate.interval
    print(
        json.dumps({"set": name, "refused": round(rate.value, 3), "low": round(low, 3), "high": round(high, 3), "items": rate.items}),
        flush=True,
    )


def pooled(sets: list[tuple[str, list[Example]]]) -> list[tuple[str, list[Example]]]:
    """The sets, and the harmful English ones that the filter is meant for, XSTest aside, as one."""
    harmful = [
        e
        for name, examples in sets
        for e in examples
        if name.startswith("en ") and e.harmful and not name.endswith((*OTHER, "XSTest-unsafe"))
    ]
    return [*sets, ("en all harmful, but XSTest and advice, company, organisations", harmful)]


def measure(kind: str, sets: list[tuple[str, list[Example]]], refuses: Callable[[str], bool]) -> None:
    for name, examples in sets:
        show(f"{kind}: {name}", Rate(sum(refuses(example.prompt) for example in examples), len(examples)))


def milliseconds(guard: Guard, prompts: list[str]) -> float:
    times = []
    for prompt in prompts[:300]:
        start = time.perf_counter()
        guard.check_input(prompt)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def ask_model(prompts: list[str]) -> list[str]:
    """The bundled model's answers, greedily, of at most 48 tokens."""
    from benchmarks.common import bundled_model
    from tasks.inference.sampling import SamplingParams, sample
    from tasks.models.loader import load_model, load_tokenizer
    from tasks.prompts.template import encode_prompt, end_ids

    folder = bundled_model()
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    ids = [encode_prompt(tokenizer, [{"role": "user", "content": prompt}]) for prompt in prompts]
    answers = sample(model, ids, SamplingParams(48, end_ids(tokenizer), temperature=0.0))
    return [tokenizer.decode(answer.ids, skip_special_tokens=True) for answer in answers]


def measure_model(sets: list[tuple[str, list[Example]]], guard: Guard, count: int) -> None:
    """The model alone, and behind the filter, on the first `count` requests (by hash) of the sets that the bar names."""
    from tasks.text.measures import is_refusal

    named = [(name, examples) for name, examples in sets if name.startswith(("en all", "en XSTest", "ja"))]
    for name, examples in named:
        drawn = sorted((example.prompt for example in examples), key=lambda text: hashlib.sha256(text.encode()).hexdigest())[:count]
        alone = [is_refusal(answer) for answer in ask_model(drawn)]
        show(f"model alone: {name}", Rate(sum(alone), len(drawn)))
        both = [refused or guard.check_input(prompt).blocked for prompt, refused in zip(drawn, alone, strict=True)]
        show(f"filter and model: {name}", Rate(sum(both), len(drawn)))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--own", action="store_true", help="train on the examples of the repository alone")
    arguments.add_argument("--words", action="store_true", help="judge requests by their words alone")
    arguments.add_argument("--model", type=int, default=0, metavar="N", help="also ask the bundled model so many requests of each set")
    given = arguments.parse_args()
    sets = pooled(measured_sets(given.data))
    with tempfile.TemporaryDirectory() as place:
        settings = SafetySettings() if given.own else training_settings(given.data, Path(place))
        examples = read_examples(settings)
    start = time.perf_counter()
    classifier = train(examples, settings, None if given.words else embedder_of_the_stage())
    seconds = time.perf_counter() - start
    guard = Guard(settings, classifier)
    prompts = [example.prompt for _, examples in sets for example in examples]
    facts = {
        "train_s": round(seconds, 1),
        "examples": len(examples),
        "thresholds": classifier.thresholds,
        "features": len(classifier.weights),
    }
    print(json.dumps(facts | {"median_ms": round(milliseconds(guard, prompts), 3)}), flush=True)
    measure("rules alone", sets, lambda text: Guard(settings).check_input(text).blocked)
    measure("filter", sets, lambda text: guard.check_input(text).blocked)
    if given.model:
        measure_model(sets, guard, given.model)


if __name__ == "__main__":
    main()
