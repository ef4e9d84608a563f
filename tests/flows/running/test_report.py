"""The report of a run, made from a catalog alone."""

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from flows.running.report import facts_of, write_report
from storage.artifacts import ArtifactStore
from storage.home import Home
from storage.registry import begin_run, end_run, register
from tests.helpers.releases import decide, kept

NOON = datetime(2026, 1, 1, 12)
FIGURE = {"metric": "answer_loss_per_character", "lang": "all", "low": -0.3, "high": -0.1, "items": 8}
SAID = {"suite": "answers", "item_id": "1", "lang": "ja", "prompt": "量子化とは?", "reference": "重みを小さくする。"}
ROWS = {
    "prepare": {"datasets": [{"kind": "instructions", "split": "train", "lang": "ja", "reason": "", "rows": 12}]},
    "safety": {},
    "tune": {"metrics": [{"name": "tune.loss", "step": step, "value": 3.0 - step, "ts": NOON} for step in (1, 0)]},
    "choose": {},
    "evaluate": {
        "evaluations": [
            *[FIGURE | {"model": model, "value": value} for model, value in (("base", 1.25), ("tuned", 1.0), ("tuned - base", -0.25))],
            *[FIGURE | {"model": "index", "metric": name, "low": None, "value": 0.875} for name in ("hit@1", "hit@5", "mrr@10")],
        ],
        "evaluation_answers": [SAID | {"model": model, "answer": f"<b>{model}"} for model in ("base", "tuned")],
    },
}
KINDS = {"prepare": "dataset", "safety": "classifier", "tune": "adapter", "choose": "adapter", "evaluate": "evaluation"}
REFUSED = {"lang": "ja", "harmful": True, "by": "held out", "count": 3, "items": 4, "low": 0.3, "high": 0.95}
CHOICE = {
    "goes_on": "tuned",
    "because": "the tuned model goes on: the second reward fell in <ja>",
    "differences": [
        {"reward": "second", "lang": "ja", "value": -0.4, "prompts": 24, "low": -0.625, "high": -0.25},
        {"reward": "second", "lang": "en", "value": 0.5, "prompts": 3},
    ],
}
META = {
    "prepare": {},
    "safety": {"refused": [REFUSED], "trained_on": {"ja": {"harmful": 17, "harmless": 19, "look_alike": 11}}},
    "tune": {"adapters": ["tune-artifact"]},
    "choose": {"adapters": ["tune-artifact"], "choice": CHOICE},
    "evaluate": {"models": {"base": "hub:base"}},
}


def finished(home: Home) -> None:
    """A run with four stages, of which `tune` reuses what another run made."""
    begin_run(home, "whole", "retrain", profile="quick")
    for stage, rows in ROWS.items():
        store = ArtifactStore(home)
        with store.draft(KINDS[stage], f"{stage}-artifact") as folder:
            (folder / "tables").mkdir()
            for table, own in rows.items():
                pq.write_table(pa.Table.from_pylist(own), folder / "tables" / f"{table}.parquet")
            facts = {"stage": stage, "run_id": "earlier" if stage == "tune" else stage, "settings": {}, "inputs": {}, "model": None}
            meta = META[stage] | {"headlines": [{"label": f"figure of {stage}", "before": 1.0, "after": 2.0}]}
            ref = store.commit(folder, facts | {"meta": meta, "seconds": 1.0, "created": NOON.isoformat()})
        begin_run(home, stage, stage, parent="whole")
        register(home, ref)
        end_run(home, stage, "reused" if stage == "tune" else "completed", ref=ref)


def test_a_report_shows_what_the_catalog_says_of_the_run(tmp_path):
    home = Home(tmp_path)
    finished(home)
    decide(home, kept(home, "m"), reason="better <script>", run_id="whole")
    facts = facts_of(home, "whole")
    assert facts.curves["tune.loss"] == [(0, 3.0), (1, 2.0)] and facts.curves["align.kl"] == []
    path = write_report(home, "whole")
    page = path.read_text(encoding="utf-8")
    assert path.name == "whole.html" and page == (home.reports / "latest.html").read_text(encoding="utf-8")
    for words in (
        "figure of tune",
        "reused",
        "Instruction tuning",
        "1.250 (-0.30 to -0.10)",
        "-0.300 to -0.100",
        "0.875",
        "instructions",
        "75.0% (30.0% to 95.0%), 3 of 4",
        "17 harmful and 19",
        "fell in &lt;ja&gt;",
        "-0.625 to -0.250",
        "too few prompts",
    ):
        assert words in page
    assert (
        "better &lt;script&gt;" in page and "&lt;b&gt;tuned" in page and '<div class="pair" lang="ja">' in page and "<script>" not in page
    )
    assert sorted(file.name for file in home.reports.iterdir()) == ["latest.html", "whole.html"]


def test_without_a_decision_the_champion_stays(tmp_path):
    home = Home(tmp_path)
    begin_run(home, "whole", "retrain", profile="quick")
    assert "unchanged: the release is the champion already" in write_report(home, "whole").read_text(encoding="utf-8")
