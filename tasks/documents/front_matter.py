"""Front matter: what a document says of itself before its text, in YAML (---), TOML (+++) or JSON (a block in braces, or ;;;).

A slip in it costs the document nothing: what a parser refuses is read line by line. A label that cannot be read costs it everything.
"""

import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

import yaml

from tasks.documents.access import LABEL, key_of, label_in, label_names, looks_like_label
from tasks.documents.parsed import Unreadable
from tasks.documents.tables import object_of

Said = dict[str, object]
WHERE = "its front matter"
BEFORE = re.compile(r"\A[\s\ufeff\u200b]*")
FENCED = re.compile(
    r"(?P<fence>---|\+\+\+|;;;)[ \t\u3000]*(?P<format>yaml|yml|toml|json)?[ \t\u3000]*\n(?P<block>.*?)^(?:(?P=fence)|\.\.\.(?=\s*$))[ \t\u3000]*(?:\n|\Z)",
    re.S | re.M | re.I,
)
FORMATS = {"---": "yaml", "+++": "toml", ";;;": "json", "yml": "yaml"}
ENTRY = re.compile(r"(?P<key>[\"'“]?[^\s:=：#\[\]{}\-][^:=：\n]*?)[ \t\u3000]*(?P<sign>[:=：])(?P<value>.*)", re.S)
# A head that no parser takes for front matter: a line of signs, a fence of code or a comment, and lines that name things.
OPENING = re.compile(r"(?:[-+;=~*_–—―ー#%`]{2,}|<!--|/\*|\{)[^\n]{0,40}")
NAMING = re.compile(r"[ \t\u3000]*(?:[\"'“]?[^\s:=：<>。、][^:=：<>。\n]{0,40}?[ \t\u3000]*[:=：]|[-#\]\[{},*;+`~/]|$)|[ \t]+\S")
UNCLOSED_TAG = re.compile(r"<\s*meta\b[^>]*\ballow[^>]*$", re.I)
MOST_LINES = 200  # of such a head


def front_matter(text: str) -> tuple[tuple[str, ...], Said, str]:
    """(label, what else it says by names in lower case, the rest). Text between two thematic breaks is none.

    Raises:
        Unreadable: there is what looks like a label, and it cannot be read.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    said, label, rest = _split(BEFORE.sub("", text, count=1))
    if names := meant_labels(rest):
        raise Unreadable(f"its head looks as if it named who may see it, but that is no front matter: {names[0]!r}")
    if said is None:
        return (), {}, text
    return label, {key: value for key, value in said.items() if key_of(key) != LABEL}, rest


def _split(text: str) -> tuple[Said | None, tuple[str, ...], str]:
    """(what the front matter says, its label, the rest); None where there is none."""
    if text.startswith("{"):
        return _braces(text)
    found = FENCED.match(text)
    if found is None:
        return None, (), text
    block, named = found["block"], (found["format"] or found["fence"]).lower()
    said, strict = READERS[FORMATS.get(named, named)](block)
    if said is None:
        if names := label_names(block):
            raise Unreadable(f"{WHERE} names who may see it in a form that cannot be read: {names[0]!r}")
        return None, (), text
    said = {str(name).strip().lower(): value for name, value in _once(said)}
    label = label_in(said, WHERE)
    if len(names := label_names(block)) > bool(label) or (label and not strict and not names):
        raise Unreadable(f"{WHERE} names who may see it in a form that cannot be read: {names[-1:]}")
    return said, label, text[found.end() :]


def _once(said: dict[Any, object]) -> list[tuple[Any, object]]:
    labels = [name for name in said if looks_like_label(name)]
    if len(labels) > 1:
        raise Unreadable(f"{WHERE} says twice who may see it: {', '.join(map(repr, labels))}")
    return list(said.items())


def _braces(text: str) -> tuple[Said | None, tuple[str, ...], str]:
    """A JSON object before the text. One that nothing follows is the text itself, unless it has a label."""
    try:
        said, end = json.JSONDecoder(object_pairs_hook=object_of).raw_decode(text)
    except (ValueError, RecursionError):
        return None, (), text  # with a label in it, `_head` finds that
    rest = text[end:]
    label = label_in(said, WHERE)
    if (rest.strip() and rest.lstrip(" \t")[:1] == "\n") or label:
        return {str(name).strip().lower(): value for name, value in said.items()}, label, rest
    return None, (), text


def meant_labels(text: str) -> list[str]:
    """The names in the lines at the beginning of a text that look as if they said who may see it.

    With something that opens a head, it goes on as long as lines name things, blank lines between them too; without, to the first blank line.
    """
    lines = text.lstrip().split("\n", MOST_LINES)[:MOST_LINES]
    opened = bool(OPENING.fullmatch(lines[0].strip())) or lines[0].startswith(("{", "<!--"))
    head = [lines[0]] if opened else []
    for line in lines[len(head) :]:
        if not NAMING.match(line) or (not opened and (not line.strip() or not ENTRY.match(line.strip()))):
            break
        head.append(line)
    found = label_names("\n".join(part for line in head for part in _parts(line)))
    return found or ["<meta"] * bool(UNCLOSED_TAG.match(lines[0]))


def _parts(line: str) -> list[str]:
    """A line without what opens a comment, and, of JSON's kind, cut where it begins another name."""
    return re.split(r"(?<=[,{])" if line.lstrip()[:1] in ("{", '"', "'", ",") else r"<!--|/\*", line)


