"""One real Prefect server with a worker for each pool, one run at a time in both: who holds its secret runs retrain over the API and reads
of it on the page; who does not, or comes from another page, reaches nothing."""

import base64
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import prefect
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from flows.commands import platform
from flows.running.local import APP, wait_for_server
from flows.running.pages import plain
from flows.running.secret import new_secret, read_secret, secret_file
from storage.catalog import Catalog
from storage.home import Home
from tests import ROOT

PORT = 4317
OWN = f"127.0.0.1:{PORT}"
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


class Platform:
    """The platform in a home of its own, and its API, asked with its secret."""

    def __init__(self, home, log):
        self.home, self.log, self.secret = home, log, read_secret(home)
        self.headers = {"Content-Type": "application/json", "Authorization": basic(self.secret)}

    def ask(self, path, body=None, method=None):
        """(status, answer)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{OWN}/api{path}", data=data, headers=self.headers, method=method)
        for _ in range(10):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status, json.loads(answer.read() or "null")
            except urllib.error.HTTPError as error:
                if error.code != 503:  # SQLite is busy: Prefect's own clients come again too
                    return error.code, error.read().decode()
                time.sleep(1)
        raise TimeoutError(path)

    def api(self, path, body=None):
        status, answer = self.ask(path, body)
        assert status < 300, answer
        return answer

    def deployment(self, name):
        return self.api(f"/deployments/name/{name}/{name}")

    def finished(self, run, seconds=120):
        """The last state of a flow run."""
        until = time.monotonic() + seconds
        while (state := self.api(f"/flow_runs/{run['id']}")["state"])["type"] not in ENDED and time.monotonic() < until:
            time.sleep(1)
        return state

    def said(self, run, last, seconds=60):
        """The lines of a run's log, once it has the last one, which is sent after the run's state."""
        until, lines = time.monotonic() + seconds, []
        while not any(last in line for line in lines) and time.monotonic() < until:
            page = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "offset": len(lines)}  # 200 at a time
            if not (more := self.api("/logs/filter", page)):
                time.sleep(1)
            lines += [line["message"] for line in more]
        return lines

    def start(self, name, parameters):
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return self.api(path, {"parameters": parameters, "state": {"type": "SCHEDULED"}})

    def count(self):
        """Flow runs that there are."""
        return self.api("/flow_runs/count", {})


def basic(secret):
    return f"Basic {base64.b64encode(secret.encode()).decode()}"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The platform on a port of its own, both pools limited to one run; runs may name files of the project and of the tests."""
    folder = tmp_path_factory.mktemp("platform")
    home, log = Home(folder / "home"), folder / "platform.log"
    home.root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("MIGAKI_ROOTS", os.pathsep.join([str(ROOT), str(tmp_path_factory.getbasetemp())]))
        platform.refuse_taken_port(PORT)
        processes = [platform.serving(home, PORT, log)]
        try:
            wait_for_server(processes[0], PORT, log)
            platform.set_up(home, PORT, {"cpu": 1, "gpu": 1})
            processes += [platform.start_worker(home, PORT, pool, log) for pool in platform.POOLS]
            yield Platform(home, log)
        finally:
            platform.end(processes)


@pytest.fixture
def attack(running, tmp_path):
    """A body that would run a command, and afterwards whether anything ran."""
    mark = tmp_path / "ran"
    body = {"state": {"type": "SCHEDULED"}, "job_variables": {"command": f"touch {mark}"}}
    deployment, before = running.deployment("harvest")["id"], running.count()
    yield f"/api/deployments/{deployment}/create_flow_run", json.dumps(body)
    assert running.count() == before and not mark.exists()


