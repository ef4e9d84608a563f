"""A file is replaced as a whole or stays as it was."""

import pytest

from storage.files import replacing, sha256_of


def test_contents_take_the_files_place_at_the_end_and_not_before(tmp_path):
    path = tmp_path / "chats.preferences.jsonl"
    path.write_text("before")
    with replacing(path) as draft:
        draft.write_text("後")
        assert path.read_text() == "before" and draft.parent == path.parent
    assert path.read_text() == "後" and list(tmp_path.iterdir()) == [path]


def test_of_a_block_that_raises_nothing_remains(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(RuntimeError, match="on purpose"), replacing(path) as draft:
        draft.write_text("half")
        raise RuntimeError("on purpose")
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "before"


def test_the_digest_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
