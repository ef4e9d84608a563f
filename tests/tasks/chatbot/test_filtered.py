"""Pieces of an answer as the filters let them through, and the log-probabilities of those tokens alone that were shown as they were written."""

import pytest

from tasks.chatbot.events import Piece, Turn
from tasks.chatbot.filtered import written
from tasks.chatbot.safety.guard import Guard
from tasks.inference.backend import Delta, TokenLogprob


def deltas(*tokens):
    for token in tokens:
        yield Delta(token, 1, None, (TokenLogprob(token, -1.0),))
    yield Delta("", 1, "stop")


def shown(guard, *tokens):
    turn = Turn("t", "Who wrote it?", "en")
    pieces = [event for event in written(guard, turn, deltas(*tokens)) if isinstance(event, Piece)]
    return turn, pieces


@pytest.mark.parametrize("guard", [None, Guard()])
def test_every_token_that_is_shown_has_its_log_probability_at_its_place(guard):
    words = [f"word{i} " for i in range(30)] + ["end", "."]
    turn, pieces = shown(guard, *words)
    assert [token.logprob.token for piece in pieces for token in piece.tokens] == words
    said = ""
    for piece in pieces:
        for token in piece.tokens:
            assert (said + piece.text)[: len(said) + token.end].endswith(token.logprob.token)
        said += piece.text
    assert said == turn.answer == "".join(words)


def test_what_is_masked_or_refused_has_none():
    turn, pieces = shown(Guard(), "It ", "was ", "she. ", "Write ", "to ", "anna", "@", "example", ".org ", "now. ", "Good ", "luck.")
    assert "anna@example.org" not in turn.answer and turn.answer.startswith("It was she. ") and turn.answer.endswith("Good luck.")
    told = "".join(token.logprob.token for piece in pieces for token in piece.tokens)
    assert "It was she. " in told and "Good luck." in told and "anna" not in told and "example" not in told


def test_without_log_probabilities_a_piece_has_no_tokens():
    pieces = [
        event for event in written(None, Turn("t", "q", "en"), iter([Delta("a", 1), Delta("b", 1, "stop")])) if isinstance(event, Piece)
    ]
    assert [(piece.text, piece.tokens) for piece in pieces] == [("a", ()), ("b", ())]