def _yaml(block: str) -> tuple[dict[Any, object] | None, bool]:
    """(what it says, whether all of it is YAML)"""
    try:
        if _repeated(yaml.compose(block, yaml.SafeLoader)):
            raise Unreadable(f"{WHERE} says twice who may see it")
        said = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):  # a date of the month 13 is a ValueError
        return _lenient(block, yaml.safe_load), False
    return (said if isinstance(said, dict) else None), True


def _repeated(node: yaml.Node | None) -> bool:
    """Whether the mapping names a label more than once, of which YAML would take the last."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return sum(looks_like_label(key.value) for key, _ in pairs if isinstance(key, yaml.ScalarNode)) > 1


def _toml(block: str) -> tuple[dict[Any, object] | None, bool]:
    try:
        return tomllib.loads(block), True
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return _lenient(block, lambda entry: tomllib.loads(entry)), False


def _json(block: str) -> tuple[dict[Any, object] | None, bool]:
    block = block.strip().rstrip(",")
    try:
        said = json.loads(block if block.startswith("{") else f"{{{block}}}", object_pairs_hook=object_of)
    except (ValueError, RecursionError):
        return _lenient(block.strip("{}\n"), lambda entry: json.loads(f"{{{entry.strip().rstrip(',')}}}")), False
    return said, True


READERS: dict[str, Callable[[str], tuple[dict[Any, object] | None, bool]]] = {"yaml": _yaml, "toml": _toml, "json": _json}


def _lenient(block: str, parse: Callable[[str], Any]) -> dict[Any, object] | None:
    """The entries of a block that is not well formed, each parsed by itself, or else taken as it stands; None where it is none of entries.

    Raises:
        Unreadable: an entry that looks like a label is not well formed.
    """
    said: dict[Any, object] = {}
    for entry in re.split(r"\n(?![ \t\u3000\-\]}#]|$)", block.strip("\n")):
        found = ENTRY.match(entry.strip())
        if found is None:
            if entry.strip() and not entry.lstrip().startswith(("#", "[")):
                return None
            continue
        key = found["key"].strip("\"'“” \t")
        if key in said and looks_like_label(key):
            raise Unreadable(f"{WHERE} says twice who may see it")
        try:
            parsed = parse(entry)
            if not isinstance(parsed, dict) or len(parsed) != 1:
                raise ValueError(entry)
            said |= parsed
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            if looks_like_label(key):
                raise Unreadable(f"{WHERE} names who may see it in a form that cannot be read: {key!r}") from error
            said[key] = " ".join(found["value"].replace("\t", " ").split())
    return said
