"""The prefix cache: keys and values of prompts and answers, for those that begin alike.

A prompt that is read sooner tells that somebody has sent its beginning, and beginnings hold documents that not everybody may see. So each entry has
a salt, the person it belongs to, and is of use to the same salt alone, but for a beginning that holds nobody's text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from tasks.inference.kv_cache import KeysAndValues, each

MIN_PREFIX = 8  # tokens: a shorter one is as quickly computed anew


@dataclass(eq=False)
class _Prefix:
    ids: list[int]
    salt: str
    kept: KeysAndValues


class PrefixCache:
    """Keys and values of what was read lately, at most `limit` tokens: prompts that begin alike (system message, earlier turns) are not read again."""

    def __init__(self, limit: int):
        self.limit = limit
        self._entries: list[_Prefix] = []  # the last used is last

    @property
    def tokens(self) -> int:
        return sum(len(entry.ids) for entry in self._entries)

    def longest(self, ids: Sequence[int], salt: str = "", head: int = 0) -> tuple[KeysAndValues, int]:
        """What is kept of the longest beginning of `ids`, and its length; 0 where none is worth copying. The last token is always left to read.

        Args:
            head: so many of the first tokens hold nobody's text, and may come from whosever prompt.
        """
        best, length = None, MIN_PREFIX - 1
        for entry in self._entries:
            shared = common(entry.ids, ids[:-1] if entry.salt == salt else ids[: min(head, len(ids) - 1)])
            if shared > length:
                best, length = entry, shared
        if best is None:
            return [], 0
        self._entries.remove(best)
        self._entries.append(best)
        return best.kept, length

    def keep(self, ids: Sequence[int], pairs: KeysAndValues, salt: str = "") -> None:
        """Remember `ids`, of which `pairs` are (views of) the keys and values; what begins them is forgotten, and the oldest beyond the limit."""
        if not MIN_PREFIX <= len(ids) <= self.limit or any(
            common(entry.ids, ids) == len(ids) for entry in self._entries if entry.salt == salt
        ):
            return
        self._entries = [entry for entry in self._entries if entry.salt != salt or common(entry.ids, ids) < len(entry.ids)]
        self._entries.append(_Prefix(list(ids), salt, [each(Tensor.clone, pair) for pair in pairs]))
        while self.tokens > self.limit:
            del self._entries[0]

    def clear(self) -> None:
        self._entries = []


def common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    length = min(len(left), len(right))
    return next((i for i in range(length) if left[i] != right[i]), length)
