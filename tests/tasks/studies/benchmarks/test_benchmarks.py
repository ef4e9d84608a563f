"""Benchmarks: how they ask, which choice is taken by each rule, and the study on a tiny model."""

import json

import pyarrow.parquet as pq
import pytest
import torch

from tasks.errors import MigakiError
from tasks.inference.continuations import ContinuationScorer
from tasks.studies.benchmarks.benchmark import Benchmarks, Contestant, Way, answered
from tasks.studies.benchmarks.fingerprint import benchmark_files
from tasks.studies.benchmarks.likelihood import Choices, Chooser
from tasks.studies.benchmarks.prompting import ask, cut, draw
from tasks.studies.benchmarks.settings import BenchmarkSettings
from tasks.studies.study import Journal, run_study
from tasks.studies.suites.question import Question, Suite
from tests.helpers.models import tiny_llama, tiny_tokenizer
from tests.helpers.training_project import TUNE


def choice(number, lang="en", subject="", question="Where do fish live"):
    return Question(f"q{number}", lang, f"{question} ({number})?", ("sea", "sky"), "AB"[number % 2], "choice", subject)


def suite(size=8, **options):
    return Suite("arc_easy", tuple(choice(i) for i in range(size)), **options)


def test_a_question_is_put_as_text_that_goes_on():
    asked = ask(choice(3), [choice(0)])
    assert asked.examples == "Question: Where do fish live (0)?\nAnswer: sea\n\n"
    assert asked.context == asked.examples + "Question: Where do fish live (3)?\nAnswer:"
    assert (asked.endings, asked.empty) == ((" sea", " sky"), "Answer:")
    japanese = ask(choice(3, "ja", question="魚はどこ"), [])
    assert (japanese.context, japanese.endings, japanese.empty) == ("質問：魚はどこ (3)?\n回答：", ("sea", "sky"), "回答：")


def test_letters_and_endings():
    letters = ask(choice(1), [choice(0)], "letters")
    assert letters.context == (
        "Question: Where do fish live (0)?\nA. sea\nB. sky\nAnswer: A\n\nQuestion: Where do fish live (1)?\nA. sea\nB. sky\nAnswer:"
    )
    assert letters.endings == (" A", " B")
    ending = ask(choice(1), [choice(0)], "continued")
    assert (ending.context, ending.empty) == ("Where do fish live (0)? sea\n\nWhere do fish live (1)?", "")


def test_worked_steps_end_behind_a_mark_and_an_answer_ends_at_the_next_question():
    sums = Question("1", "en", "1 + 1?", (), "2", "number", "", "One and one are two.")
    assert ask(sums, [sums]).examples == "Question: 1 + 1?\nAnswer: One and one are two.\n#### 2\n\n"
    assert cut(" It is 2.\n\nQuestion: 3 + 3?\nAnswer: 6", sums) == "It is 2."
    assert cut("2\nQuestion: 3?", sums) == "2" and cut("Question: that is 2", sums) == "Question: that is 2"


def test_examples_are_drawn_by_the_seed_and_never_asked():
    drawn = draw(suite(), 3, 4, 0)
    shown = [one.id for one in drawn.examples[""]]
    assert len(set(shown)) == 3 and len(drawn.questions) == 4 and not set(shown) & {one.id for one in drawn.questions}
    assert draw(suite(), 3, 4, 0) == drawn and [one.id for one in draw(suite(), 3, 4, 1).examples[""]] != shown
    assert [one.id for one in draw(suite(), 0, 0, 5).questions] == [f"q{i}" for i in range(8)]
    questions = (choice(0, subject="sea"), choice(1, subject="sky"))
    published = Suite("mmlu", questions, examples=(choice(9, subject="sea"), choice(8, subject="sky"), choice(7, subject="sky")))
    assert {subject: len(own) for subject, own in draw(published, 1, 0, 0).examples.items()} == {"sea": 1, "sky": 1}
    assert len(draw(published, 1, 0, 0).questions) == 2
    with pytest.raises(MigakiError, match=r"benchmark mmlu: 2 worked examples .* and its subject sea has 1 to show"):
        draw(published, 2, 0, 0)
    with pytest.raises(MigakiError, match=r"benchmark arc_easy: 9 worked examples are asked for \(benchmark.shots\), and it has 8 to show"):
        draw(suite(), 9, 0, 0)


