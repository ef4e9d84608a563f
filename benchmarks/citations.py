"""Whether a sentence of an answer is ticked only where a source says it: makes true and changed sentences of texts, and measures any such file.

    python benchmarks/citations.py make ../shared/data OUT.jsonl --half report
    python benchmarks/citations.py OUT.jsonl

A row is {"sentence", "source", "lang", "kind", "true"}. True ones are as they stand, lack a clause, join two sentences, or write figures or the
style otherwise; changed ones have a number that is not in the source, one from elsewhere in it, another unit or sign, two names swapped, a
negation more or less, or the opposite comparison. Half of the changed ones are made of sentences as they stand, half of rewritten true ones.
A document is in one half alone, `develop` (on which rules and thresholds were chosen) or `report`.
"""

import argparse
import hashlib
import html
import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from citation_changes import LENGTH, absent, comparison, dropped, elsewhere, figures, joined, names, negation, style, unit

from tasks.chatbot.citations import support
from tasks.chatbot.settings import ChatSettings
from tasks.text.sentences import sentences

CHUNK = {"en": 1000, "ja": 420}  # characters: about 256 tokens
TRUE = ("verbatim", "dropped", "joined", "figures", "style")
CHANGED = ("absent", "elsewhere", "unit", "names", "negation", "comparison")
EACH = {True: 60, False: 50}  # rows of a kind and language: 600 true ones, 600 changed ones


def documents(data: Path) -> Iterator[tuple[str, str, str]]:
    """(name, language, text) of all texts of the shared data that are prose."""
    for name, lang in (("xquad_en_half.json", "en"), ("jsquad_valid.json", "ja")):
        for i, entry in enumerate(json.loads((data / "qa" / name).read_text(encoding="utf-8"))["data"]):
            for paragraph in entry["paragraphs"]:
                yield f"{name}/{i}", lang, re.sub(r"^.*?\[SEP\]\s*", "", paragraph["context"])
    for path in sorted((data / "qa" / "jaquad").glob("*.json")):
        for i, entry in enumerate(json.loads(path.read_text(encoding="utf-8"))["data"]):
            for paragraph in entry["paragraphs"]:
                yield f"{path.name}/{i}", "ja", paragraph["context"]
    for i, line in enumerate((data / "text" / "en_wikipedia_30.txt").read_text(encoding="utf-8").split("\n\n")):
        yield f"wikipedia/{i}", "en", re.sub(r"(?<=[a-z)])\.(?=[A-Z])", ".\n\n", line)
    for i, entry in enumerate((data / "qa" / "cranfield" / "cran.all.1400").read_text(encoding="utf-8").split("\n.I ")[::4]):
        yield f"cranfield/{i}", "en", _cranfield(entry)
    for lang in ("en", "ja"):
        for path in sorted((data / "docs").glob(f"*/{lang}/*.html")):
            for paragraph in re.findall(r"<p>(.*?)</p>", path.read_text(encoding="utf-8"), re.S):
                text = " ".join(html.unescape(re.sub(r"<[^>]+>", "", paragraph)).split())
                yield f"{path.parent.parent.name}/{path.name.split('.')[0]}", lang, text


def _cranfield(entry: str) -> str:
    text = " ".join(entry.partition(".W")[2].split()).replace(" .", ".").replace(" ,", ",")
    return re.sub(r"(?:^|(?<=\. ))[a-z]", lambda match: match[0].upper(), text)


def half_of(name: str) -> str:
    return ("develop", "report")[hashlib.sha256(name.encode()).digest()[0] % 2]


def chunks(data: Path, half: str) -> dict[str, list[list[str]]]:
    """Sentences of each chunk, by language, in a fixed order."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for name, lang, text in documents(data):
        if half_of(name) != half:
            continue
        chunk: list[str] = []
        for sentence in sentences(text):
            if chunk and sum(map(len, chunk)) + len(sentence) > CHUNK[lang]:
                found[lang].append(chunk)
                chunk = []
            chunk.append(sentence)
        found[lang].append(chunk)
    return {lang: [chunk for chunk in each if len(chunk) >= 2] for lang, each in sorted(found.items())}


MAKERS = {maker.__name__: maker for maker in (figures, style, dropped, joined, absent, elsewhere, unit, names, negation, comparison)}


def make(data: Path, half: str, seed: int = 16) -> list[dict]:
    rows: list[dict] = []
    for lang, found in chunks(data, half).items():
        for kind in (*TRUE, *CHANGED):
            draw, made = random.Random(f"{seed}/{half}/{lang}/{kind}"), []
            order = draw.sample(found, len(found))
            for chunk in order:
                if len(made) == EACH[kind in TRUE]:
                    break
                source = (" " if lang == "en" else "").join(chunk)
                fit = [sentence for sentence in chunk if LENGTH[lang][0] <= len(sentence) <= LENGTH[lang][1] and sentence[-1] in ".。"]
                for sentence in draw.sample(fit, len(fit)):
                    said = _changed(sentence, source, kind, draw, lang, len(made))
                    if said:
                        made.append({"sentence": said, "source": source, "lang": lang, "kind": kind, "true": kind in TRUE})
                        break
            rows += made
    return rows


def _changed(sentence: str, source: str, kind: str, draw: random.Random, lang: str, count: int) -> str | None:
    if kind == "verbatim":
        return sentence
    if kind in CHANGED and count % 2:  # of a rewritten true one, where there is a way
        sentence = next((said for way in draw.sample(TRUE[1:], 4) if (said := MAKERS[way](sentence, source, draw, lang))), sentence)
    said = MAKERS[kind](sentence, source, draw, lang)
    return said if said and said != sentence and (kind in TRUE or said not in source) else None


def measure(rows: list[dict], least: float) -> None:
    """Prints the share ticked of each kind and language."""
    ticked: dict[tuple[bool, str], Counter] = defaultdict(Counter)
    for row in rows:
        for kind in (row["kind"], "all"):
            for lang in (row["lang"], "both"):
                ticked[row["true"], kind][lang, support(row["sentence"], row["source"]) >= least] += 1
    for (true, kind), counts in sorted(ticked.items(), key=lambda item: (not item[0][0], item[0][1] == "all")):
        langs = sorted({lang for lang, _ in counts}, key=lambda lang: (lang == "both", lang))
        shares = {lang: f"{counts[lang, True] / (counts[lang, True] + counts[lang, False]):6.1%}" for lang in langs}
        print(
            f"{'true' if true else 'changed':8} {kind:12} {sum(counts['both', held] for held in (True, False)):5}",
            *(f"{lang} {share}" for lang, share in shares.items()),
        )


def main() -> None:
    if sys.argv[1:2] == ["make"]:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("data", type=Path)
        parser.add_argument("out", type=Path)
        parser.add_argument("--half", choices=("develop", "report"), default="report")
        given = parser.parse_args(sys.argv[2:])
        rows = make(given.data, given.half)
        given.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        print(Counter((row["lang"], row["kind"]) for row in rows))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--least", type=float, default=ChatSettings().support, help="what is ticked (default: chat.support)")
    given = parser.parse_args()
    measure([json.loads(line) for line in given.file.read_text(encoding="utf-8").splitlines() if line.strip()], given.least)


if __name__ == "__main__":
    main()
