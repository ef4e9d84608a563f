"""Benchmarks are read from every form in which they are published; a row that is broken is told with file, line, field and what is accepted."""

import json

import pytest

from tasks.errors import MigakiError
from tasks.studies.suites.reading import KINDS, files_of, read_file, read_suite
from tests.helpers.shared import SHARED, needs_shared

LABELS = {"text": ["a bank", "a mall"], "label": ["1", "2"]}
INSTRUCTION = "Please choose the correct {what} to the question: Where do fish live?\n\n{choices}\n\nAnswer format: {format}"
FORMS = [
    (
        "ARC-Easy_train.json",
        [
            {
                "instruction": INSTRUCTION.format(
                    what="answer", choices="Answer1: in air Answer2: in water: deep Answer3: on land", format="answer1/answer2/answer3"
                ),
                "input": "",
                "output": "the correct answer is answer2",
                "answer": "answer2",
            }
        ],
        ("Where do fish live?", ("in air", "in water: deep", "on land"), "B"),
    ),
    (
        "piqa_test.json",
        [
            {
                "instruction": INSTRUCTION.format(
                    what="solution", choices="Solution1: sea\n\nSolution2: sky", format="solution1/solution2"
                ),
                "answer": "solution1",
            }
        ],
        ("Where do fish live?", ("sea", "sky"), "A"),
    ),
    (
        "piqa_valid.jsonl",
        [{"goal": "boil water", "sol1": "heat it", "sol2": "cool it", "label": 0}],
        ("boil water", ("heat it", "cool it"), "A"),
    ),
    (
        "jcommonsenseqa_valid.jsonl",
        [{"q_id": 3, "question": "水を出すときに捻るものは？", "choice0": "流し", "choice1": "蛇口", "label": 1}],
        ("水を出すときに捻るものは？", ("流し", "蛇口"), "B"),
    ),
    (
        "commonsenseqa_dev.jsonl",
        [
            {
                "id": "x",
                "answerKey": "B",
                "question": {"stem": "Where?", "choices": [{"label": "A", "text": "here"}, {"label": "B", "text": "there"}]},
            }
        ],
        ("Where?", ("here", "there"), "B"),
    ),
    (
        "arc_challenge_test.jsonl",
        [{"id": "x", "question": "Where?", "choices": LABELS, "answerKey": "2"}],
        ("Where?", ("a bank", "a mall"), "B"),
    ),
    ("openbookqa_test.jsonl", [{"question_stem": "Where?", "choices": LABELS, "answerKey": "1"}], ("Where?", ("a bank", "a mall"), "A")),
    (
        "hellaswag_val.jsonl",
        [
            {
                "ind": 4,
                "activity_label": "Removing ice from car",
                "ctx_a": "[header] Then, the man writes over the snow.",
                "ctx_b": "then",
                "ctx": "...",
                "endings": [", the man adds wax [step] to it.", "he stops. [title] Rest"],
                "label": "1",
            }
        ],
        ("Removing ice from car: Then, the man writes over the snow. Then", (", the man adds wax to it.", "he stops.. Rest"), "B"),
    ),
    ("mmlu_test.jsonl", [{"question": "1 + 1?", "subject": "algebra", "choices": ["1", "2"], "answer": 1}], ("1 + 1?", ("1", "2"), "B")),
    ("gsm8k_test.jsonl", [{"question": "How many?", "answer": "2 * 540 = <<2*540=1080>>1080\n#### 1,080"}], ("How many?", (), "1080")),
    (
        "SVAMP.json",
        [{"ID": "c", "Body": "Dan had $ 3", "Question": "How much?", "Answer": 3.0, "Type": "S"}],
        ("Dan had $ 3. How much?", (), "3"),
    ),
    ("mgsm_ja.jsonl", [{"question": "何個？", "answer": None, "answer_number": 18}], ("何個？", (), "18")),
    (
        "last_letters.json",
        {"examples": [{"question": 'The last letters of "Tj Kc"?', "answer": "jc"}]},
        ('The last letters of "Tj Kc"?', (), "jc"),
    ),
    (
        "StrategyQA.json",
        {"keywords": ["a"], "examples": [{"input": "Is it?", "target_scores": {"Yes": 0, "No": 1}, "target": "No. It was."}]},
        ("Is it?", (), "no"),
    ),
    ("strategyqa_dev.json", [{"qid": "x", "question": "Is it?", "answer": True, "facts": ["It is."]}], ("Is it?", (), "yes")),
]