def test_every_rule_can_take_another_choice():
    choices = Choices((-6.0, -5.0, -8.0, -7.0), (-5.5, -5.0, -7.0, -9.0), (12, 4, 20, 8), (2, 1, 5, 2))
    assert {rule: choices.taken(rule) for rule in choices.rules} == {"sum": 1, "bytes": 2, "tokens": 2, "pmi": 3}
    assert choices.by("pmi") == [-0.5, 0.0, -1.0, 2.0]
    assert Choices((-1.0, -1.0), None, (1, 1), (1, 1)).rules == ("sum", "bytes", "tokens")
    assert Choices((-1.0, -1.0), None, (1, 1), (1, 1)).taken("sum") == 0


def test_choices_are_scored_as_the_model_itself_does():
    model, tokenizer = tiny_llama(), tiny_tokenizer()
    asked = [ask(choice(i), [choice(6), choice(7)]) for i in range(3)]
    found = Chooser(ContinuationScorer(model), tokenizer).choices(asked)
    for one, own in zip(asked, found, strict=True):
        for ending, score, alone, size in zip(one.endings, own.loglikelihoods, own.empty, own.tokens, strict=True):
            assert score == pytest.approx(own_score(model, tokenizer, one.context, ending), abs=1e-3)
            assert alone == pytest.approx(own_score(model, tokenizer, "Answer:", ending), abs=1e-3)
            assert size == len(tokenizer(ending)["input_ids"])
        assert own.bytes == (3, 3)


def own_score(model, tokenizer, context, ending):
    ids, start = tokenizer(context + ending)["input_ids"], len(tokenizer(context)["input_ids"])
    logprobs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logprobs[at - 1, ids[at]]) for at in range(start, len(ids)))


def test_a_question_longer_than_the_context_is_cut_at_its_beginning():
    model, tokenizer = tiny_llama(), tiny_tokenizer()
    asked = [ask(choice(i, question="Where" if i == 1 else "Where do fish live"), [choice(0)]) for i in (1, 2)]
    model.config.max_position_embeddings = len(asked[0].context) + 4  # the tokenizer makes one token of a letter
    short, long = Chooser(ContinuationScorer(model), tokenizer).choices(asked)
    assert (short.cut, long.cut) == (False, True)
    over = len(asked[1].context) - len(asked[0].context)
    for one, found, shift in ((asked[0], short, 0), (asked[1], long, over)):
        assert list(found.loglikelihoods) == pytest.approx(
            [own_score(model, tokenizer, one.context[shift:], ending) for ending in one.endings], abs=1e-3
        )
    model.config.max_position_embeddings = 4
    with pytest.raises(MigakiError, match="a choice of 4 tokens is longer than the model's context of 4"):
        Chooser(ContinuationScorer(model), tokenizer).choices(asked)


def test_a_written_answer_has_its_room():
    model, tokenizer = tiny_llama(), tiny_tokenizer()
    sums = draw(Suite("gsm8k", (Question("s", "en", "One and one and one and one?", (), "4", "number"),)), 0, 0, 0)
    model.config.max_position_embeddings = 24
    [answer] = answered(Contestant(model, tokenizer, Way(answer_tokens=8)), [(sums, sums.questions[0])])
    assert answer.details["cut"] and answer.values["gsm8k.tokens"] <= 8
    with pytest.raises(MigakiError, match=r"answers of 24 tokens leave nothing of the model's context of 24 .*benchmark.answer_tokens"):
        answered(Contestant(model, tokenizer, Way(answer_tokens=24)), [(sums, sums.questions[0])])


def study():
    sums = Suite("gsm8k", tuple(Question(f"s{i}", "ja", f"{i} + 1?", (), str(i + 1), "number") for i in range(3)))
    return Benchmarks([draw(suite(), 2, 4, 0), draw(sums, 0, 0, 0)], {"a": opened(0), "b": opened(1)}, Way(answer_tokens=4))


def opened(seed):
    return lambda: (tiny_llama(seed=seed), tiny_tokenizer())


def test_a_study_of_two_models(tmp_path):
    results = run_study(study(), Journal(tmp_path / "study.jsonl"))
    assert [measure.name for measure in study().measures] == (
        [
            "correct",
            "arc_easy",
            "arc_easy.sum",
            "arc_easy.bytes",
            "arc_easy.tokens",
            "arc_easy.pmi",
            "gsm8k",
            "gsm8k.unparsed",
            "gsm8k.tokens",
        ]
    )
    for arm in ("a", "b"):
        rows = results.of(arm)
        assert len(rows) == 7 and [row.item.partition("/")[0] for row in rows] == ["arc_easy"] * 4 + ["gsm8k"] * 3
        for row in rows[:4]:
            assert set(row.answer.values) == {"correct", "arc_easy", *(f"arc_easy.{rule}" for rule in ("sum", "bytes", "tokens", "pmi"))}
            assert row.answer.values["correct"] == row.answer.values["arc_easy.bytes"] == float(row.answer.text == row.answer.reference)
        assert all(row.answer.values["gsm8k.tokens"] <= 4 for row in rows[4:])
    assert results.facts["a"] == {"parameters": float(tiny_llama().num_parameters())}


