"""One bad file costs itself: it neither hangs, nor crashes, nor starves the reading of the others."""

import io
import os
import subprocess
import sys
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tasks.documents.finding import DocumentFile, find_documents
from tasks.documents.formats import read_file
from tasks.documents.parsed import Parsed, Section, Unreadable
from tasks.documents.reading import ROOT, read_all
from tasks.documents.sandbox import packed, unpacked
from tasks.errors import MigakiError
from tests.helpers.command import still_running
from tests.helpers.documents import one_page, raw_pdf, stream
from tests.helpers.shared import SHARED, needs_shared


def files(folder: Path, contents: dict[str, bytes]) -> list[DocumentFile]:
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [DocumentFile(name, folder / name) for name in contents]


def found(*args, **settings) -> dict[str, str]:
    """Name to title, or to the reason."""
    return {name: document.title if isinstance(document, Parsed) else str(document) for name, document in read_all(*args, **settings)}


def endless_pdf() -> bytes:
    """Three kilobytes: each of twelve forms draws the next one ten times, a million million drawings in all."""
    forms = [
        stream(b"/X Do\n" * 10, b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X %d 0 R >> >>" % (6 + i))
        for i in range(12)
    ]
    return one_page(b"/X Do", b"/XObject << /X 5 0 R >>", *forms, stream(b"0 0 1 1 re f", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]"))


def swollen_pdf() -> bytes:
    """A megabyte that is six hundred when unpacked."""
    drawing = zlib.compress(b"1 0 0 1 0 0 cm\n" * (40 << 20), 1)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>"
    return raw_pdf(
        [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, stream(drawing, b"/Filter /FlateDecode")]
    )


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file, file.open("word/document.xml", "w") as member:
        for _ in range(250):
            member.write(b" " * 1_000_000)
    return out.getvalue()


@pytest.mark.alone
def test_files_that_hang_are_given_up_and_the_rest_goes_on(tmp_path):
    named = files(tmp_path, {"a.md": b"# first", "b.html": b"<div>" * 200_000 + b"x", "c.pdf": endless_pdf(), "e.md": b"# last"})
    os.mkfifo(tmp_path / "d.txt")  # opening it waits for somebody to write
    named.insert(3, DocumentFile("d.txt", tmp_path / "d.txt"))
    started = time.monotonic()
    reasons = found(named, time_limit=2, workers=5)
    assert list(reasons) == ["a.md", "b.html", "c.pdf", "d.txt", "e.md"]
    assert reasons["a.md"] == "first" and reasons["e.md"] == "last"
    assert {reasons[name] for name in ("b.html", "c.pdf", "d.txt")} == {"reading it took longer than 2 s"}
    assert time.monotonic() - started < 60


def test_a_file_that_crashes_its_reader(tmp_path):
    """PDFium aborts where it gets no memory."""
    reasons = found(files(tmp_path, {"a.pdf": swollen_pdf(), "b.md": b"# next"}), memory=400 << 20)
    assert "SIGABRT" in reasons["a.pdf"] and "419,430,400 bytes" in reasons["a.pdf"] and reasons["b.md"] == "next"


def test_memory_that_python_cannot_get(tmp_path):
    reasons = found(files(tmp_path, {"a.txt": b"word\n\n" * 3_000_000, "b.md": b"# next"}), memory=200 << 20)
    assert "more memory" in reasons["a.txt"] and reasons["b.md"] == "next"


def test_a_file_that_unpacks_to_too_much(tmp_path):
    reasons = found(files(tmp_path, {"a.docx": zip_bomb(), "b.md": b"# next"}))
    assert "250,000,000 bytes when unpacked" in reasons["a.docx"] and reasons["b.md"] == "next"


@pytest.mark.alone
def test_no_process_is_left_when_nobody_wants_the_rest(tmp_path):
    os.mkfifo(tmp_path / "b.txt")
    named = [*files(tmp_path, {"a.md": b"# first"}), DocumentFile("b.txt", tmp_path / "b.txt")]
    before = {process.pid for process in psutil.Process().children()}
    reading = read_all(named, time_limit=60, workers=2)
    assert next(reading)[0] == "a.md"
    started = time.monotonic()
    reading.close()
    assert time.monotonic() - started < 30
    assert {process.pid for process in psutil.Process().children()} <= before


def test_a_process_whose_parent_is_gone_ends_by_itself(tmp_path):
    """Even one that hangs: the alarm is its own."""
    os.mkfifo(tmp_path / "a.txt")
    code = (
        "import sys, os, threading, time, psutil; from pathlib import Path; from tasks.documents.finding import DocumentFile; from tasks.documents.reading import read_all\n"
        "threading.Thread(target=list, args=(read_all([DocumentFile('a.txt', Path(sys.argv[1]))], time_limit=2),), daemon=True).start()\n"
        "while not (children := psutil.Process().children()): time.sleep(0.05)\n"
        "print(children[0].pid, flush=True); time.sleep(0.5); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.txt")], capture_output=True, text=True, cwd=ROOT)
    with suppress(psutil.NoSuchProcess):  # it may have ended already
        assert not still_running([psutil.Process(int(done.stdout))])


def test_order_is_kept_whoever_is_done_first(tmp_path):
    named = files(tmp_path, {f"{i}.txt": b"text\n\n" * (1 + i % 3 * 3000) for i in range(40)})
    assert [title for title in found(named, workers=3).values()] == [str(i) for i in range(40)]


def test_nothing_to_read_starts_nothing():
    assert list(read_all([], workers=4)) == []


def test_mistakes_in_settings_are_not_blamed_on_the_files(tmp_path):
    named = files(tmp_path, {"a.md": b"text"})
    with pytest.raises(MigakiError, match=r"index.encoding = 'shift-jiss' is no encoding"):
        list(read_all(named, encoding="shift-jiss"))
    with pytest.raises(MigakiError, match="'base64'"):
        list(read_all(named, encoding="base64"))
    with pytest.raises(MigakiError, match="'body=x' in #body=x"):
        list(read_all([DocumentFile("a.csv", tmp_path / "a.csv", "body=x")]))


def test_documents_come_over_as_they_are():
    document = Parsed("題", [Section("a > b", ["一", "two"], 3)], ("board",), {"author": "me"})
    assert unpacked(packed(document)) == document
    assert str(unpacked(packed(Unreadable("why")))) == "why"


def test_half_a_character_does_not_get_into_the_index(tmp_path):
    (document,) = dict(read_all(files(tmp_path, {"a.jsonl": b'{"text": "a \\ud83d b"}'}))).values()
    assert document.sections[0].paragraphs == ["a ? b"]


def test_reading_imports_no_torch():
    code = "import sys, tasks.documents.sandbox; print({'torch', 'transformers', 'pyarrow', 'prefect', 'docx', 'pypdfium2'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip() == "set()"


@needs_shared
def test_real_pages_are_the_same_from_here_and_from_there():
    named = find_documents([str(SHARED / "docs" / "debian-faq")])
    here = [document for file in named for document in read_file(file.name, file.path)]
    assert len(here) > 30 and list(read_all(named, workers=2)) == here
