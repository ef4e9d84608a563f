"""Plain text, Markdown and HTML to sections."""

import re
from collections.abc import Iterator

import yaml
from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser, LexborNode

from tasks.documents.access import groups_of
from tasks.documents.parsed import Headings, Parsed, Section, Unreadable, keep_bare_headings, squeeze
from tasks.text.lists import ITEM

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
INLINE = frozenset(
    [
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "big",
        "br",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "img",
        "ins",
        "kbd",
        "label",
        "mark",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "td",
        "th",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
    ]
)
# What leads to text but is none. The classes are DocBook's, in which much software is documented.
PASSED_OVER = (
    "head > :not(title)",
    "script",
    "style",
    "nav",
    "footer",
    "noscript",
    "template",
    "svg",
    "select",
    ".navheader",
    ".navfooter",
    ".toc",
)
FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S | re.M)
UNCLOSED_LABEL = re.compile(r"\A\s*---[ \t]*\n(?:[^\n]+\n)*?allowed[ \t]*:", re.I)


def parse_text(text: str) -> Parsed:
    """Paragraphs are set apart by empty lines, and each item of a list is one."""
    blocks = [item for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")) for item in ITEM.split(block)]
    return Parsed("", [Section("", [squeezed for block in blocks if (squeezed := squeeze(block))])])


def parse_markdown(text: str) -> Parsed:
    """As the HTML that it stands for. Front matter between lines of --- gives title, label and what else is said about the document.

    Raises:
        Unreadable: the front matter is broken, or its label is.
    """
    said, body = _front_matter(text.replace("\r\n", "\n"))
    parsed = parse_html(MarkdownIt("commonmark").enable("table").render(body))
    parsed.title = _plain(said.pop("title", "")) or parsed.title
    if "allowed" in said:
        parsed.allowed = groups_of(said.pop("allowed"), "its front matter")
    parsed.meta |= {name: _plain(value) for name, value in said.items() if value is not None}
    return parsed


def _front_matter(text: str) -> tuple[dict[str, object], str]:
    """(what it says, the rest). Text between two thematic breaks is none."""
    found = FRONT_MATTER.match(text)
    if found is None:
        if UNCLOSED_LABEL.match(text):
            raise Unreadable("its front matter names who may see it, but no line of --- ends it")
        return {}, text
    try:
        said = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of the month 13 is a ValueError
        problem = " ".join(str(error).split())
        raise Unreadable(f"its front matter is no YAML: {problem}") from error
    if not isinstance(said, dict):
        return {}, text
    return {str(name).strip().lower(): value for name, value in said.items()}, text[found.end() :]


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def parse_html(text: str) -> Parsed:
    """All text in reading order, cut at block elements, each block under the headings before it; a table row is one block.

    Scripts, styles, navigation and tables of contents are passed over. `<meta name="allowed" content="a, b">` is the label.

    Raises:
        Unreadable: the label is broken.
    """
    tree = LexborHTMLParser(text)
    allowed, meta = _meta(tree)
    for selector in PASSED_OVER:
        for node in tree.css(selector):
            node.decompose()
    titled = tree.css_first("h1") or tree.css_first("title")
    parsed = Parsed(squeeze(titled.text()) if titled else "", [Section("")], allowed, meta)
    headings = Headings()
    for tag, block in _blocks(tree.body):
        if tag in HEADINGS:
            parsed.sections.append(Section(headings.enter(int(tag[1]), block)))
        else:
            parsed.sections[-1].paragraphs.append(block)
    keep_bare_headings(parsed.sections)
    return parsed


def _meta(tree: LexborHTMLParser) -> tuple[tuple[str, ...], dict[str, str]]:
    """(label, what the page says about itself)"""
    said = [
        ((node.attributes["name"] or "").strip().lower(), (node.attributes.get("content") or "").strip()) for node in tree.css("meta[name]")
    ]
    labels = [content for name, content in said if name == "allowed"]
    if len(labels) > 1:
        raise Unreadable(f"it has {len(labels)} tags <meta name=allowed>; one must name all groups")
    allowed = groups_of(labels[0], "its tag <meta name=allowed>") if labels else ()
    return allowed, {name: content for name, content in said if name and content and name != "allowed"}


def _blocks(root: LexborNode | None) -> Iterator[tuple[str, str]]:
    """(tag, text) of each run of text between the borders of block elements. A stack of its own, for pages nested deeper than Python's."""
    stack: list[LexborNode | str | None] = [root]
    tags, texts = ["body"], [""]

    def ended() -> Iterator[tuple[str, str]]:
        block = texts.pop().strip("\n") if tags[-1] == "pre" else squeeze(texts.pop())
        texts.append("")
        if block.strip():
            yield tags[-1], block.rstrip()

    while stack:
        item = stack.pop()
        if isinstance(item, str):  # the end of a block element
            yield from ended()
            tags.pop()
        elif item is not None and item.tag == "-text":
            texts[-1] += item.text_content or ""
        elif item is not None and item.tag in INLINE:
            texts[-1] += {"br": "\n", "td": " ", "th": " "}.get(item.tag, "")
            stack += reversed(list(item.iter(include_text=True)))
        elif item is not None and item.tag and not item.tag.startswith("-"):
            yield from ended()
            tags.append(tags[-1] if tags[-1] in ("pre", *HEADINGS) else item.tag)
            stack += ["end", *reversed(list(item.iter(include_text=True)))]
