"""Ways of asking: read by name, their examples from other questions, what they ask, how answers are told, and that examples are read once."""

from contextlib import contextmanager

import pytest

from tasks.errors import MigakiError
from tasks.inference.backend import BackendStats, Delta
from tasks.inference.batching import BatchLimits
from tasks.inference.local import LocalModel
from tasks.prompts.library.library import open_library
from tasks.studies.figures import figures
from tasks.studies.prompting.methods import Method, read_methods
from tasks.studies.prompting.questions import draw, open_suite
from tasks.studies.prompting.settings import PromptStudySettings, SolvingSettings
from tasks.studies.prompting.solving import Solving, judged, notes_on
from tasks.studies.study import Journal, run_study
from tasks.studies.suites.question import Question, Suite
from tests.helpers.models import tiny_llama, tiny_tokenizer

ALL = ["zero", "few:4", "cot", "few-cot:4", "self-consistency:5"]


def question(number: int, lang: str = "en", rationale: str = "So it is.") -> Question:
    return Question(str(number), lang, f"What is {number} + 0?", (), str(number), "number", rationale=rationale)


def suite(count: int, **more) -> Suite:
    return Suite("sums", tuple(question(number, **more) for number in range(count)))


def test_methods_are_read_by_name():
    assert read_methods(["zero", "few:4", "cot", "few-cot:2", "self-consistency:5"]) == [
        Method("zero"),
        Method("few:4", shots=4),
        Method("cot", steps="asked"),
        Method("few-cot:2", shots=2, steps="shown"),
        Method("self-consistency:5", steps="asked", votes=5),
    ]
    assert PromptStudySettings.build("prompt_study", {"methods": "zero, few:2"}).methods == ["zero", "few:2"]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ([], "names no way of asking"),
        (["zero", "zero"], "'zero' stands there twice"),
        (["few"], "'few' is no way of asking; accepted are zero, few:N, cot"),
        (["few:0"], "'few:0'"),
        (["zero:3"], "'zero:3'"),
        (["tree"], "'tree'"),
    ],
)
def test_a_method_that_is_none_is_refused(names, complaint):
    with pytest.raises(MigakiError, match=complaint):
        read_methods(names)


def test_examples_are_others_than_what_is_asked_and_the_same_for_a_seed():
    methods = read_methods(ALL)
    drawn = draw(suite(20), methods, 100, 3)
    assert len(drawn.asked) == 16 and len(drawn.examples) == 4
    assert not {one.id for one in drawn.asked} & {one.id for one in (*drawn.examples, *drawn.worked)}
    assert draw(suite(20), methods, 100, 3) == drawn != draw(suite(20), methods, 100, 4)
    assert draw(suite(20), methods, 5, 3).asked == draw(suite(20), methods[:1], 100, 3).asked[:5]
    assert drawn.shown(methods[0]) == () and drawn.shown(methods[1]) == drawn.examples


def test_published_examples_are_taken_first():
    published = tuple(question(number) for number in range(100, 104))
    with_own = Suite("sums", suite(6).questions, "", published)
    drawn = draw(with_own, read_methods(["few:4"]), 100, 0)
    assert drawn.examples == published and len(drawn.asked) == 6
    assert set(draw(with_own, read_methods(["few:5"]), 100, 0).examples) < set(with_own.questions)


def test_too_few_examples_are_one_message():
    with pytest.raises(MigakiError, match="4 examples are asked for beside what is asked, and sums has 1 question: name fewer"):
        draw(suite(1), read_methods(["zero", "few:4"]), 10, 0)
    with pytest.raises(MigakiError, match="few-cot:2 shows the steps of 2 questions, and sums has them for 0: few and cot need none"):
        draw(suite(9, rationale=""), read_methods(["few-cot:2"]), 10, 0)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"suite": "gsm8k"}, "benchmarks_dir .* is empty: it is the folder in which gsm8k lies"),
        ({"suite": "gsm9k"}, "'gsm9k' is neither 'own', nor a file, nor a benchmark; benchmarks are mmlu"),
        ({"suite": "gsm8k", "benchmarks_dir": "none"}, "none"),
    ],
)
def test_a_suite_that_is_none_is_refused(settings, complaint):
    with pytest.raises(MigakiError, match=complaint):
        open_suite(SolvingSettings(**settings))


def asked(names, drawn_from=None, **settings) -> Solving:
    methods = read_methods(names)
    drawn = draw(drawn_from or suite(20), methods, 8, 0)

    @contextmanager
    def opened():
        backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny", limits=BatchLimits())
        try:
            yield backend
        finally:
            backend.close()

    return Solving(drawn, methods, open_library(), opened, SolvingSettings(answer_tokens=4, reasoning_tokens=6, **settings))


