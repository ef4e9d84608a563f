"""`migaki search`, as a user runs it: what is found, with scores and ranks; what cannot be searched is refused with what would be accepted."""

import json
import shutil
import sys

import pytest

from flows.commands import search as command
from flows.commands import show
from flows.commands.main import main
from flows.serving.live_index import open_champion
from storage.registry import champion_index
from tasks.rag.confidence import BUNDLED
from tests.helpers import project
from tests.helpers.command import migaki

STRANGE = "<html><body><p>The falcon says [bold]hello[/bold] [/] &#27;[2J&#x202e;:smile: to it.</p></body></html>"
TEXTS = {
    "en/dog.md": "# Dogs\n\n## Running\n\nA dog runs to the harbour. Dogs bark.\n\n## Sleeping\n\nA dog sleeps anywhere.\n",
    "en/strange.html": STRANGE,
    "ja/inu.md": "# 犬\n\n犬は港へ走る。cat とは遊ばない。\n",
    "board/plans.md": "---\nallowed: [board]\n---\nThe board plans to sell the harbour to a cat.\n",
    "sales/secret.md": "---\nallowed: [sales]\n---\nThe harbour was sold for a song.\n",
}


@pytest.fixture
def documents(served, monkeypatch):
    """A project whose index serves documents in both languages, for everybody and for some; what its embedder makes of them counts little."""
    for name, text in TEXTS.items():
        (served.docs / name).parent.mkdir(exist_ok=True)
        (served.docs / name).write_text(text, encoding="utf-8")
    monkeypatch.setitem(project.SETTINGS, "dense_weight_en", 0.1)
    served.serve()
    return served


@pytest.fixture
def ask(monkeypatch, capsys):
    """Run the command in this process; its exit code, standard output and standard error."""

    def run(home, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("MIGAKI_HOME", str(home.root))
        monkeypatch.setattr(sys, "argv", ["migaki", "search", *words])
        monkeypatch.setattr(show.console, "_file", sys.stderr)  # of this test: the console took that of its import
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def found(out: str) -> dict:
    """The only line of standard output, parsed."""
    (line,) = out.splitlines()
    return json.loads(line)


def test_json_is_the_only_line_and_holds_what_the_index_finds(documents):
    answer = migaki(documents.home.root, "search", "Where does the dog run?", "-k", "3")
    assert (answer["command"], answer["status"], answer["exit_code"], answer["lang"]) == ("search", "ok", 0, "en")
    assert answer["index"] == champion_index(documents.home).artifact_id and answer["embedder"] == documents.context.embedder
    hits = answer["hits"]
    assert hits[0]["document"] == "en/dog.md" and hits[0]["heading"] == "Dogs > Running" and "runs to the harbour" in hits[0]["text"]
    assert {*hits[0]} == {
        *("document", "text", "score", "heading", "title", "page", "lang", "sparse", "dense", "sentence"),
        *("sparse_rank", "dense_rank", "chunk_id", "restricted"),
    }
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True) and len(hits) == 3
    retriever = open_champion(documents.home).retriever
    plain = retriever.search("Where does the dog run?", 3)
    assert [hit["chunk_id"] for hit in hits] == [hit.chunk_id for hit in plain]
    assert answer["confidence"] == pytest.approx(retriever.confidence("Where does the dog run?", plain))
    for unwanted in ("Loading weights", "Traceback", "Warning"):
        assert unwanted not in answer["stderr"]


