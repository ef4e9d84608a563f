"""A sentence's claims beside those of the source sentences it rests on, in the same order."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tasks.chatbot.claims import COMPARED, NAME, NEGATED, NUMBER, WORD, Claim

WEIGHTS = {NUMBER: 3.0, NAME: 3.0, COMPARED: 3.0, NEGATED: 3.0, WORD: 1.0}
DISAGREEING = 0.5  # what a pair counts for of which different things are said
NEXT = 0.3  # what it counts for more where the pair before it stands right before it on both sides
CROSSING = 0.1  # and less where they stand in different clauses of the source
MOST = 1000  # pairs; a text that says the same over and over has more, and is not read
NEAR = 4  # claims at most from a number to what it counts


@dataclass(frozen=True)
class Passage:
    """Claims of the heading, if there is one, and of one or two source sentences. `parts` says of each which of these it is in (0 the heading),
    and in which clause, numbered through."""

    claims: tuple[Claim, ...]
    parts: tuple[int, ...]
    clauses: tuple[int, ...]


def passage(heading: Sequence[Claim], *sentences: Sequence[Claim]) -> Passage:
    claims: list[Claim] = []
    parts: list[int] = []
    clauses: list[int] = []
    for part, read in enumerate((heading, *sentences)):
        offset = clauses[-1] + 1 if clauses else 0
        claims += read
        parts += [part] * len(read)
        clauses += [claim.clause + offset for claim in read]
    return Passage(tuple(claims), tuple(parts), tuple(clauses))


def aligned(sentence: Sequence[Claim], source: Passage) -> list[tuple[int, int]]:
    """The heaviest pairs of the same thing that stand in the same order on both sides; none where there are more than `MOST`."""
    places: dict[str, list[int]] = defaultdict(list)
    for j, claim in enumerate(source.claims):
        places[claim.value].append(j)
    pairs = [(i, j) for i, claim in enumerate(sentence) for j in places.get(claim.value, ()) if claim.same(source.claims[j])]
    if len(pairs) > MOST:
        return []
    best: list[float] = []
    before: list[int] = []
    for k, (i, j) in enumerate(pairs):
        found, last = 0.0, -1
        for m in range(k):
            x, y = pairs[m]
            if x < i and y < j:
                score = (
                    best[m] + (NEXT if x == i - 1 and y == j - 1 else 0.0) - (CROSSING if source.clauses[y] != source.clauses[j] else 0.0)
                )
                if score > found:
                    found, last = score, m
        weight = WEIGHTS[sentence[i].kind] * (1.0 if sentence[i].agrees(source.claims[j]) else DISAGREEING)
        best.append(found + weight)
        before.append(last)
    chosen: list[tuple[int, int]] = []
    k = max(range(len(pairs)), key=best.__getitem__, default=-1)
    while k >= 0:
        chosen.append(pairs[k])
        k = before[k]
    return chosen[::-1]


def contradiction(sentence: Sequence[Claim], source: Passage) -> str:
    """Why the sentence does not rest on the passage, "" where nothing says so."""
    pairs = aligned(sentence, source)
    if not pairs:
        return "nothing in common"
    if any(not sentence[i].agrees(source.claims[j]) for i, j in pairs):
        return "said otherwise"
    return _missing(sentence, source, pairs) or _uncounted(sentence, pairs) or _added(sentence, pairs) or _grafted(source, pairs)


def _missing(sentence: Sequence[Claim], source: Passage, pairs: list[tuple[int, int]]) -> str:
    """Numbers, names, comparisons and negations must be there, and so must words of several characters each of which is a claim; of other
    words, none in the place of another, and none moved. Before all that is found, a clause of other words may lead in."""
    used = {j for _, j in pairs}
    left = {claim.value for j, claim in enumerate(source.claims) if j not in used}
    ends = [(-1, -1), *pairs, (len(sentence), len(source.claims))]
    for (i, j), (x, y) in pairwise(ends):
        skipped = source.claims[j + 1 : y]
        near = [source.claims[k] for k in range(j + 1, y) if i >= 0 or source.clauses[k] == source.clauses[y]]
        for k in range(i + 1, x):
            claim = sentence[k]
            if claim.kind in (NUMBER, COMPARED, NEGATED) or (claim.kind == NAME and not claim.first) or claim.marks:
                return f"no {claim.kind} {claim.value}"
            if k + 1 < x and sentence[k + 1].start == claim.end:
                return f"no {claim.value}{sentence[k + 1].value}"
            if claim.value in left:
                return f"moved {claim.value}"
            if claim.first and any(other.kind == NAME for other in skipped):
                return f"{claim.value} in the place of a name"
            if near and (i >= 0 or claim.clause == sentence[x].clause):
                return f"{claim.value} in the place of {near[0].value}"
    return ""


def _uncounted(sentence: Sequence[Claim], pairs: list[tuple[int, int]]) -> str:
    """What stands right behind a number without a unit is what it counts."""
    held = dict(pairs)
    for i, claim in enumerate(sentence[:-1]):
        following = sentence[i + 1]
        counts = claim.kind == NUMBER and claim.value.endswith(" ") and following.kind in (WORD, NAME) and following.start <= claim.end + 1
        if counts and (i + 1 not in held or held[i + 1] - held[i] > NEAR):
            return f"{claim.value}counts no {following.value}"
    return ""


def _added(sentence: Sequence[Claim], pairs: list[tuple[int, int]]) -> str:
    """After what the source says, no clause may follow of which it says nothing. Before it, one may lead in, or one word."""
    held, first = {sentence[i].clause for i, _ in pairs}, pairs[0][0]
    if sum(claim.clause == sentence[first].clause for claim in sentence[:first]) > 1:
        return "a beginning of its own"
    later = [claim.clause for claim in sentence if claim.clause not in held and claim.clause > min(held)]
    return "a clause of its own" if any(later.count(clause) > 1 for clause in later) else ""


def _grafted(source: Passage, pairs: list[tuple[int, int]]) -> str:
    """Between two pairs in different clauses, something of the first may be left out or of the second, not of both: who did the one did not
    therefore do the other. Another number than that of its own clause belongs to none."""
    claims, clauses, taken = source.claims, source.clauses, {j for _, j in pairs}
    for (_, j), (_, y) in pairwise(pairs):
        one, other, skipped = clauses[j], clauses[y], range(j + 1, y)
        if one == other:
            continue
        tail, head = (any(clauses[k] == clause for k in skipped) for clause in (one, other))
        if source.parts[j] != source.parts[y]:
            if not _goes_on(source, taken, j, y, tail):
                return "two sentences mixed"
            continue
        said = any(claims[k].kind in (WORD, COMPARED) and k in taken for k in range(y, len(claims)) if clauses[k] == other)
        if (tail and (head or not said)) or (not said and any(_alike(claims[k], claims[y]) for k in skipped)):
            return "two clauses mixed"
    return ""


def _alike(one: Claim, other: Claim) -> bool:
    """Whether both are numbers of the same unit, so that one could be taken for the other."""
    return one.kind == other.kind == NUMBER and one.value.partition(" ")[2] == other.value.partition(" ")[2]


def _goes_on(source: Passage, taken: set[int], j: int, y: int, tail: bool) -> bool:
    """Whether the sentence of pair `y` goes on from that of pair `j`, nothing of its beginning left out but the same subject: from the heading;
    from where `j` ends; or from its subject, where no number is taken of it."""
    claims, clauses, part = source.claims, source.clauses, source.parts[j]
    begun = [k for k in range(j + 1) if source.parts[k] == part and k in taken]
    skipped = [claims[k].value for k in range(j + 1, y) if source.parts[k] == source.parts[y]]
    if skipped and (not part or skipped != [claims[k].value for k in begun[: len(skipped)]]):
        return False
    whole = not any(clauses[k] == clauses[begun[0]] and source.parts[k] == part for k in range(begun[0]))
    return not part or (whole and not (tail and any(claims[k].kind == NUMBER for k in begun)))
