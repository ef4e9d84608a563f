"""Duplicates are those that brute force finds, leaks are caught inside longer prompts, and the split does not move."""

import itertools
import random
import time

import pytest

from tasks.data.duplicates import near_duplicates, normalised, quotes, shingles, without_shared
from tasks.data.normalise import instruction
from tasks.data.records import Question
from tasks.data.select import asked, asked_last, balanced, before_it, drop_duplicates, drop_leaks, is_held_out

WORDS = "river stone lantern garden winter copper violin harbour meadow falcon thunder pocket ribbon saddle candle marble".split()


def rows(count: int, seed: int = 0) -> list:
    generator = random.Random(seed)
    return [
        instruction(
            {"prompt": f"{i} " + " ".join(generator.choices(WORDS, k=8)), "completion": " ".join(generator.choices(WORDS, k=8))}, "f"
        )
        for i in range(count)
    ]


def question(text: str) -> Question:
    return Question(text, text, "answer", "", [], "en", "f")


def test_near_duplicates_are_those_of_brute_force():
    generator = random.Random(1)
    texts = [" ".join(generator.choices(WORDS, k=40)) for _ in range(40)]
    for text in texts[:20]:  # edits from none to many
        words = text.split()
        for _ in range(generator.randrange(6)):
            words[generator.randrange(len(words))] = generator.choice(WORDS)
        texts.append(" ".join(words))
    sets = [shingles(text) for text in texts]
    expected, kept = {}, []
    for index, own in enumerate(sets):
        match = next((earlier for earlier in kept if len(sets[earlier] & own) / len(sets[earlier] | own) >= 0.8), None)
        if match is None:
            kept.append(index)
        else:
            expected[index] = match
    assert near_duplicates([(text,) for text in texts], 0.8) == expected
    assert 3 < len(expected) < 20


def test_japanese_near_duplicate():
    long = "大規模言語モデルは大量の文章から次の単語を予測する方法を学習し、質問への回答や要約や翻訳などの多様な作業をこなせるようになる。"
    assert near_duplicates([(long,), (long.replace("要約", "分類"),), ("猫は庭で寝ている。",)], 0.8) == {1: 0}


def test_two_questions_about_one_passage_are_no_duplicates():
    passage = "The lighthouse of the harbour was built of stone and copper. " * 10
    texts = [
        (f"{passage} Who built it?", "A mason."),
        (f"{passage} How high is it?", "Forty metres."),
        (f"{passage} Who built it??", "A mason!"),
    ]
    assert near_duplicates(texts, 0.85) == {2: 0}


LABELS = "Choose one label: ORDER to buy or cancel, CARE to water or prune, DELIVERY to ask for a parcel, OTHER for all else. "
LABELS_JA = (
    "次の問い合わせにラベルを一つだけ付けてください。ORDERは購入や取消、CAREは水やりや剪定、DELIVERYは荷物の問い合わせです。\n問い合わせ: "
)
ASKED = [
    "late oak",
    "feed mint?",
    "want two roses",
    "where is my box",
    "cancel the fern",
    "いつ届きますか",
    "バラを買いたい",
    "水やりの回数は",
]


def repeats_of(rows: list[tuple[str, str]]) -> dict[int, int]:
    """Of (question, answer), as rows of a dataset are compared."""
    apart = without_shared([question for question, _ in rows])
    texts = [(own, answer) for (own, _), (_, answer) in zip(apart, rows, strict=True)]
    return near_duplicates(texts, 0.85, shared=[shared for _, shared in apart])


@pytest.mark.parametrize("shared", [LABELS, LABELS_JA, LABELS + "\n\n", ""])
def test_what_rows_share_makes_no_near_duplicates_and_what_they_ask_does(shared):
    assert repeats_of([(shared + asked, "ORDER") for asked in [*ASKED, "I would like some tulips"]]) == {}
    assert repeats_of([(shared + asked, "DELIVERY") for asked in [*ASKED, "Where  is my BOX?"]]) == {8: 3}


def test_a_passage_that_two_rows_share_is_no_question():
    passage = "The lighthouse of the harbour was built of stone and copper. " * 10
    rows = [f"{passage}\n\nIs it old?", f"{passage}\n\nIs it made of wood?", f"{passage}\n\nIs it old?!"]
    assert without_shared(rows)[0][0].strip() == "Is it old?" and repeats_of([(row, "Yes.") for row in rows]) == {2: 0}


@pytest.mark.parametrize("between", ["\n\n", " "])
def test_the_same_question_about_another_passage_is_another_question(between):
    passages = ["The lighthouse of the harbour was built of stone. " * 9, "窯は庭の門のそばに立ち、毎年春に火が入れられる。" * 9]
    asked = ["Is it old?", "Is it old?!", "Is it made of wood?", "Who owns it now?"]
    rows = [(f"{passage}{between}{question}", "Yes.") for question in asked for passage in passages]
    assert repeats_of(rows) == {2: 0, 3: 1}


def test_a_question_of_which_nothing_would_be_left_stays_whole():
    same = "Answer in one word, whatever you are asked by whoever asks it"
    assert without_shared([same, same + ".", same + "!"])[0] == (same, "")


