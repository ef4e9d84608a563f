"""The example project keeps its promises: natural, varied, bilingual, and free of leaks.

Run as a script, it prints every offence instead of stopping at the first:  python tests/test_examples.py
"""

import itertools
import json
import re
from collections import defaultdict

import pytest

from tasks.text.judging import accepts
from tests import ROOT

EXAMPLES = ROOT / "examples"
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
SHARED_LIMIT = 0.30


def language(text: str) -> str:
    return "ja" if JAPANESE.search(text) else "en"


def read_rows(name: str) -> list[dict]:
    """The rows of the English and the Japanese file of one kind, with where each came from."""
    rows = []
    for lang in ("en", "ja"):
        path = EXAMPLES / f"{name}.{lang}.jsonl"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            rows.append(json.loads(line) | {"where": f"{path.name}:{number}"})
    return rows


def runs(text: str) -> list[str]:
    """Runs of 5 words (English) or 12 characters (Japanese): what two texts may not share much of."""
    if language(text) == "ja":
        bare = re.sub(r"[\s、。,.「」()()!?!?]", "", text)
        return [bare[i : i + 12] for i in range(len(bare) - 11)]
    words = re.findall(r"[a-z0-9']+", text.lower())
    return [" ".join(words[i : i + 5]) for i in range(len(words) - 4)]


def overlaps(texts: dict[str, str]) -> list[str]:
    """Pairs of texts in which the runs of one that also stand in the other exceed the limit."""
    holders, own = defaultdict(set), {}
    for name, text in texts.items():
        own[name] = runs(text)
        for run in own[name]:
            holders[run].add(name)
    found = []
    for name, its_runs in own.items():
        shared = defaultdict(int)
        for run in its_runs:
            for other in holders[run] - {name}:
                shared[other] += 1
        for other, count in shared.items():
            if count / len(its_runs) > SHARED_LIMIT:
                found.append(f"{name} shares {count}/{len(its_runs)} runs with {other}")
    return found


def documents() -> dict[str, str]:
    return {
        str(p.relative_to(EXAMPLES / "documents")): p.read_text(encoding="utf-8") for p in sorted((EXAMPLES / "documents").rglob("*.md"))
    }


def document_offences() -> list[str]:
    texts = documents()
    found = overlaps(texts)
    for lang in ("en", "ja"):
        count = sum(name.startswith(lang) for name in texts)
        if count < 20:
            found.append(f"documents: {count} in {lang}, at least 20 expected")
    return found + [f"{name}: no '# ' heading" for name, text in texts.items() if not text.startswith("# ")]


def instruction_offences() -> list[str]:
    rows = read_rows("instructions")
    found = [] if len(rows) >= 300 else [f"instructions: {len(rows)}, at least 300 expected"]
    for r in rows:
        if set(r) - {"where"} != {"instruction", "input", "output"} or not r["instruction"].strip() or not r["output"].strip():
            found.append(f"{r['where']}: fields")
        elif language(r["output"]) == "ja" and len(r["output"]) >= 60:
            found.append(f"{r['where']}: Japanese answer of {len(r['output'])} characters, under 60 expected")
    return found + overlaps({r["where"]: f"{r['instruction']} {r['input']} {r['output']}" for r in rows if "output" in r})


def preference_offences() -> list[str]:
    rows = read_rows("preferences")
    found = [] if len(rows) >= 200 else [f"preferences: {len(rows)}, at least 200 expected"]
    for r in rows:
        if set(r) - {"where"} != {"prompt", "chosen", "rejected", "flaw"} or r["flaw"] not in {"wrong", "evasive", "rambling", "impolite"}:
            found.append(f"{r['where']}: fields")
        elif r["chosen"] == r["rejected"]:
            found.append(f"{r['where']}: both sides equal")
    for lang in ("en", "ja"):
        own = [r for r in rows if f".{lang}." in r["where"]]
        shorter = sum(len(r["rejected"]) < len(r["chosen"]) for r in own) / max(1, len(own))
        # Length alone predicts max(shorter, longer) of the choices.
        if not 0.40 <= shorter <= 0.60:
            found.append(f"preferences.{lang}: the rejected answer is the shorter one in {shorter:.0%}, 40 to 60 % expected")
    return found + overlaps(
        {r["where"] + side: r[side] for r in rows for side in ("chosen", "rejected")} | {r["where"] + " prompt": r["prompt"] for r in rows}
    )


