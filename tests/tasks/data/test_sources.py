"""Files of every kind give the same rows, and a broken one costs what is broken, with its line and a reason."""

import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.data.sources import existing, fingerprint, read_rows, read_text, split_format
from tasks.documents.finding import find_documents
from tasks.documents.tables import MAX_LINE, BadRow, Row
from tasks.errors import MigakiError

ROWS = [{"question": "What is a token?", "answer": "A piece of text."}, {"question": "トークンとは?", "answer": "文の\n一部, です。"}]


def encoded(kind: str) -> bytes:
    if kind == "json":
        return json.dumps(ROWS, ensure_ascii=False, indent=1).encode()
    if kind == "jsonl":
        return ("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n").encode()
    if kind == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, ["question", "answer"])
        writer.writeheader()
        writer.writerows(ROWS)
        return out.getvalue().encode("utf-8-sig")
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), out)
    return out.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_every_kind_gives_the_same_rows(tmp_path, kind, packed):
    path = tmp_path / (f"rows.{kind}" + (".gz" if packed else ""))
    path.write_bytes(gzip.compress(encoded(kind), mtime=0) if packed else encoded(kind))
    assert [row.value for row in read_rows(path)] == ROWS


def test_json_lines_under_the_name_json(tmp_path):
    path = tmp_path / "rows.json"
    path.write_bytes(encoded("jsonl"))
    assert [row.value for row in read_rows(path)] == ROWS


@pytest.mark.parametrize(
    ("broken", "detail"),
    [
        ('{"question": "cut', "broken JSON"),
        ("[1, 2]", "a JSON object was expected, this is a list"),
        ("[" * 200_000, "broken JSON"),
        ('{"n": ' + "9" * 5000 + "}", "broken JSON"),
        ('{"a": "' + "x" * 10_000_000 + '"}', f"at most {MAX_LINE:,}"),
    ],
    ids=["cut", "list", "brackets", "digits", "10 MB"],
)
def test_a_broken_line_costs_one_row_and_is_kept_whole(tmp_path, broken, detail):
    path = tmp_path / "rows.jsonl"
    good = json.dumps(ROWS[0])
    path.write_text(f"{good}\n{broken}\n\n{good}\n", encoding="utf-8")
    first, bad, last = read_rows(path)
    assert (first.line, last.line) == (1, 4) and isinstance(first, Row)
    assert isinstance(bad, BadRow) and bad.line == 2 and detail in bad.detail and bad.text == broken