def test_by_what_a_choice_is_taken_is_a_setting():
    drawn = draw(
        Suite("arc_easy", tuple(Question(f"q{i}", "en", f"{i}?", ("a", f"number {i} of all"), "B", "choice") for i in range(20))), 0, 0, 0
    )
    by = {}
    for rule in ("sum", "tokens"):
        by[rule] = answered(Contestant(*opened(0)(), Way(rule)), [(drawn, one) for one in drawn.questions])
        assert all(answer.values["correct"] == answer.values[f"arc_easy.{rule}"] for answer in by[rule])
    # The sum is against whatever is long; of a model that knows nothing, all tokens are alike.
    assert {one.text for one in by["sum"]} == {"A. a"} and "B. number 3 of all" in {one.text for one in by["tokens"]}


def written(folder, name="arc_easy_train", size=6):
    rows = [{"question": f"Where do fish live ({i})?", "choices": ["sea", "sky"], "answer": i % 2} for i in range(size)]
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return BenchmarkSettings(names=["arc_easy"], benchmarks_dir=str(folder), items=5)


def test_the_stage_asks_the_base_and_what_was_trained_on_it(tmp_path, training_project):
    project, settings = training_project, written(tmp_path)
    trained = project.run("tune", TUNE)
    ref = project.run("benchmark", settings, trained=trained)
    names = [project.context.model, trained.id[:12]]
    assert (ref.meta["study"], ref.meta["items"], ref.meta["arms"]) == ("benchmark", 5, names)
    figures = pq.read_table(project.folder(ref) / "tables/studies.parquet").to_pylist()
    own = {row["arm"]: row["value"] for row in figures if (row["measure"], row["lang"], row["against"]) == ("arc_easy", "en", "")}
    assert set(own) == set(names)
    [difference] = [row for row in figures if row["measure"] == "arc_easy" and row["against"]]
    assert difference["value"] == pytest.approx(own[names[1]] - own[names[0]])
    answers = pq.read_table(project.folder(ref) / "tables/study_answers.parquet").to_pylist()
    assert len(answers) == 10 and {row["reference"] for row in answers} == {"A. sea", "B. sky"}
    told = {line["label"]: line["after"] for line in ref.meta["headlines"]}
    assert told[f"{names[1]}: arc_easy (en)"] == own[names[1]] and told[f"{names[0]}: parameters"] == "181,312"
    assert not [label for label in told if "arc_easy.bytes" in label]
    page = (project.folder(ref) / "report.html").read_text(encoding="utf-8")
    assert "training questions" in page and "guessing is right for 50.0%" in page and "humaneval" in page


def test_what_is_no_model_and_no_benchmark_is_told(tmp_path, training_project):
    settings = written(tmp_path)
    with pytest.raises(MigakiError, match="is of kind 'dataset'; a benchmark measures an adapter, a model or a release"):
        training_project.run("benchmark", settings, trained=training_project.dataset)
    with pytest.raises(MigakiError, match="no benchmark is named"):
        training_project.run("benchmark", BenchmarkSettings())
    with pytest.raises(MigakiError, match=r"no question is left beside 6 worked examples \(benchmark.shots\)"):
        training_project.run("benchmark", settings.model_copy(update={"shots": 6}))
    with pytest.raises(MigakiError, match="two benchmarks have one name: arc_easy, arc_easy"):
        training_project.run("benchmark", settings.model_copy(update={"suites": [str(tmp_path / "arc_easy_train.jsonl")]}))


def test_the_key_holds_what_the_files_hold_and_no_path(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    one, two = (benchmark_files(written(tmp_path / folder)) for folder in ("one", "two"))
    assert one == two and one[0][0].startswith("arc_easy_train.jsonl ")
    assert benchmark_files(written(tmp_path / "two", size=7)) != one
    with pytest.raises(MigakiError, match="no_such.json"):
        benchmark_files(BenchmarkSettings(suites=[str(tmp_path / "no_such.json")]))
