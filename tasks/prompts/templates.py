"""Chat templates by name for models that have none, and what a model's own is told once: whether answers begin with thoughts, and what day it is."""

import re
from datetime import date

from transformers import PreTrainedTokenizerBase

from tasks.errors import MigakiError

DEFAULT, OWN = "alpaca", "own"
_END = "{{ eos_token }}"
_BEHIND = "{%- if not loop.last or add_generation_prompt %}{{ '\\n\\n' }}{% endif -%}"
# Every answer ends with eos, the earlier ones too: that it stops there is learnt in each turn.
TEMPLATES = {
    # Taori et al. 2023, without their opening sentence, which is in English.
    "alpaca": "{%- for message in messages -%}"
    + "{%- if message['role'] == 'user' %}{{ '### Instruction:\\n' + message['content'] }}"
    + "{%- elif message['role'] == 'assistant' %}{{ '### Response:\\n' + message['content'] }}"
    + _END
    + "{%- else %}{{ message['content'] }}{%- endif -%}"
    + _BEHIND
    + "{%- endfor -%}{%- if add_generation_prompt %}{{ '### Response:\\n' }}{% endif -%}",
    # Chiang et al. 2023, version 1.1.
    "vicuna": "{%- for message in messages -%}"
    + "{%- if message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}"
    + "{%- elif message['role'] == 'assistant' %}{{ 'ASSISTANT: ' + message['content'] }}"
    + _END
    + "{%- else %}{{ message['content'] + '\\n\\n' }}{%- endif -%}"
    + "{%- endfor -%}{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif -%}",
    # OpenAI's markers, as text where the tokenizer has no tokens for them.
    "chatml": "{%- for message in messages -%}"
    + "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
    + "{%- if message['role'] == 'assistant' %}"
    + _END
    + "{%- else %}{{ '<|im_end|>' }}{%- endif %}{{ '\\n' }}"
    + "{%- endfor -%}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}",
}
# Begins a template that was told already, and writes nothing. An expression: blocks and comments would take a newline behind them along.
SETTLED = "{{ 'migaki: settled'[:0] }}"
NOW = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")


def settle(tokenizer: PreTrainedTokenizerBase, template: str = DEFAULT, thinking: bool = False) -> PreTrainedTokenizerBase:
    """Give the tokenizer the template of that name where it has none of its own, and turn thoughts off in one that can have them.

    Raises:
        MigakiError: no template has that name.
    """
    template = DEFAULT if template == OWN else template
    if template not in TEMPLATES:
        raise MigakiError(f"there is no chat template {template!r}; accepted: {', '.join(TEMPLATES)}")
    own = tokenizer.chat_template
    if isinstance(own, dict):  # several, by name
        own = own.get("default") or next(iter(own.values()))
    if not own:
        own = "{{ bos_token }}" * _adds_bos(tokenizer) + TEMPLATES[template]
    tokenizer.chat_template = own if own.startswith(SETTLED) else SETTLED + (own if thinking else without_thoughts(tokenizer, own))
    return tokenizer


def template_name(tokenizer: PreTrainedTokenizerBase) -> str:
    """The name of the template that a settled tokenizer was given, or `OWN`."""
    text = str(tokenizer.chat_template).removeprefix(SETTLED).removeprefix("{{ bos_token }}")
    return next((name for name, template in TEMPLATES.items() if text == template), OWN)


def without_thoughts(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    """The template with its own switch turned off (`enable_thinking`); where it opens a thought all the same, that is closed at once."""
    if "enable_thinking" in template:
        template = "{% set enable_thinking = false %}{{ '' }}" + template
    if "<think>" in template:
        asked = [{"role": "user", "content": "?"}]
        prompt = str(tokenizer.apply_chat_template(asked, chat_template=template, tokenize=False, add_generation_prompt=True))
        if prompt.rstrip().endswith("<think>"):
            template += "{%- if add_generation_prompt %}{{ '" + ("" if prompt.endswith("\n") else "\\n") + "</think>\\n\\n' }}{% endif -%}"
    return template


def on_the_day(template: str, day: str) -> str:
    """The template with that day (YYYY-MM-DD) wherever it would write today's; as it is for "".

    Raises:
        MigakiError: it is no day.
    """
    if not day:
        return template
    try:
        when = date.fromisoformat(day)
    except ValueError as error:
        raise MigakiError(f"{day!r} is no day; a date as YYYY-MM-DD is accepted") from error
    return NOW.sub(lambda match: repr(when.strftime(match[2])), template)


def _adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether this tokenizer itself starts a text with its bos token (Llama does, GPT-2 does not)."""
    return tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
