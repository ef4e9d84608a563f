"""What a question is searched by, alone or with the one before it: by what it says, and by which search does better."""

import time

import pytest

from tasks.chatbot.followup import LONGEST, leaning, look_up
from tasks.rag.retrieval import Hit
from tasks.text.terms import terms

KNOWN = set(terms("LoRA BM25 perplexity SwiGLU 量子化 蒸留 tower London bucket rank fusion trap merging"))


def rarity(term):
    return 2.0 if term in KNOWN else 5.0


def hit(score):
    return Hit("c", "doc.md", "", "", "text", "en", score, 0.0, 0.0)


def searched(question, earlier, scores=None):
    """What the question was searched by, where a text finds a hit of the score under the last key that it holds; 3 without one."""

    def search(text):
        return [hit(next((score for key, score in reversed((scores or {}).items()) if key in text), 3.0))]

    query, hits = look_up(question, earlier, search, rarity)
    assert hits == search(query)
    return query


@pytest.mark.parametrize(
    "question",
    [
        "And who built it?", "How high is it?", "Why?", "Which is the cheaper one?", "What are their weak spots?", "Why does that work?",
        "What about the latter?", "Where does it get that from?", "Tell me more.", "And the other way?", "How does it differ from London?",
        "それはいつですか?", "なぜ?", "では東京は?", "それの欠点は?", "その式は?", "前者の仕事は?", "もっと大きいやつは?", "他には?", "グループのほうは?",
        "もっと詳しく教えて", "なぜ\uff1f",
    ],
)  # fmt: skip
def test_a_question_that_points_back_takes_the_one_before(question):
    assert searched(question, ["Who made the tower of London?"]) == f"Who made the tower of London? {question}"


@pytest.mark.parametrize(
    "question",
    [
        "What is BM25?", "And what is perplexity?", "what does rank fusion mean", "Who made the tower of London?",
        "What does the reward model learn from?", "Is there a way to stop the flood of new mail?", "Are there any models from Abu Dhabi?",
        "Is it true that GPT keeps only the decoder?", "Is there a tool that bans addresses after failed logins?",
        "My backup script asks for a passphrase, how do I avoid writing it in clear?", "Explain perplexity",
        "BM25とは?", "量子化とは何を減らす手法ですか?", "では、SwiGLUとは?", "蒸留って何ですか?", "BM25は何をするもの?", "時間があれば何を学習すればよいですか?",
        "これからの学習に必要なメモリの大きさを教えてください",
    ],
)  # fmt: skip
def test_a_question_of_its_own_stays_alone(question):
    assert searched(question, ["Where is Kyoto on the map?"]) == question


@pytest.mark.parametrize(
    ("question", "before"),
    [
        ("How much memory is needed?", "What is LoRA?"),
        ("メモリはどれくらい要る?", "LoRAとは?"),
        ("どこに入れるんですか?", "鍵を作りました。"),
    ],
)
def test_without_a_sign_the_better_search_is_taken(question, before):
    assert searched(question, [before], {question: 2.0, before: 4.5}) == f"{before} {question}"
    assert searched(question, [before], {question: 4.5, before: 2.0}) == question


def test_an_unknown_name_is_no_reason_to_search_alone():
    known, unknown = leaning("And SwiGLU?", rarity), leaning("And Flathub?", rarity)
    assert unknown > 0 > known


def test_a_long_question_names_its_subject_itself():
    assert leaning("How big?", rarity) > 0 > leaning("How big may one single archive on a stick for cars be?", rarity)
    assert leaning("大きさは?", rarity) > 0 > leaning("車用の記憶装置に置ける書庫一個の大きさの上限を教えて", rarity)


def test_a_chain_is_joined_as_far_as_it_finds_better():
    earlier = ["What is London?", "What is LoRA?", "Does it need a big card?"]
    assert searched("Why not?", earlier, {"Why": 1.0, "LoRA": 4.0, "London": 9.0}) == "What is LoRA? Does it need a big card? Why not?"
    assert searched("Why not?", earlier, {"Why": 1.0, "card": 4.0, "LoRA": 3.0}) == "Does it need a big card? Why not?"


@pytest.mark.parametrize(
    "talk", ["Hello!", "Thank you, that helps a lot!", "ok, got it", "こんにちは", "なるほど、ありがとうございます。", "了解です"]
)
def test_small_talk_is_not_joined(talk):
    assert searched("What is LoRA?", [talk]) == "What is LoRA?" and searched("Why?", [talk]) == "Why?"
    assert searched("Why?", ["What is LoRA?", talk]) == "What is LoRA? Why?"


def test_of_a_long_question_before_the_beginning_is_joined_and_no_text_takes_long():
    begun = time.thread_time()
    assert searched("Why?", ["word " * 20_000]) == f"{('word ' * 20_000)[:LONGEST]} Why?"
    for text in ("it that " * 2_000, "what is " * 2_000, "それは" * 5_000, "a.b-" * 5_000, "Aa" * 5_000, "とは" * 5_000):
        leaning(text, rarity)
    assert time.thread_time() - begun < 5


def test_nothing_found_is_worse_than_anything():
    query, hits = look_up("What is BM25?", ["What is LoRA?"], lambda text: [hit(-4.0)] if "LoRA" in text else [], rarity)
    assert "LoRA" in query and hits
    assert look_up("Why?", ["What is LoRA?"], lambda text: [], rarity)[1] == []