def test_what_each_way_asks():
    study = asked(ALL)
    one = study.items[0].content["question"]
    zero, few, cot, few_cot, votes = (study.messages(method, one)[-1]["content"] for method in study.methods.values())
    assert zero.endswith(f"Question: {one.question}") and zero.startswith("Solve the problem.")
    assert few.count("\nAnswer: ") == 4 and few.endswith(zero.split("\n\n")[1]) and "So it is." not in few
    assert cot == f"{zero}\n\nLet's think step by step." == votes
    assert few_cot.count("\nSo it is.\nAnswer: ") == 4
    assert [arm.adopt for arm in study.arms] == [{}] * 5


@pytest.mark.parametrize(
    ("kind", "answer", "choices", "says"),
    [("number", "7", (), "答え: 7"), ("yes_no", "no", (), "答え: いいえ"), ("choice", "B", ("猫", "犬"), "(A) 猫\n(B) 犬\n答え: B")],
)
def test_an_example_answers_in_its_language(kind, answer, choices, says):
    questions = tuple(Question(str(number), "ja", f"問{number}", choices, answer, kind) for number in range(3))
    study = asked(["few:1"], Suite("own", questions))
    content = study.messages(study.methods["few:1"], questions[0])[-1]["content"]
    assert says in content and content.endswith("(B) 犬" if choices else "問題: 問0")


def test_most_votes_win_and_those_without_an_answer_do_not_vote():
    def answer(*texts: str):
        return judged(question(5), texts, "p", {"tokens": 9.0})

    assert answer("The answer is 4.", "Answer: 5", "Hm.", "so 3 + 2 = 5").values == {"correct": 1.0, "unparsed": 0.0, "tokens": 9.0}
    assert answer("Answer: 4", "Answer: 5").values["correct"] == 0.0  # of equals the first
    nothing = answer("Hm.", "Well.")
    assert (nothing.values["correct"], nothing.values["unparsed"], nothing.details["answer"]) == (0.0, 1.0, None)
    decided = Question("1", "ja", "本当か", (), "no", "yes_no")
    right = judged(decided, ["答え: いいえ"], "p", {})
    assert right.values["correct"] == 1.0 and right.reference == "いいえ"


class Continuing:
    """Answers, then goes on with a question of its own; notes how many of its pieces were taken."""

    name, context, stats = "continuing", 4096, BackendStats()

    def __init__(self):
        self.taken = []

    def count_tokens(self, messages):
        return 9

    def stream(self, messages, sampling, stop):
        for piece in ("4", "\n\nQues", "tion: What is 1 + 8?\nAnswer: ", "9", " and more"):
            self.taken.append(piece)
            yield Delta(piece, 1)


@pytest.mark.parametrize(
    ("method", "text", "pieces"), [("few:4", "4\n", 3), ("zero", "4\n\nQuestion: What is 1 + 8?\nAnswer: 9 and more", 5)]
)
def test_an_answer_ends_where_the_model_goes_on_with_an_example_of_its_own(method, text, pieces):
    study, backend = asked([method]), Continuing()
    one = study.items[0]
    [answer] = study._answers(
        backend, study.methods[method], [one], {one.id: study.messages(study.methods[method], one.content["question"])}
    )
    assert (answer.text, answer.values["tokens"], len(backend.taken)) == (text, pieces, pieces)


def test_examples_are_read_once_and_a_run_that_died_goes_on_with_the_same_figures(tmp_path):
    study = asked(["zero", "few:4", "self-consistency:2"])
    results = run_study(study, Journal(tmp_path / "a.jsonl"))
    shared = {arm.name: [row.answer.values for row in results.of(arm.name)] for arm in study.arms}
    few = shared["few:4"][0]
    assert few["reused"] > 0.8 * few["prompt_tokens"]
    assert shared["zero"][0]["tokens"] <= 4 < shared["self-consistency:2"][0]["tokens"] <= 12
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "b.jsonl").write_text("".join(lines[:3]) + lines[3][:40], encoding="utf-8")
    again = asked(["zero", "few:4", "self-consistency:2"])
    resumed = run_study(again, Journal(tmp_path / "b.jsonl"))

    def figures_of(one, of):
        return [figure for figure in figures(one, of) if figure.measure not in ("seconds", "reused")]

    assert figures_of(again, resumed) == figures_of(study, results)
    assert [row.answer.text for row in resumed.rows] == [row.answer.text for row in results.rows]


def test_what_does_not_fit_the_model_is_said_before_it_is_asked(tmp_path):
    long = Suite("long", tuple(Question(str(n), "en", f"{n} " * 900, (), "1", "number") for n in range(9)))
    with pytest.raises(
        MigakiError, match=r"few:4: the longest prompt takes \d+ tokens and its answer up to 4, and tiny reads \d+ together"
    ):
        run_study(asked(["few:4"], long), Journal(tmp_path / "a.jsonl"))


def test_the_notes_set_the_textbooks_figures_beside_its_own():
    assert notes_on("svamp", "training questions")[:2] == [
        "training questions",
        "The textbook has svamp at 69.4 % right without a chain of thought and 78.7 % with one (section 4.3).",
    ]
    assert "100 billion" in notes_on("other", "")[0]
