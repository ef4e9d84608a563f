"""Text of documents, models and people on a terminal or a page: shown, never obeyed.

Control characters move the cursor, colour what follows or write to the clipboard; changes of direction show words in another order
than they are read in. Both are left out. What writing needs stays: joiners, variation selectors, combining marks, line ends and tabs.
"""

import json
import re
from typing import Any

SEQUENCE = r"\x1b\[[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]{0,4096}(?:\x07|\x1b\\|\x9c)"  # whole orders to the terminal
UNSEEN = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]"
CONTROLS = re.compile(f"{SEQUENCE}|{UNSEEN}")
IN_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]")


def shown(text: object) -> str:
    """Text without what a terminal or a page would obey."""
    return CONTROLS.sub("", str(text).replace("\r\n", "\n"))


def shown_json(value: Any) -> str:
    """JSON on one line, with the same characters written as escapes: nothing is lost to the program that reads it."""
    return IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False, default=str))
