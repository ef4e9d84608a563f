"""Answers are taken out by stated rules, of English and of Japanese."""

import re
from types import SimpleNamespace

import pytest

from tasks.studies.suites.extraction import taken_out
from tasks.studies.suites.language import StudiesLanguage, studies_languages
from tasks.studies.suites.question import Question
from tasks.text.language import languages


def question(kind, lang="en", choices=()):
    return Question("1", lang, "?", choices, "", kind)


@pytest.mark.parametrize(
    ("text", "lang", "wanted"),
    [
        ("He has 3 boxes of 4, so 3 * 4 = 12.\n#### 12", "en", "12"),
        ("The answer is $1,080.50 in total, of 2,000.", "en", "1080.5"),
        ("The answer is 5 + 3 = 8 apples.", "en", "8"),
        ("The answer is twenty-one.", "en", "21"),
        ("First 5, then 7.", "en", "7"),
        ("So the final answer is: \\boxed{-3}", "en", "-3"),
        ("The answer is 4. No, wait, the answer is 6 million dollars", "en", "6000000"),
        ("To answer the question we count 3 and 9", "en", "9"),
        ("The answer is hard to tell.", "en", None),
        ("5台の車に4人ずつ乗るので、答えは２０人です。", "ja", "20"),
        ("答えは二十三です", "ja", "23"),
        ("答え：三万五千円", "ja", "35000"),
        ("答えは３万円です。", "ja", "30000"),
        ("5 + 4 = 9になります。したがって9個のおもちゃがあります。", "ja", "9"),
        ("", "ja", None),
    ],
)
def test_numbers(text, lang, wanted):
    assert taken_out(text, question("number", lang)) == wanted


@pytest.mark.parametrize(
    ("text", "lang", "choices", "wanted"),
    [
        ("The answer is (B).", "en", ("dog", "cat"), "B"),
        ("B", "en", ("dog", "cat"), "B"),
        ("B. cat", "en", ("dog", "cat"), "B"),
        ("The answer is B because cats purr.", "en", ("dog", "cat"), "B"),
        ("A dog barks; a dog it is.", "en", ("cat", "dog"), "B"),
        ("A dog or a cat", "en", ("cat", "dog"), None),
        ("D", "en", ("cat", "dog"), None),
        ("The answer is hot water", "en", ("water", "hot water"), "B"),
        ("答えはＢです。", "ja", ("犬", "猫"), "B"),
        ("正解は「猫」です", "ja", ("犬", "猫"), "B"),
        ("Bです", "ja", ("犬", "猫"), "B"),
    ],
)
def test_choices(text, lang, choices, wanted):
    assert taken_out(text, question("choice", lang, choices)) == wanted


@pytest.mark.parametrize(
    ("text", "lang", "wanted"),
    [
        ("Yes, since nobody knows.", "en", "yes"),
        ("Genghis Khan had no phone. So the answer is yes.", "en", "yes"),
        ("Nothing is known.", "en", None),
        ("いいえ、違います。", "ja", "no"),
        ("水に浮くので、答えは、はいです。", "ja", "yes"),
        ("中にはいった。", "ja", None),
    ],
)
def test_yes_and_no(text, lang, wanted):
    assert taken_out(text, question("yes_no", lang)) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [('The answer is "YAJO".', "yajo"), ("The answer is yajo", "yajo"), ("y, a, j, o: yajo.", "yajo"), ("...", None)],
)
def test_words(text, wanted):
    assert taken_out(text, question("text")) == wanted


def test_every_language_says_all_that_is_asked():
    assert set(studies_languages()) == set(languages())
    for code, language in studies_languages().items():
        assert all(hasattr(language, name) for name in StudiesLanguage.__annotations__), code
        assert language.ASK.count("{question}") == 1 and not language.ASK.endswith((" ", "\n")) and language.JOINT in ("", " ")
        assert language.spelled("") is None and language.spelled("猫 cat") is None
        assert not (language.YES.search("") or language.NO.search("") or language.MARKS.search(""))
        # An example that is put before a question announces its answer as a model's own would.
        assert taken_out(language.ASK.replace("{question}", "?").partition("\n")[2] + language.JOINT + "7", question("number", code)) == "7"


def test_an_invented_language_needs_its_table_alone(monkeypatch):
    greek = SimpleNamespace(
        ASK="Ερώτηση: {question}\nΑπάντηση:",
        JOINT=" ",
        MARKS=re.compile("απάντηση είναι", re.IGNORECASE),
        YES=re.compile("ναι"),
        NO=re.compile("όχι"),
        MULTIPLES={"χιλιάδες": 1000},
        spelled=lambda text: 5 if text.strip().startswith("πέντε") else None,
    )
    monkeypatch.setattr("tasks.studies.suites.extraction.studies_languages", lambda: {"el": greek})
    for text, kind, wanted in (
        ("Δύο και 3: η απάντηση είναι πέντε.", "number", "5"),
        ("Η απάντηση είναι 7 χιλιάδες", "number", "7000"),
        ("όχι, ναι", "yes_no", "no"),
    ):
        assert taken_out(text, question(kind, "el")) == wanted
