"""The decoding study on a tiny model: what is measured of answers, the same figures after a death, and plots that say what they should."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from storage.artifacts import ArtifactStore
from storage.kinds import Studied
from tasks.chatbot.settings import ChatSettings
from tasks.data.records import Question, save
from tasks.errors import MigakiError
from tasks.inference.sampling import Answer as SampledAnswer
from tasks.inference.strategies import WHOLE, decodings
from tasks.settings import StageSettings
from tasks.studies.decoding import plots
from tasks.studies.decoding.prompts import held_out_prompts
from tasks.studies.decoding.settings import DecodingStudySettings
from tasks.studies.decoding.study import CORRECTNESS, DecodingStudy, judged
from tasks.studies.study import Item
from tests.helpers.align_project import speaker
from tests.helpers.models import tiny_llama, tiny_tokenizer

SMALL = DecodingStudySettings(
    strategies=["greedy", "beam:3", "top_p:0.9"], temperatures=[0.5, 1.5], items=6, samples=3, max_new_tokens=12, prompt_tokens=200
)
ARMS = ["greedy", "beam:3", "top_p:0.9 T=0.5", "top_p:0.9 T=1.5"]


def item(lang="en", reference="a b c", accept=(), name="1", said="hello") -> Item:
    return Item(name, lang, {"messages": [{"role": "user", "content": said}], "reference": reference, "accept": list(accept)})


def test_answers_are_judged_by_what_any_right_one_holds_and_else_by_their_likeness_to_the_reference():
    own = judged(item(accept=["4,096"]), ["It is 4096.", "It is 512."])
    assert own[CORRECTNESS] == 0.5
    assert own["distinct_1"] == pytest.approx(5 / 8) and own["distinct_2"] == pytest.approx(5 / 6)
    assert 0 < own["self_similarity"] < 1 and own["repetition"] == 0
    same = judged(item("ja", "猫がいる"), ["猫がいる"] * 2)
    assert same == {CORRECTNESS: 1.0, "distinct_1": 0.5, "distinct_2": 0.5, "repetition": 0.0, "self_similarity": 1.0}
    assert "self_similarity" not in judged(item(), ["a"])


def a_study(items, **changes) -> DecodingStudy:
    opened = []

    def open_model():
        opened.append(1)
        return tiny_llama(), tiny_tokenizer()

    ways = decodings(SMALL.strategies, SMALL.temperatures, replace(WHOLE, max_new_tokens=8))
    study = DecodingStudy(ways, items, open_model, **{"samples": 3, "seed": 0} | changes)
    study.times_opened = opened
    return study


def texts(study, arm, items):
    with study.opened(arm) as opened:
        return [answer.details["answers"] for answer in opened.answer(items)]


def test_what_is_drawn_depends_on_the_item_and_the_seed_and_not_on_the_batch():
    items = [item(name=str(i), said=f"hello {i}" * (i + 1)) for i in range(4)]
    study = a_study(items)
    for arm in study.arms:
        together = texts(study, arm, items)
        assert together == [texts(study, arm, [one])[0] for one in items] == texts(study, arm, items[::-1])[::-1]
        assert {len(one) for one in together} == ({3} if "T=" in arm.name else {1})
        other = texts(a_study(items, seed=1), arm, items)
        assert (other != together) == ("T=" in arm.name)
    assert study.times_opened == [1]


def test_a_release_takes_an_arm_up_with_settings_that_the_chat_has():
    ways = decodings(["greedy", "beam:3", "top_k:7", "min_p:0.1"], [0.5])
    study = DecodingStudy(ways, [], lambda: pytest.fail("opened"), 1, 0)
    for arm, way in zip(study.arms, ways, strict=True):
        chat = ChatSettings.build("chat", {name.removeprefix("chat."): value for name, value in arm.adopt.items()})
        for name in ("temperature", "top_k", "top_p", "min_p", "num_beams", "no_repeat_ngram", "repetition_penalty"):
            assert getattr(chat, name) == getattr(way.sampling, name)


def test_prompts_are_held_out_both_languages_in_balance(tmp_path):
    rows = [
        Question(f"{lang}{i}", f"{lang} {i}?", "yes", f"doc{i // 2}", [], lang, "t", ["yes"]) for lang in ("en", "ja") for i in range(8)
    ]
    save(tmp_path / "questions.parquet", [*rows, Question("n", "unanswered?", "", "", [], "en", "t")])
    found = held_out_prompts(tmp_path, 6, lambda messages: messages[0]["content"] != "ja 0?")
    assert sorted(one.lang for one in found) == ["en"] * 3 + ["ja"] * 3 and all(one.content["accept"] == ["yes"] for one in found)
    assert {one.group for one in found} <= {"doc0", "doc1", "doc2", "doc3"}
    every = held_out_prompts(tmp_path, 100, lambda messages: messages[0]["content"] != "ja 0?")
    assert len(every) == 15 and "unanswered?" not in str(every)


@pytest.fixture
def project(new_training_project, tmp_path):
    """A home whose dataset has two questions in each language, and whose model is far from saying everything alike."""
    speaker().save_pretrained(tmp_path / "speaker")
    tiny_tokenizer().save_pretrained(tmp_path / "speaker")
    training_project = new_training_project(base=tmp_path / "speaker")
    with ArtifactStore(training_project.home).draft("dataset", "e" * 64) as folder:
        said = [("en", "What is it?"), ("en", "Where is it?"), ("ja", "それは何?"), ("ja", "どこ?")]
        save(folder / "questions.parquet", [Question(text, text, "It is.", "", [], lang, "t") for lang, text in said])
        training_project.dataset = training_project.commit(folder, {})
    return training_project


def test_the_stage_measures_every_arm_and_says_the_same_after_a_death(project, monkeypatch):
    whole = project.run("decoding_study", SMALL)
    record = Studied.of(whole.meta)
    assert record.arms == ARMS and record.items == 4
    answers = table(project, whole, "study_answers")
    assert len(answers) == 16 and {row["lang"] for row in answers} == {"en", "ja"}
    measures = json.loads(answers[0]["measures"])
    assert set(measures) == {
        "correctness", "distinct_1", "distinct_2", "repetition", "self_similarity", "log_likelihood", "tokens", "speed", "seconds",
    }  # fmt: skip
    figures = of(project, whole)
    for arm in ("greedy", "beam:3"):
        assert figures[arm, "self_similarity", "all", ""] == 1
    assert figures["top_p:0.9 T=1.5", "self_similarity", "all", ""] < figures["top_p:0.9 T=0.5", "self_similarity", "all", ""] < 1
    assert figures["greedy", "log_likelihood", "all", ""] > figures["top_p:0.9 T=1.5", "log_likelihood", "all", ""]
    assert figures["beam:3", "speed", "all", ""] > 0
    page = (project.folder(whole) / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 5 and "top_p:0.9 T=1.5" in page

    generated, batches = DecodingStudy._generated, []

    def dies(self, *arguments):
        batches.append(arguments[0].name)
        if batches == [*ARMS[:3]]:
            raise KeyboardInterrupt
        return generated(self, *arguments)

    monkeypatch.setattr(DecodingStudy, "_generated", dies)
    with pytest.raises(KeyboardInterrupt):
        project.run("decoding_study", SMALL)
    again = project.run("decoding_study", SMALL)
    assert batches == [*ARMS[:3], *ARMS[2:]]
    timed = {"speed"}
    assert {k: v for k, v in of(project, again).items() if k[1] not in timed} == {k: v for k, v in figures.items() if k[1] not in timed}


def table(project, ref, name):
    return pq.read_table(project.folder(ref) / f"tables/{name}.parquet").to_pylist()


def of(project, ref) -> dict:
    return {(row["arm"], row["measure"], row["lang"], row["against"]): row["value"] for row in table(project, ref, "studies")}


def test_a_dataset_without_prompts_is_refused(training_project):
    with pytest.raises(MigakiError, match="no held-out prompt with an answer, of at most 1 tokens"):
        training_project.run("decoding_study", SMALL.model_copy(update={"prompt_tokens": 1}))


@pytest.mark.parametrize("wrong", ["foo", "beam:1", "beam:9", "top_p:2", "top_p:0", "top_k:0", "min_p:0.0"])
def test_what_is_no_strategy_is_refused_with_the_settings(wrong):
    with pytest.raises(MigakiError, match="strategies"):
        DecodingStudySettings.build("decoding_study", {"strategies": ["greedy", wrong]})
    with pytest.raises(MigakiError, match="temperatures"):
        DecodingStudySettings.build("decoding_study", {"temperatures": [-1.0]})


def test_the_textbooks_distribution():
    found = {heat: plots.softened(plots.LOGITS, heat) for heat in plots.TEMPERATURES}
    assert found[0.5] == pytest.approx([0.8098, 0.1096, 0.0403, 0.0221, 0.0181], abs=5e-5)
    assert found[1.0] == pytest.approx([0.5247, 0.1930, 0.1171, 0.0867, 0.0785], abs=5e-5)
    assert found[2.0] == pytest.approx([0.3482, 0.2112, 0.1645, 0.1416, 0.1346], abs=5e-5)


def test_tokens_can_be_read_on_a_plot(monkeypatch):
    """A token is a byte here: of a character, the model is asked for the rest."""
    tokenizer, asked = tiny_tokenizer(), []
    (a, space, end), cat, dog = tokenizer("a \n")["input_ids"], tokenizer("猫")["input_ids"], tokenizer("é")["input_ids"]

    def rest(model, prompts, params):
        asked.extend(prompts)
        return [SampledAnswer(cat[1:]), SampledAnswer([a, a, a])]

    monkeypatch.setattr(plots, "sample", rest)
    labels = plots.token_labels(tiny_llama(), tokenizer, [1, 2], [a, space, cat[0], end, dog[0]])
    assert labels == ["a", "␣", "猫*", "⏎", f"#{dog[0]}"] and asked == [[1, 2, cat[0]], [1, 2, dog[0]]]


def test_settings_are_flat_and_have_a_quick_form():
    assert issubclass(DecodingStudySettings, StageSettings) and set(DecodingStudySettings.QUICK) <= set(DecodingStudySettings.model_fields)
