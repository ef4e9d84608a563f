"""What the policy is asked: training prompts, which it learns on, and held-out ones, by which it is told whether that made it better."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transformers import PreTrainedTokenizerBase

from tasks.data.records import Feedback, Instruction, Preference, load_feedback, load_instructions, load_preferences, load_questions
from tasks.data.select import balanced
from tasks.errors import MigakiError
from tasks.models.families import stated_context_length
from tasks.prompts.template import encode_prompt
from tasks.rlhf.settings import AnswerSettings
from tasks.text.messages import Message


@dataclass(frozen=True)
class HeldOutPrompt:
    """A prompt that nothing learnt from: its token ids, and in `text` what it asks last."""

    id: str
    lang: str
    text: str
    ids: list[int]


def room(settings: AnswerSettings, model: Path) -> int:
    """Tokens of the longest prompt and answer together, for the model in a folder."""
    wanted = settings.prompt_tokens + settings.answer_tokens
    return min(wanted, stated_context_length(model) or wanted)


def training_prompts(folder: Path, tokenizer: PreTrainedTokenizerBase, most: int, episodes: int) -> tuple[list[list[int]], list[str]]:
    """The training prompts of instructions, preferences and feedback of at most `most` tokens, each once, and their languages.

    Raises:
        MigakiError: they are fewer than `episodes`.
    """
    rows = _by_prompt(folder, "train").values()
    asked = [(prompt, row.lang) for row in rows if len(prompt := encode_prompt(tokenizer, row.messages)) <= most]
    if len(asked) < episodes:
        raise MigakiError(
            f"{len(asked)} prompts of at most {most} tokens (align.prompt_tokens, and the model's context) are fewer than align.episodes = {episodes}"
        )
    return [prompt for prompt, _ in asked], [lang for _, lang in asked]


def held_out_prompts(folder: Path, tokenizer: PreTrainedTokenizerBase, most: int, count: int) -> list[HeldOutPrompt]:
    """At most `count` held-out prompts of at most `most` tokens, each once, languages in balance; none that the policy was trained on."""
    questions: list[tuple[str, str, list[Message]]] = [
        (row.id, row.lang, [{"role": "user", "content": row.question}]) for row in load_questions(folder)
    ]
    rows = [(row.id, row.lang, row.messages) for row in _by_prompt(folder, "eval").values()]
    once = {_name(messages): (name, lang, messages) for name, lang, messages in [*questions, *rows]}
    learnt = _by_prompt(folder, "train").keys()
    found = [
        HeldOutPrompt(name, lang, messages[-1]["content"], prompt)
        for key, (name, lang, messages) in once.items()
        if key not in learnt and len(prompt := encode_prompt(tokenizer, messages)) <= most
    ]
    return list(balanced(found, count)[0])


def _by_prompt(folder: Path, split: Literal["train", "eval"]) -> dict[str, Instruction | Preference | Feedback]:
    """A row of a dataset for each conversation that is to be answered."""
    rows: list[Instruction | Preference | Feedback] = [
        *load_instructions(folder, split),
        *load_preferences(folder, split),
        *load_feedback(folder, split),
    ]
    return {_name(row.messages): row for row in rows}


def _name(messages: list[Message]) -> str:
    return json.dumps(messages, ensure_ascii=False)
