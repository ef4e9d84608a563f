"""Which encoding a file's text is in: what English and Japanese files come in, told from their bytes."""

import re
from contextlib import suppress

from charset_normalizer import from_bytes

JAPANESE = ("cp932", "euc_jp", "euc_jis_2004")
KANA = re.compile(r"[\u3041-\u3093\u30a1-\u30f6\u30fc]")
ENCODINGS = ["cp932", "euc_jp", "cp1252", "utf_16", "utf_16_le", "utf_16_be"]
BINARY = bytes(set(range(32)) - set(b"\t\n\f\r\x1b"))  # control characters that no text holds
WIDE = (b"\xff\xfe", b"\xfe\xff")  # how UTF-16 and UTF-32 begin
OTHER = re.compile("[\udc80-\udcff]")  # how a byte that is no UTF-8 is kept (PEP 383)
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
LEAST_KANA = 0.1  # of the characters beyond ASCII: an accent of Windows-1252 now and then also passes for one
DAMAGED = 0.02  # of the characters beyond ASCII: with fewer such bytes it is UTF-8 that was damaged, not another encoding


class NotText(ValueError):
    """Why bytes are no text."""


def decoded(data: bytes, declared: str = "") -> str:
    """The text of a file in UTF-8, the encoding that it declares itself, Shift JIS (CP932), EUC-JP, ISO-2022-JP, UTF-16 or Windows-1252.

    Raises:
        NotText: they are binary, or of no known encoding.
    """
    if not data.startswith(WIDE) and len(data) - len(data.translate(None, BINARY)) > len(data) // 1000:
        raise NotText("the file is binary, not text")
    if b"\x1b$" in data[:10_000]:  # ISO-2022-JP is made of ASCII bytes, so it would pass for UTF-8
        return data.decode("iso2022_jp", errors="replace")
    for encoding in filter(None, ("utf-16" if data.startswith(WIDE) else "utf-8-sig", declared)):
        with suppress(LookupError, UnicodeDecodeError):
            return data.decode(encoding)
    if text := _japanese(data):
        return text
    best = from_bytes(data, cp_isolation=ENCODINGS).best()
    if best is None:
        raise NotText("its character encoding was not recognised: save it as UTF-8")
    return str(best)


def _japanese(data: bytes) -> str:
    """The text, where it is Japanese in one of two old encodings: the one that gives kana, which no Japanese text is without. Characters of
    Windows alone, as in names of people, are too rare for `from_bytes` to know them."""
    found = []
    for encoding in JAPANESE:
        with suppress(UnicodeDecodeError):
            text = data.decode(encoding)
            found.append((len(KANA.findall(text)), text))
    kana, text = max(found, default=(0, ""), key=lambda pair: pair[0])
    return text if kana > LEAST_KANA * len(BEYOND_ASCII.findall(text)) else ""


def decoded_or_damaged(data: bytes) -> str:
    """As `decoded`; but where a few bytes of UTF-8 are broken, each becomes a lone surrogate, so that the rest of the file can be used.

    Raises:
        NotText: as `decoded`.
    """
    text = data.decode("utf-8-sig", errors="surrogateescape")
    broken, beyond = len(OTHER.findall(text)), len(BEYOND_ASCII.findall(text))
    if not data.startswith(WIDE) and 0 < broken <= max(1, DAMAGED * beyond) < beyond:
        return text
    return decoded(data)
