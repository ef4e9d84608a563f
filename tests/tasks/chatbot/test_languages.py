"""All that differs by language in the chat stands in the language's folder: every folder fulfils every protocol, and one more folder is one more
language."""

import ast
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from tasks.chatbot.claims_language import ClaimsLanguage
from tasks.chatbot.claims_language import languages as claims_languages
from tasks.chatbot.language import ChatLanguage
from tasks.chatbot.language import languages as chat_languages
from tasks.chatbot.safety import injection, personal
from tasks.chatbot.safety.language import SafetyLanguage
from tasks.chatbot.safety.language import languages as safety_languages
from tasks.chatbot.safety.rules import EXCUSES
from tasks.chatbot.safety.spec import SAFETY
from tasks.chatbot.tools.arithmetic import STEPS
from tasks.chatbot.tools.language import CopyingLanguage, ToolsLanguage
from tasks.chatbot.tools.language import languages as tools_languages
from tasks.chatbot.tools.relevance import Weights
from tasks.chatbot.tools.weather import CODES as SKIES
from tasks.stages.keys import sources
from tests import ROOT

LANGUAGES = ROOT / "tasks" / "text" / "languages"
CODES = sorted(path.parent.name for path in LANGUAGES.glob("*/__init__.py"))
USES = [
    pytest.param(ChatLanguage, chat_languages, id="chat"),
    pytest.param(ClaimsLanguage, claims_languages, id="claims"),
    pytest.param(SafetyLanguage, safety_languages, id="safety"),
    pytest.param(ToolsLanguage, tools_languages, id="tools"),
]


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; of what is inside a container nothing is asked."""
    if get_origin(hint) in (UnionType, Union):
        return any(fits(value, part) for part in get_args(hint))
    return isinstance(value, get_origin(hint) or hint)


@pytest.mark.parametrize(("protocol", "languages"), USES)
def test_every_language_says_all_that_is_asked_of_it(protocol, languages):
    assert sorted(languages()) == CODES
    for code, module in languages().items():
        assert isinstance(module, protocol), code
        wrong = [name for name, hint in get_type_hints(protocol).items() if not fits(getattr(module, name), hint)]
        assert wrong == [], code


def test_patterns_of_claims_hold_no_group_that_captures():
    """They are joined, and what matched is told by its group."""
    for language in claims_languages().values():
        patterns = [*language.COMPARISONS, language.NO_COMPARISON, language.NEGATES_NEXT, language.NEGATES_BEFORE, language.AGENT]
        for pattern in (*patterns, language.UNIT, language.CLAUSE, language.ROLES):
            assert re.compile(pattern).groups == 0 and not re.compile(pattern).match(""), pattern


def test_the_chat_says_the_same_things_in_every_language():
    for first, second in zip(chat_languages().values(), list(chat_languages().values())[1:], strict=False):
        for name in ("TERMINAL", "CUT", "REFUSALS"):
            assert getattr(first, name).keys() == getattr(second, name).keys()
        places = lambda text: sorted(re.findall(r"{\w*}", text))
        assert all(places(text) == places(second.TERMINAL[name]) for name, text in first.TERMINAL.items())
        assert places(first.QUOTED) == places(second.QUOTED)


def test_the_filters_have_all_kinds_of_words_in_every_language():
    for language in safety_languages().values():
        assert set(language.EXCUSES) == set(EXCUSES) and set(language.ORDERS) == set(injection.CODES)
        assert set(language.PLACEHOLDERS) == {"private", *personal.BEFORE, *personal.CODES}
        assert all(code.startswith("private.") for code, _, _ in (*language.PERSONAL, *language.NOT_LEARNT))


def test_the_tools_have_all_kinds_of_words_in_every_language():
    for language in tools_languages().values():
        assert set(language.SPOKEN) <= set(STEPS) and tuple(language.SKY) == SKIES and len(language.WEEKDAYS) == 7
        assert set(language.RELEVANCE) <= {field.name for field in fields(Weights)}
        if language.Copying is not None:
            hints = get_type_hints(CopyingLanguage)
            assert [name for name, hint in hints.items() if not fits(getattr(language.Copying, name), hint)] == []


@pytest.mark.parametrize(("protocol", "languages"), USES)
def test_no_pattern_of_a_language_matches_everything(protocol, languages):
    """Patterns of all languages are joined: one that is empty would make all others match, too."""
    empty_ones = {"ARTICLE", "BEFORE_EQUALS", "AFTER_EQUALS", "AFTER_LEAD", "WORD_ENDS", "LONE", "STOP_WORDS"}
    strings = [name for name, hint in get_type_hints(protocol).items() if hint is str and name not in empty_ones]
    assert [(code, name) for code, module in languages().items() for name in strings if not getattr(module, name)] == []


def code_strings(path: Path) -> list[str]:
    """The strings of a file that are no documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    notes = {id(node.body[0].value) for node in documented if node.body and isinstance(node.body[0], ast.Expr)}
    return [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes
    ]


def test_nothing_in_the_chat_decides_by_a_languages_name_or_words():
    # Settings are left out: their defaults name files and languages of the example project.
    files = [path for path in (ROOT / "tasks" / "chatbot").rglob("*.py") if path.name != "settings.py"]
    files.append(ROOT / "flows" / "commands" / "chat.py")
    japanese = re.compile(r"[\u3041-\u309f\u30a1-\u30fa\u3400-\u9fff]")  # letters; punctuation is anybody's
    assert [(path.name, text) for path in files for text in code_strings(path) if text in CODES or japanese.search(text)] == []


@pytest.mark.slow
def test_a_third_language_is_one_folder(tmp_path):
    for folder in ("tasks", "storage", "flows"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    folder, greek = tmp_path / "tasks" / "text" / "languages" / "el", Path(__file__).with_name("greek")
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Greek."""\n')
    shutil.copyfile(ROOT / "tests" / "tasks" / "text" / "greek.py", folder / "text.py")
    for use in ("chat", "claims", "safety", "tools"):
        shutil.copyfile(greek / f"{use}.py", folder / f"{use}.py")
    shutil.copyfile(greek / "third.py", tmp_path / "third.py")
    done = subprocess.run([sys.executable, "third.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_key_of_the_safety_stage_holds_its_words_and_no_word_of_the_chat_nor_of_its_tools():
    held = {path for path in sources(SAFETY.body.partition(":")[0]) if path.startswith("tasks/text/languages/")}
    assert {Path(path).name for path in held} - {"__init__.py"} == {"safety.py", "text.py"}
    assert {Path(path).parent.name for path in held if path.endswith("safety.py")} == set(CODES)
