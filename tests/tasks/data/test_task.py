"""The stage prepare: what is read is either in the dataset or in the account of what was dropped, and never in both splits."""

import json
from collections import Counter
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.catalogue.stages import STAGES
from storage.home import Home
from tasks.data.accounts import Account
from tasks.data.accounts import lines as lines_of
from tasks.data.records import load_documents, load_dropped, load_feedback, load_instructions, load_preferences, load_questions, load_text
from tasks.data.settings import PrepareSettings
from tasks.errors import MigakiError
from tasks.stages.keys import Ingredients
from tasks.stages.spec import function
from tasks.stages.work import Context, Work
from tests.helpers.shared import SHARED, needs_shared

NOTHING = {"instructions": [], "preferences": [], "documents": [], "questions": [], "followups": [], "text": []}


class Prepared:
    """A run of the body in a folder of its own."""

    def __init__(self, folder: Path, **settings):
        self.path, self.log = folder, []
        folder.mkdir()
        context = Context(Home(folder), "", "", emit=lambda text, final: None, log=self.log.append)
        self.work = Work(STAGES["prepare"], folder, context, {})
        self.record = function(STAGES["prepare"].body)(PrepareSettings(**NOTHING | settings), {}, self.work)
        self.work.write_tables()
        self.dropped = pq.read_table(folder / "dropped.parquet").to_pylist() if (folder / "dropped.parquet").exists() else []

    def reasons(self) -> Counter:
        return Counter((row["kind"], row["reason"]) for row in self.dropped)


def lines(path: Path, rows: list) -> str:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return str(path)


def instructions(count: int) -> list[dict]:
    subjects = [
        "a river in the north",
        "the copper violin",
        "winter gardens",
        "a falcon over the harbour",
        "candle light",
        "the marble stair",
    ]
    return [
        {
            "instruction": f"Tell me fact number {i * 7919} about {subjects[i % 6]}.",
            "output": f"It is {subjects[(i * 5 + 1) % 6]}, said {i * 104729} people.",
        }
        for i in range(count)
    ]


def test_every_row_is_kept_or_accounted_for(tmp_path):
    rows = instructions(60)
    questions = [{"question": "Which river flows by the old stone garden?", "answer": "The Ouse.", "document": "a.md"}]
    leak = {"instruction": "Please answer: Which river flows by the old stone garden?", "output": "The Ouse."}
    given = [*rows[:30], rows[3], leak, '{"instruction": "cut', {"instruction": "No answer here.", "output": ""}, *rows[30:]]
    run = Prepared(tmp_path / "out", instructions=[lines(tmp_path / "i.jsonl", given)], questions=[lines(tmp_path / "q.jsonl", questions)])
    train, held_out = load_instructions(run.path, "train"), load_instructions(run.path, "eval")
    assert run.reasons() == {("instructions", "malformed"): 2, ("instructions", "duplicate"): 1, ("instructions", "leak"): 1}
    assert len(train) + len(held_out) == 60 and train and held_out
    assert not {record.id for record in train} & {record.id for record in held_out}
    malformed = [row for row in run.dropped if row["reason"] == "malformed"]
    assert [(row["source"], row["line"]) for row in malformed] == [("i.jsonl", 33), ("i.jsonl", 34)]
    assert (
        malformed[0]["row"] == '{"instruction": "cut'
        and "broken JSON" in malformed[0]["detail"]
        and "'output' is empty" in malformed[1]["detail"]
    )
    table = pq.read_table(run.path / "tables/datasets.parquet").to_pylist()
    assert sum(row["rows"] for row in table if row["kind"] == "instructions") == len(given)


def test_each_files_format_notes_and_unread_fields_are_said_and_kept(tmp_path):
    chat = [
        {"role": "user", "content": "窯はどこですか。"},
        {"role": "assistant", "content": "門のそばです。"},
        {"role": "user", "content": "どうも。"},
    ]
    liked = {"prompt": "Where is the lattice?", "completion": "By the kiln.", "label": True, "id": 3}
    given = [*({**row, "source": "web"} for row in instructions(10)), {"messages": chat}, liked, liked | {"label": False}]
    run = Prepared(tmp_path / "out", instructions=[lines(tmp_path / "i.jsonl", given)])
    (file,) = run.record.files
    assert file["formats"] == {"alpaca": 10, "messages": 1, "prompt_completion": 1} and file["read"] == 13
    assert file["unread"] == {"source": 10, "id": 1} and file["dropped"] == {"disliked": 1} and sum(file["kept"].values()) == 12
    assert file["notes"] == {"turns after the last answer cut off": 1}
    (said,) = [line for line in run.log if "nothing reads" in line]
    assert "i.jsonl" in said and "source (10), id (1)" in said and "1 disliked" in said
    assert run.reasons() == {("instructions", "disliked"): 1}


