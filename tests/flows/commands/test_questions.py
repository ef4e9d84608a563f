"""`migaki questions check`: what is wrong in files of questions, a line each."""

import io
import json
import sys

import pytest

from flows.commands import main as command_line
from flows.commands.questions import check
from tasks.errors import MigakiError
from tests import ROOT
from tests.helpers.small_project import write_lines

EXAMPLES = ROOT / "examples"
ROW = {"question": "Where is the cat?", "answer": "In the garden.", "document": "pets.html", "accept": ["garden"]}


@pytest.fixture
def pets(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "pets.html").write_text("<h1>Pets</h1><p>The cat is in the <b>garden</b>.</p>", encoding="utf-8")
    (folder / "faq.csv").write_text("id,text\n7,The dog is in the house.\n", encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-nothing")
    return str(folder)


def checked(files, documents):
    out = io.StringIO()
    answer = check([str(file) for file in files], documents, out)
    return answer, out.getvalue().splitlines()


def test_the_examples_have_nothing_wrong():
    answer, lines = checked([EXAMPLES / "questions.en.jsonl", EXAMPLES / "questions.ja.jsonl"], [str(EXAMPLES / "documents")])
    assert answer["faults"] == [] and answer["exit_code"] == 0 and lines[-1] == "nothing wrong"
    assert {lang: (own["questions"], own["judged"]) for lang, own in answer["languages"].items()} == {"en": (50, 50), "ja": (88, 88)}


def test_documents_are_read_by_their_readers(tmp_path, pets):
    dog = {"question": "Where is the dog?", "answer": "In the house.", "document": "faq.csv#7", "accept": ["house"]}
    good = ROW | {"evidence": "The cat is in the garden."}
    assert checked([write_lines(tmp_path / "q.jsonl", [good, dog])], [pets])[0]["faults"] == []
    answer, _ = checked([write_lines(tmp_path / "q.jsonl", [ROW | {"document": "broken.pdf"}])], [pets])
    assert "the document 'broken.pdf' cannot be read: " in answer["faults"][0]["fault"]


def test_each_fault_is_one_line_with_its_line(tmp_path, pets):
    rows = [
        ROW | {"distractors": ["In the GARDEN shed.", "On the roof."]},
        {"question": "Where is it now?", "answer": "In the house.", "document": "pets.html", "accept": ["house"]},
        {"question": "Where was it?", "answer": "In the garden.", "document": "gone.md", "accept": ["garden"]},
        {"question": "Where else?", "answer": "In the garden.", "document": "pets.html", "accept": ["garden"], "evidence": ["It is here."]},
        ROW | {"question": "where is the CAT"},
        ROW | {"accept": "garden"},
    ]
    file = write_lines(tmp_path / "q.jsonl", rows)
    answer, lines = checked([file], [pets])
    assert answer["exit_code"] == 1 and lines[-1] == "6 faults"
    assert [line.removeprefix(f"{file} ") for line in lines[:6]] == [
        "line 1 'Where is the cat?': accept 'garden' stands in the distractor 'In the GARDEN shed.', which would be judged right",
        "line 2 'Where is it now?': accept 'house' stands nowhere in 'pets.html'",
        "line 3 'Where was it?': the document 'gone.md' is not there",
        "line 4 'Where else?': the evidence 'It is here.' does not stand in 'pets.html'",
        f"line 5 'where is the CAT': asks what {file} line 1 asks about the same document",
        "line 6: the field 'accept' is no list",
    ]
    assert answer["languages"] == {"en": {"questions": 5, "judged": 0, "source_only": 0, "neither": 0}}


def test_without_accept_and_without_documents(tmp_path, pets):
    rows = [
        {"question": "Who?", "answer": "Me.", "document": "pets.html"},
        {"question": "誰?", "answer": "私。"},
        ROW | {"document": "gone"},
    ]
    file = write_lines(tmp_path / "q.jsonl", rows)
    answer, lines = checked([file], None)
    assert answer["exit_code"] == 0 and not answer["documents_checked"] and any("--documents" in line for line in lines)
    assert lines[:2] == [
        "en: 2 questions, answers to 1 can be judged; 1 without accept count for the right source only",
        "ja: 1 questions, answers to 0 can be judged; 0 without accept count for the right source only, 1 name no document either and count for neither",
    ]
    assert checked([file], [pets])[0]["exit_code"] == 1


def test_contexts_of_a_squad_file_are_its_documents(tmp_path):
    qas = [
        {"question": "Where is the cat?", "answers": [{"text": "garden"}, {"text": "the garden"}]},
        {"question": "Where is the dog?", "answers": [{"text": "roof"}]},
        {"question": "Where am I?", "answers": []},
    ]
    file = tmp_path / "squad.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": "The cat is in the garden.", "qas": qas}]}]}), encoding="utf-8")
    answer, _ = checked([file], None)
    assert [fault["question"] for fault in answer["faults"]] == ["Where is the dog?"] and answer["documents_checked"]
    assert answer["languages"]["en"] == {"questions": 2, "judged": 1, "source_only": 0, "neither": 0}


def test_files_and_folders_that_are_not_there(tmp_path):
    with pytest.raises(MigakiError, match="gone.jsonl"):
        checked([tmp_path / "gone.jsonl"], None)
    with pytest.raises(MigakiError, match="nowhere"):
        checked([write_lines(tmp_path / "q.jsonl", [ROW])], [str(tmp_path / "nowhere")])


def test_the_command_ends_with_json_and_its_exit_code(tmp_path, pets, monkeypatch, capsys):
    file = str(write_lines(tmp_path / "q.jsonl", [ROW | {"accept": ["roof"]}]))
    monkeypatch.setattr(
        sys, "argv", ["migaki", "questions", "check", file, "--documents", pets, "--json", "--home", str(tmp_path / "home")]
    )
    with pytest.raises(SystemExit) as end:
        command_line.main()
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert end.value.code == 1 and answer["command"] == "questions" and answer["documents_checked"]
    assert [fault["line"] for fault in answer["faults"]] == [1, 1] and "stands nowhere in 'pets.html'" in printed.err