def written(folder, name, rows):
    text = (
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        if name.endswith("jsonl")
        else json.dumps(rows, ensure_ascii=False, indent=1)
    )
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(("name", "rows", "wanted"), FORMS, ids=[name for name, _, _ in FORMS])
def test_every_published_form_is_told_by_itself_and_by_its_name(tmp_path, name, rows, wanted):
    path = written(tmp_path, name, rows)
    suite = read_file(path)
    assert suite.style == {"mmlu": "letters", "hellaswag": "continued"}.get(suite.name, "text")
    assert [(one.question, one.choices, one.answer) for one in suite.questions] == [wanted]
    assert suite.name in KINDS and suite.questions[0].kind == KINDS[suite.name]
    assert suite.questions[0].lang == ("ja" if suite.name in ("jcommonsenseqa", "mgsm_ja") else "en")
    assert read_suite(suite.name, tmp_path) == suite
    assert ("training questions" in suite.note) == ("train" in name)


# Files of a team's own: the answers as people write them.
OWN = [
    (
        "legs.jsonl",
        [{"question": "How many legs has a crab?", "answer": 10}, {"question": "How cold?", "answer": "-2.5"}],
        "number",
        ["10", "-2.5"],
    ),
    ("litres.csv", 'Question,Answer\nHow many litres?,"1,250"\nHow far?,12 km\nWhat share?,3/4\n', "number", ["1250", "12", "0.75"]),
    (
        "nedan.csv",
        "\ufeffquestion,answer\r\nいくらですか。,3万5千円\r\n何個ですか。,１２個\r\n気温は何度ですか。,−5\r\n年収はいくらですか。,300万円\r\n",
        "number",
        ["35000", "12", "-5", "3000000"],
    ),
    ("cost.jsonl", [{"question": "What does it cost?", "answer": "Two at 6.\n#### $12"}], "number", ["12"]),
    ("wet.jsonl", [{"question": "Is water wet?", "answer": "Yes"}, {"question": "Is fire cold?", "answer": "no"}], "yes_no", ["yes", "no"]),
    (
        "nureru.jsonl",
        [{"question": "水はぬれますか。", "answer": "はい"}, {"question": "火は冷たいですか。", "answer": "いいえ。"}],
        "yes_no",
        ["yes", "no"],
    ),
    ("capital.jsonl", [{"question": "Whose capital is Wellington?", "answer": "New Zealand"}], "text", ["new zealand"]),
    ("columns.csv", "question,A,B,C,answer\nWhich purrs?,dog,cat,cow,B\nWhich barks?,dog,cat,cow,dog\n", "choice", ["B", "A"]),
    ("fewer.csv", "question,A,B,C,answer\nWhich purrs?,dog,cat,cow,B\nWhich barks?,dog,cat,,A\n", "choice", ["B", "A"]),
    ("capitals.jsonl", [{"question": "Which purrs?", "A": "dog", "B": "cat", "answer": "B"}], "choice", ["B"]),
    ("sums.csv", "question,A,B,C,answer\n1 + 1?,0,1,2,2\n", "choice", ["C"]),
    ("stories.csv", "ID,Body,Question,Answer\n1,Two boats and three.,How many?,5.0\n", "number", ["5"]),
    ("small.csv", "body,question,answer\nTwo boats and three.,How many?,5.0\n", "number", ["5"]),
    ("said.tsv", '"Two!" said Ann. How many?\t2\n"What, 3?\t3\n', "number", ["2", "3"]),
    ("kept.tsv", '"How\tmany?"\t2\n', "number", ["2"]),
    ("options.jsonl", [{"question": "Which purrs?", "options": ["dog", "cat"], "answer": "B"}], "choice", ["B"]),
    ("sentaku.jsonl", [{"question": "鳴くのはどれ？", "choices": ["犬", "猫"], "answer": "イ"}], "choice", ["B"]),
    (
        "places.jsonl",
        [{"question": "2 + 1?", "choices": ["1", "2", "3"], "answer": 2}, {"question": "2?", "choices": ["7", "2"], "answer": "7"}],
        "choice",
        ["C", "A"],
    ),
    ("numbers.jsonl", [{"question": "どれ？", "choices": {"text": ["犬", "猫"], "label": [1, 2]}, "answerKey": 2}], "choice", ["B"]),
]


