"""`migaki search`: what the index that serves finds, with both sides' scores and ranks, for people who tune documents and settings."""

import io
import re
from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from rich.text import Text

from flows.commands.show import PlainConsole, console
from flows.running.parameters import RunParams
from flows.serving.live_index import open_champion
from storage.home import Home, StorageError
from storage.registry import champion_index
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.web.settings import ServeSettings
from tasks.errors import MigakiError
from tasks.shown import shown
from tasks.text.detection import detect
from tasks.text.language import languages

if TYPE_CHECKING:
    from tasks.rag.retrieval import Hit, Ranks, Retriever

MOST = 1000  # hits
INDENT = " " * 4
WIDEST = 120  # columns of a text: longer lines are hard to read
FIRST, LAST = 8, 3  # lines of a long text that are shown: people who tune chunks look at where one begins and ends


def search(home: Home, query: str, k: str, groups: str, lang: str | None, said: dict[str, dict[str, Any]], out: TextIO) -> dict[str, Any]:
    """Print and return what the index that serves finds.

    Args:
        k: how many hits, as it was typed.
        groups: of the asker, with commas between them, as in a line of the token file.
        lang: of the documents; None searches all.
        said: settings; `chat.cost_wrong` and `serve.max_question` count.
        out: what is printed for people goes here, warnings to standard error.

    Raises:
        MigakiError, StorageError: an argument is none that can be searched with, or there is no index that can be opened.
    """
    RunParams(said)  # a misspelt section is refused
    chat, longest = ChatSettings.build("chat", said.get("chat", {})), ServeSettings.build("serve", said.get("serve", {})).max_question
    count, asker = _count(k), frozenset(name.strip() for name in re.split("[,、]", groups) if name.strip())
    _check(query, lang, longest)
    index_id, retriever = _open(home)
    _warn_of_unknown(asker, retriever.groups)
    from tasks.rag.confidence import READ  # with numpy

    where = {"lang": lang} if lang else {}
    hits = retriever.search(query, max(count, READ), asker, where)  # the confidence rests on so many, whatever was asked for
    ranks = retriever.ranks(query, hits[:count], asker, where)
    limits = retriever.thresholds(query, chat.cost_wrong)
    documents, chunks = retriever.size(asker, where)
    answer = {
        "query": query,
        "lang": detect(query),
        "confidence": retriever.confidence(query, hits, asker),
        "unsure_from": limits.least,
        "answered_from": limits.sure,
        "index": index_id,
        "embedder": retriever.facts["embedder_reference"],
        "companions": {lang: made["embedder_reference"] for lang, made in retriever.facts.get("companions", {}).items()},
        "documents": documents,
        "chunks": chunks,
        "groups": sorted(asker),
        "only": lang,
    }
    _print(answer, list(zip(hits, ranks, strict=False)), count, out)
    found = [asdict(hit) | {"sparse_rank": rank.sparse, "dense_rank": rank.dense} for hit, rank in zip(hits, ranks, strict=False)]
    return answer | {"hits": found}


def _count(text: str) -> int:
    try:
        if 1 <= (count := int(text)) <= MOST:
            return count
    except ValueError:
        pass
    raise MigakiError(f"-k {text[:40]!r} is no number of hits: a whole number from 1 to {MOST:,} is accepted")


def _check(query: str, lang: str | None, longest: int) -> None:
    if not query.strip():
        raise MigakiError('the query is empty: say what to look for, such as `migaki search "how does beam search work"`')
    if len(query) > longest:
        raise MigakiError(f"the query has {len(query):,} characters; at most {longest:,} are accepted (serve.max_question)")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise MigakiError("the query holds bytes that are no UTF-8: type it in a terminal whose encoding is UTF-8") from error
    if lang is not None and lang not in languages():
        raise MigakiError(f"--lang {lang[:40]!r} is no language that is known here; accepted: {', '.join(languages())}")


