"""English or Japanese, told by the script alone."""

import re

JAPANESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uff66-\uff9f]")


def detect(text: str) -> str:
    """"ja" if the text holds kana or kanji, else "en"."""
    return "ja" if JAPANESE.search(text) else "en"