@pytest.mark.parametrize(("name", "rows", "kind", "answers"), OWN, ids=[name for name, *_ in OWN])
def test_a_file_of_ones_own_says_its_answers_as_people_write_them(tmp_path, name, rows, kind, answers):
    path = written(tmp_path, name, rows) if isinstance(rows, list) else tmp_path / name
    if isinstance(rows, str):
        path.write_text(rows, encoding="utf-8")
    questions = read_file(path).questions
    assert ({one.kind for one in questions}, [one.answer for one in questions]) == ({kind}, answers)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"question": "Q?", "answer": "4"}\n{"question": "Q?", "answer": "Paris"}', ["line 2", "'Paris'", "a number"]),
        ('{"question": "Q?", "answer": "yes"}\n{"question": "Q?", "answer": "maybe"}', ["line 2", "'maybe'", "yes or no"]),
        ('{"question": "Q?", "choices": ["red", "blue"], "answer": "D"}', ["'D'", "A to B"]),
    ],
)
def test_an_answer_unlike_the_first_is_one_clear_message(tmp_path, text, wanted):
    (tmp_path / "own.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(MigakiError) as caught:
        read_file(tmp_path / "own.jsonl")
    assert [part for part in wanted if part not in str(caught.value)] == []


def test_rationales_are_kept_without_a_calculators_marks(tmp_path):
    rows = [{"question": "How many?", "answer": "2 * 540 = <<2*540=1080>>1080\n#### 1,080"}]
    assert read_file(written(tmp_path, "gsm8k_test.jsonl", rows)).questions[0].rationale == "2 * 540 = 1080"


def test_tables_of_subjects(tmp_path):
    for folder, line in (("test", "question,choice0,choice1,choice2,choice3,answer\n1 + 1?,1,2,3,4,1\n"), ("dev", '"a\nb?",1,2,3,4,D\n')):
        (tmp_path / "knowledge" / "mmlu" / folder).mkdir(parents=True)
        (tmp_path / "knowledge" / "mmlu" / folder / f"high_school_{folder}.csv").write_text(line)
    suite = read_suite("mmlu", tmp_path)
    assert [(one.subject, one.question, one.right, one.id) for one in suite.questions] == [
        ("high_school", "1 + 1?", 1, "high_school_test:2")
    ]
    assert [(one.subject, one.question, one.answer) for one in suite.examples] == [("high_school", "a\nb?", "D")]
    (tmp_path / "mgsm_ja.tsv").write_text("りんごは何個？\t1,200\n", encoding="utf-8")
    assert [(one.question, one.answer, one.lang) for one in read_suite("mgsm_ja", tmp_path).questions] == [("りんごは何個？", "1200", "ja")]


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("arc_easy_test.json", '[\n {"instruction": "Q?", "answer": "B"}\n]', ["line 2", "answer is 'B'", "answer1"]),
        (
            "arc_easy_test.json",
            json.dumps([{"instruction": "x: Q?\n\nAnswer1: a\n\nAnswer format: answer1/answer2", "answer": "answer1"}]),
            ["line 1", "instruction", "2 choices"],
        ),
        (
            "gsm8k_test.jsonl",
            '{"question": "Q?", "answer": "#### 1"}\n\n{"question": "Q?", "answer": "1"}',
            ["line 3", "answer is '1'", "####"],
        ),
        ("gsm8k_test.jsonl", '{"question": "Q?", "answer": "#### 1"}\n{"question": ', ["line 2", "JSON object"]),
        ("gsm8k_test.jsonl", "[1]", ["line 1", "[1]", "JSON object"]),
        ("svamp_test.json", '[{"Body": "B", "Question": "Q", "Answer": "many"}]', ["Answer is 'many'", "a number"]),
        ("piqa_valid.jsonl", '{"goal": "g", "sol1": "a", "sol2": "b", "label": 2}', ["label is 2", "0 to 1"]),
        ("mmlu_test.csv", "question,A,B,C,D,answer\nQ?,1,,3,4,D\n", ["line 2", "b is ''"]),
        ("piqa_valid.jsonl", '{"goal": "g", "sol1": "a", "sol2": "b"}', ["label is missing"]),
        (
            "openbookqa_test.jsonl",
            '{"question_stem": "s", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "C"}',
            ["'C'", "A, B"],
        ),
        ("piqa_valid.jsonl", '{"goal": "g", "sol1": "a", "sol2": "b"}', ["here or in piqa_valid-labels.lst"]),
        (
            "arc_easy_test.json",
            json.dumps([{"question": "Q?", "choices": LABELS, "answerKey": key} for key in "123"]),
            ["line 1, object 3"],
        ),
        (
            "openbookqa_test.jsonl",
            '{"question_stem": "s", "choices": {"text": ["a", "b"], "label": ["A", "A"]}, "answerKey": "A"}',
            ["label is ['A', 'A']", "of its own"],
        ),
        ("hellaswag_val.jsonl", '{"ctx": "c", "activity_label": "a", "endings": ["b", " "], "label": 0}', ["endings[1] is ' '"]),
        (
            "jcommonsenseqa_valid.jsonl",
            '{"question": "何？", "choice0": "a", "choice1": "b", "choice3": "d", "label": 2}',
            ["choice2 is missing"],
        ),
        ("svamp_test.json", '[{"Body": "B", "Question": "Q", "Answer": NaN}]', ["Answer is nan", "a number"]),
        (
            "last_letters_test.jsonl",
            '{"question": "Q", "answer": "a"}\n{"question": "Q", "answer": "#### 1"}',
            ["line 2", "####", "first row"],
        ),
        ("mmlu_test.csv", "Question,A,B,C,D,Answer\nQ?,1,2,3,4\n", ["line 2", "5 cells", "6: question, a, b, c, d, answer"]),
        ("mmlu_test.csv", f'Q?,1,2,3,4,A\n"{"x" * 140_000}', ["line 2", "quotation marks"]),
        ("mmlu_test.csv", "Q?,1,2,3,,A\n", ["line 1", "choice3 is ''"]),
        ("mmlu_test.csv", "question,A,B,D,answer\nQ?,1,2,4,A\n", ["line 2", "c is missing"]),
        ("mmlu_test.csv", "Q?,1,2,3,E\n", ["line 1", "cells is", "six"]),
        ("mmlu_test.csv", "Q?,1,2,3,4,E\n", ["line 1", "answer is 'E'", "A to D"]),
        ("mmlu_test.csv", '"Q\n?",1,2,3,4,A\nQ?,1,,3,4,A\n', ["line 3", "choice1 is ''"]),
        ("mgsm_ja.tsv", "何個？ 3\n", ["line 1", "tab"]),
        ("last_letters_test.csv", 'question,answer\n"Two,2\nThree,3\n', ["line 2", "quotation marks"]),
        ("mgsm_ja.tsv", "", ["no rows"]),
        ("hellaswag_val.json", "{}", ["examples", ".jsonl"]),
        ("hellaswag_val.json", "[" * 100_000, ["line 1", "recursion"]),
        ("hellaswag_val.jsonl", '{"a": 1}', ["'a'", "HellaSwag"]),
    ],
)
def test_a_broken_row_is_one_clear_message(tmp_path, name, text, wanted):
    (tmp_path / name).write_text(text, encoding="utf-8")
    for read in (lambda: read_file(tmp_path / name), lambda: read_suite(read_name(name), tmp_path)):
        with pytest.raises(MigakiError) as caught:
            read()
        assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)
        assert [part for part in wanted if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    "header", ["question,A,B,C,D,answer", "Question,A,B,C,D,Answer", "question,choice0,choice1,choice2,choice3,answer"]
)
def test_a_table_says_the_same_with_any_published_header_and_without(tmp_path, header):
    line = '"How many, then?",1,2,3,4,C\n'
    (tmp_path / "plain.csv").write_text(line)
    (tmp_path / "headed.csv").write_bytes(b"\xef\xbb\xbf" + f"{header}\n{line}".replace("\n", "\r\n").encode())
    (tmp_path / "wider.csv").write_text(f"no,subject,{header}\n0,law,{line}")
    plain, headed, wider = (read_file(tmp_path / f"{name}.csv") for name in ("plain", "headed", "wider"))
    assert [(one.question, one.choices, one.answer) for one in plain.questions] == [("How many, then?", ("1", "2", "3", "4"), "C")]
    for same in (headed, wider):
        assert [(q.question, q.choices, q.answer) for q in same.questions] == [(q.question, q.choices, q.answer) for q in plain.questions]
        assert same.style == plain.style == "letters"
    assert wider.questions[0].subject == "law"


