"""A person compares answers of the champion with those of a challenger, in the terminal; the next run learns from it."""

import json
import random
import textwrap
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from storage.artifacts import ArtifactRef, ArtifactStore
from storage.catalog import utc_now
from storage.home import Home
from storage.kinds import Model
from storage.queries.comparisons import ComparedPair, compared_pairs, forget_pair, keep_pair
from storage.queries.models import newest_models
from storage.registry import champion, newest_artifact
from tasks.errors import MigakiError
from tasks.rlhf.labelling import TIE, Choice, Comparison, Decision, Session, hide
from tasks.shown import shown

KEYS: dict[str, Choice] = {"1": "first", "2": "second", "t": "tie", "s": "skip"}
HELP = "1 or 2: which answer is better; t: a tie; s: skip; u: undo the last; q: leave (everything said is kept)"
ANSWER_TOKENS = 96


def label(home: Home, count: int, seed: int, artifact: str | None, prompts: Path | None, out: TextIO) -> dict[str, Any]:
    """Ask for up to `count` comparisons. Each decision is kept at once.

    Raises:
        MigakiError: there is no champion, or nothing is left to compare.
    """
    models = contestants(home, artifact)
    names = (models[0].id, models[1].id)
    asked = unseen(home, prompts_from(home, prompts), names)
    generator = random.Random(seed)
    chosen = generator.sample(asked, min(count, len(asked)))
    if not chosen:
        raise MigakiError(
            "every prompt has been compared for these two models: name others with --prompts FILE, or another model with --artifact ID"
        )
    print(f"sampling {len(chosen)} answers of each model", file=out)
    pairs = zip(*[answers_of(home, model, chosen, seed + i) for i, model in enumerate(models)], strict=True)
    comparisons = [hide(messages, pair, names, generator) for messages, pair in zip(chosen, pairs, strict=True) if pair[0] != pair[1]]
    session, kept = Session(comparisons), Feedback(home)
    ask(session, kept, input, out)
    return {"session": kept.session_id, "compared": len(session.decisions), "counts": session.counts()}


def contestants(home: Home, artifact: str | None) -> tuple[ArtifactRef, ArtifactRef]:
    """The champion, and the model named, or the newest other release, or the champion once more."""
    now = champion(home)
    if now is None:
        raise MigakiError("there is no champion yet to compare with: run `migaki retrain` first")
    store = ArtifactStore(home)
    newest = [*newest_models(home, 1, but=now.model_id), now][0]
    other = store.get(artifact or newest.artifact_id)
    if other.kind != "model":
        raise MigakiError(f"{other.id[:12]} is of kind {other.kind!r}; only models can be compared, which `migaki quantize` makes")
    return store.get(now.artifact_id), other


def prompts_from(home: Home, path: Path | None) -> list[list[dict[str, str]]]:
    """Conversations to answer: the lines of a file, or the training prompts of the newest dataset."""
    if path is not None:
        if not path.is_file():
            raise MigakiError(f"--prompts {str(path)!r} is no file; a text file with a prompt on each line is expected")
        return [[{"role": "user", "content": line}] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    from tasks.data.records import load_instructions, load_preferences

    newest = newest_artifact(home, stage="prepare")
    if newest is None:
        raise MigakiError("there is no dataset to take prompts from: run `migaki prepare` first, or give --prompts FILE")
    folder = ArtifactStore(home).path(ArtifactStore(home).get(newest.artifact_id))
    conversations = [row.messages for row in load_preferences(folder, "train")] + [
        row.messages for row in load_instructions(folder, "train")
    ]
    return list({json.dumps(messages): messages for messages in conversations}.values())


def unseen(home: Home, prompts: list[list[dict[str, str]]], models: tuple[str, str]) -> list[list[dict[str, str]]]:
    """The prompts that these two models have not been compared on."""
    known = {json.dumps(pair.messages) for pair in compared_pairs(home) if {pair.model_a, pair.model_b} == set(models)}
    return [messages for messages in prompts if json.dumps(messages) not in known]


def answers_of(home: Home, model: ArtifactRef, prompts: list[list[dict[str, str]]], seed: int) -> list[str]:
    """One sampled answer to each conversation. One model is in memory at a time."""
    from tasks.inference.sampling import SamplingParams, sample
    from tasks.models.loader import load_model, load_tokenizer
    from tasks.prompts.template import encode_prompt, end_ids

    folder = ArtifactStore(home).path(model) / Model.of(model.meta, model.id).model
    loaded, tokenizer = load_model(folder), load_tokenizer(folder)
    encoded = [encode_prompt(tokenizer, messages) for messages in prompts]
    answers = sample(loaded, encoded, SamplingParams(ANSWER_TOKENS, end_ids(tokenizer), temperature=0.7, seed=seed))
    return [str(tokenizer.decode(answer.ids, skip_special_tokens=True)).strip() for answer in answers]


class Feedback:
    """Where decisions go: a row each in `feedback`, at once."""

    def __init__(self, home: Home):
        self.home, self.session_id = home, str(uuid.uuid4())
        self._ids: list[str] = []

    def keep(self, decision: Decision) -> None:
        """A skipped comparison says nothing and leaves no row, but undo counts it."""
        self._ids.append(str(uuid.uuid4()))
        if decision.choice == "skip":
            return
        compared = decision.comparison
        pair = ComparedPair(
            self._ids[-1],
            self.session_id,
            *compared.answers,
            *compared.models,
            choice=TIE if decision.better is None else "ab"[decision.better],
            ts=utc_now(),
            messages=compared.messages,
        )
        keep_pair(self.home, pair)

    def forget(self) -> None:
        forget_pair(self.home, self._ids.pop())


def ask(session: Session, kept: Feedback, read: Callable[[str], str], out: TextIO) -> None:
    """Show and ask until everything is compared, q, or the end of the input."""
    print(HELP, file=out)
    while (comparison := session.current) is not None:
        show(comparison, len(session.decisions) + 1, len(session.comparisons), out)
        try:
            key = read("better? ").strip().lower()
        except (EOFError, KeyboardInterrupt):
            break
        if key == "q":
            break
        if key == "u":
            if session.undo() is None:
                print("nothing to undo", file=out)
            else:
                kept.forget()
        elif key in KEYS:
            kept.keep(session.say(KEYS[key]))
        else:
            print(f"{key!r} is none of the keys. {HELP}", file=out)


def show(comparison: Comparison, number: int, total: int, out: TextIO) -> None:
    print(f"\n[{number}/{total}]", file=out)
    for message in comparison.messages:
        print(textwrap.indent(shown(message["content"]), {"user": "> ", "assistant": "  ", "system": "# "}[message["role"]]), file=out)
    for place in (0, 1):
        print(f"\n({place + 1})\n{textwrap.indent(shown(comparison.at(place)) or '(no answer)', '    ')}", file=out)
