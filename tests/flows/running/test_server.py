"""The door before Prefect's server: which names, pages and sockets it lets in. The app behind it says that it was reached."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from flows.running.server import Door, refused

PORT = 4317
SOCKET = f"ws://127.0.0.1:{PORT}/in"
OWN = [f"{name}:{PORT}" for name in ("127.0.0.1", "localhost", "[::1]", "LocalHost")]
OTHER_HOSTS = [
    "evil.example",
    f"evil.example:{PORT}",
    f"127.0.0.1.evil.example:{PORT}",
    f"localhost.evil.example:{PORT}",
    f"evil@127.0.0.1:{PORT}",
    "127.0.0.1:9999",
    "127.0.0.1",
    f"127.0.0.2:{PORT}",
    f"0.0.0.0:{PORT}",
    f"[::2]:{PORT}",
    "",
]
OTHER_ORIGINS = [
    "null",
    "http://evil.example",
    f"http://evil.example:{PORT}",
    f"https://127.0.0.1:{PORT}",
    "http://127.0.0.1:8400",  # the chat's page, say
    "http://127.0.0.1",
    f"http://localhost:{PORT}",  # a page of the same server, but under another name than it asks under
    f"http://127.0.0.1:{PORT}.evil.example",
    "",
]


@pytest.fixture
def site():
    reached = []

    async def page(request):
        reached.append(request.method)
        return PlainTextResponse("reached", headers={"Access-Control-Allow-Origin": "*"})

    async def socket(websocket):
        reached.append("socket")
        await websocket.accept()
        await websocket.close()

    app = Starlette(routes=[Route("/", page, methods=["GET", "POST", "OPTIONS", "PUT", "DELETE"]), WebSocketRoute("/in", socket)])
    client = TestClient(Door(app), base_url=f"http://127.0.0.1:{PORT}")
    client.reached = reached
    return client


@pytest.mark.parametrize("host", OWN)
def test_its_own_names_are_let_in(site, host):
    origin = {"Host": host, "Origin": f"http://{host}"}
    assert site.get("/", headers={"Host": host}).text == "reached"
    assert site.post("/", headers=origin | {"Sec-Fetch-Site": "same-origin"}).text == "reached"
    with site.websocket_connect(SOCKET, headers=origin):
        pass
    assert site.reached == ["GET", "POST", "socket"]


@pytest.mark.parametrize("headers", [{"Host": host} for host in OTHER_HOSTS] + [{"Origin": origin} for origin in OTHER_ORIGINS])
def test_other_names_and_pages_reach_nothing(site, headers):
    for method in ("GET", "POST", "OPTIONS", "PUT", "DELETE"):
        answer = site.request(method, "/", headers=headers | {"Access-Control-Request-Method": "POST"}, content=b"{}")
        assert answer.status_code == 403 and next(iter(headers)) in answer.json()["detail"]
        assert not [name for name in answer.headers if name.startswith("access-control")]
    with pytest.raises(WebSocketDisconnect) as refusal, site.websocket_connect(SOCKET, headers=headers):
        pass
    assert refusal.value.code == 1008 and site.reached == []


@pytest.mark.parametrize(
    ("method", "dest"), [("POST", "empty"), ("GET", "image"), ("GET", "script"), ("GET", "iframe"), ("POST", "document")]
)
@pytest.mark.parametrize("where", ["cross-site", "same-site"])
def test_what_another_page_fetches_without_saying_whose_it_is(site, method, dest, where):
    answer = site.request(method, "/", headers={"Sec-Fetch-Site": where, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": dest})
    assert answer.status_code == 403 and site.reached == []


def test_a_link_to_the_page_may_be_followed(site):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert site.get("/", headers=headers).text == "reached"


@pytest.mark.parametrize("hosts", [0, 2])
def test_two_hosts_or_none_are_refused(hosts):
    scope = {"type": "http", "method": "GET", "server": ("127.0.0.1", PORT), "headers": [(b"host", f"127.0.0.1:{PORT}".encode())]}
    assert refused(scope) is None and "Host" in refused(scope | {"headers": scope["headers"] * hosts})


def test_the_page_takes_nothing_from_elsewhere(site):
    policy = site.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy and "img-src 'self' data: blob:;" in policy and "frame-ancestors 'none'" in policy