def test_a_known_name_and_else_the_form_say_how_it_is_asked(tmp_path):
    rows = {
        "choices": [{"question": "1 + 1?", "choices": ["1", "2"], "answer": 1}],
        "endings": [{"ctx": "c", "activity_label": "a", "endings": ["b", "d"], "label": 0}],
    }
    styles = {
        name: read_file(written(tmp_path, f"{name}.jsonl", rows[form])).style
        for name, form in (("sums", "choices"), ("arc_easy_test", "choices"), ("ours", "endings"))
    }
    assert styles == {"sums": "letters", "arc_easy_test": "text", "ours": "continued"}


@pytest.mark.parametrize("between", [", ", ",\n", "\n, "])
def test_questions_that_stand_on_one_line_are_all_read(tmp_path, between):
    rows = [json.dumps({"question": f"Q{i}?", "choices": LABELS, "answerKey": "1"}) for i in range(5)]
    (tmp_path / "arc_easy_test.json").write_text(f"[{rows[0]}, {between.join(rows[1:])}]")
    found = read_file(tmp_path / "arc_easy_test.json").questions
    assert [one.question for one in found] == [f"Q{i}?" for i in range(5)] and len({one.id for one in found}) == 5


def test_labels_in_a_file_beside(tmp_path):
    written(tmp_path, "piqa_valid.jsonl", [{"goal": "g", "sol1": "a", "sol2": "b"}] * 3)
    labels = tmp_path / "piqa_valid-labels.lst"
    labels.write_text("1\n0\n1\n")
    assert [one.answer for one in read_suite("piqa", tmp_path).questions] == ["B", "A", "B"]
    assert files_of("piqa", tmp_path) == [tmp_path / "piqa_valid.jsonl", labels]
    labels.write_text("1\n0\n")
    with pytest.raises(MigakiError, match=r"piqa_valid-labels.lst: 2 labels; accepted is one for each of the 3 rows of piqa_valid.jsonl"):
        read_suite("piqa", tmp_path)
    labels.write_text("1\n0\n2\n")
    with pytest.raises(MigakiError, match="piqa_valid.jsonl, line 3: label is '2'; accepted is 0 to 1"):
        read_suite("piqa", tmp_path)


