"""The chatbot: what it remembers, where it looks, when it quotes."""

import pytest

from tasks.chatbot.conversation import Conversation
from tasks.chatbot.engine import NOTHING_FOUND, ChatEngine, best_sentence
from tasks.chatbot.settings import ChatSettings
from tasks.rag.bm25 import BM25
from tasks.rag.retrieval import Hit, subject
from tests.models import tiny_llama, tiny_tokenizer


def hit(text, score=5.0, lang="ja"):
    return Hit("c", "doc.md", "題名", "題名", text, lang, score, 1.0, 0.5)


class Index:
    """Answers every search with the same hits."""

    def __init__(self, *hits):
        self.hits = list(hits)
        self.bm25 = BM25.build([found.text for found in hits], 0.9, 0.4)

    def search(self, question, k):
        return self.hits[:k]


def engine(index=None, weak=(), **settings):
    return ChatEngine(tiny_llama(), tiny_tokenizer(), index, ChatSettings(**{"max_new_tokens": 8, "temperature": 0.0} | settings), weak)


def count(messages):
    return sum(len(message["content"]) for message in messages)


def test_the_oldest_turns_go_first_and_the_system_message_never():
    chat = Conversation("rules", max_turns=3)
    for i in range(5):
        chat.add("user", f"q{i}")
        chat.add("assistant", f"a{i}")
    assert [m["content"] for m in chat.turns] == ["q2", "a2", "q3", "a3", "q4", "a4"]
    fitted = chat.fitting({"role": "user", "content": "now"}, 12, count)
    assert [m["content"] for m in fitted] == ["rules", "q4", "a4", "now"]
    assert [m["content"] for m in chat.fitting({"role": "user", "content": "x" * 50}, 12, count)] == ["rules", "x" * 50]


def test_an_answer_streams_and_is_remembered():
    talk = engine()
    pieces = list(talk.answer("hello"))
    assert "".join(pieces) == talk.turn.answer and [m["role"] for m in talk.conversation.turns] == ["user", "assistant"]


@pytest.mark.parametrize("settings", [{"num_beams": 2}, {"temperature": 1.0, "top_k": 5, "top_p": 0.5}, {"no_repeat_ngram": 1}])
def test_every_way_of_generating_works(settings):
    assert isinstance("".join(engine(**settings).answer("hello")), str)


def test_breaking_off_forgets_the_question():
    talk = engine(max_new_tokens=200)
    pieces = talk.answer("hello")
    next(pieces)
    pieces.close()
    assert talk.conversation.turns == []


def test_a_weak_language_is_quoted_and_said_so():
    talk = engine(Index(hit("量子化は重みのビット数を減らします。温度は別の話です。")), weak=("ja",))
    answer = "".join(talk.answer("量子化とは何ですか?"))
    assert "量子化は重みのビット数を減らします。" in answer and "温度は別の話" not in answer and "引用" in answer and talk.turn.quoted


def test_a_weak_match_is_admitted():
    talk = engine(Index(hit("関係のない文です。", score=0.1)), weak=("ja",))
    assert "".join(talk.answer("量子化とは?")) == NOTHING_FOUND["ja"] and talk.turn.sources == []


def test_a_long_conversation_never_overflows_the_context():
    talk = engine(Index(*[hit("長い文。" * 60, lang="ja")] * 3))
    for _ in range(4):
        assert isinstance("".join(talk.answer("質問です。" * 20)), str)


def test_best_sentence_shares_most_with_the_question():
    assert best_sentence("温度を上げると?", [hit("量子化は軽い。温度を上げると多様です。")], lambda _: 1.0)[1] == "温度を上げると多様です。"


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("LoRAとは何ですか?", "LoRA"),
        ("温度について教えてください。", "温度"),
        ("何ですか?", "何ですか?"),
        ("What is LoRA?", "What is LoRA?"),
    ],
)
def test_the_phrase_that_asks_is_not_searched_for(question, about):
    assert subject(question) == about
