"""What a stage works on where nothing was made yet."""

import pytest

from flows.catalogue.stages import STAGES
from flows.running.inputs import newest_inputs
from storage.artifacts import ArtifactStore
from storage.registry import champion_index, register, set_champion_index
from tasks.errors import MigakiError
from tasks.rag.settings import IndexSettings


def test_an_index_of_documents_that_were_named_needs_no_dataset(home):
    assert newest_inputs(home, STAGES["index"], IndexSettings(documents=["docs"])) == {}
    with pytest.raises(MigakiError, match="migaki prepare"):
        newest_inputs(home, STAGES["index"], IndexSettings())


def test_quantize_by_itself_takes_the_model_that_was_chosen_to_go_on(home):
    """And where nothing chose, the aligned one. What each was made from comes along."""
    made = {}
    for stage, kind, inputs in (
        ("prepare", "dataset", {}),
        ("tune", "adapter", {"dataset": "prepare"}),
        ("align", "adapter", {"dataset": "prepare", "tuned": "tune"}),
        ("choose", "adapter", {"dataset": "prepare", "tuned": "tune", "aligned": "align"}),
        ("tune", "adapter", {"dataset": "prepare"}),
    ):
        if stage == "choose":
            assert newest_inputs(home, STAGES["quantize"])["aligned"] == made["align"]
        with ArtifactStore(home).draft(kind, f"{stage}{len(made)}") as folder:
            facts = {"stage": stage, "inputs": {role: made[one].id for role, one in inputs.items()}, "created": f"2026-01-0{len(made) + 1}"}
            ref = ArtifactStore(home).commit(folder, facts | {"meta": {"adapters": []} if kind == "adapter" else {}})
        made.setdefault(stage, ref)
    assert newest_inputs(home, STAGES["quantize"]) == {"aligned": made["choose"], "dataset": made["prepare"]}
    assert newest_inputs(home, STAGES["choose"]) == {"aligned": made["align"], "tuned": made["tune"], "dataset": made["prepare"]}


def test_it_is_built_served_and_found_in_order_in_a_fresh_home(served):
    from flows.commands.verify import row_faults

    settings = IndexSettings(documents=[str(served.docs)], chunk_tokens=60)
    made = served.run("index", settings)
    register(served.home, made)
    set_champion_index(served.home, made.id)
    assert champion_index(served.home).artifact_id == made.id and row_faults(served.home, made) == []
    assert served.open(ArtifactStore(served.home).get(made.id)).search("A cat sleeps")[0].document == "cat.md"
