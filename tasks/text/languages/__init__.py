"""What differs by language: a folder for each, named by its code, with one module per use (`text`, `chat`, `claims`, `safety`, `studies`, `tools`).

A stage loads `text` alone, so that a phrase of small talk retrains nothing. The files of a language import nothing of Migaki: another
language is one more folder here, its strings of the chat's page, and its tests.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType


@cache
def load_languages(use: str) -> dict[str, ModuleType]:
    """The modules for `use` of all languages by code, sorted by it. `use` must stand in the call as a literal: a stage's key is made from the files it names."""
    codes = sorted(path.parent.name for path in Path(__file__).parent.glob(f"*/{use}.py"))
    return {code: import_module(f"{__name__}.{code}.{use}") for code in codes}
