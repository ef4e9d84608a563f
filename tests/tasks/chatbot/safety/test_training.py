"""The classifier: what it learns, that it comes back from disk as it was, its thresholds, and the stage that trains it."""

import json
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.svm import SVC

from flows.catalogue.stages import STAGES
from flows.serving.guard import open_guard
from storage.artifacts import ArtifactStore
from storage.home import Home
from storage.registry import register
from tasks.chatbot.safety.classifier import Classifier, features, is_form
from tasks.chatbot.safety.fingerprint import training_files
from tasks.chatbot.safety.meaning import COST, GAMMA, Meaning, fit_meaning, stacked
from tasks.chatbot.safety.settings import ClassifierSettings, GuardSettings, SafetySettings
from tasks.chatbot.safety.training import Example, Rate, fit, folds_of, located, read_examples, threshold, train
from tasks.errors import MigakiError
from tasks.models.reference import resolve
from tasks.rag.embedding import Embedder
from tasks.stages.spec import function
from tasks.stages.work import Context, Work
from tests.helpers.embedder_en import save_second_embedder

SETTINGS = ClassifierSettings(examples=[], harmless=[], folds=2, min_count=1)
NOUNS = "river stone lantern garden winter copper violin harbour meadow falcon".split()
ROWS = [Example(f"please zap the {noun}", True, "zapping") for noun in NOUNS] + [
    Example(f"please paint the {noun}", False) for noun in NOUNS
]
ROWS += [Example(f"{kanji}を爆砕して", True, "zapping") for kanji in "川石灯庭冬"] + [
    Example(f"{kanji}を塗装して", False) for kanji in "川石灯庭冬"
]


def write(path, rows) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_it_learns_words_and_japanese_characters():
    classifier = fit(ROWS, SETTINGS)
    assert classifier.score("please zap the candle") > 0.5 > classifier.score("please paint the candle")
    assert classifier.score("鷹を爆砕して") > 0.5 > classifier.score("鷹を塗装して")


def test_words_that_only_say_how_a_request_is_put_count_less():
    """They speak for harm here, as in a set whose harmless side is put otherwise."""
    rows = [Example(f"write a guide {noun} zap", True) for noun in NOUNS] + [Example(f"paint {noun} softly", False) for noun in NOUNS]
    much, little = (fit(rows, SETTINGS.model_copy(update={"form": form})).score("write a guide") for form in (1.0, 0.1))
    assert much > 0.6 and little < much - 0.05
    assert is_form("w write a") and is_form("s ^ how") and not is_form("w write zap") and not is_form("c a")


def test_it_comes_back_from_disk_as_it_was(tmp_path):
    classifier = fit(ROWS, SETTINGS)
    classifier.save(tmp_path)
    again = Classifier.load(tmp_path)
    for row in ROWS:
        assert again.score(row.prompt) == pytest.approx(classifier.score(row.prompt), abs=1e-6)
    (tmp_path / "weights.npy").write_bytes(b"damage")
    with pytest.raises(MigakiError, match="migaki safety"):
        Classifier.load(tmp_path)


def test_a_score_is_the_regression_by_hand():
    text = "zap it"
    names = features(text)
    weights = dict.fromkeys(names, 0.5)
    expected = 1 / (1 + np.exp(-(-1 + 0.5 * len(names) / np.sqrt(len(names)))))
    assert Classifier(weights, -1.0, {}).score(text) == pytest.approx(expected)
    assert Classifier({}, -1.0, {}).score(text) == pytest.approx(1 / (1 + np.e))


class Senses:
    """An embedder to which words of one meaning are near each other, whether or not an example has them."""

    HARM, fingerprint, backend = ("zap", "vaporise", "obliterate", "爆砕"), "senses", "torch-bf16"

    def embed(self, texts):
        vectors = [[1, 0] if any(word in text for word in self.HARM) else [0, 1] for text in texts]
        noise = np.random.default_rng(len(texts)).normal(0, 0.1, (len(texts), 2))
        return ((vectors + noise) / np.linalg.norm(vectors + noise, axis=1, keepdims=True)).astype(np.float32)


