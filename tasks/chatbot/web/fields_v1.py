"""Fields of a request that `Completion` does not list: those that bear on the answer are refused by name, others are passed over and named.

OpenAI's own are all here (https://platform.openai.com/docs/api-reference/chat/create), and those of vLLM that clients are known to send.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from tasks.chatbot.web.errors import ApiError

IGNORED = "x-migaki-ignored"  # the header
MOST_NAMED, LONGEST_NAME = 20, 64
# Who asks, what for, and how it is kept and paid: nothing of it bears on an answer.
HARMLESS = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"})
# Fields that would change the answer, and the values that would not; any other value is refused.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),  # one tool is called at a time, which both allow
    "functions": ([],),
    "function_call": ("none",),
    "store": (False,),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "moderation": (),
    "best_of": (1,),
    "length_penalty": (1,),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "use_beam_search": (False,),
    "stop_token_ids": ([],),
    "include_stop_str_in_output": (False,),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "structured_outputs": (),
}
INSTEAD = {
    "functions": "tools",
    "function_call": "tool_choice",
    "presence_penalty": "repetition_penalty",
    "frequency_penalty": "repetition_penalty",
    "use_beam_search": "num_beams",
    "best_of": "num_beams",
    "guided_json": "response_format",
    "structured_outputs": "response_format",
}


def passed_over(fields: Mapping[str, Any]) -> list[str]:
    """Names of the fields that nobody knows here; null is what is not there.

    Raises:
        ApiError: 400, a field that would change the answer cannot be honoured.
    """
    said = {name: value for name, value in fields.items() if value is not None}
    for name in said.keys() & UNSUPPORTED.keys():
        if said[name] not in UNSUPPORTED[name]:
            instead = f"; {INSTEAD[name]} may be what you look for" if name in INSTEAD else ""
            value = json.dumps(said[name], ensure_ascii=False)[:200]
            raise ApiError(400, "unsupported_parameter", f"{name} = {value} is not supported here; leave it out{instead}", name)
    return [name for name in said if name not in UNSUPPORTED and name not in HARMLESS]


def header(names: list[str]) -> dict[str, str]:
    """The header that names fields, which anybody may have written."""
    if not names:
        return {}
    shown = [re.sub(r"[^!-+\--~]", "?", name)[:LONGEST_NAME] for name in names[:MOST_NAMED]]
    return {IGNORED: ", ".join(shown + [f"and {len(names) - MOST_NAMED} more"] * (len(names) > MOST_NAMED))}