def test_rows_that_differ_in_what_came_before_are_no_near_duplicates():
    def row(before, asked="Why is that so?"):
        return instruction(
            {"messages": [*({"role": "user", "content": text} for text in before), *turns(asked, "Because of the wind.")]}, "f", "messages"
        )

    def turns(asked, answer):
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]

    rows = [
        row(["Tell me of ships and of the sea."]),
        row(["Tell me of kilns and of the fire."]),
        row(["Tell me of ships and of the sea!"], "Why is  that so"),
    ]
    kept, dropped = drop_duplicates(rows, lambda r: (asked_last(r.messages), r.answer), 0.85, lambda r: before_it(r.messages))
    assert kept == rows[:2] and [reason for _, reason, _ in dropped] == ["duplicate"]


def test_thousands_of_rows_with_one_system_text_are_compared_by_what_they_ask():
    system = "You are the clerk of a garden shop, and answer in one word. " * 20
    texts = [(f"{i} {' '.join(random.Random(i).choices(WORDS, k=6))}", "yes") for i in range(3000)]
    start = time.monotonic()
    assert near_duplicates(texts, 0.85, [system] * len(texts)) == {}
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(("one", "other"), [("ＬｏＲＡ とは?", "loraとは"), ("Hello,  World!", "hello world")])
def test_normalised_texts_are_equal(one, other):
    assert normalised(one) == normalised(other)


def test_signs_alone_are_not_all_the_same():
    assert normalised("??") != normalised("!!")


def test_texts_longer_than_one_slice():
    generator = random.Random(2)
    long = "".join(chr(0x4E00 + generator.randrange(20_000)) for _ in range(120_000))
    assert near_duplicates([(long,), (long[:-5],)], 0.85) == {1: 0}


def test_duplicates_keep_the_first_and_name_it():
    first, second = rows(2)
    again = instruction({"prompt": first.messages[0]["content"].upper() + "!", "completion": first.answer}, "g")
    kept, dropped = drop_duplicates([first, second, again], lambda record: (record.messages[0]["content"], record.answer), 0.85)
    assert kept == [first, second]
    assert dropped == [(again, "duplicate", f"says the same as {first.id}")]


def test_one_prompt_with_another_answer_stays():
    first = rows(1)[0]
    other = instruction({"prompt": first.messages[0]["content"], "completion": "Something quite different."}, "f")
    assert drop_duplicates([first, other], lambda record: (record.messages[0]["content"], record.answer), 0.85) == ([first, other], [])


def test_leaks_are_found_alone_spelt_otherwise_and_quoted():
    asked_for = [question("Which river runs through the garden of the old harbour?"), question("Why?")]
    prompts = {
        "which river runs through the garden of the old harbour": True,
        "Answer in one sentence: Which river runs through the garden of the old harbour? Think first.": True,
        "Which river runs through the garden of the old harbor?": True,
        "Why?": True,  # short questions leak only when they are all that is asked
        "Why? Because the candle was lit in the winter.": False,
        "Which candle burns in the garden of the old harbour?": False,
    }
    records = [instruction({"prompt": prompt, "completion": "x"}, "f") for prompt in prompts]
    kept, dropped = drop_leaks(records, lambda record: record.messages[-1]["content"], asked_for, 0.85)
    assert {record.messages[0]["content"]: True for record, _, _ in dropped} | {
        record.messages[0]["content"]: False for record in kept
    } == prompts
    assert all(reason == "leak" and "held-out question" in detail for _, reason, detail in dropped)


def test_quotes_names_the_question_it_holds_most_of():
    assert quotes(
        ["語りかける。大規模言語モデルの学習に使うデータは何ですか。答えて。"],
        ["量子化の利点は何ですか、教えてください", "大規模言語モデルの学習に使うデータは何ですか"],
        0.85,
    ) == {0: 1}


def test_split_is_stable_when_rows_are_added_and_near_its_share():
    records = rows(1000)
    before = {record.id: is_held_out(asked(record.messages), 0.15) for record in records[:500]}
    after = {record.id: is_held_out(asked(record.messages), 0.15) for record in reversed(records)}
    assert all(after[name] == side for name, side in before.items())
    assert 100 < sum(after.values()) < 200


def test_rows_of_one_prompt_fall_on_one_side():
    for record in rows(50):
        other = [{"role": "user", "content": record.messages[0]["content"] + " !"}]
        assert asked(record.messages) == asked(other)


def test_a_greater_share_only_adds():
    names = [record.id for record in rows(300)]
    for small, great in itertools.pairwise((0.05, 0.1, 0.2, 0.4)):
        assert {name for name in names if is_held_out(name, small)} <= {name for name in names if is_held_out(name, great)}


def test_balanced_takes_languages_in_turn_in_an_order_of_ids_alone():
    english = rows(30)
    japanese = [instruction({"prompt": f"質問{i}", "completion": "答え"}, "f") for i in range(4)]
    kept, left_out = balanced(english + japanese, 12)
    assert sorted(record.lang for record in kept).count("ja") == 4 and len(kept) == 12 and len(left_out) == 22
    shuffled = english + japanese
    random.Random(3).shuffle(shuffled)
    assert [record.id for record in balanced(shuffled, 12)[0]] == [record.id for record in kept]
    assert balanced(english, 0) == (english, [])