def test_what_a_request_means_counts_beside_its_words():
    both, words = train(ROWS, SETTINGS, Senses()), train(ROWS, SETTINGS)
    assert (
        words.meaning is None
        and both.meaning.languages == ("en",)
        and (both.meaning.fingerprint, both.meaning.backend) == ("senses", "torch-bf16")
    )
    unheard = "please vaporise the candle", "please polish the candle"
    assert both.score(unheard[0]) > 0.7 and both.score(unheard[1]) < 0.3
    assert words.score(unheard[0]) == pytest.approx(words.score(unheard[1]), abs=0.05)
    assert both.score("鷹を爆砕して") == words.score("鷹を爆砕して") and both.thresholds["ja"] == words.thresholds["ja"]
    assert train(ROWS, SETTINGS.model_copy(update={"meaning": []}), Senses()).meaning is None
    assert train(ROWS, SETTINGS.model_copy(update={"meaning": ["ja"]}), Senses()).meaning.languages == ("ja",)
    assert train([row for row in ROWS if row.lang == "ja"], SETTINGS, Senses()).meaning is None  # nothing of its language to learn from


def test_the_margin_is_that_of_the_machine_and_the_mix_follows_the_better_of_both():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(80, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    harmful, counts = vectors[:, 0] + 0.5 * generator.normal(size=80) > 0, generator.uniform(1, 3, 80)
    machine = SVC(C=COST, gamma=GAMMA, class_weight="balanced").fit(vectors, harmful, counts)
    meaning = fit_meaning(vectors, harmful, counts)
    assert [meaning.margin(vector) for vector in vectors] == pytest.approx(machine.decision_function(vectors), abs=1e-5)
    noise = generator.normal(size=80)
    told, drowned, _ = stacked(harmful + 0.1 * noise, noise, harmful)
    assert told > 5 * abs(drowned)
    assert replace(meaning, mix=(2.0, 3.0, 4.0)).logit(5.0, vectors[0]) == pytest.approx(14 + 3 * meaning.margin(vectors[0]))


def test_its_meaning_comes_back_from_disk_too(tmp_path):
    classifier = train(ROWS, SETTINGS, Senses())
    classifier.save(tmp_path)
    again = replace(Classifier.load(tmp_path), embed=classifier.embed)
    for row in ROWS:
        assert again.score(row.prompt) == pytest.approx(classifier.score(row.prompt), abs=1e-5)
    (tmp_path / "vectors.npy").unlink()
    with pytest.raises(MigakiError, match="migaki safety"):
        Classifier.load(tmp_path)


@pytest.mark.alone
def test_a_request_takes_milliseconds_however_long():
    classifier = fit(ROWS, SETTINGS)
    times = []
    for text in ["How do I mount the pump in the cellar?"] * 50:
        start = time.perf_counter()
        classifier.score(text)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.005
    assert classifier.score("zap " * 100_000) == classifier.score("zap " * 100_000)


def test_whole_topics_are_left_out_together():
    rows = [Example(f"{topic} {i}", True, topic) for topic in "abcdef" for i in range(5)] + [
        Example(f"plain {i}", False) for i in range(40)
    ]
    folds = folds_of(rows, ClassifierSettings(folds=3))
    assert all(len(set(folds[5 * i : 5 * i + 5])) == 1 for i in range(6))
    assert set(folds) == {0, 1, 2}


def test_thresholds_let_the_share_of_look_alikes_pass_that_was_asked_for():
    rows = [Example(f"like {i}", False, "t") for i in range(100)] + [Example(f"plain {i}", False) for i in range(100)]
    scores = np.concatenate([np.linspace(0.3, 0.9, 100), np.zeros(100)])
    cut = threshold(rows, scores, "en", 0.1)
    assert np.mean(scores[:100] >= cut) == pytest.approx(0.1, abs=0.011)
    assert threshold(rows, scores, "ja", 0.1) == 0.5


def test_wilson_intervals():
    assert Rate(8, 60).interval == pytest.approx((0.0691, 0.2417), abs=1e-3)
    assert Rate(0, 60).interval[0] == 0 and Rate(0, 0).interval == (0.0, 1.0)


def test_files_are_read_with_their_labels_and_faults_are_named(tmp_path):
    labelled = write(
        tmp_path / "l.jsonl", [{"prompt": "a", "label": "harmful", "topic": "t"}, {"prompt": "b", "label": "harmless", "split": "heldout"}]
    )
    harmless = write(
        tmp_path / "h.jsonl",
        [{"instruction": "c", "output": "yes"}, {"instruction": "d", "output": "I'm sorry, I can't."}, {"prompt": "a"}],
    )
    rows = read_examples(ClassifierSettings(examples=[labelled], harmless=[harmless]))
    assert {(row.prompt, row.harmful, row.topic, row.split) for row in rows} == {
        ("a", True, "t", "train"),
        ("b", False, "", "heldout"),
        ("c", False, "", "train"),
    }
    for bad, words in (
        ({"prompt": "a", "label": "bad"}, "label is 'bad'"),
        ({"label": "harmful"}, "none of the fields"),
        ({"prompt": "a", "label": "harmful", "split": "dev"}, "split is 'dev'"),
    ):
        with pytest.raises(MigakiError, match=words):
            read_examples(ClassifierSettings(examples=[write(tmp_path / "bad.jsonl", [bad])], harmless=[]))
    with pytest.raises(MigakiError, match="is no file"):
        located("nowhere.jsonl")
    with pytest.raises(MigakiError, match="at least 5 harmful"):
        train([Example("a", True)], ClassifierSettings())


def test_the_examples_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert all(located(path).is_file() for path in SafetySettings().examples)


def train_stage(place, embedder_folder, second=None, **settings):
    """A home with a safety artifact that the stage's body trained, the artifact, and what it logged."""
    rows = [{"prompt": row.prompt, "label": "harmful" if row.harmful else "harmless", "topic": row.topic} for row in ROWS]
    rows += [{"prompt": "please zap the marble", "label": "harmful", "topic": "zapping", "split": "heldout"}]
    examples = [write(place / "e.jsonl", rows)]
    made = ClassifierSettings(examples=examples, harmless=[], folds=2, min_count=1, **settings)
    home, log, stage = Home(place / "home"), [], STAGES["safety"]
    home.root.mkdir()
    models = {"embedder": resolve(str(shutil.copytree(embedder_folder, place / "embedder")), home)}
    if second:
        models["embedder_en"] = resolve(str(second), home)
    store = ArtifactStore(home)
    with store.draft(stage.kind, "c" * 64) as folder:
        work = Work(stage, folder, Context(home, "", "", emit=lambda text, final: None, log=log.append), models)
        record = function(stage.body)(made, {}, work)
        work.write_tables()
        manifest = {"stage": "safety", "run_id": "r", "settings": {}, "inputs": {}, "model": None, "meta": record.meta(), "seconds": 0.0}
        ref = store.commit(folder, manifest | {"created": "2025-01-01T00:00:00"})
    return home, ref, log


@pytest.fixture
def trained(tmp_path, embedder_folder):
    return train_stage(tmp_path, embedder_folder)


@pytest.mark.parametrize(("languages", "taken"), [(["en"], "second"), (["en", "ja"], "embedder"), (["ja"], "embedder")])
def test_the_second_embedder_is_taken_where_english_alone_is_judged_by_meaning(tmp_path, embedder_folder, languages, taken):
    """As the index has it beside the first, so that a program that serves both holds one; it is found again by the classifier's own word."""
    home, ref, _ = train_stage(tmp_path, embedder_folder, save_second_embedder(embedder_folder, tmp_path / "second"), meaning=languages)
    register(home, ref)
    guard = open_guard(home, GuardSettings(), ref.id)
    assert guard.classifier.meaning.embedder == str(tmp_path / taken)
    model = resolve(str(tmp_path / taken), home)
    loaded = Embedder(model.path, backend="auto", checksum=model.checksum)
    assert guard.classifier.meaning.fingerprint == loaded.fingerprint and guard.classifier.meaning.backend == loaded.backend
    first, second = (open_guard(home, GuardSettings(), ref.id, given).classifier.score("please zap the candle") for given in ((), [loaded]))
    assert first == pytest.approx(second, abs=1e-3)


def test_a_classifier_that_names_no_backend_was_trained_by_torch(tmp_path):
    made = Meaning(np.eye(2, dtype=np.float32), np.ones(2, np.float32), 1.0, 0.0, ("en",), backend="torch-bf16")
    facts = made.save(tmp_path)
    assert Meaning.load(tmp_path, facts).backend == "torch-bf16"
    assert Meaning.load(tmp_path, {name: value for name, value in facts.items() if name != "backend"}).backend == "torch"


def test_without_a_second_embedder_the_first_is_taken(trained, tmp_path):
    home, ref, _ = trained
    register(home, ref)
    assert open_guard(home, GuardSettings(), ref.id).classifier.meaning.embedder == str(tmp_path / "embedder")


def test_the_stage_leaves_a_classifier_that_the_chat_opens(trained):
    home, ref, log = trained
    assert open_guard(home, GuardSettings(), "").classifier is None  # rules alone
    guard = open_guard(home, GuardSettings(), ref.id)
    assert guard.classifier.score("please zap the candle") > guard.classifier.score("please paint the candle")
    assert ref.kind == "classifier" and guard.version == ref.id
    assert ref.meta["trained_on"]["en"] == {"harmful": 10, "harmless": 10, "look_alike": 0}
    refused = {(one["by"], one["lang"], one["harmful"]): one for one in ref.meta["refused"]}
    assert refused["held out", "en", True] | {"low": 0, "high": 1} == {
        "lang": "en",
        "harmful": True,
        "by": "held out",
        "count": 1,
        "items": 1,
        "low": 0,
        "high": 1,
    }
    assert refused["cross-validation", "en", True]["items"] == 10 and refused["cross-validation", "ja", False]["items"] == 5
    assert any("1 held-out harmful" in line for line in log)


def test_the_guard_takes_the_embedder_of_the_training_and_no_other(trained, tmp_path):
    home, ref, _ = trained
    register(home, ref)
    guard = open_guard(home, GuardSettings(), ref.id)
    asked = []
    for fingerprint, expected in ((guard.classifier.meaning.fingerprint, ["please zap the candle"]), ("of another model", [])):
        embed = lambda texts: asked.extend(texts) or np.ones((1, 16), np.float32) / 4
        loaded = [SimpleNamespace(fingerprint="of the index", embed=None), SimpleNamespace(fingerprint=fingerprint, embed=embed)]
        open_guard(home, GuardSettings(), ref.id, loaded).check_input("please zap the candle")
        assert asked == expected
        asked.clear()
    (tmp_path / "embedder" / "more.json").write_text("{}")  # another model
    with pytest.raises(MigakiError, match="another embedder than .* train it again"):
        open_guard(home, GuardSettings(), ref.id)


def test_the_key_follows_the_files_and_not_their_place(tmp_path):
    row = [{"prompt": "a", "label": "harmful"}]
    (tmp_path / "x").mkdir()
    one, two = (ClassifierSettings(examples=[write(tmp_path / place, row)], harmless=[]) for place in ("a.jsonl", "x/b.jsonl"))
    assert training_files(one) == training_files(two)
    other = ClassifierSettings(examples=[write(tmp_path / "c.jsonl", [{"prompt": "b", "label": "harmful"}])], harmless=[])
    assert training_files(other) != training_files(one)