def test_a_person_reads_the_same_on_standard_output(documents, ask, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = ask(documents.home, "Where does the dog run?", "-k", "1")
    lines = out.splitlines()
    assert code == 0 and err == ""
    assert lines[0].startswith("question: en, confidence ") and "chunks of 5 documents that everybody may see" in lines[2]
    assert champion_index(documents.home).artifact_id[:12] in lines[3]
    block = " ".join(lines[5:])
    assert lines[5] == " 1  en/dog.md  Dogs > Running" and "BM25" in block and "rank 1 " in block and "runs to the harbour" in block
    assert " 2  " not in out and max(map(len, lines[:3] + lines[4:])) <= 80  # an embedder's path is not broken


def test_fewer_hits_do_not_change_the_confidence(documents, ask):
    one, many = (found(ask(documents.home, "harbour dog", "-k", k, "--json")[1]) for k in ("1", "5"))
    assert len(one["hits"]) == 1 < len(many["hits"]) and one["confidence"] == many["confidence"] and one["hits"][0] == many["hits"][0]


def test_words_need_no_quotes(documents, ask):
    assert found(ask(documents.home, "the", "dog", "--json")[1]) == found(ask(documents.home, "the dog", "--json")[1])


def test_a_side_that_does_not_find_has_no_rank(documents, ask, monkeypatch):
    monkeypatch.setitem(project.SETTINGS, "dense_weight_en", 0.9)
    documents.serve()
    hits = found(ask(documents.home, "dog", "--json")[1])["hits"]
    assert {hit["sparse_rank"] is None for hit in hits} == {True, False}
    assert all((hit["sparse_rank"] is None) == (hit["sparse"] == 0) for hit in hits)
    code, out, _ = ask(documents.home, "dog")
    assert code == 0 and "BM25 -   cosine" in out


def test_groups_find_what_is_for_them(documents, ask):
    def names(*words: str) -> set[str]:
        return {
            hit["document"] for hit in found(ask(documents.home, "harbour sold plans", "--json", *words)[1])["hits"] if hit["restricted"]
        }

    assert names() == names("--groups", "staff") == names("--groups", " ,") == set()
    assert names("--groups", "board") == {"board/plans.md"}
    assert names("--groups", "sales, board") == names("--groups", "sales、board") == {"board/plans.md", "sales/secret.md"}
    code, out, _ = ask(documents.home, "harbour sold plans", "--groups", "board")
    assert code == 0 and "restricted" in out and "chunks of 6 documents that board may see" in out


def test_a_group_that_no_document_names_is_said(documents, ask):
    code, out, err = ask(documents.home, "harbour", "--groups", "borad,board", "--json")
    assert code == 0 and found(out)["hits"] and "no document is for 'borad': documents name board, sales" in err
    assert "no document is for" not in ask(documents.home, "harbour", "--groups", "board", "--json")[2]


def test_a_language_restricts_the_documents(documents, ask):
    both, ja = (found(ask(documents.home, "cat harbour", "--json", *words)[1]) for words in ((), ("--lang", "ja")))
    assert {hit["lang"] for hit in both["hits"]} == {"en", "ja"} and {hit["document"] for hit in ja["hits"]} == {"ja/inu.md"}
    assert ja["documents"] == 2 < both["documents"] and ja["chunks"] < both["chunks"]
    assert ja["hits"][0]["sparse_rank"] == 1  # among those of that language


def test_a_japanese_question(documents, ask):
    answer = found(ask(documents.home, "犬はどこへ走る?", "--json")[1])
    assert answer["lang"] == "ja" and answer["hits"][0]["document"] == "ja/inu.md" and answer["hits"][0]["heading"] == "犬"


def test_fewer_than_were_asked_for(documents, ask):
    asked = "no other chunk shares a term"
    assert (
        "2 found: " + asked in ask(documents.home, "dog bark", "-k", "9")[1] and asked not in ask(documents.home, "dog bark", "-k", "2")[1]
    )


def test_nothing_found(documents, ask):
    code, out, _ = ask(documents.home, "?!")
    assert code == 0 and "nothing found" in out
    answer = found(ask(documents.home, "?!", "--json")[1])
    assert answer["hits"] == [] and answer["confidence"] == 0


def test_text_of_documents_is_shown_and_not_obeyed(documents, ask):
    code, out, _ = ask(documents.home, "falcon", "-k", "1")
    assert code == 0 and "[bold]hello[/bold] [/] :smile: to" in " ".join(out.split())
    assert not set(out) & set("\x1b\x07\u202e")
    _, out, err = ask(documents.home, "falcon", "-k", "1", "--json")
    assert "\u202e" in found(out)["hits"][0]["text"] and not set(out + err) & set("\x1b\x07\u202e")  # escaped, nothing is lost


def test_of_a_long_text_both_ends_are_shown(documents, ask, monkeypatch):
    (documents.docs / "long.md").write_text(f"zebra {' '.join(f'w{i}' for i in range(12))}", encoding="utf-8")
    documents.serve()
    monkeypatch.setenv("COLUMNS", "14")
    monkeypatch.setattr(command, "FIRST", 2)
    monkeypatch.setattr(command, "LAST", 1)
    said = ask(documents.home, "zebra", "-k", "1")[1].splitlines()
    text = said[said.index("    zebra w0") :]
    assert text[1] == "    w1 w2 w3" and text[-1] == "    w10 w11"
    assert " ".join(" ".join(text[2:-1]).split()) == "... 2 more lines (--json has the whole text) ..."
    assert found(ask(documents.home, "zebra", "-k", "1", "--json")[1])["hits"][0]["text"].count("w5") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([""], "the query is empty"),
        ([" \n\u3000"], "the query is empty"),
        (["x" * 100_000], "the query has 100,000 characters; at most 8,000 are accepted (serve.max_question)"),
        (["x" * 11, "--set", "serve.max_question=10"], "has 11 characters; at most 10"),
        (["\udcff"], "bytes that are no UTF-8"),
        *[(["dog", "-k", k], f"-k '{k}' is no number of hits: a whole number from 1 to 1,000") for k in ("0", "-1", "1000000", "x", "1.5")],
        (["dog", "--lang", "fr"], "--lang 'fr' is no language that is known here; accepted: en, ja"),
        (["dog", "--set", "chat.cost_wrnog=1"], "cost_wrong"),
        (["dog", "--set", "caht.cost_wrong=1"], "no stage is named caht"),
    ],
)
def test_what_cannot_be_searched_with_is_refused(home, ask, words, said):
    code, out, err = ask(home, *words)
    assert code == 1 and said in err and out == "" and "\n" not in err.strip()
    code, out, _ = ask(home, *words, "--json")
    assert code == 1 and found(out)["status"] == "error" and said in found(out)["message"]