def adds_up(file: dict) -> bool:
    return file["read"] == sum(file["kept"].values()) + sum(file["dropped"].values())


def test_every_row_is_counted_at_its_own_file_though_files_share_a_name(tmp_path):
    rows = instructions(40)
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    near = rows[5] | {"output": rows[5]["output"] + "!!"}
    chat = [{"role": role, "content": f"{role} {i} of the kiln"} for i in range(2) for role in ("user", "assistant")]
    question = {"question": "Which river flows by the old stone garden?", "answer": "The Ouse."}
    leak = {"instruction": question["question"], "output": "The Ouse."}
    first = lines(tmp_path / "a/rows.jsonl", [*rows[:20], rows[3], '{"cut', {"messages": chat}])
    second = lines(tmp_path / "b/rows.jsonl", [*rows[20:], rows[4], near, leak, {"prompt": "Why?", "completion": "So.", "label": 0}])
    pair = {"prompt": "Where is the lattice?", "chosen": "By the kiln.", "rejected": "No idea."}
    pairs = lines(tmp_path / "p.jsonl", [pair, pair, pair | {"chosen": "No idea."}])
    squad = {"context": "The Ouse flows.", "qas": [{"question": f"What flows {i}?", "answers": [{"text": "Ouse"}]} for i in range(3)]}
    squad["qas"] += [squad["qas"][0], {"question": "Why?", "answers": []}]
    held = lines(tmp_path / "s.json", [{"data": [{"title": "Ouse", "paragraphs": [squad]}]}])
    (tmp_path / "t.txt").write_text("one tale\n" * 300)
    run = Prepared(
        tmp_path / "out",
        instructions=[first, second],
        preferences=[pairs],
        questions=[lines(tmp_path / "q.jsonl", [question]), held],
        text=[str(tmp_path / "t.txt")],
    )
    files = run.record.files
    assert [(file["name"], file["kind"], file["read"]) for file in files] == [
        ("q.jsonl", "questions", 1),
        ("s.json", "questions", 5),
        ("rows.jsonl", "instructions", 23),
        ("rows.jsonl", "instructions", 24),
        ("p.jsonl", "preferences", 3),
        ("t.txt", "text", 2),
    ]
    assert all(map(adds_up, files))
    assert [file["dropped"] for file in files] == [
        {},
        {"duplicate": 1, "no answer": 1},
        {"malformed": 1, "duplicate": 1},
        {"duplicate": 2, "leak": 1, "disliked": 1},
        {"no preference": 1, "duplicate": 1},
        {"near duplicate": 1},
    ]
    learnt = [row for row in load_instructions(run.path, "train")]
    assert sum(file["turns"] for file in files) == len(learnt) + sum(turn["role"] == "assistant" for row in learnt for turn in row.messages)
    assert sum(file["kept"].get("train", 0) for file in files[2:4]) == len(learnt)


def test_what_is_said_of_files_names_them_only_where_names_may_be_said():
    account = Account("給与表.csv", "instructions", Counter(alpaca=2), 3, unread=Counter(id=2), dropped=Counter(malformed=1))
    assert list(lines_of([account], True)) == ["給与表.csv (instructions: alpaca), 3 rows: 1 malformed; nothing reads the fields id (2)"]
    assert list(lines_of([account], False)) == ["file 1 (instructions: alpaca), 3 rows: 1 malformed; nothing reads the fields id (2)"]


