"""Japanese, as benchmarks ask in it and models answer."""

import re

ASK = "質問：{question}\n回答："
JOINT = ""
MARKS = re.compile(r"(?:答え|解答|回答|正解)[^。:?\n]{0,20}?(?:は|:)[、,]?")  # of a text in NFKC
YES = re.compile(r"はい(?=[、。,.!\s]|です|$)|そうです|正しいです|真(?=です|。|$)")
NO = re.compile(r"いいえ|違います|ちがいます|正しくありません|偽(?=です|。|$)")
MULTIPLES = {"千": 1000, "万": 10**4, "億": 10**8}

_DIGITS = {digit: value for value, digit in enumerate("〇一二三四五六七八九")}
_SMALL = {"十": 10, "百": 100, "千": 1000}
_LARGE = {"万": 10**4, "億": 10**8}
_SPELLED = re.compile(f"\\s*([{''.join([*_DIGITS, *_SMALL, *_LARGE])}]+)")


def spelled(text: str) -> int | None:
    """Kanji numerals: 二十三, 三万五千, 一〇二."""
    found = _SPELLED.match(text)
    if not found:
        return None
    total = part = digit = 0
    for sign in found[1]:
        if sign in _DIGITS:
            digit = 10 * digit + _DIGITS[sign]
        elif sign in _SMALL:
            part, digit = part + (digit or 1) * _SMALL[sign], 0
        else:
            total, part, digit = total + (part + digit or 1) * _LARGE[sign], 0, 0
    return total + part + digit