def test_before_there_is_an_index(home, ask):
    code, out, err = ask(home, "dog")
    assert code == 1 and out == "" and "no index serves yet: run `migaki index`" in err


def test_an_embedder_that_is_gone_or_changed(documents, ask):
    folder = documents.embedder.path
    weights = next(folder.rglob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 255
    weights.write_bytes(data)
    code, _, err = ask(documents.home, "dog")
    assert code == 1 and "another embedder" in err and "migaki index" in err and "\n" not in err.strip()
    shutil.rmtree(folder)
    code, _, err = ask(documents.home, "dog")
    assert code == 1 and str(folder) in err and "no config.json" in err and "\n" not in err.strip()


def test_a_damaged_index(documents, ask):
    file = documents.home.objects / "index" / champion_index(documents.home).artifact_id / "dense.faiss"
    file.write_bytes(file.read_bytes()[:40])
    code, _, err = ask(documents.home, "dog")
    assert code == 1 and "damaged" in err and "run `migaki index`" in err and "\n" not in err.strip()


def test_from_which_confidence_on_the_chat_answers_is_said(documents, ask):
    line = f"the chat answers from {BUNDLED['en'].sure:.2f} on, and is unsure from {BUNDLED['en'].least:.2f} on"
    assert line in ask(documents.home, "dog")[1]
    free, dear = (found(ask(documents.home, "dog", "--set", f"chat.cost_wrong={cost}", "--json")[1]) for cost in (0, 9))
    assert free["answered_from"] == free["unsure_from"] == 0 < dear["unsure_from"] < dear["answered_from"] < 1