def test_unpaired_feedback_is_cleaned_and_split_as_pairs_are(tmp_path):
    def said(i: int, answer: str, label: bool) -> dict:
        return {"prompt": f"Where do we keep {instructions(i + 1)[i]['instruction']}", "completion": answer, "label": label}

    liked = [said(i, f"On shelf {i}.", True) for i in range(30)]
    disliked = [said(i, "No idea.", False) for i in range(30)]
    disputed = [said(31, "In the shed.", True), said(31, "In the shed!", False), said(31, "In the shed.", True)]
    question = {"question": "Which river flows by the old stone garden?", "answer": "The Ouse."}
    leak = {"prompt": question["question"], "completion": "The Ouse.", "label": True}
    pairs = [{"prompt": row["prompt"], "chosen": "Ask Mia.", "rejected": "Ask."} for row in liked]
    run = Prepared(
        tmp_path / "out",
        preferences=[
            lines(tmp_path / "mixed.jsonl", [*liked, *pairs[:15]]),
            lines(tmp_path / "unpaired.jsonl", [*disliked, liked[2], *disputed, leak, liked[0] | {"label": "so"}]),
            lines(tmp_path / "pairs.jsonl", pairs[15:]),
        ],
        questions=[lines(tmp_path / "q.jsonl", [question])],
        near_duplicate=1.0,
    )
    train, held = load_feedback(run.path, "train"), load_feedback(run.path, "eval")
    assert len(train) + len(held) == 60 and train and held
    assert sum(row.liked for row in train + held) == 30 and {row.completion for row in train + held if not row.liked} == {"No idea."}
    assert not {row.messages[0]["content"] for row in train} & {
        row.messages[0]["content"] for row in [*held, *load_preferences(run.path, "eval")]
    }
    assert run.reasons() == {
        ("feedback", "contradiction"): 3,
        ("feedback", "duplicate"): 1,
        ("feedback", "leak"): 1,
        ("preferences", "malformed"): 1,
    }
    assert sum(n for name, n in run.record.rows.items() if name.startswith("feedback.")) == 60
    files = {file["name"]: file for file in run.record.files}
    assert files["mixed.jsonl"]["formats"] == {"unpaired": 30, "pairs": 15} and all(map(adds_up, files.values()))
    table = pq.read_table(run.path / "tables/datasets.parquet").to_pylist()
    assert {row["split"] for row in table if row["kind"] == "feedback" and not row["reason"]} == {"train", "eval"}
    fewer = Prepared(tmp_path / "fewer", preferences=[str(tmp_path / "mixed.jsonl")], max_preferences=5)
    assert fewer.reasons() == {("feedback", "over the limit"): 25, ("preferences", "over the limit"): 10}


@pytest.mark.parametrize(("copies", "says"), [(0, ""), (3, "WARNING: 3 of 23"), (30, "more than half")])
def test_many_near_duplicates_are_said_loudly_or_end_the_stage(tmp_path, copies, says):
    rows = instructions(20)
    again = [{**rows[0], "output": f"{rows[0]['output']} {i:x}"} for i in range(1, copies + 1)]
    path = lines(tmp_path / "i.jsonl", [*rows, *again])
    if "half" in says:
        with pytest.raises(MigakiError, match=r"of 50 instructions count as near duplicates .*prepare.near_duplicate = 0.85"):
            Prepared(tmp_path / "out", instructions=[path])
        return
    log = Prepared(tmp_path / "out", instructions=[path]).log
    assert any(says in line for line in log) if says else not any("repeating" in line for line in log)


def test_split_does_not_move_when_rows_are_added(tmp_path):
    rows = instructions(80)
    small = Prepared(tmp_path / "small", instructions=[lines(tmp_path / "a.jsonl", rows[:40])])
    large = Prepared(tmp_path / "large", instructions=[lines(tmp_path / "b.jsonl", rows[40:] + rows[:40])])
    for split in ("train", "eval"):
        assert {record.id for record in load_instructions(small.path, split)} <= {
            record.id for record in load_instructions(large.path, split)
        }


def test_a_prompt_is_held_out_in_every_kind(tmp_path):
    rows = instructions(60)
    pairs = [{"prompt": row["instruction"], "chosen": row["output"], "rejected": f"No {i}."} for i, row in enumerate(rows)]
    run = Prepared(tmp_path / "out", instructions=[lines(tmp_path / "i.jsonl", rows)], preferences=[lines(tmp_path / "p.jsonl", pairs)])
    trained = {record.messages[0]["content"] for record in [*load_instructions(run.path, "train"), *load_preferences(run.path, "train")]}
    asked = {record.messages[0]["content"] for record in [*load_instructions(run.path, "eval"), *load_preferences(run.path, "eval")]}
    assert asked and not trained & asked


def test_too_many_malformed_rows_fail_and_name_the_first_lines(tmp_path):
    given = [*instructions(8), '{"instruction": [1]}', "nonsense"]
    with pytest.raises(MigakiError, match=r"2 of 10 rows of .*i.jsonl' are no instructions \(at most 10%") as error:
        Prepared(tmp_path / "out", instructions=[lines(tmp_path / "i.jsonl", given)])
    assert "line 9: the field 'instruction'" in str(error.value) and "line 10: broken JSON" in str(error.value)


