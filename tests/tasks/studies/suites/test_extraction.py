"""Answers are taken out by stated rules, of English and of Japanese."""

import re
from types import SimpleNamespace

import pytest

from tasks.studies.suites.extraction import taken_out
from tasks.studies.suites.language import StudiesLanguage, studies_languages
from tasks.studies.suites.question import Question
from tasks.text.language import languages


def question(kind, lang="en", choices=(), answer=""):
    return Question("1", lang, "?", choices, answer, kind)


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
        ("The final answer is $\\boxed{1{,}200}$.", "en", "1200"),
        ("\\[\\boxed{\\frac{3}{4}}\\]", "en", "0.75"),
        ("Answer: 1 1/2 cups", "en", "1.5"),
        ("Answer: .5", "en", "0.5"),
        ("Answer: \u221215", "en", "-15"),
        ("Answer: -$20", "en", "-20"),
        ("Answer: minus 15", "en", "-15"),
        ("So 10 minus 4 is what she has.", "en", "4"),
        ("Answer: one hundred and twenty", "en", "120"),
        ("Answer: two and three", "en", "2"),
        ("Answer: 3 millionaires", "en", "3"),
        ("Answer: 1.1 million", "en", "1100000"),
        ("Answer: 6 = 10 - 4", "en", "6"),
        ("The answer is 10 apples. Check: 10 = 5 + 5", "en", "10"),
        ("three thousand five hundred", "en", "3500"),
        ("答えは3万5千6百円です。", "ja", "35600"),
        ("答え: 1億2000万人", "ja", "120000000"),
        ("答えは3分の2です。", "ja", "0.666667"),
        ("答えは三分の二です。", "ja", "0.666667"),
        ("答えはマイナス5度です。", "ja", "-5"),
        ("【答え】18本（1時間で3本）", "ja", "18"),
        ("答：18本（1時間で3本）", "ja", "18"),
        ("百二十", "ja", "120"),
        ("Answer: 18。3は違います。", "ja", "18"),
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
        ("b", "en", ("dog", "cat"), "B"),
        ("Answer: b) cat", "en", ("dog", "cat"), "B"),
        ("The correct option is B.", "en", ("dog", "cat"), "B"),
        ("I think it's B", "en", ("dog", "cat"), "B"),
        ("The answer is B.", "en", ("A", "~A", "B", "~B"), "B"),
        ("The answer is A fish", "en", ("dog", "a fish"), "B"),
        ("\\boxed{\\text{B}}", "en", ("dog", "cat"), "B"),
        ("Answer: 2", "en", ("dog", "cat"), "B"),
        ("Answer: 2", "en", ("2", "4"), "A"),
        ("Answer: 3", "en", ("dog", "cat"), None),
        ("正しいのはBです。", "ja", ("犬", "猫"), "B"),
        ("選択肢Bが当てはまります。", "ja", ("犬", "猫"), "B"),
        ("答えは「イ」です。", "ja", ("犬", "猫"), "B"),
        ("正解は②です", "ja", ("犬", "猫"), "B"),
        ("答え: イギリス", "ja", ("フランス", "ドイツ", "イギリス"), "C"),
        ("Answer: B", "ja", ("犬", "猫"), "B"),
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
        ("入ってはいけない。", "ja", None),
        ("There is no doubt that he could. So yes.", "en", "yes"),
        ("No, there is none.", "en", "no"),
        ("It is not true.", "en", "no"),
        ("It is a true story, so no.", "en", "no"),
        ("答えは「はい」です。", "ja", "yes"),
        ("答えは「はい」になります", "ja", "yes"),
        ("答え: Yes", "ja", "yes"),
        ("答えはノーです。", "ja", "no"),
    ],
)
def test_yes_and_no(text, lang, wanted):
    assert taken_out(text, question("yes_no", lang)) == wanted


@pytest.mark.parametrize(
    ("text", "lang", "right", "wanted"),
    [
        ('The answer is "YAJO".', "en", "yajo", "yajo"),
        ("The answer is yajo", "en", "yajo", "yajo"),
        ("y, a, j, o: yajo.", "en", "yajo", "yajo"),
        ("...", "en", "yajo", None),
        ("\\boxed{\\text{nk}}", "en", "nk", "nk"),
        ("Answer: New Zealand, of course", "en", "new zealand", "new zealand"),
        ("That is New Zealand.", "en", "new zealand", "new zealand"),
        ("答えは東京です。", "ja", "東京", "東京"),
        ("日本の首都は東京です。", "ja", "東京", "東京"),
        ("最後の文字をつなげると「かた」になります。", "ja", "かた", "かた"),
        ("おはな", "ja", "おはな", "おはな"),
    ],
)
def test_words(text, lang, right, wanted):
    assert taken_out(text, question("text", lang, answer=right)) == wanted


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
        MINUS=re.compile(r"μείον\s+$"),
        FRACTION=re.compile(r"(?P<over>\d+) προς (?P<under>\d+)"),
        LABELS="αβγ",
        ENDING=re.compile(r"(?!)"),
        TOPIC=re.compile(r"^.*είναι\s+"),
        spelled=lambda text: 5 if text.strip().startswith("πέντε") else None,
    )
    monkeypatch.setattr("tasks.studies.suites.extraction.studies_languages", lambda: {"el": greek})
    for text, kind, wanted in (
        ("Δύο και 3: η απάντηση είναι πέντε.", "number", "5"),
        ("Η απάντηση είναι 7 χιλιάδες", "number", "7000"),
        ("Η απάντηση είναι μείον 3 προς 4", "number", "-0.75"),
        ("όχι, ναι", "yes_no", "no"),
        ("η πρωτεύουσα είναι Αθήνα", "text", "αθήνα"),
    ):
        assert taken_out(text, question(kind, "el")) == wanted