def _open(home: Home) -> "tuple[str, Retriever]":
    """The index that serves, as the server opens it.

    Raises:
        MigakiError, StorageError: there is none, or it cannot be opened; says what to do.
    """
    now = champion_index(home)
    if now is None:
        raise MigakiError("no index serves yet: run `migaki index` first (`--documents FOLDER` names documents of your own)")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of loading the embedder's weights
    try:
        serving = open_champion(home, log=console.print)
    except (MigakiError, StorageError) as error:
        raise type(error)(f"the index {now.artifact_id[:12]} (embedder {now.embedder or 'bundled'}) cannot be opened: {error}") from error
    if serving.retriever is None:
        raise MigakiError("no index serves any more: run `migaki index`")
    return serving.id, serving.retriever


def _warn_of_unknown(asker: Collection[str], known: Collection[str]) -> None:
    """Say which groups no document is for: a slip of the pen would look like documents that are not found."""
    if not (unknown := sorted(set(asker) - set(known))):
        return
    named = sorted(known)
    there = (
        f"documents name {', '.join(named[:20])}{' and others' if named[20:] else ''}" if named else "no document is restricted to a group"
    )
    console.print(f"no document is for {', '.join(map(repr, unknown))}: {there}", soft_wrap=True)


def _print(answer: dict[str, Any], found: "list[tuple[Hit, Ranks]]", count: int, out: TextIO) -> None:
    """What was found, as a person reads it: a block for each hit, since paths, headings and texts are too long for the cells of a table."""
    from tasks.rag.confidence import READ  # with numpy

    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")  # a terminal that cannot show Japanese shows question marks
    page = PlainConsole(file=out, highlight=False, markup=False, emoji=False)
    where = f" in {answer['only']}" if answer["only"] else ""
    page.print(f"question: {answer['lang']}, confidence {answer['confidence']:.3f} that the first {READ} answer it")
    page.print(f"the chat answers from {answer['answered_from']:.2f} on, and is unsure from {answer['unsure_from']:.2f} on")
    page.print(f"searched: {answer['chunks']:,} chunks of {answer['documents']:,} documents{where} {_may_see(answer['groups'])}")
    beside = "".join(f", in {lang} beside {reference}" for lang, reference in answer["companions"].items())
    page.print(f"index {answer['index'][:12]}, embedder {answer['embedder']}{beside}", soft_wrap=True)
    for number, (hit, ranks) in enumerate(found, 1):
        page.print()
        lines = [*_wrapped(page, _head(hit)), *_wrapped(page, Text(_scores(hit, ranks), "dim"))]
        lines += _ends(_wrapped(page, Text(shown(hit.text).strip("\n"))))
        for place, line in enumerate(lines):
            page.print(Text.assemble((INDENT if place else f"{number:>2}  ", "bold"), line))
    if not found:
        page.print("nothing found: no chunk shares a term with the question, or is like it")
    elif len(found) < count:
        page.print(f"\n{len(found)} found: no other chunk shares a term with the question, or is like it")


def _may_see(groups: list[str]) -> str:
    return f"that {' or '.join(groups)} may see" if groups else "that everybody may see"


def _head(hit: "Hit") -> Text:
    heading = hit.heading or hit.title
    page = f"  page {hit.page}" if hit.page is not None else ""
    return Text.assemble((shown(hit.document), "bold"), f"  {shown(heading)}" if heading else "", page)


def _scores(hit: "Hit", ranks: "Ranks") -> str:
    sparse = f"BM25 {hit.sparse:.2f}, rank {ranks.sparse}" if ranks.sparse else "BM25 -"
    best = "" if hit.dense == hit.sentence else f" (best sentence {hit.sentence:.3f})"
    sides = f"score {hit.score:.2f}   {sparse}   cosine {hit.dense:.3f}{best}, rank {ranks.dense}   {shown(hit.lang)}"
    return sides + ("   restricted" if hit.restricted else "")


def _wrapped(page: PlainConsole, text: Text) -> list[Text]:
    """Lines that fit beside the indent."""
    lines = text.wrap(page, max(10, min(page.width - len(INDENT), WIDEST)), overflow="fold")
    for line in lines:
        line.rstrip()
    return list(lines)


def _ends(lines: list[Text]) -> list[Text]:
    """How a long text begins and ends."""
    left_out = len(lines) - FIRST - LAST
    if left_out <= 1:
        return lines
    return [*lines[:FIRST], Text(f"... {left_out} more lines (--json has the whole text) ...", "dim"), *lines[-LAST:]]
