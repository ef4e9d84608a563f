"""What Migaki writes onto Prefect's page. There a script could take the secret, and an image tells its server who looks: text is shown as text."""

import re
from collections.abc import Sequence

MARKUP = re.compile(r"([!-/:-@\[-`{-~])")  # ASCII's punctuation, all of which Markdown takes literally after a backslash
UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+"
)  # line ends, other control characters, changes of direction
ADDRESS = re.compile(r"(?i)(https?(?=:)|www(?=\.)|@)")


def plain(text: object) -> str:
    """Text of documents, models or people as Markdown that shows just that, on one line: no markup, HTML, link, image or table cell of its own."""
    broken = ADDRESS.sub("\\1\u2060", UNSEEN.sub(" ", str(text)))  # a joiner without width: Prefect's page makes links of bare addresses
    return MARKUP.sub(r"\\\1", broken)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table. Not Prefect's own kind of artifact for tables: the older of its two pages takes those cells for Markdown, the newer for text."""
    lines = [list(map(plain, columns)), ["---"] * len(columns), *[[plain(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
