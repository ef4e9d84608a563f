"""The main job: text and a base model in, an evaluated chatbot out. Runs weekly, from the Prefect page, or with `make retrain`."""

from typing import cast

from prefect import flow

from flows.index import go_live
from flows.promote import decide
from flows.running.dispatch import log_of, recorded, require_models, require_trainable
from flows.running.feedback import with_feedback
from flows.running.gate import with_champion
from flows.running.names import named
from flows.running.parameters import RunSettings, left_out, require_benchmarks, require_merging
from flows.running.releases import commit_release, keep_release, measured, release_of
from flows.running.report import write_report
from flows.running.roots import hold
from flows.running.shown import show_retrain
from flows.running.subflows import tag_this_run
from storage.kinds import Dataset
from tasks.answering.settings import AnsweringSettings
from tasks.calibration.settings import CalibrateSettings
from tasks.chatbot.release import Sections
from tasks.chatbot.safety.settings import SafetySettings
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.tools.settings import ToolSettings
from tasks.data.settings import PrepareSettings
from tasks.evaluation.settings import EvaluateSettings, PromoteSettings
from tasks.prompts.library.released import read_templates
from tasks.quantization.settings import QuantizeSettings
from tasks.rag.settings import IndexSettings
from tasks.rlhf.settings import AlignSettings
from tasks.training.settings import PretrainSettings, TuneSettings


@flow(name="retrain", flow_run_name=named)
def retrain(
    run: RunSettings = RunSettings(),
    prepare: PrepareSettings = PrepareSettings(),
    safety: SafetySettings = SafetySettings(),
    pretrain: PretrainSettings = PretrainSettings(),
    tune: TuneSettings = TuneSettings(),
    align: AlignSettings = AlignSettings(),
    quantize: QuantizeSettings = QuantizeSettings(),
    index: IndexSettings = IndexSettings(),
    calibrate: CalibrateSettings = CalibrateSettings(),
    answering: AnsweringSettings = AnsweringSettings(),
    evaluate: EvaluateSettings = EvaluateSettings(),
    promote: PromoteSettings = PromoteSettings(),
    chat: ChatSettings = ChatSettings(),
    tools: ToolSettings = ToolSettings(),
) -> str:
    """Prepare, train the safety classifier, tune, align, quantize, index, calibrate, measure how to answer, evaluate, promote. Returns the id of the run in the catalog.

    Its model and classifier, with the settings of `chat` and `tools` and what `safety` says of the filters, are the release that is decided on."""
    sections = {"prepare": prepare, "safety": safety, "pretrain": pretrain, "tune": tune, "align": align, "index": index}
    sections |= {"evaluate": evaluate, "chat": chat, "tools": tools}
    # Before anything runs: the stages would say so hours later.
    require_merging(run, tune, align, quantize)
    require_benchmarks(evaluate, promote)
    hold(run, sections)
    read_templates(chat.templates)
    require_models(run)  # at last: it may fetch them
    require_trainable(run, tune)
    if run.where == "prefect":
        tag_this_run("retrain", run)
    with recorded("retrain", run, {}) as this:
        dataset = this.stage("prepare", with_feedback(prepare))
        without = left_out(run, prepare, cast(AlignSettings, run.applied_to(align)), safety, Dataset.of(dataset.meta, dataset.id))
        if "safety" not in without:
            this.stage("safety", safety)
        if "pretrain" not in without:
            this.stage("pretrain", pretrain)
        this.stage("tune", tune)
        for name in ("reward", "align", "choose"):
            if name not in without:
                this.stage(name, align)
        this.stage("quantize", quantize)
        this.stage("index", index)
        this.stage("calibrate", calibrate)
        classifier = this.artifacts["safety"].id if "safety" in this.artifacts else ""
        made = release_of(this.home, Sections.given(chat, tools, safety), this.artifacts["quantize"], classifier)
        ways = this.stage("answering", answering, {"release": commit_release(this.home, made, this.run_id)})
        release = keep_release(this.home, measured(made, ways, chat), this.run_id, this.artifacts["index"].id)
        this.stage("evaluate", evaluate, with_champion(this.home, release))
        decide(promote, release, this.artifacts["evaluate"], this)
        go_live(this.home, this.artifacts["index"], this.artifacts["calibrate"].id, log_of(run))
    write_report(this.home, this.run_id)
    if run.where == "prefect":
        show_retrain(this.home, this.run_id, run, log_of(run))
    return this.run_id
