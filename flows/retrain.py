"""The main job: text and a base model in, an evaluated chatbot out. Runs weekly, from the Prefect page, or with `make retrain`."""

from prefect import flow

from flows.promote import decide, reigning
from flows.running.dispatch import recorded
from flows.running.feedback import with_feedback
from flows.running.parameters import RunSettings
from flows.running.report import write_report
from tasks.data.settings import PrepareSettings
from tasks.evaluation.settings import EvaluateSettings, PromoteSettings
from tasks.quantization.settings import QuantizeSettings
from tasks.rag.settings import IndexSettings
from tasks.rlhf.settings import AlignSettings
from tasks.training.settings import PretrainSettings, TuneSettings


@flow(name="retrain")
def retrain(
    run: RunSettings = RunSettings(),
    prepare: PrepareSettings = PrepareSettings(),
    pretrain: PretrainSettings = PretrainSettings(),
    tune: TuneSettings = TuneSettings(),
    align: AlignSettings = AlignSettings(),
    quantize: QuantizeSettings = QuantizeSettings(),
    index: IndexSettings = IndexSettings(),
    evaluate: EvaluateSettings = EvaluateSettings(),
    promote: PromoteSettings = PromoteSettings(),
) -> str:
    """Prepare, tune, align, quantize, index, evaluate, promote. Returns the id of the run in the catalog."""
    with recorded("retrain", run, {}) as this:
        dataset = this.stage("prepare", with_feedback(prepare), {})
        known = {"dataset": dataset}
        start = {"pretrained": this.stage("pretrain", pretrain, known)} if prepare.text else {}
        known["tuned"] = this.stage("tune", tune, known | start)
        if run.align and prepare.preferences:
            known["reward"] = this.stage("reward", align, known)
            known["aligned"] = this.stage("align", align, known)
        known["release"] = this.stage("quantize", quantize, {"dataset": dataset, "aligned": known.get("aligned", known["tuned"])})
        known["index"] = this.stage("index", index, {"dataset": dataset})
        known |= reigning(known["release"])
        known["evaluation"] = this.stage("evaluate", evaluate, known)
        decide(promote, known, this)
    write_report(this.home, this.run_id)
    return this.run_id