def question_offences() -> list[str]:
    rows, texts = read_rows("questions"), documents()
    found = [] if len(rows) >= 120 else [f"questions: {len(rows)}, at least 120 expected"]
    for r in rows:
        if (
            set(r) - {"where", "also"} != {"question", "answer", "accept", "document", "evidence", "distractors"}
            or len(r["distractors"]) != 3
        ):
            found.append(f"{r['where']}: fields")
        elif r["document"] not in texts:
            found.append(f"{r['where']}: no document {r['document']!r}")
        else:
            own = runs(r["question"])
            shared = set(own) & set(runs(texts[r["document"]]))
            if own and len(shared) / len(own) > SHARED_LIMIT:
                found.append(f"{r['where']}: the question repeats its document: {sorted(shared)[:2]}")
            if language(r["answer"]) == "ja" and len(r["answer"]) >= 60:
                found.append(f"{r['where']}: Japanese answer of {len(r['answer'])} characters, under 60 expected")
    return found + overlaps({r["where"]: r["question"] for r in rows})


def judging_offences() -> list[str]:
    """What `migaki questions check` does not ask of everybody's items."""
    found, texts = [], documents()
    for r in read_rows("questions"):
        evidence, own = " ".join(r["evidence"]), texts[r["document"]]
        if not 1 <= len(r["accept"]) <= 5 or max(map(len, r["accept"])) > 40:
            found.append(f"{r['where']}: 1 to 5 short strings of accept expected")
        if accepts(r["question"], r["accept"]):
            found.append(f"{r['where']}: an answer that repeats the question would be right")
        if not accepts(evidence, r["accept"]):
            found.append(f"{r['where']}: no accept stands in the evidence")
        if any(sentence not in own for sentence in r["evidence"]):
            found.append(f"{r['where']}: the evidence is not as the document has it")
        if r["document"] in r.get("also", []) or len(set(r.get("also", []))) < len(r.get("also", [])):
            found.append(f"{r['where']}: also names a document twice")
    return found


def leak_offences() -> list[str]:
    """A held-out question that also stands among the instructions or the preferences."""
    asked = {re.sub(r"\W", "", r["question"]).lower(): r["where"] for r in read_rows("questions")}
    prompts = [(r["where"], r["instruction"]) for r in read_rows("instructions")] + [
        (r["where"], r["prompt"]) for r in read_rows("preferences")
    ]
    return [
        f"{where} asks the held-out question {asked[key]}" for where, text in prompts if (key := re.sub(r"\W", "", text).lower()) in asked
    ]


def followup_offences() -> list[str]:
    rows, texts = read_rows("followups"), documents()
    found = [] if len(rows) >= 20 else [f"followups: {len(rows)}, at least 20 expected"]
    for r in rows:
        if r["kind"] not in ("real", "topic_change") or not r["first"].strip() or not r["second"].strip():
            found.append(f"{r['where']}: fields")
        named = [r["document"], *r.get("also", [])]
        found += [f"{r['where']}: accept stands nowhere in {name}" for name in named if not accepts(texts.get(name, ""), r["accept"])]
        if accepts(f"{r['first']} {r['second']}", r["accept"]):
            found.append(f"{r['where']}: an answer that repeats the questions would be right")
    return found


CHECKS = [
    document_offences,
    instruction_offences,
    preference_offences,
    question_offences,
    judging_offences,
    followup_offences,
    leak_offences,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_example_project(check):
    assert check() == []


def test_overlap_check_can_fail():
    texts = {
        "a": "the quick brown fox jumps over the dog",
        "b": "the quick brown fox jumps over the cat",
        "c": "nothing of the kind stands here at all",
    }
    assert any("a shares" in line for line in overlaps(texts)) and not any("c " in line for line in overlaps(texts))


if __name__ == "__main__":
    for check in CHECKS:
        try:
            offences = check()
        except FileNotFoundError as error:
            offences = [str(error)]
        print(f"{check.__name__}: {len(offences)}")
        for line in itertools.islice(offences, 40):
            print("   ", line)
