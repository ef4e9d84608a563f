"""The rule of alerts of `migaki monitor` on noise and on planted changes, and its groups of questions.

    python benchmarks/monitoring.py alarms [--deviations 5]
    python benchmarks/monitoring.py grouping xquad_en_half.json jsquad_valid.json

`alarms` draws weeks of 27 figures (nine, of two languages and of both; here independent of each other), each the share p of so many answers, and says how often
the last week is told of: by median +- 3 MAD alone, by the scaled MAD alone, by the rule, and in how many weeks the rule tells of anything. The weeks differ
by chance alone, or by a fifth of p besides (a standard deviation, of a beta distribution). At last one of the 27 has three times the share.

`grouping` takes SQuAD files: questions about one article belong together, as one document would answer them. Of each article six questions are taken, of
different paragraphs where there are so many. `monitor.alike` was chosen on the even articles (0, 2, ...); what is reported are the odd ones. Precision: of
all pairs in one group, those about one article; recall: of all pairs about one article, those in one group.
"""

import argparse
import json
from itertools import combinations
from pathlib import Path

import numpy as np

from tasks.monitoring.ranges import SCALE, Point, Rule, judge
from tasks.monitoring.settings import MonitorSettings
from tasks.statistics import wilson_interval

WEEKS, FIGURES = 200, 27
LANGUAGES = ("en", "ja")
THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
QUESTIONS = 6  # of an article


def drawn(rng: np.random.Generator, p: float, answers: int, spread: float, shape: tuple[int, ...]) -> np.ndarray:
    """Counts of answers; the share itself varies from week to week by `spread` of p."""
    if not spread:
        return rng.binomial(answers, p, shape)
    size = p * (1 - p) / (spread * p) ** 2 - 1
    return rng.binomial(answers, rng.beta(p * size, (1 - p) * size, shape))


def told(counts: np.ndarray, answers: int, rule: Rule) -> tuple[float, float, np.ndarray]:
    """How often the last of (weeks, figures, history + 1) counts is told of by three MADs and by three scaled ones; and by the rule, (weeks, figures)."""
    shares = counts / answers
    median = np.median(shares[..., :-1], axis=-1)
    off, mad = np.abs(shares[..., -1] - median), np.median(np.abs(shares[..., :-1] - median[..., None]), axis=-1)
    points = [Point("", count / answers, *wilson_interval(count, answers), answers) for count in range(answers + 1)]
    alerts = [[verdict.is_alert for verdict in judge([[points[count] for count in figure] for figure in week], rule)] for week in counts]
    plain, scaled = (float((off > rule.deviations * scale * mad + 1e-12).mean()) for scale in (1.0, SCALE))
    return plain, scaled, np.array(alerts)


def alarms(deviations: float) -> None:
    settings, rng = MonitorSettings(deviations=deviations), np.random.default_rng(0)
    print("before answers p | noise: MAD, scaled, rule, weeks with any | weeks differ by a fifth: the same | three times as many: rule")
    for history in (settings.least_history, settings.history):
        rule = Rule(settings.deviations, history, history, settings.least_items)
        for answers in (30, 60, 100, 400):
            for p in (0.01, 0.05, 0.1, 0.3):
                shape, cells = (WEEKS, FIGURES, history + 1), []
                for spread in (0.0, 0.2):
                    plain, scaled, alerts = told(drawn(rng, p, answers, spread, shape), answers, rule)
                    cells.append(f"{plain:.3f}, {scaled:.3f}, {alerts.mean():.4f}, {alerts.any(axis=1).mean():.3f}")
                changed = drawn(rng, p, answers, 0.0, shape)
                changed[:, 0, -1] = rng.binomial(answers, min(3 * p, 0.9), WEEKS)
                power = told(changed, answers, rule)[2][:, 0].mean()
                print(f"{history} {answers} {p} | {' | '.join(cells)} | {power:.3f}", flush=True)


def articles(path: Path) -> list[list[str]]:
    """The questions that are taken of each article."""
    found = []
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        by_paragraph = [[asked["question"] for asked in paragraph["qas"]] for paragraph in article["paragraphs"]]
        deepest = max(map(len, by_paragraph))
        turn = [own[place] for place in range(deepest) for own in by_paragraph if place < len(own)]  # the first of each, then the second
        found.append(turn[:QUESTIONS])
    return found


def pairs(groups: list[list[int]]) -> set[tuple[int, int]]:
    return {pair for own in groups for pair in combinations(sorted(own), 2)}


def grouping(paths: list[Path]) -> None:
    from retrieval import bundled_embedders

    from tasks.monitoring.grouping import groups, similarity
    from tasks.monitoring.questions import embedded

    embedders = bundled_embedders()
    for lang, path in zip(LANGUAGES, paths, strict=True):
        found = articles(path)
        for name, half in (("chosen on", found[::2]), ("reported", found[1::2])):
            texts, of = [text for own in half for text in own], [place for place, own in enumerate(half) for _ in own]
            own = [embedders.own, *([embedders.companions[lang]] if lang in embedders.companions else [])]
            alike = similarity(embedded(own, lang, texts))
            true = {pair for pair in combinations(range(len(of)), 2) if of[pair[0]] == of[pair[1]]}
            print(f"{lang}, {name}: {len(texts)} questions about {len(half)} articles")
            for threshold in THRESHOLDS:
                made = groups(alike, threshold)
                together = pairs(made)
                right = len(together & true)
                print(
                    f"  {threshold:.2f}: precision {right / max(len(together), 1):.3f}, recall {right / len(true):.3f}, {len(made)} groups, "
                    f"{sum(len(one) == 1 for one in made)} of one question",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("alarms", "grouping"))
    parser.add_argument("files", nargs="*", type=Path, help="grouping: a SQuAD file of English questions, and one of Japanese questions")
    help_text = "alarms: scaled MADs from the median to the end of the range (default 3)"
    parser.add_argument("--deviations", type=float, default=MonitorSettings().deviations, metavar="N", help=help_text)
    arguments = parser.parse_args()
    if arguments.what == "alarms":
        alarms(arguments.deviations)
    elif len(arguments.files) == len(LANGUAGES):
        grouping(arguments.files)
    else:
        parser.error(f"grouping takes {len(LANGUAGES)} files")


if __name__ == "__main__":
    main()
