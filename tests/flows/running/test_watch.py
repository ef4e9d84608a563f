"""Documents that a platform watches: what counts as a change, when it is told, and what is told after a platform was down."""

import os
import shutil
import unicodedata
from itertools import pairwise

import pytest

from flows.commands.platform import note_settings
from flows.running import watch as watching
from flows.running.watch import Watcher, WatchSettings, read_watch, settings_file, told_file, watch_from, watched
from storage.audit import entries
from tasks.errors import MigakiError


class Clock:
    """A clock that stands until it is set."""

    now = 1000.0

    def monotonic(self):
        return self.now


class Watched:
    """A folder that is watched by the clock; what was told, and what was said."""

    def __init__(self, folder, clock, quiet=30.0):
        self.folder, self.clock, self.quiet, self.documents = folder, clock, quiet, [str(folder)]
        self.told, self.said, self.fails = [], [], None
        folder.mkdir()

    def start(self):
        """As a platform that starts does."""
        path = self.folder.parent / "watched.json"
        self.watcher = Watcher(self.documents, self.quiet, path, self.tell, self.said.append)
        return self

    def tell(self, counts):
        if self.fails:
            raise self.fails
        self.told.append(counts)

    def write(self, name, text="text"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def passes(self, seconds):
        """Time passes, and a look is taken each second."""
        for _ in range(int(seconds)):
            self.clock.now += 1
            self.watcher.look()
            self.watcher._thread.join(10)
        return self.told

    def news(self, seconds=60):
        """What is told of while time passes."""
        before = len(self.told)
        return self.passes(seconds)[before:]


def counts(added=0, changed=0, removed=0):
    return {"added": added, "changed": changed, "removed": removed}


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(watching, "time", found)
    return found


@pytest.fixture
def docs(tmp_path, clock):
    return Watched(tmp_path / "docs", clock)


@pytest.fixture
def told(docs):
    """A folder with two documents that were told."""
    docs.write("a.md"), docs.write("規則/旅費.md")
    assert docs.start().news() == [counts(added=2)]
    return docs


def test_what_is_watched_for_the_first_time_is_told_once_it_is_quiet(docs):
    docs.write("a.md")
    docs.start()
    assert docs.news(30) == [] and docs.news(6) == [counts(added=1)] and docs.news(600) == []
    assert docs.said == ["documents changed (1 added: a.md): the index is made anew"]


def test_an_empty_folder_tells_nothing_until_there_is_something(docs):
    assert docs.start().news() == []
    docs.write("first.md")
    assert docs.news() == [counts(added=1)]


def test_a_burst_is_told_once_when_it_is_over(told):
    for number in range(5):
        told.write(f"new{number}.md")
        assert told.news(20) == []
    assert told.news() == [counts(added=5)] and told.news(600) == []


def test_new_changed_and_removed_in_one(told):
    told.write("a.md", "another text"), told.write("b.txt"), (told.folder / "規則/旅費.md").unlink()
    assert told.news() == [counts(1, 1, 1)]
    assert told.said[-1] == "documents changed (1 added, 1 changed, 1 removed: b.txt, a.md, 旅費.md): the index is made anew"


def test_a_write_that_changes_neither_length_nor_time_is_seen(told):
    path = told.folder / "a.md"
    before = path.stat()
    path.write_text("TEXT", encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert told.news() == [counts(changed=1)]


def test_the_same_contents_written_again_tell_nothing(told):
    """As by `touch`, and by editors and programs that put a new file in the place of the old."""
    os.utime(told.folder / "a.md")
    shutil.copy(told.folder / "a.md", told.folder / "copy")
    (told.folder / "copy").replace(told.folder / "a.md")
    assert told.news(600) == []


@pytest.mark.parametrize(
    "name",
    [".hidden.md", ".git/index.md", ".a.md.swp", "a.md~", "#a.md#", "b.pdf.part", "b.docx.crdownload", "~$b.docx", "4913", "picture.png"],
)
def test_what_the_index_does_not_read_tells_nothing(told, name):
    told.write(name)
    assert told.news(600) == []


def test_who_may_see_a_folder_is_a_change(told):
    told.write(".allowed", "sales")
    assert told.news() == [counts(changed=2)]


def test_links_out_tell_nothing_and_links_within_are_documents(told, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/b.md").write_text("text")
    (told.folder / "out.md").symlink_to(tmp_path / "other/b.md")
    (told.folder / "folder").symlink_to(tmp_path / "other")
    (told.folder / "nowhere.md").symlink_to(tmp_path / "gone.md")
    assert told.news(600) == []
    (told.folder / "within.md").symlink_to("a.md")
    assert told.news() == [counts(added=1)]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_either_form_are_names(told, form):
    name = unicodedata.normalize(form, "ガイド.md")
    told.write(name)
    assert told.news() == [counts(added=1)]
    (told.folder / name).unlink()
    assert told.news() == [counts(removed=1)]


def test_a_name_that_is_no_text_survives_a_restart(told):
    with open(os.fsencode(told.folder) + b"/\x83K\x83C\x83h.md", "w") as file:  # as Shift_JIS has it
        file.write("text")
    assert told.news() == [counts(added=1)]
    assert told.start().news(600) == []


def test_a_file_that_cannot_be_read_is_told_again_when_it_can(told, monkeypatch):
    from tasks.documents import finding

    def refused(path):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:  # root, as which tests may run, may read everything
        patch.setattr(finding, "sha256_of", refused)
        path = told.write("secret.md")
        assert told.news() == [counts(added=1)]
    path.chmod(0o600), path.chmod(0o640)
    assert told.news() == [counts(changed=1)]


def test_what_changed_while_nobody_watched_is_told_by_the_next_platform(told):
    told.write("a.md", "another text"), told.write("b.md")
    assert told.start().news() == [counts(added=1, changed=1)]
    assert told.start().news(600) == []


def test_a_folder_that_vanishes_has_lost_nothing(told, tmp_path):
    told.folder.rename(tmp_path / "unmounted")
    assert told.news(600) == []
    told.documents.append(str(tmp_path / "more"))
    (tmp_path / "more").mkdir()
    assert told.start().news(600) == []  # nor does the next platform refuse to start, or tell it
    told.folder.mkdir()  # as a mount point is, without what is mounted there
    assert told.news(600) == []
    missing = f"index.watch: {str(told.folder)!r} does not exist (looked from {os.getcwd()!r})"
    empty = f"index.watch: {str(told.folder)!r} has no document any more"
    waits = ". Is it not mounted? Nothing is told until it is there again, or is taken out of index.watch"
    assert told.said[1:] == [missing + waits, missing + waits, empty + waits]
    told.folder.rmdir()
    (tmp_path / "unmounted").rename(told.folder)
    assert told.news() == [counts()]
    assert told.said[-2] == "index.watch: all that is watched is there again"


def test_a_folder_within_that_nobody_may_open_any_more_has_lost_nothing(told, monkeypatch):
    closed, iterdir = told.folder / "規則", type(told.folder).iterdir

    def refused(self):
        if self == closed:
            raise PermissionError(13, "Permission denied")
        return iterdir(self)

    with monkeypatch.context() as patch:  # root may open everything
        patch.setattr(type(told.folder), "iterdir", refused)
        assert told.news(600) == [] and f"of {str(closed)!r}, the folder cannot be opened: Permission denied" in told.said[-1]
    assert told.news(600) == [] and len(told.said) == 3


def test_one_of_several_that_is_gone_holds_back_all(told, tmp_path):
    single = tmp_path / "faq.csv"
    single.write_text("text\nthe answer\n")
    told.documents.append(f"{single}#text=text")
    assert told.start().news() == [counts(added=1)]
    single.unlink()
    told.write("b.md")
    assert told.news(600) == []
    single.write_text("text\nanother answer\n")
    assert told.news() == [counts(added=1, changed=1)]


def test_other_columns_of_a_table_are_a_change(told, tmp_path):
    (tmp_path / "faq.csv").write_text("q,a\nwhat,this\n")
    for columns, news in {"q": counts(added=1), "a": counts(changed=1)}.items():
        told.documents[1:] = [f"{tmp_path / 'faq.csv'}#text={columns}"]
        assert told.start().news() == [news]


def test_the_same_documents_named_in_another_way_are_told(told):
    """Names in the index are told from the folder that is named."""
    told.documents = [str(told.folder / "a.md"), str(told.folder / "規則"), str(told.folder / "a.md")]
    assert told.start().news() == [counts()] and told.said[-1].startswith("index.watch names the same documents in another way")
    told.documents = told.documents[:1]
    assert told.news(600) == [] and told.start().news() == [counts(removed=1)] and told.start().news(600) == []


def test_a_disk_that_is_full_costs_no_second_telling(told, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watching, "_write", full)
    told.write("b.md")
    assert told.news(600) == [counts(added=1)] and told.said[-1] == "index.watch cannot look: OSError: [Errno 28] No space left on device"


def test_what_is_not_there_and_never_was_is_refused(docs):
    docs.documents = [str(docs.folder / "manuls")]
    with pytest.raises(MigakiError, match=r"index\.watch: '.*manuls' does not exist"):
        docs.start()


def test_a_server_that_does_not_answer_is_told_when_it_does(told):
    told.fails = ConnectionRefusedError(111, "Connection refused")
    told.write("b.md")
    assert told.news(600) == []
    assert told.said[1:] == ["the server could not be told that documents changed, and is told again: [Errno 111] Connection refused"]
    told.fails = None
    assert told.start().news() == [counts(added=1)]


def test_changes_without_a_pause_are_said_once(told):
    for number in range(90):
        told.write("a.md", str(number))
        assert told.news(10) == []
    assert told.said[1:] == [
        "documents of index.watch have been changing for more than 10 minutes without 30 s of quiet: nothing was told yet"
    ]
    assert told.news() == [counts(changed=1)]


def test_a_file_of_what_was_told_that_is_broken_costs_one_run(told):
    (told.folder.parent / "watched.json").write_text('{"documents": [')
    assert told.start().news() == [counts(added=2)]


def test_looks_take_a_small_share_of_a_processor(told, monkeypatch):
    """Where one takes 3 s, as with many files or over a network, the next comes ten minutes later, or 150 s while something waits to be told."""
    began = []

    def slow(spec):
        began.append(told.clock.now)
        told.clock.now += 3
        return listed(spec)

    listed = watching.listed
    monkeypatch.setattr(watching, "listed", slow)
    told.passes(1300)
    told.write("b.md")
    told.passes(1300)
    assert [after - before for before, after in pairwise(began)] == [603, 603, 603, 153, 153] and told.told[1:] == [counts(added=1)]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose runs look from it, with a folder of documents in it and one beside."""
    for name in ("project/manuals", "beside"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.md").write_text("text")
    monkeypatch.setattr("flows.running.roots.PROJECT", tmp_path / "project")
    monkeypatch.delenv("MIGAKI_ROOTS", raising=False)
    return tmp_path


def say_in_file(home, text):
    settings_file(home).parent.mkdir(exist_ok=True)
    settings_file(home).write_text(text, encoding="utf-8")


def test_settings_stand_in_the_home_under_those_of_the_command(home):
    assert read_watch(home, {"run": {}}) == WatchSettings(watch=[], quiet_seconds=30)
    say_in_file(home, "index:\n  watch: [資料, faq.csv#text=answer]\n  quiet_seconds: 5\n")
    assert read_watch(home, {"run": {}}) == WatchSettings(watch=["資料", "faq.csv#text=answer"], quiet_seconds=5)
    assert read_watch(home, {"index": {"quiet_seconds": 60}}) == WatchSettings(watch=["資料", "faq.csv#text=answer"], quiet_seconds=60)


def test_what_is_watched_is_in_the_audit(home):
    for settings in (WatchSettings(watch=["資料"]), WatchSettings()):
        note_settings(home, 4200, settings)
    told = [(entry.action, entry.detail) for entry in entries(home) if entry.detail["name"] == "index.watch"]
    detail = {"name": "index.watch", "watch": ["資料"], "quiet_seconds": 30.0}
    assert told == [("setting removed", detail), ("setting added", detail)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("index: {wach: [a]}", r"index\.wach is no setting; did you mean index\.watch\?"),
        ("index: {watch: manuals}", r"index\.watch = 'manuals'.*list"),
        ("index: {quiet_seconds: 0}", r"index\.quiet_seconds = 0: .*greater than or equal to 1"),
        ("tune: {epochs: 2}", r"tune: of these a platform has no settings.*index\.watch, index\.quiet_seconds"),
        ("- index", "must hold one mapping"),
        ("index: [", "cannot be read"),
    ],
)
def test_a_file_that_says_something_else_is_refused(home, text, words):
    say_in_file(home, text)
    with pytest.raises(MigakiError, match=words):
        read_watch(home, {})


def test_a_platform_watches_from_its_project_and_tells_all_that_is_watched(home, project, clock):
    told, said, settings = [], [], WatchSettings(watch=["manuals", "table:faq#text=a"], quiet_seconds=5)
    (home.root / "platform").mkdir()
    look = watch_from(home, settings, lambda *event: told.append(event), said.append)
    documents = [str(project / "project/manuals"), "table:faq#text=a"]
    assert watched(home) == documents
    for _ in range(20):
        clock.now += 1
        look()
        look.__self__._thread.join(10)
    assert told == [(documents, counts(added=1))] and len(said) == 1 and said[0].startswith("documents changed (1 added: a.md)")
    watch_from(home, WatchSettings(), print, print)()
    assert watched(home) == [] and not told_file(home).exists()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("../beside", r"index\.watch = '.*beside' lies outside of .*MIGAKI_ROOTS"),
        ("manuals/.git", r"index\.watch = '.*\.git' lies outside of .*or is hidden there"),
        ("manals", r"index\.watch: '.*manals' does not exist"),
        ("table:faq", "tables are not watched"),
    ],
)
def test_what_a_run_would_refuse_is_refused_when_the_platform_starts(home, project, document, words):
    (home.root / "platform").mkdir()
    with pytest.raises(MigakiError, match=words):
        watch_from(home, WatchSettings(watch=[document]), print, print)
    assert not told_file(home).exists()


@pytest.mark.parametrize("document", ["{}", "{}/**/*.md"])
def test_a_folder_that_holds_the_home_in_plain_sight_is_refused(home, monkeypatch, document):
    folder = home.root.parent
    (home.root / "platform").mkdir()
    monkeypatch.setenv("MIGAKI_ROOTS", str(folder))
    with pytest.raises(MigakiError, match="holds MIGAKI_HOME"):
        watch_from(home, WatchSettings(watch=[document.format(folder)]), print, print)