@pytest.mark.parametrize(
    ("kind", "rows", "says"),
    [
        ("questions", ["[]"], r"it has no rows|0 questions"),
        ("questions", [{"data": []}], "0 questions with an answer"),
        ("preferences", [{"question": "x", "answer": "y"}], "belong to none of the formats pairs, hh, responses"),
        ("instructions", [{"prompt": "x", "chosen": "y", "rejected": "z"}], "a pair of answers .* --preferences"),
        ("instructions", [{"prompt": "x"}], "belong to none of the formats alpaca"),
    ],
)
def test_files_without_what_they_are_named_for(tmp_path, kind, rows, says):
    with pytest.raises(MigakiError, match=says):
        Prepared(tmp_path / "out", **{kind: [lines(tmp_path / "rows.json", rows)]})


def test_format_said_by_the_user_wins(tmp_path):
    row = {"messages": "not this", "instruction": "Name a colour.", "output": "Red."}
    path = lines(tmp_path / "i.jsonl", [row])
    assert Prepared(tmp_path / "out", instructions=[f"alpaca:{path}"]).record.kept == 1
    with pytest.raises(MigakiError, match="'messages' is no list"):
        Prepared(tmp_path / "again", instructions=[path])


def test_equal_answers_are_no_preference(tmp_path):
    pairs = [
        {"prompt": "Name a river.", "chosen": "Ouse.", "rejected": "Ouse."},
        {"prompt": "Name a stone.", "chosen": "Marble.", "rejected": "Water."},
    ]
    assert Prepared(tmp_path / "out", preferences=[lines(tmp_path / "p.jsonl", pairs)]).reasons() == {("preferences", "no preference"): 1}


def test_pairs_that_contradict_each_other_teach_nothing(tmp_path):
    pairs = [
        {"prompt": "川の名前は?", "chosen": "利根川です。", "rejected": "富士山です。"},
        {"prompt": "川の名前は?", "chosen": "富士山です。", "rejected": "利根川です。"},
        {"prompt": "Name a stone.", "chosen": "Marble.", "rejected": "Water."},
        {"prompt": "Name a liquid.", "chosen": "Water.", "rejected": "Marble."},
    ]
    run = Prepared(tmp_path / "out", preferences=[lines(tmp_path / "p.jsonl", pairs)])
    assert run.reasons() == {("preferences", "contradiction"): 2}
    assert [row["detail"].endswith("prefers the other answer") for row in load_dropped(run.path, "preferences")] == [True, True]


def test_limits_keep_what_is_over_them(tmp_path):
    run = Prepared(tmp_path / "out", instructions=[lines(tmp_path / "i.jsonl", instructions(30))], max_instructions=12)
    assert len(load_instructions(run.path, "train")) + len(load_instructions(run.path, "eval")) == 12
    assert len(load_dropped(run.path, "instructions")) == 18 and run.reasons() == {("instructions", "over the limit"): 18}


def test_unanswerable_questions_are_accounted_for_and_contexts_become_documents(tmp_path):
    qas = [{"question": "Where is the cat?", "answers": [{"text": "in the garden"}]}, {"question": "Where is the dog?", "answers": []}]
    file = lines(
        tmp_path / "squad.json", [{"data": [{"title": "Pets", "paragraphs": [{"context": "The cat is in the garden.", "qas": qas}]}]}]
    )
    run = Prepared(tmp_path / "out", questions=[file])
    assert [question.question for question in load_questions(run.path)] == ["Where is the cat?"]
    assert run.reasons() == {("questions", "no answer"): 1}
    assert [document.path for document in load_documents(run.path)] == [load_questions(run.path)[0].document]


def test_what_judges_answers_travels_with_the_questions(tmp_path):
    rows = [
        {"question": "Who is it?", "answer": "A cat.", "accept": ["cat", "猫"], "evidence": ["It is a cat."], "also": ["ja/gone.md"]},
        {"question": "Where does the falcon sleep at night?", "answer": "In the marble stair."},
        *[
            {"question": f"What comes after number {i * 7919}?", "answer": f"{i * 7919 + 1}", "accept": [str(i * 7919 + 1)]}
            for i in range(20)
        ],
        {"question": "How many?", "answer": "Two.", "accept": "two"},
    ]
    run = Prepared(tmp_path / "out", questions=[lines(tmp_path / "q.jsonl", rows)])
    by_question = {question.question: question for question in load_questions(run.path)}
    cat = by_question["Who is it?"]
    assert (cat.accept, cat.evidence, cat.also) == (["cat", "猫"], ["It is a cat."], ["ja/gone.md"])
    assert by_question["Where does the falcon sleep at night?"].accept == [] and len(by_question) == 22
    dropped = load_dropped(run.path, "questions")
    assert [(row["line"], row["reason"], row["detail"]) for row in dropped] == [(23, "malformed", "the field 'accept' is no list")]
    assert any("1 questions name a document that is not there" in line and "ja/gone.md" in line for line in run.log)
    assert run.record.files[0]["unread"] == {}


