"""`migaki index --announce`: what a platform is told, and what is refused before it is."""

import json
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows.commands import announce as announcing
from flows.running.secret import made_secret
from flows.running.watch import told_file
from tests.helpers.command import migaki_in_process

WAITING = {"name": "documents changed", "enabled": True, "trigger": {"type": "event", "expect": ["corpus.updated"]}}
OTHER = {"name": "of somebody", "enabled": True, "trigger": {"type": "compound", "triggers": []}}


class Server:
    """Stands in for Prefect's: has automations, and keeps the events that it is sent."""

    def __init__(self):
        self.automations, self.status, self.events, self.authorizations = [WAITING, OTHER], 204, [], set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.authorizations.add(self.headers["Authorization"])
                if self.path == "/api/automations/filter":
                    self.answer(200, json.dumps(server.automations).encode())
                elif self.path == "/api/events":
                    server.events += body
                    self.answer(server.status, b"")

            def answer(self, status, body):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def payloads(self):
        return [event["payload"] for event in self.events if event["event"] == "corpus.updated"]


@pytest.fixture
def server():
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose folder runs may read, in which somebody works in `desk`; a folder beside it."""
    for name in ("project/desk/規則/旅費.md", "project/desk/faq.csv", "project/desk/.env", "project/desk/sheet.xlsx", "beside/a.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("question,text\nWhere?,There.\n")
    monkeypatch.setattr("flows.running.roots.PROJECT", tmp_path / "project")
    for name in ("MIGAKI_ROOTS", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path / "project/desk")
    return tmp_path


class Process:
    def __init__(self, variables):
        self.environ = lambda: variables


@pytest.fixture
def platform(home, server, project, monkeypatch):
    """This home's platform; the environment of its processes is in `variables`."""
    server.secret, server.variables = made_secret(home), {}
    monkeypatch.setattr(announcing, "address_of", lambda home: server.address)
    monkeypatch.setattr(announcing, "servers", lambda folder: iter([Process(server.variables)]))
    return server


def announced(home, *words):
    return migaki_in_process(home.root, "index", "--announce", *words, check=False)


def test_files_are_told_as_the_run_finds_them(home, project, platform):
    answer = announced(home, "規則", "faq.csv#text=question", f"{project}/project/desk/faq.csv")
    desk = project / "project/desk"
    documents = [str(desk / "規則"), f"{desk / 'faq.csv'}#text=question", str(desk / "faq.csv")]
    assert answer["exit_code"] == 0 and (answer["told"], answer["documents"]) == ("corpus.updated", documents)
    assert platform.payloads == [{"documents": documents}]
    assert platform.authorizations == {f"Basic {b64encode(platform.secret.encode()).decode()}"}
    assert answer["automations"] == ["documents changed"]


def test_without_files_it_is_what_the_platform_watches_or_else_its_deployment(home, platform):
    assert announced(home)["documents"] == [] and platform.payloads == [{}]
    told_file(home).write_text(json.dumps({"documents": ["/srv/manuals"], "told": {}}))
    assert announced(home)["documents"] == ["/srv/manuals"] and platform.payloads[1:] == [{"documents": ["/srv/manuals"]}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.md"], "--announce: '{desk}/gone.md' does not exist"),
        (["*.pdf"], "--announce: '{desk}/*.pdf' matches no file"),
        (["../../beside"], "'{desk}/../../beside' lies outside of {project}"),
        (["/etc/hostname"], "'/etc/hostname' lies outside of {project}"),
        ([".env"], "'{desk}/.env' lies outside of {project}, or is hidden there"),
        (["sheet.xlsx"], "--announce sheet.xlsx: nothing there is a document; read are .txt, .md,"),
        (["faq.csv#txt=question"], "'txt=question' in #txt=question says no column"),
        (["table:runs"], "'runs' is a table of Migaki's own"),
        (["table:gone"], "the catalog has no table 'gone'"),
        ([""], "--announce '' names no file"),
        (["規則", "--set", "index.k1=2", "--verify"], "--announce goes with no --verify, --set"),
        (["--documents", "規則"], "--announce goes with no --documents"),
    ],
)
def test_what_is_refused_is_not_told(home, project, platform, words, message):
    answer = announced(home, *words)
    said = message.format(project=project / "project", desk=project / "project/desk")
    assert answer["exit_code"] == 1 and said in answer["message"], answer["message"]
    assert platform.events == []


def test_the_folders_that_count_are_those_of_the_platform(home, project, platform):
    platform.variables["MIGAKI_ROOTS"] = str(project / "beside")
    assert "lies outside of" in announced(home, "規則")["message"] and announced(home, "../../beside")["exit_code"] == 0


def test_what_is_too_much_for_an_event_is_refused(home, platform, monkeypatch):
    monkeypatch.setattr("flows.running.events.LARGEST", 300)
    assert "name the folders that they lie in" in announced(home, "規則", "規則/旅費.md")["message"] and platform.events == []


@pytest.mark.parametrize("automations", [[], [OTHER], [WAITING | {"enabled": False}]])
def test_where_nothing_waits_for_it_nothing_is_told(home, platform, automations):
    platform.automations = automations
    answer = announced(home)
    assert answer["exit_code"] == 1 and "waits for corpus.updated, or it is switched off" in answer["message"] and platform.events == []


def test_a_server_that_refuses_is_an_error(home, platform):
    platform.status = 500
    answer = announced(home)
    assert answer["exit_code"] == 1 and "was not told: HTTP Error 500" in answer["message"]


def test_without_a_platform_it_is_an_error(home, project):
    answer = announced(home, "規則")
    assert answer["exit_code"] == 1 and "there is no platform to tell: start `migaki platform`" in answer["message"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/api", "nowhere", "http://127.0.0.1:9x/api"])
def test_a_server_elsewhere_that_is_none_is_an_error(home, project, monkeypatch, address):
    monkeypatch.setenv("PREFECT_API_URL", address)
    answer = announced(home)
    assert answer["exit_code"] == 1 and f"Prefect's server at {address.removesuffix('/api')} was not told" in answer["message"]


def test_a_server_elsewhere_is_told_what_its_workers_find(home, server, project, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", f"{server.address}/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "team:secret")
    assert announced(home, "manuals", "faq.csv#text=answer")["documents"] == ["manuals", "faq.csv#text=answer"]
    assert server.payloads == [{"documents": ["manuals", "faq.csv#text=answer"]}]
    assert server.authorizations == {f"Basic {b64encode(b'team:secret').decode()}"}
