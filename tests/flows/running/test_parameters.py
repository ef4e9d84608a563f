"""Settings: precedence, and errors that help."""

import pytest

from flows.running.parameters import (
    BUNDLED_EMBEDDER_EN,
    STAGE_SETTINGS,
    RunParams,
    RunSettings,
    left_out,
    merge,
    parse_assignment,
    read_config,
    require_benchmarks,
    require_merging,
)
from storage.kinds import Dataset
from tasks.chatbot.safety.settings import SafetySettings
from tasks.data.settings import PrepareSettings
from tasks.errors import MigakiError
from tasks.evaluation.settings import EvaluateSettings, PromoteSettings
from tasks.quantization.settings import QuantizeSettings
from tasks.rlhf.settings import AlignSettings
from tasks.training.settings import UNMERGEABLE, TuneSettings


def test_said_wins_over_file_over_profile_over_default(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("run: {profile: quick}\ntune: {epochs: 7, batch_size: 3}\n")
    stage, field, value = parse_assignment("tune.epochs=9")
    tune = RunParams(merge(read_config(config), {stage: {field: value}})).stages["tune"]
    assert (tune.epochs, tune.batch_size, tune.max_rows, tune.seed) == (9, 3, TuneSettings.QUICK["max_rows"], 0)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"tune": {"epoch": 1}}, r"tune\.epoch is no setting; did you mean tune\.epochs\?"),
        ({"tune": {"epochs": "many"}}, r"tune\.epochs = 'many'.*Passes over"),
        ({"tune": {"epochs": -1}}, r"tune\.epochs = -1.*greater than 0"),
        ({"index": {"documents": ["docs", ""]}}, r"index\.documents = \['docs', ''\].*has a name that is empty.*Files, folders"),
        ({"prepare": {"instructions": [" "]}}, r"prepare\.instructions = \[' '\].*has a name that is empty"),
        ({"tunes": {"epochs": 1}}, "no stage is named tunes; stages are"),
        ({"tune": {"method": "lorra"}}, "lora"),
        ({"evaluate": {"benchmarks": "piqa,jmmlu"}}, r"evaluate\.benchmarks = 'piqa,jmmlu'.*a valid list, which is written \[piqa,jmmlu\]"),
    ],
)
def test_wrong_settings_are_refused_with_help(said, words):
    with pytest.raises(MigakiError, match=words):
        RunParams(said).stages  # noqa: B018


@pytest.mark.parametrize("text", ["tune.epochs", "epochs=1", "=1", "tune.=1"])
def test_malformed_assignments_are_refused(text):
    with pytest.raises(MigakiError, match="stage.field=value"):
        parse_assignment(text)


def test_a_value_that_yaml_cannot_make_is_refused():
    for text in ("prepare.today=2025-02-30", "tune.epochs=[1"):
        with pytest.raises(MigakiError, match="the value cannot be read"):
            parse_assignment(text)


