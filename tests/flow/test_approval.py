"""A run that ends pending, and what a person makes of it, with a real Prefect engine."""

import pytest

from storage.home import Home
from storage.registry import champion_index
from storage.releases import champion_release


@pytest.mark.slow
def test_a_run_leaves_its_release_to_a_person_and_runs_again_until_one_decides(small_project, tmp_path, migaki_here):
    home, options = tmp_path / "home", [*small_project.options, "--set", "promote.approval=always"]
    first = migaki_here(home, "retrain", *options)
    assert first["decision"] == "pending" and "(promote.approval = always)" in first["reason"]
    assert champion_release(Home(home)) is None and champion_index(Home(home)) is not None  # the index does not wait
    again = migaki_here(home, "retrain", *options)
    assert again["decision"] == "pending" and {stage["status"] for stage in again["stages"]} == {"reused"}
    (waits,) = migaki_here(home, "promote", "--pending")["pending"]
    assert (waits["release_id"], waits["run_id"], waits["against"]) == (first["release"], again["run_id"], "")
    page = (Home(home).reports / "latest.html").read_text(encoding="utf-8")
    assert f"migaki promote --approve {waits['promotion_id'][:8]} --why TEXT" in page

    shown = migaki_here(home, "promote", "--pending", waits["promotion_id"])
    assert len(shown["conversations"]) == 10 and {pair["lang"] for pair in shown["conversations"]} == {"en", "ja"}
    assert migaki_here(home, "promote", "--approve", waits["promotion_id"], "--why", "十問とも同じ")["decision"] == "promote"
    assert champion_release(Home(home)).release_id == first["release"]
    assert migaki_here(home, "retrain", *options)["decision"] == "unchanged"
    assert [entry["action"] for entry in migaki_here(home, "audit")["entries"]] == ["approve", "pending", "pending"]
