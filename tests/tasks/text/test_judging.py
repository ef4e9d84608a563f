"""Whether an answer holds a string that any right one contains."""

import json

import pytest

from tasks.text.judging import accepted, accepts, normalised
from tests import ROOT


@pytest.mark.parametrize(
    ("answer", "accept"),
    [
        ("It takes 4,096 tokens.", "4096"),
        ("４０９６トークンです。", "4,096"),
        ("Read up to END-of_text!", "end of text"),
        ("It needs RAM.", "ram"),
        ("Two RAMs", "RAM"),  # an ending that leaves the stem
        ("The text was clipped.", "clip"),
        ("about 26GB", "26 GB"),
        ("26 GB", "26"),
        ("fp16", "16"),
        ("Llama2モデルを使う", "Llama 2"),
        ("between 3-5", "5"),
        ("1380年-1440年", "1440年"),
        ("気温は-5度です", "-5度"),
        (".5 of them", "0.5"),
        ("version v1.5", "1.5"),
        ("It is 8.", "8"),
        ("in C++ or C#", "c#"),
        ("ﾒﾓﾘが足りない", "メモリ"),
        ("メモリーが足りない", "メモリ"),
        ("ブラッドリー・テリー", "ブラッドリーテリー"),
        ("キーとバリュー", "キー"),
        ("サブワードトークナイザ", "トークナイザ"),  # katakana words are written together
        ("トークンコスト", "トークン"),
        ("連続バッチング", "バッチング"),
        ("十八歳", "十八"),
        ("全体の5 %", "5%"),
    ],
)
def test_what_an_answer_holds(answer, accept):
    assert accepts(answer, [accept]) and accepts(answer, ["elsewhere", accept])


@pytest.mark.parametrize(
    ("answer", "accept"),
    [
        ("18", "8"),
        ("80", "8"),
        ("10.1", "0.1"),
        ("0.12", "0.1"),
        ("1.05", "1.0"),
        ("14,096", "4,096"),
        ("4,096,000", "4,096"),
        ("2,048トークン", "48トークン"),
        ("rank 80", "rank 8"),
        (".5", "5"),
        ("12, 30", "1230"),
        ("steps 1 2", "12"),
        ("a program", "RAM"),
        ("diagram of ramps", "RAM"),
        ("DistilBERT", "BERT"),
        ("C++", "C"),
        ("$5", "5%"),
        ("スキーと英語", "キー"),
        ("キーワード", "キー"),
        ("プログラム", "グラム"),
        ("コンテキスト", "テキスト"),
        ("アップロード", "ロード"),
        ("十八歳", "八歳"),
        ("二十人", "二"),
        ("", "a"),
        ("anything", "。"),
    ],
)
def test_what_an_answer_does_not_hold(answer, accept):
    assert not accepts(answer, [accept])


def test_a_string_may_stand_in_a_longer_word_first_and_alone_later():
    assert accepts("A program needs RAM.", ["RAM"]) and accepts("18 and 8", ["8"]) and accepts("スキーのキー", ["キー"])


def test_nothing_is_accepted_by_nothing():
    assert not accepts("anything", []) and accepted("anything", ["", "、", "any"]) is None


def test_the_normal_form():
    assert normalised("Ｔｈｅ “Key-Value” cache: 1,000.5 ＭＢ!") == "thekeyvaluecache1000.5mb"
    assert normalised("「検索」は、 12:30 に。") == "検索は12 30に"
    assert normalised(normalised("a 12 30 0.5 %")) == normalised("a 12 30 0.5 %")
    assert normalised("。、 -") == ""


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_gold_answer_of_the_examples_is_accepted_in_its_own_words(lang):
    rows = [json.loads(line) for line in (ROOT / "examples" / f"questions.{lang}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["question"] for row in rows if not accepts(f"Well: {row['answer']} (so it is)", row["accept"])] == []
    assert [row["question"] for row in rows if any(accepts(wrong, row["accept"]) for wrong in row["distractors"])] == []
