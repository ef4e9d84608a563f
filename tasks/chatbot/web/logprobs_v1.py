"""Log-probabilities of an answer's tokens as OpenAI's API shapes them, of those alone that were shown."""

from typing import Any

from tasks.chatbot.events import Piece, ShownToken
from tasks.inference.backend import TokenLogprob

LEAST = -9999.0  # what OpenAI says of a token that is as good as impossible: JSON has no infinity
BROKEN = "\ufffd"


class ShownLogprobs:
    """Tells of tokens when the client has the whole of their text: a stop string holds pieces back, or cuts them off."""

    def __init__(self) -> None:
        self._came = self._given = 0  # characters that came, and those that the client was given
        self._waiting: list[ShownToken] = []

    def came(self, piece: Piece) -> None:
        self._waiting += [ShownToken(self._came + token.end, token.logprob) for token in piece.tokens]
        self._came += len(piece.text)

    def given(self, text: str) -> dict[str, Any] | None:
        """Of the tokens that have become whole with this text; None where there are none."""
        self._given += len(text)
        whole = [token.logprob for token in self._waiting if token.end <= self._given]
        self._waiting = self._waiting[len(whole) :]
        return {"content": [entry(one) for one in whole], "refusal": None} if whole else None


def entry(token: TokenLogprob) -> dict[str, Any]:
    return _said(token.token, token.logprob) | {"top_logprobs": [_said(*other) for other in token.top]}


def joined(parts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Those of a whole answer; None where the model wrote none of what was shown."""
    return {"content": [one for part in parts for one in part["content"]], "refusal": None} if parts else None


def _said(token: str, logprob: float) -> dict[str, Any]:
    """The bytes of a token that is a part of a character are not known."""
    return {"token": token, "logprob": max(logprob, LEAST), "bytes": None if BROKEN in token else list(token.encode())}
