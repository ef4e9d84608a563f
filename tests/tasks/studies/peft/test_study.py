"""The study of tuning methods: figures of each, one process a method, and what was trained before a death is not trained again."""

import os

import psutil
import pytest

from storage.artifacts import ArtifactStore
from tasks.data.records import save
from tasks.errors import MigakiError
from tasks.models.opening import open_model
from tasks.studies.peft.arm import SHARE, Job, encode_each, most_memory, read_rows, tune_and_score
from tasks.studies.peft.settings import PeftStudySettings
from tasks.studies.peft.study import PeftStudy, arm_of
from tasks.studies.peft.task import tune_settings
from tasks.studies.study import Arm
from tasks.training.settings import LEARNING_RATES, UNMERGEABLE
from tests.helpers.training_project import TrainingProject

SMALL = PeftStudySettings(methods=["lora", "prompt"], epochs=2, batch_size=4, max_tokens=120)


def job(project: TrainingProject, method: str, **more) -> Job:
    base = project.work("tune", project.home.root, {}).model.path
    said = tune_settings(method, SMALL).model_dump(mode="json") | more
    return Job(str(base), str(project.folder(project.dataset)), said, 120, 0, "cpu", "", os.getpid())


def test_the_settings_have_every_method_of_tune_once():
    assert sorted(PeftStudySettings().methods) == sorted(LEARNING_RATES)
    assert PeftStudySettings().methods[0] == "lora"


def test_a_method_that_stands_twice_is_refused():
    with pytest.raises(MigakiError, match=r"peft_study.methods = \['lora', 'lora'\].*a method is named twice"):
        PeftStudySettings.build("peft_study", {"methods": ["lora", "lora"]})


@pytest.mark.parametrize("method", LEARNING_RATES)
def test_an_arm_has_its_figures_and_a_score_of_each_held_out_row(method, training_project):
    heard = []
    found = tune_and_score(job(training_project, method), lambda *said: heard.append(said))
    assert [step[:2] for step in heard] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    rows = read_rows(training_project.folder(training_project.dataset), "eval", 0)
    assert found["rows"].keys() == {row.id for row in rows} and len(rows) == 4
    assert all(found["rows"][row.id]["characters"] == len(row.answer) for row in rows)
    assert all(values["nll"] > 0 for values in found["rows"].values())
    facts = found["facts"]
    assert facts["parameters"] == 181_312 and facts["tokens/s"] > 0
    assert facts[SHARE] == pytest.approx(100 * facts["trained parameters"] / 181_312)
    whole = 4 * 181_312 / 2**20
    assert facts["weights, MiB"] < 0.5 * whole if method == "qlora" else facts["weights, MiB"] == pytest.approx(whole)
    assert facts["peak, MiB"] > facts["peak above the model, MiB"] > 0


def test_all_arms_see_the_same_rows_in_the_same_order():
    said = [tune_settings(method, SMALL) for method in LEARNING_RATES]
    shared = {(one.epochs, one.batch_size, one.micro_batch, one.seed, one.max_rows) for one in said}
    assert shared == {(2, 4, 4, 0, 0)}
    assert {one.method: one.peak_learning_rate for one in said} == LEARNING_RATES


def test_rows_that_keep_no_answer_are_no_items(training_project):
    work = training_project.work("tune", training_project.home.root, {})
    _, tokenizer = open_model(work.model.path, None, work.adapter)
    rows = read_rows(training_project.folder(training_project.dataset), "eval", 0)
    assert set(encode_each(tokenizer, rows, 120)) == {row.id for row in rows}
    assert encode_each(tokenizer, rows, 8) == {}


def test_every_method_but_the_first_can_be_taken_up_and_what_cannot_be_merged_without_rlhf():
    arms = {method: arm_of(method, "lora") for method in LEARNING_RATES}
    assert not arms["lora"].adopt and arms["full"].adopt == {"tune.method": "full"}
    for method in UNMERGEABLE:
        assert arms[method].adopt == {"tune.method": method, "run.align": "false"}


def test_the_most_memory_is_that_of_the_moment():
    with most_memory("cpu") as found:
        block = bytearray(b"x" * (200 * 2**20))
    before = found[0]
    assert before > len(block)


def test_a_method_that_the_family_cannot_have_is_refused_before_any_is_trained(new_training_project, monkeypatch):
    project = new_training_project("falcon")
    monkeypatch.setattr(PeftStudy, "_run", lambda self, arm: pytest.fail("trained"))
    with pytest.raises(MigakiError, match=r"peft_study.methods: models of the family 'falcon' .* Leave prefix out of peft_study.methods"):
        project.run("peft_study", SMALL.model_copy(update={"methods": ["lora", "prefix"]}))


def test_a_dataset_without_held_out_rows_is_refused(training_project):
    with ArtifactStore(training_project.home).draft("dataset", "h" * 64) as folder:
        rows = read_rows(training_project.folder(training_project.dataset), "train", 0)
        save(folder / "instructions/train.parquet", rows)
        training_project.dataset = training_project.commit(folder, {})
    with pytest.raises(MigakiError, match="no instruction rows to be measured on .* prepare.eval_share"):
        training_project.run("peft_study", SMALL)


@pytest.mark.slow
def test_a_killed_study_trains_no_finished_method_again_and_leaves_no_process(training_project, monkeypatch):
    project, trained = training_project, []
    run = PeftStudy._run
    monkeypatch.setattr(PeftStudy, "_run", lambda self, arm: trained.append(arm.name) or run(self, arm))

    def dying(text: str, final: bool) -> None:
        if text.startswith("prompt: step 2"):
            raise KeyboardInterrupt

    emit, project.context.emit = project.context.emit, dying
    with pytest.raises(KeyboardInterrupt):
        project.run("peft_study", SMALL)
    arms = [child for child in psutil.Process().children(recursive=True) if "tasks.studies.peft.arm" in child.cmdline()]
    assert not arms and not list(project.home.root.rglob(".arm-*"))
    project.context.emit = emit
    ref = project.run("peft_study", SMALL)
    assert trained == ["lora", "prompt", "prompt"]
    assert (ref.meta["arms"], ref.meta["items"], ref.meta["study"]) == (["lora", "prompt"], 4, "peft_study")
    page = (project.folder(ref) / "report.html").read_text(encoding="utf-8")
    for told in ("trained parameters", "textbook, at least %", "nats per character", "<svg"):
        assert told in page


@pytest.mark.slow
def test_a_process_says_what_was_wrong(training_project, tmp_path):
    def study(**more) -> PeftStudy:
        return PeftStudy([], [], lambda arm: job(training_project, "lora", **more), lambda *said: None, tmp_path)

    with pytest.raises(MigakiError, match=r"the method 'lora': training stopped at step"):
        study(learning_rate=1e30)._run(Arm("lora"))
    (training_project.folder(training_project.dataset) / "instructions/train.parquet").write_bytes(b"")
    with pytest.raises(MigakiError, match=r"the process of the method 'lora' ended with 1:\n"):
        study()._run(Arm("lora"))
    assert not list(tmp_path.glob(".arm-*"))
