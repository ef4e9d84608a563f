"""Lists in plain text."""

import re

# The end of a line before an item of a list.
ITEM = re.compile(r"\n(?=[ \t\u3000]*(?:[-*+•‣・●○■◆][ \t\u3000]*(?=\S)|[(（]?\d{1,3}[.)）．][ \t\u3000]+|[①-⑳][ \t\u3000]*)\S)")