@pytest.mark.parametrize("text", ["- a\n- b\n", "tune: 3\n", "tune: {a: [}\n"])
def test_malformed_files_are_refused(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(MigakiError, match=r"c\.yaml"):
        read_config(path)
    with pytest.raises(MigakiError, match=r"absent\.yaml"):
        read_config(tmp_path / "absent.yaml")


def test_every_setting_is_described_and_every_profile_valid():
    for name, model in STAGE_SETTINGS.items():
        assert all(field.description for field in model.model_fields.values()), name
        assert model.build(name, {}, "quick").model_dump() != {} and set(model.QUICK) <= set(model.model_fields)


def test_a_form_that_sends_everything_still_follows_the_profile():
    sent = TuneSettings.model_validate(TuneSettings().model_dump() | {"batch_size": 5})
    assert sent.with_profile("quick").model_dump() == TuneSettings.build("tune", {"batch_size": 5}, "quick").model_dump()
    assert sent.with_profile("standard") == sent


PAIRS, THUMBS = {"preferences.train.en": 40, "preferences.eval.en": 5}, {"feedback.train.en": 9, "feedback.train.ja": 3}


@pytest.mark.parametrize(
    ("algorithm", "rows", "without"),
    [
        ("kto", THUMBS, {"reward"}),
        ("kto", THUMBS | {"preferences.train.ja": 2}, {"reward"}),
        ("kto", THUMBS | PAIRS, set()),
        ("kto", PAIRS, set()),
        ("kto", None, set()),  # nobody knows yet
        ("ppo", THUMBS | PAIRS, set()),
        ("dpo", None, set()),
    ],
)
def test_reward_models_are_left_out_where_kto_has_hardly_a_pair(algorithm, rows, without):
    dataset = None if rows is None else Dataset(rows=rows)
    settings = PrepareSettings(preferences=["p.jsonl"], text=["t.txt"])
    align = AlignSettings(algorithm=algorithm)
    assert left_out(RunSettings(), settings, align, SafetySettings(), dataset) == without
    assert left_out(RunSettings(align=False), settings, align, SafetySettings(), dataset) == {"reward", "align", "choose"}
    assert left_out(RunSettings(), settings, align, SafetySettings(examples=[]), dataset) == without | {
        "safety"
    }  # nothing harmful to learn from


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo", "dpo"])
def test_feedback_that_the_algorithm_cannot_learn_from_is_told_before_anything_is_tuned(algorithm):
    with pytest.raises(
        MigakiError, match=rf"align.algorithm = {algorithm} cannot learn from 12 rows.*align.algorithm=kto.*run.align=false"
    ):
        left_out(
            RunSettings(), PrepareSettings(preferences=["p"]), AlignSettings(algorithm=algorithm), SafetySettings(), Dataset(rows=THUMBS)
        )


@pytest.mark.parametrize(
    ("said", "second"),
    [
        ({}, BUNDLED_EMBEDDER_EN),  # beside the bundled one
        ({"embedder_en": ""}, ""),
        ({"embedder_en": "/models/other"}, "/models/other"),
        ({"embedder": "/models/mine"}, ""),  # not beside another
        ({"embedder": BUNDLED_EMBEDDER_EN}, ""),
        ({"embedder": "/models/mine", "embedder_en": "/models/other"}, "/models/other"),
        ({"embedder": "/models/mine", "embedder_en": "auto"}, ""),
    ],
)
def test_which_second_embedder_a_run_has(said, second):
    run = RunSettings(**said)
    assert run.second_embedder == run.model_in("embedder_en") == second and run.model_in("embedder") == run.embedder


@pytest.mark.parametrize("method", UNMERGEABLE)
def test_what_cannot_be_merged_is_refused_before_a_retraining_run(method):
    wanted = QuantizeSettings(pick="int8")
    with pytest.raises(
        MigakiError, match=rf"tune.method = {method} leaves what cannot be merged .* and align needs a .* are full, ia3, lora, qlora;"
    ):
        require_merging(RunSettings(), TuneSettings(method=method), AlignSettings(), QuantizeSettings())
    with pytest.raises(MigakiError, match="align and quantize.pick = int8 need a merged model"):
        require_merging(RunSettings(), TuneSettings(method=method), AlignSettings(), wanted)
    with pytest.raises(MigakiError, match="and quantize.pick = int8 needs a merged model"):
        require_merging(RunSettings(align=False), TuneSettings(method=method), AlignSettings(), wanted)
    require_merging(RunSettings(align=False), TuneSettings(method=method), AlignSettings(), QuantizeSettings())


def test_what_can_only_be_merged_is_refused_with_a_trunk_in_fewer_bits():
    small = AlignSettings(trunk="nf4")
    for tune in (TuneSettings(method="ia3"), TuneSettings(dora=True), TuneSettings(method="qlora", dora=True)):
        with pytest.raises(MigakiError, match="align.trunk = nf4 keeps what tune learnt beside the weights"):
            require_merging(RunSettings(), tune, small, QuantizeSettings())
        require_merging(RunSettings(align=False), tune, small, QuantizeSettings())
        require_merging(RunSettings(), tune, AlignSettings(), QuantizeSettings())
    for tune in (TuneSettings(), TuneSettings(method="full", dora=True), TuneSettings(method="qlora")):
        require_merging(RunSettings(), tune, small, QuantizeSettings())


def test_benchmarks_that_are_missing_are_told_before_anything_runs(tmp_path):
    (tmp_path / "piqa_valid.jsonl").write_text('{"goal": "g", "sol1": "a", "sol2": "b", "label": 1}')
    (tmp_path / "arc_easy_test.csv").write_text("")
    named = EvaluateSettings(benchmarks=["piqa"], benchmarks_dir=str(tmp_path))
    require_benchmarks(named, PromoteSettings(max_benchmark_loss={"piqa": 0.1}))
    for evaluate, guarded, words in (
        (named, {"mmlu": 0.1}, "promote.max_benchmark_loss names 'mmlu', which is not measured"),
        (EvaluateSettings(), {"piqa": 0.1}, r"evaluate.benchmarks = \[\] must have it too"),
        (EvaluateSettings(benchmarks=["mmlu"], benchmarks_dir=str(tmp_path)), {}, "benchmark 'mmlu'"),
        (EvaluateSettings(benchmarks=["piqa"]), {}, "say which folder has its file"),
        (
            EvaluateSettings(benchmarks=["arc_easy"], benchmarks_dir=str(tmp_path)),
            {},
            "^evaluate.benchmarks .*arc_easy_test.csv: there are no rows in it",
        ),
    ):
        with pytest.raises(MigakiError, match=words):
            require_benchmarks(evaluate, PromoteSettings(max_benchmark_loss=guarded))
    with pytest.raises(MigakiError, match=r"^promote.max_benchmark_loss.piqa = 7: .* less than or equal to 1"):
        PromoteSettings.build("promote", {"max_benchmark_loss": {"piqa": 7}})