def test_csv_row_with_a_column_too_many(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("question,answer\nq,a\nq,a,more\nq\nq,a\n", encoding="utf-8")
    assert [isinstance(row, Row) for row in read_rows(path)] == [True, False, False, True]


def test_csv_cell_longer_than_pythons_own_limit(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("question,answer\nq," + "a" * 200_000 + "\n", encoding="utf-8")
    assert len(next(iter(read_rows(path))).value["answer"]) == 200_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "euc_jis_2004", "utf-16", "iso2022_jp_2004"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_as_they_come_from_excel_and_other_programs(tmp_path, encoding, separator):
    """Shift JIS with characters of Windows, UTF-16 with a mark, semicolons and tabs."""
    rows = [("question", "answer"), *[(f"髙橋さんの棚{i}はどこですか", f"①番の棚{i}、﨑さんの隣です。Next to it, {i}.") for i in range(9)]]
    if not encoding.startswith(("utf", "cp932")):
        rows = [tuple(cell.replace("髙", "高").replace("①", "一").replace("﨑", "崎") for cell in row) for row in rows]
    text = "\r\n".join(separator.join(f'"{cell}"' if separator in cell else cell for cell in row) for row in rows)
    (tmp_path / "rows.csv").write_bytes(text.encode(encoding))
    found = list(read_rows(tmp_path / "rows.csv"))
    assert [(row.line, row.value["question"], row.value["answer"]) for row in found] == [(i, *row) for i, row in enumerate(rows[1:], 2)]


def test_a_first_line_that_says_the_separator_is_no_row(tmp_path):
    (tmp_path / "rows.csv").write_text("sep=;\nquestion;answer\nWhere, please?;Here, of course.\n", encoding="utf-8")
    (row,) = read_rows(tmp_path / "rows.csv")
    assert row.value == {"question": "Where, please?", "answer": "Here, of course."} and row.line == 3


def test_a_broken_character_costs_its_row_and_no_more(tmp_path):
    lines = [json.dumps({"question": f"窯{i}はどこ", "answer": "門のそばです。"}, ensure_ascii=False).encode() for i in range(40)]
    lines[7] = lines[7].replace("窯".encode(), "窯".encode()[:2])
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    found = list(read_rows(tmp_path / "rows.jsonl"))
    assert isinstance(found[7], BadRow) and found[7].line == 8 and found[7].detail.startswith("a byte that is no UTF-8 (0xe7) after")
    assert len(found) == 40 and found[6].value["question"] == "窯6はどこ" and found[39].value["question"] == "窯39はどこ"
    with pytest.raises(MigakiError, match="not UTF-8 throughout: byte 0xe7 in line 8"):
        read_text(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("where", ["output", "history"])
def test_half_an_emoji_costs_its_row_and_no_more(tmp_path, where):
    good = {"instruction": "Smile 🙂", "output": "🙂", "history": [["a", "b"]]}
    bad = good | {where: "Fine \ud83d" if where == "output" else [["a", "b \udc00"]]}
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in (good, bad, good)), encoding="utf-8")
    first, half, last = read_rows(tmp_path / "rows.jsonl")
    assert first.value == last.value == good and isinstance(half, BadRow) and half.line == 2 and "half a character (U+D" in half.detail
    half.text.encode()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.csv", b" \n", "is empty"),
        ("a.parquet", b"", "is empty"),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.jsonl", b'{"a": 1}\x00\x01\x02\x03', "binary, not text"),
        ("a.json", b'[{"a": 1},\n{"a": }]', "broken JSON: Expecting value in line 2"),
        ("a.json", b"[" * 200_000, "broken JSON"),
        ("a.parquet", b"PAR1 is not enough", "is no Parquet file"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}' * 99, mtime=0)[:-9], "not a whole gzip file"),
        ("a.jsonl.gz", b"no gzip", "not a whole gzip file"),
        ("a.xlsx", b"x", "accepted are .json, .jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MigakiError, match=says) as error:
        list(read_rows(tmp_path / name))
    assert name in str(error.value)


def test_format_before_the_path():
    assert split_format("squad:a.json", "questions")[0] == "squad"
    assert split_format("hh:a.jsonl", "preferences")[0] == "hh"
    format, path = split_format("squad:a.json", "instructions")  # no format of this kind, so part of the name
    assert format is None and str(path) == "squad:a.json"


def test_missing_file_and_misspelt_format(tmp_path):
    with pytest.raises(MigakiError, match=r"prepare.preferences: .*gone.jsonl' does not exist"):
        existing(str(tmp_path / "gone.jsonl"), "preferences")
    with pytest.raises(MigakiError, match="formats that may stand before the path are pairs, hh, responses"):
        existing("hhh:pairs.jsonl", "preferences")


def test_documents_of_one_name_in_two_folders_are_both_kept(tmp_path):
    for folder in ("a/en", "b/en", "c/de"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "index.md").write_text(folder, encoding="utf-8")
    (tmp_path / "a/en/.hidden").mkdir()
    (tmp_path / "a/en/.hidden/x.md").write_text("x", encoding="utf-8")
    found = find_documents([str(tmp_path / folder) for folder in ("a/en", "b/en", "c/de", "a/en")])
    assert {file.name: file.path.read_text(encoding="utf-8") for file in found} == {
        "index.md": "a/en",
        "en/index.md": "b/en",
        "de/index.md": "c/de",
    }


def test_fingerprint_follows_contents_and_not_places(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place / "docs").mkdir(parents=True)
        (tmp_path / place / "docs/a.md").write_text("text", encoding="utf-8")
    one, two = (str(tmp_path / place / "docs") for place in ("one", "two"))
    assert fingerprint([one], "documents") == fingerprint([two], "documents")
    (tmp_path / "two/docs/a.md").write_text("other", encoding="utf-8")
    assert fingerprint([one], "documents") != fingerprint([two], "documents")
