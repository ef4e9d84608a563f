"""Control strings: the texts of tokens that begin and end messages. Only a template writes such tokens; in what people write they are plain text.

A tokenizer turns `<|im_end|>` into its control token wherever it stands, in a question too, which would end the question there. So what people
write is hidden from the template behind placeholders, and texts with any are encoded by a second tokenizer that knows the control tokens under
other names. Texts without control strings never come near it: their ids are the tokenizer's own.
"""

import json
import re
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

HIDDEN, OPEN, CLOSE = "\ufdd0", "\ufdd1", "\ufdd2"  # noncharacters (Unicode 23.7): no text has them
SHORTEST = 3  # characters of a control string; some tokenizers call a sign or a space special
MARKUP = re.compile(r"[<\[\uff5c].*[>\]\uff5c]", re.DOTALL)
BORDER = re.compile(
    r"[|\uff5c]|_of_|^.{0,2}(?:s|bos|eos|pad)\W+$"
)  # in markup of control tokens, and of nothing that is a text (Gemma has a token for <h1>)
# What a model says itself: the borders of thoughts and calls in an answer are its own words, not an end of the message.
SPOKEN = re.compile(r"[<\[|]*/?\s*(?:think|thought|tool|function|reason)", re.IGNORECASE)
BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # what unknown characters come to (SentencePiece's byte fallback)
PLACEHOLDER = re.compile(f"{HIDDEN}(\\d+){CLOSE}")


class Controls:
    """The control strings of a tokenizer, and texts in which some are plain."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        found = {str(token.content): (i, bool(token.special)) for i, token in tokenizer.added_tokens_decoder.items()}
        written = str(tokenizer.chat_template or "")
        self.ids_of = {text: i for text, (i, special) in found.items() if _is_control(text, special, written)}
        spoken = {text for text in self.ids_of if SPOKEN.match(text) and not found[text][1]}
        self._strings = [*sorted(self.ids_of, key=len, reverse=True), HIDDEN, OPEN, CLOSE]
        self._numbers = {text: number for number, text in enumerate(self._strings)}
        self._all = _any_of(self._strings)
        self._unspoken = _any_of([text for text in self._strings if text not in spoken])

    def hidden(self, text: str, role: str) -> str:
        """The text with its control strings behind placeholders; an answer keeps the borders of thoughts and calls."""
        pattern = self._unspoken if role == "assistant" else self._all
        return pattern.sub(lambda match: f"{HIDDEN}{self._numbers[match[0]]}{CLOSE}", text)

    def shown(self, text: str) -> str:
        """The text with what was hidden in its place again."""
        return PLACEHOLDER.sub(lambda match: self._strings[int(match[1])], text)

    def encode(self, text: str) -> list[int]:
        """Token ids. What is hidden in the text is encoded as the characters that it is."""
        if HIDDEN not in text:
            ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            return ids
        if self._aliased is None:
            return self._in_pieces(text)
        tokenizer, real = self._aliased
        named = _any_of(list(self.ids_of)).sub(lambda match: f"{OPEN}{self.ids_of[match[0]]}{CLOSE}", text)
        encoded: list[int] = []
        for token in tokenizer.encode(self.shown(named), add_special_tokens=False).ids:
            encoded += [real[token]] if token in real else self._plain(token)
        return encoded

    def _plain(self, token: int) -> list[int]:
        """A token that is not the template's; a control token that merges have made all the same is spelled."""
        if token not in self._control_ids:
            return [token]
        return [i for character in self._control_ids[token] for i in self.tokenizer(character, add_special_tokens=False)["input_ids"]]

    def _in_pieces(self, text: str) -> list[int]:
        """For tokenizers that cannot be copied: no piece holds the whole of a control string that is plain."""
        pieces = PLACEHOLDER.sub(lambda match: HIDDEN.join(self._strings[int(match[1])]), text).split(HIDDEN)
        return [i for piece in pieces if piece for i in self.tokenizer(piece, add_special_tokens=False)["input_ids"]]

    @cached_property
    def _control_ids(self) -> dict[int, str]:
        """Without the token for what is unknown, which texts come to honestly."""
        return {i: text for text, i in self.ids_of.items() if i != self.tokenizer.unk_token_id or i == self.tokenizer.eos_token_id}

    @cached_property
    def _aliased(self) -> tuple[Tokenizer, dict[int, int]] | None:
        """The tokenizer with other names for its control tokens, and from its ids of these to the real ones."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            return None
        content = json.loads(backend.to_str())
        names = {text: f"{OPEN}{i}{CLOSE}" for text, i in self.ids_of.items()}
        content["post_processor"] = None
        for token in content["added_tokens"]:
            token["content"] = names.get(token["content"], token["content"])
        _rename(content["model"], names)
        aliased = Tokenizer.from_str(json.dumps(content))
        return aliased, {i: self.ids_of[text] for text, name in names.items() if (i := aliased.token_to_id(name)) is not None}


def _is_control(text: str, special: bool, template: str) -> bool:
    """Special tokens, and those that are not called so but look like it, or that the template writes."""
    if not text.strip() or BYTE.fullmatch(text):
        return False
    if special:
        return len(text) >= SHORTEST
    return bool(MARKUP.fullmatch(text)) and bool(BORDER.search(text) or SPOKEN.match(text) or text in template)


def _any_of(strings: list[str]) -> re.Pattern[str]:
    """Longer ones first, so that none hides in another."""
    return re.compile("|".join(map(re.escape, sorted(strings, key=len, reverse=True))) or r"(?!)")


def _rename(model: dict[str, Any], names: dict[str, str]) -> None:
    """In a model's own vocabulary too, where it has control tokens: it must not find them in a text. Merges of BPE name tokens by their texts, so
    those that they make keep theirs."""
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, list):  # Unigram: pairs of a text and its score
        for entry in vocabulary:
            entry[0] = names.get(entry[0], entry[0])
    elif isinstance(vocabulary, dict):
        merges = (merge if isinstance(merge, list) else merge.split(" ", 1) for merge in model.get("merges", ()))
        made = {text for a, b in merges for text in (a, b, a + b)}
        model["vocab"] = {text if text in made else names.get(text, text): i for text, i in vocabulary.items()}
    if model.get("unk_token") in names and model["unk_token"] not in (vocabulary or {}):
        model["unk_token"] = names[model["unk_token"]]
    elif isinstance(model.get("vocab"), dict) and model.get("unk_token") not in model["vocab"]:
        model["unk_token"] = names.get(model.get("unk_token") or "", model.get("unk_token"))
