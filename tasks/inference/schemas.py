"""JSON schemas as grammars, as far as that needs no model: how JSON is written, and which schemas can be held to."""

from typing import Any

from llguidance import LLMatcher

# As json.dumps writes it, which is what models have read most; no escape that could leave half of a surrogate pair.
# (Typed as anything, since llguidance's hints do not name the last.)
STYLE: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "json_allowed_escapes": '"\\nt'}


def grammar_of(schema: dict[str, Any]) -> str:
    """The grammar of a schema's JSON, as llguidance takes it."""
    return LLMatcher.grammar_from_json_schema(schema, overrides=STYLE)


def why_not(schema: dict[str, Any]) -> str:
    """Why no grammar can hold an answer to this schema; "" where one can."""
    return LLMatcher.validate_grammar(grammar_of(schema)).partition("\n")[0]
