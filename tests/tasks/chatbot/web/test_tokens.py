"""Whose token it is, what it lets its holder do, and that one which is taken out of the file soon opens nothing, running answers included."""

import os
import re
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from flows.commands import serve
from tasks.chatbot.web.tokens import NO_TOKENS, TokenFile
from tasks.errors import MigakiError
from tests.helpers.web import ScriptedEngine, app, client, read_sse

ANNA, BEN, CLEO = "anna-0123456789abcdef", "ben-0123456789abcdef", "cleo-0123456789abcdef"
BOTH = f"{ANNA}:staff,board:Anna:editor\n{BEN}\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(BOTH, encoding="utf-8")
    return TokenFile(path)


def replaced(file, content):
    other = file.path.with_name("other")
    other.write_text(content, encoding="utf-8")
    os.replace(other, file.path)


def in_place(file, content):
    with file.path.open("r+", encoding="utf-8") as opened:
        opened.write(content)
        opened.truncate()


def bearing(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("rest", "groups", "name", "role"),
    [
        ("", [], "", "reader"),
        (":", [], "", "reader"),
        (":::", [], "", "reader"),
        (":::admin", [], "", "admin"),
        (":admin", ["admin"], "", "reader"),
        (":admin,editor:admin", ["admin", "editor"], "admin", "reader"),
        ("::Anna", [], "Anna", "reader"),
        (":,staff,,:Anna:", ["staff"], "Anna", "reader"),
        (":staff:Anna:reader", ["staff"], "Anna", "reader"),
        ("  : staff , board : Anna B. :  editor  ", ["staff", "board"], "Anna B.", "editor"),
        (":人事,役員会:山田 花子:admin", ["人事", "役員会"], "山田 花子", "admin"),
        (":人事、総務:花子:　editor　", ["人事", "総務"], "花子", "editor"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
def test_a_line_names_token_groups_name_and_role(tmp_path, rest, groups, name, role, end, mark):
    path = tmp_path / "tokens"
    path.write_bytes(mark + f"{ANNA}{rest}{end}".encode())
    user = TokenFile(path).tokens.find(ANNA)
    assert (user.groups, user.name, user.role) == (set(groups), name, role)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{ANNA}:staff:Anna:root", "line 3 .*'root' is no role; accepted are reader, editor, admin"),
        (f"{ANNA}:staff:Anna:Admin", "'Admin' is no role"),
        (f"{ANNA}:staff:花子:管理者", "'管理者' is no role; accepted are reader"),
        (f"{ANNA}:::admin,editor", "'admin,editor' is no role"),
        (f"{ANNA}:staff:Anna:admin:", "line 3 .*4 colons, and at most 3"),
        (f"{ANNA}:staff:12:30", "'30' is no role"),
        (f"{ANNA}:人事：花子：admin", "full-width"),
        (f"{ANNA}：人事：花子", "line 3 .*ASCII characters"),
        (f"{ANNA}\tx:staff", "ASCII characters"),
        (f":{ANNA}", "this one has 0"),
    ],
)
def test_a_line_that_is_understood_otherwise_than_meant_is_refused_by_number(tmp_path, line, words):
    path = tmp_path / "tokens"
    path.write_text(f"# who may ask\n{BEN}\n{line}\n", encoding="utf-8")
    with pytest.raises(MigakiError, match=words):
        TokenFile(path)


def test_the_page_is_told_the_role_and_no_group_gives_one(file):
    replaced(file, f"{ANNA}:admin:Anna\n{BEN}:人事:花子:admin\n")
    assert file.look()
    http = client(tokens=file.tokens)
    told = [http.get("/api/about", headers=bearing(token)).json() for token in (ANNA, BEN)]
    assert [(one["user"], one["role"]) for one in told] == [("Anna", "reader"), ("花子", "admin")]


@pytest.mark.parametrize(
    ("headers", "settings", "role"),
    [
        ({}, {}, "admin"),
        ({"Host": "[::1]:8400"}, {}, "admin"),
        ({"X-Forwarded-For": "203.0.113.9"}, {}, "reader"),
        ({"Forwarded": "for=203.0.113.9"}, {}, "reader"),
        ({"Host": "chat.example.org"}, {"allowed_hosts": ["chat.example.org"]}, "reader"),
    ],
)
def test_without_tokens_the_person_at_the_machine_is_admin_and_nobody_behind_a_proxy(headers, settings, role):
    assert client(**settings).get("/api/about", headers=headers).json()["role"] == role


@pytest.mark.parametrize("write", [replaced, in_place])
def test_a_change_of_the_file_holds_from_the_next_request(file, write):
    engine = ScriptedEngine()
    http = client(engine, tokens=file.tokens)
    assert file.look() == ""
    write(file, f"{ANNA}:staff\n{CLEO}:staff:クレオ\n")
    assert "2 tokens, 1 taken back" in file.look() and file.look() == ""
    assert [http.get("/api/about", headers=bearing(token)).status_code for token in (ANNA, BEN, CLEO)] == [200, 401, 200]
    http.post("/api/chat", json={"question": "hello"}, headers=bearing(ANNA))
    assert engine.heard[0][2] == {"staff"}
    write(file, BOTH)
    assert "1 taken back" in file.look() and http.get("/api/about", headers=bearing(BEN)).status_code == 200


def test_a_change_that_sets_size_and_time_back_is_seen(file):
    found = file.path.stat()
    in_place(file, BOTH.replace("ben-0", "ben-1"))
    os.utime(file.path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert "1 taken back" in file.look() and file.tokens.find(BEN) is None


def test_a_file_between_two_writes_is_not_taken_for_empty(file):
    file.path.write_text("")
    threading.Timer(0.1, in_place, [file, f"{BOTH}{CLEO}\n"]).start()
    assert "3 tokens, 0 taken back" in file.look()


@pytest.mark.parametrize(
    ("content", "working"),
    [
        (f"{ANNA}:staff:Anna:root\n", [ANNA]),
        (f"short\n{BEN}\n", [BEN]),
        (f"#{ANNA}\n{BEN}\nshort\n", [BEN]),
        (f"{ANNA[:-1]}\n{BEN}x\nshort\n", []),
        (f"{CLEO}\n{BEN}:a:b:c:d\nx:{ANNA}\n", [BEN]),
        (f"\ufeff{ANNA}\r\nshort\r\n", [ANNA]),
        (f"{ANNA}\n{ANNA}:staff\n", [ANNA]),
        (f"人事：{ANNA}\n", []),
        ("", []),
        ("\n# nobody\n", []),
        (None, []),
    ],
)
def test_in_a_broken_file_only_tokens_that_stand_go_on_working(file, content, working):
    http = client(tokens=file.tokens, burst=1000)
    file.path.unlink() if content is None else file.path.write_text(content, encoding="utf-8", newline="")
    assert f"{len(working)} tokens go on working, and {2 - len(working)} do not" in file.look() and file.look() == ""
    for token in (ANNA, BEN, CLEO, ""):
        assert http.get("/api/about", headers=bearing(token)).status_code == (200 if token in working else 401)
    assert http.get("/api/about").status_code == 401
    replaced(file, BOTH)
    assert "2 tokens, 0 taken back" in file.look() and file.tokens.find(ANNA).role == "editor"


@pytest.mark.parametrize("content", [b"\xff\xfe" + f"{ANNA}\n".encode("utf-16-le"), b"\xff\n" + f"{BEN}\n".encode()])
def test_a_file_in_another_encoding_is_broken(file, content):
    file.path.write_bytes(content)
    assert "cannot be read" in file.look() and file.tokens.find(ANNA) is None
    assert (file.tokens.find(BEN) is not None) == (BEN.encode() in content)


def test_a_broken_file_takes_away_but_never_gives(file):
    replaced(file, f"{ANNA}:board,secret:Anna:reader\n{BEN}:board:Ben:admin\nshort\n")
    assert "line 3" in file.look()
    anna, ben = file.tokens.find(ANNA), file.tokens.find(BEN)
    assert (anna.groups, anna.role, ben.groups, ben.role) == ({"board"}, "reader", set(), "reader")


def test_what_is_said_of_a_file_holds_no_token(file):
    replaced(file, f"{ANNA}:a:b:c:d\n{BEN}\n{BEN}\n")
    assert not re.search(f"{ANNA}|{BEN}", file.look())
    replaced(file, BEN)
    assert not re.search(f"{ANNA}|{BEN}", file.look())


def test_without_tokens_nothing_is_held_or_taken_back():
    with NO_TOKENS.held("", lambda: pytest.fail("nobody's token")):
        assert NO_TOKENS.replace({}) == 0


@contextmanager
def served(file, engine, **settings):
    """A real server, whose tokens are followed as `migaki serve` follows them."""
    over = threading.Event()
    server = uvicorn.Server(uvicorn.Config(app(engine, tokens=file.tokens, **settings), lifespan="off", log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as found:
        threads = [threading.Thread(target=server.run, kwargs={"sockets": [found]}, daemon=True)]
        threads.append(threading.Thread(target=serve.follow_tokens, args=(file, over, bool), daemon=True))
        [thread.start() for thread in threads]
        try:
            yield f"http://127.0.0.1:{found.getsockname()[1]}"
        finally:
            over.set()
            server.should_exit = server.force_exit = True
            [thread.join() for thread in threads]


def waits_for(true, seconds=8):
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


PATHS = [
    ("/api/chat", {"question": "hello"}),
    ("/v1/chat/completions", {"model": "migaki", "messages": [{"role": "user", "content": "hi"}]}),
]


class Asking(threading.Thread):
    """One request, read to its end: `heard`, `status`, and when it was over."""

    def __init__(self, url, token, path, body):
        super().__init__(daemon=True)
        self.url, self.token, self.path, self.body = url, token, path, body
        self.heard, self.status, self.over = "", 0, 0.0
        self.start()

    def run(self):
        with httpx.stream("POST", self.url + self.path, json=self.body, headers=bearing(self.token), timeout=30) as answer:
            self.status = answer.status_code
            for piece in answer.iter_text():
                self.heard += piece
        self.over = time.monotonic()


@pytest.mark.alone
@pytest.mark.parametrize("write", [replaced, in_place, lambda file, _: file.path.unlink()], ids=["replaced", "in place", "deleted"])
def test_running_and_waiting_answers_end_with_their_token_and_others_go_on(file, write):
    engine = ScriptedEngine(lambda: time.sleep(0.02), endless=True)
    page, v1 = PATHS
    with served(file, engine, max_concurrent=3, max_concurrent_each=3) as url:
        running = [Asking(url, ANNA, *page), Asking(url, ANNA, v1[0], v1[1] | {"stream": True})]
        assert waits_for(lambda: all("and on" in one.heard for one in running))
        other = Asking(url, BEN, *page)
        assert waits_for(lambda: "and on" in other.heard)
        waiting = [Asking(url, ANNA, *page), Asking(url, ANNA, *v1)]
        assert waits_for(lambda: httpx.get(f"{url}/health").json().items() >= {"status": "ok", "active": 3, "queue": 2}.items())
        started = time.monotonic()
        write(file, f"{BEN}\n")
        [one.join(10) for one in running + waiting]
        assert all(0 < one.over - started < 5 for one in running + waiting)
        assert [one.status for one in running + waiting] == [200, 200, 200, 401]
        for one in (running[0], waiting[0]):
            name, said = read_sse(one.heard)[-1]
            assert (name, said["code"]) == ("error", "invalid_token")
        assert [said.get("error", {}).get("code") for _, said in read_sse(running[1].heard)][-2:] == ["invalid_token", None]
        deleted = not file.path.exists()
        assert waits_for(
            lambda: httpx.get(f"{url}/health").json().items() >= {"status": "ok", "active": 0 if deleted else 1, "queue": 0}.items()
        )
        assert engine.stops[0].is_set() and engine.stops[1].is_set() and len(engine.stops) == 3 and engine.stops[2].is_set() == deleted
        assert httpx.get(f"{url}/api/about", headers=bearing(ANNA)).status_code == 401
        [stop.set() for stop in engine.stops]


@pytest.mark.alone
def test_a_stream_that_nobody_reads_is_cut_off_too(file):
    engine = ScriptedEngine(endless=True)
    engine._pieces = lambda turn: iter(lambda: "and on " * 2000, None)
    engine.endless = False
    with served(file, engine) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((host, int(port)))
            body = b'{"question": "hello"}'
            head = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ANNA}\r\nContent-Type: application/json\r\n"
            connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert waits_for(lambda: engine.stops)
            time.sleep(1)  # until the buffers are full
            replaced(file, f"{BEN}\n")
            assert waits_for(lambda: engine.stops[0].is_set())
            time.sleep(3)  # what may still be said is over
            connection.settimeout(10)
            heard = b""
            while piece := connection.recv(1 << 20):
                heard += piece
            assert heard.startswith(b"HTTP/1.1 200") and not heard.endswith(b"0\r\n\r\n")


def test_a_watch_that_fails_lets_nobody_in(file, monkeypatch, capsys):
    over = threading.Event()
    monkeypatch.setattr(serve, "TOKENS_LOOK", 0.01)
    monkeypatch.setattr(file, "look", lambda: [over.set(), 1 / 0])
    serve.follow_tokens(file, over, bool)
    assert file.tokens.find(ANNA) is None and file.tokens and "no token works" in capsys.readouterr().err
