"""What is packed is unpacked up to its limit and no further, and says so by name."""

import gzip
import io
import threading
import tracemalloc
import zipfile
import zlib
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.chatbot.tools.http import get_json
from tasks.data.sources import read_rows
from tasks.documents.finding import DocumentFile
from tasks.documents.reading import read_all
from tasks.errors import MigakiError
from tasks.unpacking import TooLarge, gunzipped

ZEROS = gzip.compress(b"0" * 100_000_000, mtime=0)


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


LONG = pa.DictionaryArray.from_arrays(pa.array([0] * 300_000, pa.int32()), pa.array(["長" * 100_000]))
BOMBS = {
    "a.jsonl.gz": ZEROS,
    "a.csv.gz": gzip.compress(b"1\n", mtime=0) + ZEROS,  # in the second member
    "a.json.gz": ZEROS,
    "a.parquet.gz": ZEROS,
    "データ.jsonl.gz": ZEROS,
    "rows.parquet": parquet(pa.table({"a": pa.nulls(5_000_000)})),
    "text.parquet": parquet(pa.table({"text": LONG})),
    "list.parquet": parquet(pa.table({"text": pa.ListArray.from_arrays(pa.array([0, 300_000], pa.int32()), LONG)})),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_among_the_data_is_named_with_its_size_and_the_limit(tmp_path, name):
    (tmp_path / name).write_bytes(BOMBS[name])
    tracemalloc.start()
    with pytest.raises(MigakiError, match="prepare.max_unpacked_mb") as caught:
        for _ in read_rows(tmp_path / name, 10):
            pass
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for part in (name, f"{len(BOMBS[name]):,} bytes", "10 MB"):
        assert part in str(caught.value)
    assert most < 60_000_000


def test_what_repeats_itself_within_the_limit_is_read(tmp_path):
    (tmp_path / "a.parquet").write_bytes(parquet(pa.table({"text": ["同じ"] * 1000, "tags": [["a", None]] * 1000})))
    rows = list(read_rows(tmp_path / "a.parquet", 10))
    assert len(rows) == 1000 and rows[-1].value == {"text": "同じ", "tags": ["a", None]} and rows[-1].line == 1000


def test_a_docx_that_becomes_too_large_is_skipped_with_the_limit(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.docx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * 5_000_000)
    ((name, why),) = read_all([DocumentFile("a.docx", tmp_path / "a.docx")], unpacked_bytes=1_000_000)
    assert (name, str(why)) == ("a.docx", "5,000,000 bytes when unpacked; at most 1,000,000 are read (index.max_unpacked_mb)")


def test_members_one_after_the_other_and_padding_are_read():
    data = gzip.compress(b"a", mtime=0) + gzip.compress("磨き".encode(), mtime=0) + b"\0" * 9
    for size in (1, 7, 10_000):
        assert gunzipped([data[i : i + size] for i in range(0, len(data), size)], 100).decode() == "a磨き"
    assert gunzipped([gzip.compress(b"12345", mtime=0)], 5) == b"12345"
    with pytest.raises(TooLarge):
        gunzipped([gzip.compress(b"123456", mtime=0)], 5)
    with pytest.raises(EOFError):
        gunzipped([data[:15]], 100)
    with pytest.raises(zlib.error):
        gunzipped([b"no gzip at all"], 100)


@pytest.fixture
def service():
    """An address that answers with what is put into `answer`: (encoding, body)."""

    class Answers(BaseHTTPRequestHandler):
        answer = ("identity", b"{}")

        def do_GET(self):
            encoding, body = Answers.answer
            self.send_response(200)
            self.send_header("Content-Encoding", encoding)
            self.end_headers()
            with suppress(OSError):  # nobody reads the rest
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Answers.url = f"http://127.0.0.1:{server.server_port}/"
    yield Answers
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("encoding", "body", "said"),
    [
        ("gzip", ZEROS, "more than 2 MiB"),
        ("deflate", zlib.compress(b"0" * 100_000_000), "more than 2 MiB"),
        ("identity", b"0" * 3_000_000, "more than 2 MiB"),
        ("br", b"x", "encoding 'br'"),
        ("gzip", b"no gzip", "not whole"),
    ],
)
def test_an_answer_over_http_is_bounded(service, encoding, body, said):
    service.answer = (encoding, body)
    tracemalloc.start()
    with pytest.raises(MigakiError, match=said):
        get_json(service.url, {})
    assert tracemalloc.get_traced_memory()[1] < 30_000_000
    tracemalloc.stop()


def test_an_answer_in_gzip_is_read(service):
    service.answer = ("gzip", gzip.compress('{"a": "磨き"}'.encode(), mtime=0))
    assert get_json(service.url, {}) == {"a": "磨き"}