def test_bytes_that_are_no_utf8_are_told_with_their_line(tmp_path):
    (tmp_path / "jmmlu_test.csv").write_bytes(b"Q?,1,2,3,4,A\n" + "首都は？,甲,乙,丙,丁,A\n".encode("cp932"))
    with pytest.raises(MigakiError, match=r"jmmlu_test.csv, line 2: byte 13 is no UTF-8"):
        read_file(tmp_path / "jmmlu_test.csv")


def read_name(name):
    return name.rpartition(".")[0].removesuffix("_test").removesuffix("_valid").removesuffix("_val")


def test_names_that_are_none_and_files_that_are_not_there(tmp_path):
    for name, wanted in (("mnlu", "jcommonsenseqa"), ("humaneval", "sandbox"), ("piqa", "piqa_test")):
        with pytest.raises(MigakiError, match=wanted):
            read_suite(name, tmp_path)
    with pytest.raises(MigakiError, match="--benchmarks-dir"):
        read_suite("piqa", tmp_path / "nowhere")
    with pytest.raises(MigakiError, match="cannot be read"):
        read_file(tmp_path / "nothing.json")


@needs_shared
@pytest.mark.parametrize(
    ("name", "questions", "lang", "note"),
    [
        ("mmlu", 7831, "en", "30 of the 57 subjects"),
        ("jmmlu", 3772, "ja", "28 of the 56 subjects"),
        ("arc_easy", 2251, "en", "training questions"),
        ("arc_challenge", 1119, "en", "training questions"),
        ("piqa", 1838, "en", ""),
        ("openbookqa", 500, "en", ""),
        ("jcommonsenseqa", 1119, "ja", ""),
        ("commonsenseqa", 1221, "en", ""),
        ("gsm8k", 7473, "en", "training questions"),
        ("svamp", 1000, "en", ""),
        ("last_letters", 500, "en", ""),
        ("strategyqa", 2290, "en", ""),
    ],
)
def test_the_shared_files_are_read_whole(name, questions, lang, note):
    suite = read_suite(name, SHARED)
    assert (len(suite.questions), suite.questions[0].lang) == (questions, lang)
    assert note in suite.note and bool(note) == bool(suite.note)
    assert len({one.id for one in suite.questions}) == questions
    assert all(one.question and (one.answer in "ABCDE"[: len(one.choices)] if one.choices else one.answer) for one in suite.questions)
