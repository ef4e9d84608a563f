"""Function calling with the bundled model on cases of the Berkeley Function-Calling Leaderboard, against free decoding by the same model.

    python benchmarks/function_calling.py ../shared/data/function_calling [--cases 100] [--seed 0] [--multiple 40]
    python benchmarks/function_calling.py ../shared/data/function_calling --fit
    python benchmarks/function_calling.py benchmarks/function_calling.ja.jsonl
    python benchmarks/function_calling.py benchmarks/function_calling_fit.ja.jsonl --cases 0 --fit

The last two are Japanese: cases of our own, since the leaderboard has none, written without knowing how tools are chosen; those that are fitted
on and those that are measured are apart. A case offers one function. In «simple» ones it must be called, in «irrelevance» ones nothing
must; «multiple» ones offer several, of which one is right. The cases measured are drawn by the seed; `--fit` fits the weights
(`RELEVANCE` in `tasks/text/languages/*/tools.py`) on all others of the first two kinds, and prints them; Japanese ones are fitted without the likelihood of
the tool's name, of which the bundled model knows nothing in Japanese. Free decoding gets the functions in the prompt and is read leniently: any JSON object that names a function.
Prints one JSON line a figure, with its Wilson interval (95 %).
"""

import argparse
import json
import math
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import torch
from common import bundled_model
from sklearn.linear_model import LogisticRegression

from flows.running.parameters import BUNDLED_MODEL
from tasks.chatbot.tools.arguments import decode_arguments
from tasks.chatbot.tools.calls import Called
from tasks.chatbot.tools.relevance import Weights, features, name_lifts
from tasks.chatbot.tools.schema import TYPES
from tasks.chatbot.tools.select import next_call
from tasks.chatbot.tools.toolbox import Tool, ToolBox
from tasks.inference.local import LocalModel
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.catalogue import weak_languages
from tasks.models.loader import load_model, load_tokenizer
from tasks.prompts.template import encode_prompt, end_ids
from tasks.statistics import wilson_interval
from tasks.text.detection import detect

FREE = (
    "You are a helpful assistant with access to the following functions:\n{functions}\n\nUser query: {question}\n\n"
    "If one of the functions fits the query, respond with its call in JSON format:\n"
    '{{"function": "function_name", "parameters": {{...}}}}\nIf none fits, answer in plain words.\n'
)
FREE_TOKENS = 96
WEAK = weak_languages(BUNDLED_MODEL)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Case:
    """A question, the functions it offers, and what is right: the name and the arguments that may be given, or nothing."""

    def __init__(self, question: str, functions: list[dict], right: dict[str, dict] | None):
        self.question, self.box = question, ToolBox([Tool.declared(function) for function in functions])
        self.name, self.allowed = next(iter(right.items())) if right else (None, {})


def load(source: Path, kind: str) -> list[Case]:
    """The cases of a kind, of a folder of the leaderboard or of one file of all kinds."""
    if source.is_file():
        return [Case(row["question"], row["function"], row["answer"]) for row in read(source) if kind.startswith(row["kind"])]
    known = source / "possible_answer" / f"BFCL_v4_{kind}.jsonl"
    answers = {row["id"]: row["ground_truth"][0] for row in read(known)} if known.exists() else {}
    rows = read(source / f"BFCL_v4_{kind}.jsonl")
    return [Case(row["question"][0][-1]["content"], row["function"], answers.get(row["id"])) for row in rows]


def split(cases: list[Case], measured: int, seed: int) -> tuple[list[Case], list[Case]]:
    """(cases to measure, all others)."""
    order = random.Random(seed).sample(range(len(cases)), len(cases))
    return [cases[i] for i in sorted(order[:measured])], [cases[i] for i in sorted(order[measured:])]


def show(figure: str, outcomes: list[bool], **more: object) -> None:
    low, high = wilson_interval(sum(outcomes), len(outcomes))
    share = round(sum(outcomes) / len(outcomes), 3)
    print(
        json.dumps({"figure": figure, "share": share, "low": round(low, 3), "high": round(high, 3), "n": len(outcomes)} | more), flush=True
    )


def standard(schema: Any) -> Any:
    """The schema as JSON schema names its types, otherwise as it was given: what arguments are checked against."""
    if not isinstance(schema, dict):
        return schema
    found = {
        key: standard(value)
        for key, value in schema.items()
        if key in ("items", "enum", "required", "minItems", "maxItems", "minimum", "maximum")
    }
    if schema.get("type") != "any":
        found["type"] = TYPES.get(schema.get("type"), schema.get("type"))
    if "properties" in schema:
        found |= {"properties": {name: standard(part) for name, part in schema["properties"].items()}, "additionalProperties": False}
    return {key: value for key, value in found.items() if value is not None}


def valid(tool: Tool, arguments: object) -> bool:
    return jsonschema.Draft202012Validator(standard(tool.parameters)).is_valid(arguments)


def same(given: Any, wanted: Any) -> bool:
    if isinstance(given, bool) or isinstance(wanted, bool):
        return given is wanted
    if isinstance(given, int | float) and isinstance(wanted, int | float):
        return math.isclose(given, wanted)
    if isinstance(given, list) and isinstance(wanted, list):
        return len(given) == len(wanted) and all(map(same, given, wanted))
    if isinstance(given, dict) and isinstance(wanted, dict):
        return all(matches(given, wanted))
    plain = [re.sub(r"[ ,./\-_*^'\"]", "", str(value)).lower() for value in (given, wanted)]
    return plain[0] == plain[1]