def test_a_dataset_of_before_opens(tmp_path):
    run = Prepared(tmp_path / "out", questions=[lines(tmp_path / "q.jsonl", [{"question": "Who?", "answer": "Me.", "accept": ["me"]}])])
    file = run.path / "questions.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["accept", "evidence", "also"]), file)
    assert [(question.answer, question.accept, question.also) for question in load_questions(run.path)] == [("Me.", [], [])]


def test_documents_are_copied_and_others_listed(tmp_path):
    folder = tmp_path / "docs"
    (folder / "ja").mkdir(parents=True)
    (folder / "ja/a.md").write_text("# 猫", encoding="utf-8")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    questions = [
        {"question": "Who is it?", "answer": "A cat.", "document": "ja/a.md"},
        {"question": "And this?", "answer": "A dog.", "document": "en/gone.md"},
    ]
    run = Prepared(tmp_path / "out", documents=[str(folder)], questions=[lines(tmp_path / "q.jsonl", questions)])
    assert (run.path / "documents/ja/a.md").read_text(encoding="utf-8") == "# 猫" and not (run.path / "documents/photo.jpg").exists()
    assert [(row["source"], row["reason"]) for row in load_dropped(run.path, "documents")] == [("photo.jpg", "not read")]
    assert any("1 questions name a document that is not there" in line and "en/gone.md" in line for line in run.log)


def test_text_is_cut_and_nothing_of_it_is_lost(tmp_path):
    text = "".join(f"Line {i * 7919} of the tale of the copper violin.\n" for i in range(400)) + "x" * 5000
    (tmp_path / "tale.txt").write_text(text, encoding="utf-8")
    run = Prepared(tmp_path / "out", text=[str(tmp_path / "tale.txt")], near_duplicate=1.0)
    parts = [*load_text(run.path, "train"), *load_text(run.path, "eval")]
    assert all(len(part.text) <= 2000 for part in parts)
    lost = sum(len(json.loads(row["row"])["text"]) for row in run.dropped)  # the second 2,000 x repeat the first
    assert sum(len("".join(part.text.split())) for part in parts) + lost == len("".join(text.split()))


def test_all_rows_on_one_side_are_told(tmp_path):
    run = Prepared(tmp_path / "out", instructions=[lines(tmp_path / "i.jsonl", instructions(1))], eval_share=0.0001)
    assert any("all 1 instructions fell on the training side" in line for line in run.log)


def test_key_follows_contents_and_not_places(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        lines(tmp_path / place / "i.jsonl", instructions(3))
    keys = [
        Ingredients.of(STAGES["prepare"], PrepareSettings(**NOTHING | {"instructions": [str(tmp_path / place / "i.jsonl")]}), {}, {}).key
        for place in ("one", "two")
    ]
    assert keys[0] == keys[1]
    lines(tmp_path / "two/i.jsonl", instructions(4))
    assert (
        Ingredients.of(STAGES["prepare"], PrepareSettings(**NOTHING | {"instructions": [str(tmp_path / "two/i.jsonl")]}), {}, {}).key
        != keys[0]
    )


@needs_shared
def test_real_data_sets(tmp_path):
    run = Prepared(
        tmp_path / "out",
        instructions=[str(SHARED / "instruction/alpaca_5000.json")],
        preferences=[str(SHARED / "preference/hh_harmless.jsonl")],
        documents=[str(SHARED / "docs/debian-faq/en"), str(SHARED / "docs/debian-faq/ja")],
        questions=[str(SHARED / "qa/jsquad_valid.json")],
        max_instructions=512,
        max_preferences=256,
        max_questions=200,
    )
    assert len(load_instructions(run.path, "train")) + len(load_instructions(run.path, "eval")) == 512
    assert len(load_preferences(run.path, "train")) + len(load_preferences(run.path, "eval")) == 256
    assert len(load_questions(run.path)) == 200 and len(load_documents(run.path)) == 1145
    assert len(list((run.path / "documents").iterdir())) == 34
    assert run.reasons()["instructions", "malformed"] == 2 and run.reasons()["preferences", "malformed"] == 2


def test_the_day_is_a_date_however_it_is_said():
    for said in ("2025-03-01", date(2025, 3, 1)):
        assert PrepareSettings.build("prepare", {"today": said}).today == "2025-03-01"
    for said in ("gestern", "2025-02-30", 5):
        with pytest.raises(MigakiError, match="a date as YYYY-MM-DD is accepted"):
            PrepareSettings.build("prepare", {"today": said})
