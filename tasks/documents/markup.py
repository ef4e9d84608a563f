"""Plain text, Markdown and HTML to sections."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser, LexborNode

from tasks.documents.access import LABEL, groups_of, key_of, label_names, looks_like_label
from tasks.documents.front_matter import front_matter
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
READ_NAMES = ("name", "property")  # attributes of <meta> by which it names what it says
META_NAMES = (*READ_NAMES, "itemprop", "http-equiv", "id", "class")  # and those that people take for them
META_LABEL = re.compile(r"""<\s*meta\b[^<>]*?=\s*["'“”‘’]?\s*(?:dis|not-?)?allow""", re.I)
COMMENT = re.compile(r"<!--(.*?)(?:-->|\Z)", re.S)


def parse_text(text: str) -> Parsed:
    """Paragraphs are set apart by empty lines, and each item of a list is one. Front matter is read as `parse_markdown` reads it.

    Raises:
        Unreadable: the label is broken.
    """
    label, said, text = front_matter(text)
    if META_LABEL.match(text.lstrip()):
        raise Unreadable("it begins with a tag <meta> that looks like a label of who may see it, and is no HTML")
    blocks = [item for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")) for item in ITEM.split(block)]
    parsed = Parsed("", [Section("", [squeezed for block in blocks if (squeezed := squeeze(block))])])
    return _with_front_matter(parsed, label, said)


def parse_markdown(text: str) -> Parsed:
    """As the HTML that it stands for. Front matter gives title, label and what else is said about the document.

    Raises:
        Unreadable: the label is broken.
    """
    label, said, body = front_matter(text)
    return _with_front_matter(_html(MarkdownIt("commonmark").enable("table").render(body)), label, said)


def _with_front_matter(parsed: Parsed, label: tuple[str, ...], said: dict[str, object]) -> Parsed:
    """The document with what its front matter says of it.

    Raises:
        Unreadable: it has a label of its own beside the one of the front matter.
    """
    if label and parsed.allowed and set(label) != set(parsed.allowed):
        raise Unreadable(f"its front matter is for {', '.join(label)}, its tag <meta name={LABEL}> for {', '.join(parsed.allowed)}")
    parsed.title = _plain(said.pop("title", None) or "") or parsed.title
    parsed.allowed = label or parsed.allowed
    parsed.meta |= {name: _plain(value) for name, value in said.items() if value is not None}
    return parsed


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def parse_html(text: str) -> Parsed:
    """All text in reading order, cut at block elements, each block under the headings before it; a table row is one block.

    Scripts, styles, navigation and tables of contents are passed over. `<meta name="allowed" content="a, b">` is the label; front matter
    may have one, too.

    Raises:
        Unreadable: the label is broken.
    """
    label, said, body = front_matter(text)
    return _with_front_matter(_html(body), label, said)


def _html(text: str) -> Parsed:
    tree = LexborHTMLParser(text)
    allowed, meta = _meta(tree, text)
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


def _meta(tree: LexborHTMLParser, text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """(label, what the page says about itself)"""
    told: dict[str, str] = {}
    labels: list[str] = []
    for node in tree.css("meta"):
        content = (node.attributes.get("content") or "").strip()
        names = {attribute: value.strip() for attribute in META_NAMES if (value := node.attributes.get(attribute))}
        meant = {attribute: value for attribute, value in names.items() if looks_like_label(value)}
        if any(attribute not in READ_NAMES or key_of(value) != LABEL for attribute, value in meant.items()):
            raise Unreadable(f"its tag <meta {meant}> looks like a label of who may see it; <meta name={LABEL!r} content=...> is read")
        if meant:
            labels.append(content)
        elif content and "name" in names:
            told[names["name"].lower()] = content
    if len(labels) > 1:
        raise Unreadable(f"it has {len(labels)} tags <meta name={LABEL}>; one must name all groups")
    if len(META_LABEL.findall(text)) > len(labels):
        raise Unreadable(f"a tag <meta name={LABEL}> in it cannot be read: it is not closed, or stands where none is read")
    if hidden := [name for comment in COMMENT.findall(text) for name in label_names(comment)]:
        raise Unreadable(f"a comment in it looks as if it named who may see it: {hidden[0]!r}")
    return groups_of(labels[0], f"its tag <meta name={LABEL}>") if labels else (), told


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