def request(method, path, body="", **headers):
    """(status, headers) of a request with these headers alone, `Host` included."""
    connection = HTTPConnection("127.0.0.1", PORT, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    sent = {"Host": OWN, "Content-Length": len(body)} | {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in sent.items():
        connection.putheader(name, value)
    connection.endheaders(body.encode())
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


def test_twenty_requests_without_the_secret(running, attack):
    path, body = attack
    known = basic(running.secret)
    refused = {
        "no-cors from a page: no type": request("POST", path, body),
        "json": request("POST", path, body, Content_Type="application/json"),
        "another secret": request("POST", path, body, Authorization=basic(new_secret())),
        "no password": request("POST", path, body, Authorization=basic("migaki:")),
        "a bearer": request("POST", path, body, Authorization=f"Bearer {running.secret}"),
        "no Base64": request("POST", path, body, Authorization=f"Basic {running.secret}"),
        "reads runs": request("POST", "/api/flow_runs/filter", "{}"),
        "reads settings": request("GET", "/api/admin/settings"),
        "reads the version": request("GET", "/api/admin/version"),
        "ends with health": request("GET", "/api/variables/name/health"),
        "a new pool": request("POST", "/api/work_pools/", '{"name": "own", "type": "process"}'),
        "other Host, and the secret": request("POST", path, body, Host=f"evil.example:{PORT}", Authorization=known),
        "other Host, open route": request("GET", "/api/health", Host="evil.example"),
        "other Host, page": request("GET", "/", Host=f"127.0.0.1.evil.example:{PORT}"),
        "other Origin, and the secret": request("POST", path, body, Origin="http://evil.example", Authorization=known),
        "another port's page": request("POST", path, body, Origin="http://127.0.0.1:8400", Authorization=known),
        "a sandboxed page": request("POST", path, body, Origin="null", Authorization=known),
        "preflight": request("OPTIONS", path, Origin="http://evil.example", Access_Control_Request_Method="POST"),
        "preflight of open routes": request("OPTIONS", "/api/health", Origin="http://evil.example", Access_Control_Request_Method="GET"),
        "no-cors, by what the browser says": request("POST", path, body, Sec_Fetch_Site="cross-site", Authorization=known),
    }
    assert len(refused) == 20
    assert {name: answer[0] for name, answer in refused.items() if answer[0] not in (401, 403)} == {}
    assert not [name for name, answer in refused.items() if "access-control-allow-origin" in answer[1]]
    assert request("GET", "/api/health")[0] == 200 and request("GET", "/api/admin/version", Authorization=known)[0] == 200


def test_the_secret_stands_in_its_file_alone(running):
    password = running.secret.partition(":")[2]
    words = [word for process in psutil.process_iter(["cmdline"]) for word in process.info["cmdline"] or ()]
    assert any(APP in word for word in words) and not [word for word in words if password in word]
    kept = [path for path in running.home.root.rglob("*") if path.is_file() and password.encode() in path.read_bytes()]
    assert kept == [secret_file(running.home)] and password not in running.log.read_text(errors="replace")


def test_doctor_says_how_the_platform_stands(running, tmp_path):
    assert platform.state(running.home) == (f"Prefect {prefect.__version__} at http://{OWN}", "")
    assert platform.state(Home(tmp_path)) == ("not running", "")
    file = secret_file(running.home)
    file.write_text(new_secret())
    try:
        assert "does not answer to this home's secret" in platform.state(running.home)[1]
    finally:
        file.write_text(running.secret + "\n")


SOCKETS = ("/events/in", "/events/out", "/logs/out", "/task_runs/subscriptions/scheduled", "/work_pools/cpu/workers/connect")


@pytest.mark.parametrize("path", SOCKETS)
def test_no_socket_opens_without_the_secret(running, path):
    address = f"ws://{OWN}/api{path}"

    def opened(token, **options):
        """Whether the server lets a client in that says this."""
        with connect(address, subprotocols=["prefect"], **options) as client:
            client.send(json.dumps({"type": "auth", "token": token}))
            return json.loads(client.recv(timeout=20))["type"] == "auth_success"

    for token in (None, "", "migaki:", new_secret()):
        with pytest.raises(ConnectionClosed):
            opened(token)
    with pytest.raises((ConnectionClosed, InvalidStatus)), connect(address) as client:  # as clients before the handshake did
        client.recv(timeout=20)
    for options in ({"origin": "http://evil.example"}, {"origin": "null"}, {"additional_headers": {"Sec-Fetch-Site": "cross-site"}}):
        with pytest.raises(InvalidStatus, match="403"):
            opened(running.secret, **options)
    sock = socket.create_connection(("127.0.0.1", PORT))
    with pytest.raises(InvalidStatus, match="403"), connect(f"ws://evil.example:{PORT}/api{path}", sock=sock):
        pass
    assert opened(running.secret)


class Elsewhere:
    """Another site's page on a port of its own; Chromium takes every name below localhost to this machine."""

    def __init__(self, script):
        class Page(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><body>" + script.encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.mark.parametrize("site", ["evil.localhost", "localhost", "127.0.0.1"])
def test_a_page_elsewhere_does_nothing(running, attack, chromium, site):
    path, body = attack
    elsewhere, tab = Elsewhere(""), chromium.new_page()
    try:
        tab.goto(f"http://{site}:{elsewhere.port}/")
        tried = tab.evaluate(
            """async ([host, path, body]) => {
                const url = `http://${host}${path}`, tried = {};
                const of = async (name, act) => { try { tried[name] = await act(); } catch (error) { tried[name] = "failed"; } };
                await of("untyped", () => fetch(url, {method: "POST", mode: "no-cors", body: new Blob([body])}).then(answer => answer.type));
                await of("text", () => fetch(url, {method: "POST", mode: "no-cors", body}).then(answer => answer.type));
                await of("beacon", () => navigator.sendBeacon(url, body) && "sent");
                await of("cors", () => fetch(url, {method: "POST", body, headers: {"Content-Type": "application/json"}}).then(answer => answer.status));
                await of("read", () => fetch(`http://${host}/api/health`).then(answer => answer.text()));
                await of("script", () => new Promise(done => {
                    const node = Object.assign(document.createElement("script"), {src: `http://${host}/api/health`});
                    node.onload = () => done("loaded"); node.onerror = () => done("failed"); document.body.append(node); }));
                await of("socket", () => new Promise(done => {
                    const socket = new WebSocket(`ws://${host}/api/events/in`, "prefect");
                    socket.onopen = () => done("open"); socket.onerror = () => done("failed"); }));
                const form = Object.assign(document.createElement("form"), {method: "POST", action: url, enctype: "text/plain", target: "frame"});
                const frame = Object.assign(document.createElement("iframe"), {name: "frame"});
                form.append(Object.assign(document.createElement("input"), {name: body.slice(0, -1) + ', "x": "', value: '"}'}));
                document.body.append(frame, form); form.submit();
                await new Promise(done => setTimeout(done, 1500));
                return tried;
            }""",
            [OWN, path, body],
        )
    finally:
        tab.close()
        elsewhere.server.shutdown()
    opaque = {tried.pop(name) for name in ("untyped", "text", "beacon")}  # a page never learns of these what became of them
    assert opaque <= {"opaque", "sent", "failed"} and set(tried.values()) == {"failed"}, tried


def test_a_name_that_was_made_to_mean_this_machine_shows_no_page(running, chromium):
    tab = chromium.new_page()
    assert tab.goto(f"http://evil.localhost:{PORT}/").status == 403 and "is not this server" in tab.inner_text("body")
    tab.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_page_works_under_both_names(running, chromium, host):
    context = chromium.new_context()
    tab, elsewhere = context.new_page(), []
    tab.on(
        "response", lambda answer: elsewhere.append(answer.url) if not answer.url.startswith((f"http://{host}:{PORT}/", "blob:")) else None
    )
    tab.goto(f"http://{host}:{PORT}/")
    field = tab.get_by_placeholder("admin:pass")
    field.fill(new_secret())
    tab.get_by_role("button", name="Login").click()
    tab.get_by_text("Invalid credentials").wait_for()
    field.fill(running.secret)
    tab.get_by_role("button", name="Login").click()
    tab.get_by_role("link", name="Deployments").click()
    tab.get_by_role("link", name="harvest").first.wait_for()
    assert elsewhere == []  # nothing came from another site
    context.close()


HOSTILE = [
    "![x](http://evil.localhost:{port}/i.png)",
    "<img src=http://evil.localhost:{port}/i.png onerror=document.title=1>",
    "[a](javascript:alert(1))",
]
HOSTILE += [
    "`code` | cell",
    "http://evil.example www.evil.example a@evil.example",
    "&lt;b&gt;",
    "日本語の文。**太字**",
    "<script>document.title=2</script>",
]


def test_text_is_shown_as_text(running, chromium):
    elsewhere = Elsewhere("")
    texts = [text.format(port=elsewhere.port) for text in HOSTILE]
    made = running.api(
        "/artifacts/", {"key": "hostile", "type": "markdown", "data": "\n\n".join(map(plain, texts)), "description": plain(texts[0])}
    )
    raw = running.api("/artifacts/", {"key": "raw", "type": "markdown", "data": "\n\n".join(texts)})
    context = chromium.new_context()
    tab, fetched = context.new_page(), []
    tab.on("response", lambda answer: fetched.append(answer.url) if "evil" in answer.url else None)
    tab.goto(f"http://{OWN}/")
    tab.get_by_placeholder("admin:pass").fill(running.secret)
    tab.get_by_role("button", name="Login").click()
    tab.get_by_role("link", name="Deployments").wait_for()
    tab.goto(f"http://{OWN}/v2/artifacts/artifact/{made['id']}")
    tab.get_by_text(texts[-1]).wait_for()
    shown = tab.inner_text("body").replace("\u2060", "")
    assert [text for text in texts if text not in shown] == []
    assert tab.locator("a[href*=evil], a[href^=javascript], img[src*=evil], main code").count() == 0
    tab.goto(f"http://{OWN}/v2/artifacts/artifact/{raw['id']}")  # of what others write there: markup, and yet nothing is fetched
    tab.locator("img[src*=evil]").first.wait_for(state="attached")
    tab.wait_for_timeout(500)
    assert fetched == []
    context.close()
    elsewhere.server.shutdown()


@pytest.mark.parametrize(
    "variables", [{"command": "touch x"}, {"env": {"PATH": "/x"}}, {"env.PATH": "/x"}, {"working_dir": "/"}, {"image": "x"}], ids=str
)
def test_a_run_says_nothing_of_its_process(running, variables):
    path = f"/deployments/{running.deployment('harvest')['id']}/create_flow_run"
    status, answer = running.ask(path, {"state": {"type": "SCHEDULED"}, "job_variables": variables})
    assert status == 422 and next(iter(variables)) in answer


def test_nor_where_the_server_asks_for_no_template(running, tmp_path):
    """`/flow_runs/` does not hold variables to the pool's template; the worker's reading of it does."""
    deployment = running.deployment("harvest")
    variables = {"command": f"touch {tmp_path / 'ran'}", "env": {"MIGAKI_HOME": str(tmp_path / "other")}, "working_dir": str(tmp_path)}
    body = {"flow_id": deployment["flow_id"], "deployment_id": deployment["id"], "work_pool_name": "cpu", "job_variables": variables}
    state = running.finished(running.api("/flow_runs/", body | {"state": {"type": "SCHEDULED"}}))
    assert state["type"] == "COMPLETED", running.log.read_text(errors="replace")[-4000:]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["local", "prefect"])
def test_a_run_that_names_files_elsewhere_ends_with_their_name(running, where):
    runs = {name: running.start("index", {"run": {"where": where}, "index": {"documents": [name]}}) for name in ("/etc", "~/.ssh")}
    for name, run in runs.items():
        state = running.finished(run)
        assert state["type"] == "FAILED" and f"index.documents = '{name}'" in state["message"]


def test_retrain_over_the_api_with_both_limits_at_one(running, small_project):
    before = {row["run_id"] for row in Catalog.of(running.home).query("SELECT run_id FROM runs")}
    where = {"where": "prefect", "model": small_project.model, "embedder": small_project.embedder}
    deployment = running.deployment("retrain")
    assert deployment["schedules"][0]["active"] is False and deployment["schedules"][0]["schedule"]["timezone"] == "Asia/Tokyo"
    run = running.start("retrain", {"run": where, "prepare": small_project.files, **small_project.settings})
    assert running.finished(run, 800)["type"] == "COMPLETED", running.log.read_text(errors="replace")[-4000:]
    pools = {}
    for flow_run in running.api("/flow_runs/filter", {}):
        flow = running.api(f"/flows/{flow_run['flow_id']}")["name"]
        pools.setdefault(flow, set()).add(flow_run["work_pool_name"])
    assert pools["retrain"] == {"cpu"}
    assert all(pools[flow] - {None} == {"gpu"} for flow in ("tune", "align", "quantize", "evaluate"))
    rows = [row for row in Catalog.of(running.home).query("SELECT run_id, flow, status FROM runs") if row["run_id"] not in before]
    assert {row["status"] for row in rows} == {"completed"} and len(rows) == 12

    said = running.said(run, "Finished in state Completed")
    assert any("Beginning flow run" in line for line in said) and any("Finished in state Completed" in line for line in said)
    events = {event["event"] for event in running.api("/events/filter", {"limit": 50})["events"]}
    assert {"prefect.flow-run.Completed", "prefect.task-run.Completed"} <= events
    tasks = {task["name"] for task in running.api("/task_runs/filter", {})}
    assert {"merge", "measure_variant int8", "embed_chunks", "train_policy ppo", "ask_chatbot release"} <= tasks
    named = {own["name"]: own for own in running.api("/flow_runs/filter", {})}
    day = next(name.rpartition(" ")[2] for name in named if name.startswith("retrain standard "))
    assert {"evaluate", "gpu"} <= set(named[f"evaluate standard {day}"]["tags"]) and f"index standard {day}" in named
    kept = {own["key"]: own["data"] for own in running.api("/artifacts/filter", {}) if own["flow_run_id"] == run["id"]}
    assert {"stages", "figures", "chatbot", "gate", "curves", "report", "promotion"} <= kept.keys()
    assert "| tune | completed |" in kept["stages"] and "data:image/svg" in kept["curves"] and "/report#" in kept["report"]
    assert any(line.startswith("report: ") for line in said) and any(line.startswith("tune: done, ") for line in said)
    assert {"prepare", "safety", "tune", "align", "choose", "quantize", "index", "calibrate", "answering", "evaluate"} <= tasks
