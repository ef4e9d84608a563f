"""What each language says to the chat: every folder of a language fulfils every protocol."""

import re
import subprocess
import sys
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from tasks.chatbot.language import ChatLanguage
from tasks.chatbot.language import languages as chat_languages
from tasks.chatbot.safety.language import SafetyLanguage
from tasks.chatbot.safety.language import languages as safety_languages
from tests import ROOT

LANGUAGES = ROOT / "tasks" / "text" / "languages"
CODES = sorted(path.parent.name for path in LANGUAGES.glob("*/__init__.py"))
USES = [pytest.param(ChatLanguage, chat_languages, id="chat"), pytest.param(SafetyLanguage, safety_languages, id="safety")]


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


def test_the_chat_says_the_same_things_in_every_language():
    for first, second in zip(chat_languages().values(), list(chat_languages().values())[1:], strict=False):
        for name in ("TERMINAL", "CUT", "REFUSALS"):
            assert getattr(first, name).keys() == getattr(second, name).keys()
        places = lambda text: sorted(re.findall(r"{\w*}", text))
        assert all(places(text) == places(second.TERMINAL[name]) for name, text in first.TERMINAL.items())
        assert places(first.QUOTED) == places(second.QUOTED)


def test_a_language_imports_nothing_of_migaki():
    for path in LANGUAGES.glob("*/*.py"):
        assert not re.search(r"^\s*(from|import) (tasks|flows|storage)\b", path.read_text(encoding="utf-8"), re.M), path


def test_the_safety_stage_reaches_no_word_of_the_chat_nor_of_its_tools():
    code = (
        "import sys, tasks.chatbot.safety.task, tasks.chatbot.safety.training, tasks.chatbot.safety.guard; print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = {name.rpartition(".")[2] for name in done.stdout.split() if name.startswith("tasks.text.languages.")}
    assert "safety" in loaded and not loaded & {"chat", "tools"}
    assert not {"tasks.chatbot.language", "tasks.chatbot.tools.language"} & set(done.stdout.split())
