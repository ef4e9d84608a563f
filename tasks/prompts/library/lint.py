"""Advice on a prompt: whether it has what the textbook's principles of prompt design name (section 4.3): instruction, format, context, limits, example, steps."""

from collections.abc import Callable
from dataclasses import dataclass

from tasks.prompts.library.language import PromptLanguage, languages
from tasks.prompts.library.prompt import Prompt

BACKGROUND = 2  # fields: one is what is asked, another is what it is asked about


@dataclass(frozen=True)
class Advice:
    """Whether a prompt has what a principle asks for, and what to do where it has not."""

    principle: str
    kept: bool
    advice: str


def advise(prompt: Prompt) -> list[Advice]:
    """One line for each principle, in the textbook's order. What it finds are words: a prompt that keeps all of them can be bad yet."""
    text = "\n".join(prompt.texts)
    language = languages()[prompt.lang]
    return [Advice(name, kept(prompt, text, language), advice) for name, kept, advice in PRINCIPLES]


PRINCIPLES: tuple[tuple[str, Callable[[Prompt, str, PromptLanguage], bool], str], ...] = (
    ("clear instruction", lambda prompt, text, language: bool(language.INSTRUCTS.search(text)), "say in a sentence what is to be done"),
    (
        "format",
        lambda prompt, text, language: prompt.output != "free" or bool(language.FORMATS.search(text)),
        "say what the answer is to look like, or set `output`",
    ),
    (
        "context",
        lambda prompt, text, language: prompt.messages[0].role == "system" or len({*prompt.fields, *prompt.chain}) >= BACKGROUND,
        "give background: a field such as {context}, or a system message",
    ),
    ("limits", lambda prompt, text, language: bool(language.LIMITS.search(text)), "say how long the answer may be, or what it must not do"),
    ("example", lambda prompt, text, language: prompt.examples is not None, "show one: `examples`"),
    (
        "steps",
        lambda prompt, text, language: prompt.reasoning != "none" or bool(prompt.chain),
        "for what takes thought: `reasoning`, or a `chain`",
    ),
)
