"""Small indexes of anything, searched in any way: never an error or a score that is no number, and a part is an index of nothing else."""

import random

import numpy as np
import pytest

from tests.helpers.indexes import Characters, chunk, opened

SYMBOLS = ["?!", "…", "。", "—", "🙂", "※※※", "()", "\u3000", "."]
PIECES = [
    "cat",
    "The dog runs.",
    "猫",
    "犬は港へ走る。",
    "x",
    "石",
    "harbour",
    "a",
    "LoRA",
    "16",
    "No. 5",
    "琴と銅。",
    "\n",
    " ",
    "é",
    *SYMBOLS,
]
HEADINGS = ["", "", "Cats", "猫", "Cats > Food", "?", "a"]


def text_of(generator: random.Random) -> str:
    kind = generator.random()
    if kind < 0.15:
        return generator.choice("ax猫犬?。1")
    if kind < 0.3:
        return "".join(generator.choices(SYMBOLS, k=generator.randint(1, 4)))
    return " ".join(generator.choices(PIECES, k=generator.randint(1, 8)))


def documents_of(generator: random.Random) -> list[dict]:
    """1 to 12 chunks; those of a document have the same label, metadata and language, as parts are of whole documents."""
    rows, count = [], generator.randint(1, 12)
    while len(rows) < count:
        name = f"d{len(rows)}"
        shared = {
            "allowed": generator.choice([(), (), ("a",), ("b",), ("a", "b"), ("a & b",)]),
            "meta": generator.choice([None, {"team": "x"}]),
        }
        shared["lang"] = generator.choice(["en", "ja"])
        for _ in range(min(count - len(rows), generator.randint(1, 3))):
            rows.append(chunk(text_of(generator), name, generator.choice(HEADINGS), chunk_id=f"c{len(rows)}", **shared))
    if generator.random() < 0.3:  # copies
        rows.append(rows[0] | {"chunk_id": "copy", "document": "copy"})
    return rows


def seen(row: dict, groups: set[str], where: dict) -> bool:
    may = not row["allowed"] or any(set(entry.split(" & ")) <= groups for entry in row["allowed"])
    return may and all(str((row | (row["meta"] or {})).get(name)) == value for name, value in where.items())


def searched(folder, seed: int) -> int:
    """Search one random index in some ways; how many hits there were."""
    generator = random.Random(seed)
    rows = documents_of(generator)
    settings = {
        "flat_up_to": generator.choice([50_000, 1, 5]),
        "dense_weight_en": generator.choice([None, 0.0, 0.3, 0.5, 1.0]),
        "dense_weight_ja": generator.choice([None, 0.0, 0.5, 1.0]),
    }
    companions = lambda: {"en": Characters("second", 16)} if seed % 2 else {}
    whole, found = opened(folder / "whole", rows, Characters(), companions(), **settings), 0
    for number in range(4):
        groups = set(generator.sample(["a", "b", "c"], generator.randint(0, 3)))
        where = generator.choice([{}, {}, {"lang": "en"}, {"lang": "ja"}, {"team": "x"}, {"document": "d0"}, {"page": "1"}])
        query, k = generator.choice([text_of(generator), generator.choice(rows)["text"], ""]), generator.choice([1, 2, 5, 300])
        hits = whole.search(query, k, groups, where)
        found += len(hits)
        scores = [value for hit in hits for value in (hit.score, hit.sparse, hit.dense, hit.sentence)]
        assert np.isfinite(scores).all() and len(hits) <= k, (seed, query)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True), (seed, query)
        assert 0 <= whole.confidence(query, hits, groups) <= 1 and len(whole.ranks(query, hits, groups, where)) == len(hits)
        inside = [row for row in rows if seen(row, groups, where)]
        if not inside:
            assert hits == [], (seed, query)
            continue
        alone = opened(folder / f"alone{number}", [row | {"allowed": ()} for row in inside], Characters(), companions(), **settings)
        wanted = {hit.chunk_id: hit for hit in alone.search(query, 300)}
        every = {hit.chunk_id: hit for hit in whole.search(query, 300, groups, where)}
        assert every.keys() == wanted.keys(), (seed, query, groups, where)
        for name in ("score", "sparse", "dense", "sentence"):
            there = [[getattr(hits[i], name) for i in sorted(every)] for hits in (every, wanted)]
            np.testing.assert_allclose(*there, atol=1e-3, rtol=1e-4, err_msg=f"{name} of {seed}, {query!r}")
    return found


@pytest.mark.parametrize("start", range(0, 40, 10))
def test_any_small_index_is_searched_as_it_should_be(tmp_path, start):
    assert sum(searched(tmp_path / str(seed), seed) for seed in range(start, start + 10)) > 10