def matches(given: dict[str, Any], allowed: dict[str, list]) -> list[bool]:
    """Of each parameter, whether its value is one of those allowed («» allows to leave it out)."""
    names = [*allowed, *(name for name in given if name not in allowed)]
    return [any(same(given[name], value) for value in allowed.get(name, [])) if name in given else "" in allowed[name] for name in names]


def chosen(backend: LocalModel, cases: list[Case]) -> list[Called | None]:
    return [next_call(backend, [{"role": "user", "content": case.question}], case.box, case.question, [], weak_in=WEAK) for case in cases]


def freely(backend: LocalModel, cases: list[Case]) -> list[Called | None]:
    prompts = []
    for case in cases:
        functions = json.dumps([schema["function"] for schema in case.box.schemas()], indent=1)[:6000]
        content = FREE.format(functions=functions, question=case.question)
        prompts.append(encode_prompt(backend.tokenizer, [{"role": "user", "content": content}]))
    answers = sample(backend.model, prompts, SamplingParams(FREE_TOKENS, end_ids(backend.tokenizer), temperature=0), batch=16)
    return [parsed(backend.tokenizer.decode(answer.ids, skip_special_tokens=True)) for answer in answers]


def parsed(text: str) -> Called | None:
    """The first JSON object that names a function."""
    for start in (match.start() for match in re.finditer(r"\{", text)):
        try:
            found, _ = json.JSONDecoder().raw_decode(text[start:])
        except ValueError:
            continue
        function = found.get("function", found.get("name"))
        arguments = found.get("parameters", found.get("arguments"))
        if isinstance(function, dict):
            function, arguments = function.get("name"), function.get("parameters", function.get("arguments", arguments))
        if isinstance(function, str):
            return Called(function, arguments if isinstance(arguments, dict) else {})
    return None


def measure(backend: LocalModel, source: Path, given: argparse.Namespace) -> None:
    simple, _ = split(load(source, "simple_python"), given.cases, given.seed)
    irrelevant, _ = split(load(source, "irrelevance"), given.cases, given.seed)
    multiple, _ = split(load(source, "multiple"), given.multiple, given.seed)
    sides: dict[str, Callable] = {"migaki": chosen, "free": freely}
    for side, decide in sides.items():
        start = time.perf_counter()
        called, others = decide(backend, simple), decide(backend, irrelevant)
        seconds = time.perf_counter() - start
        right = [call is not None and call.name == case.name for call, case in zip(called, simple, strict=True)]
        none = [call is None for call in others]
        show(f"{side}: right tool, simple", right, seconds=round(seconds))
        show(f"{side}: no call, irrelevance", none)
        show(f"{side}: right decision, both", right + none)
        made = [
            (call, case)
            for call, case in zip([*called, *others], [*simple, *irrelevant], strict=True)
            if call and call.name in case.box.tools
        ]
        if side == "migaki":  # those that it did not call, too: the grammar must hold whatever is asked
            missed = [case for case, call in zip(simple, called, strict=True) if call is None]
            made += [
                (Called(case.name, decode_arguments(backend, [], case.box.tools[case.name], case.question, [], WEAK) or {}), case)
                for case in missed
            ]
        if made:
            show(f"{side}: arguments of the schema", [valid(case.box.tools[call.name], call.arguments) for call, case in made])
        found = [(call, case) for call, case in made if call.name == case.name]
        if found:
            show(f"{side}: all arguments right", [all(matches(call.arguments, case.allowed)) for call, case in found])
            show(f"{side}: single arguments right", [hit for call, case in found for hit in matches(call.arguments, case.allowed)])
        if multiple:
            picked = decide(backend, multiple)
            show(
                f"{side}: right tool, multiple",
                [call is not None and call.name == case.name for call, case in zip(picked, multiple, strict=True)],
            )


def fit(backend: LocalModel, source: Path, given: argparse.Namespace) -> None:
    rows, labels = [], []
    for kind, label in (("simple_python", 1), ("irrelevance", 0)):
        for case in split(load(source, kind), given.cases, given.seed)[1]:
            (tool,) = case.box.tools.values()
            found = features(case.question, tool)
            if detect(case.question) == "en":
                found["lift"] = name_lifts(backend, case.question, [tool])[0]
            elif detect(tool.description) == "en":
                continue  # shares no words with a Japanese question, and would teach that shared words do not matter
            rows.append(found)
            labels.append(label)
    names = list(rows[0])
    model = LogisticRegression(C=10, class_weight="balanced").fit([[row[name] for name in names] for row in rows], labels)
    weights = {"bias": model.intercept_[0]} | dict(zip(names, model.coef_[0], strict=True))
    print(json.dumps({"cases": len(rows)} | {name: round(float(value), 2) for name, value in weights.items()}))
    print(Weights(**{name: round(float(value), 2) for name, value in weights.items()}))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("source", type=Path, help="folder of the leaderboard, or a file of cases")
    arguments.add_argument("--cases", type=int, default=100, help="of each kind, to measure")
    arguments.add_argument("--multiple", type=int, default=40, help="cases with several functions, to measure")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--fit", action="store_true")
    given = arguments.parse_args()
    path = bundled_model()
    torch.set_grad_enabled(False)
    backend = LocalModel(load_model(path), load_tokenizer(path), "bundled")
    (fit if given.fit else measure)(backend, given.source, given)
    backend.close()


if __name__ == "__main__":
    main()
