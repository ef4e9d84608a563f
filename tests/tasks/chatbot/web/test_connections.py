"""Connections that say nothing are closed, those that are in the middle of something are not, and a proxy is believed only where it is named."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from tasks.chatbot.web.connections import timed_protocol

ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def slow(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await asyncio.sleep(0.8)
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def listening(seconds):
    server = uvicorn.Server(uvicorn.Config(slow, http=timed_protocol(seconds), lifespan="off", log_level="error"))
    with socket.create_server(("127.0.0.1", 0)) as found:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [found]}, daemon=True)
        thread.start()
        try:
            yield found.getsockname()
        finally:
            server.should_exit = True
            thread.join()


def said(connection):
    heard = b""
    while piece := connection.recv(1000):
        heard += piece
    return heard


@pytest.mark.alone
@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nhost: x\r\n", ASK.replace(b"\r\n\r\n", b"\r\nx: " + b"a" * 100)])
def test_who_does_not_end_the_headers_is_sent_away(begun):
    with listening(0.4) as address, socket.create_connection(address, 20) as connection:
        connection.sendall(begun)
        started = time.monotonic()
        assert b" 408 " in said(connection) and time.monotonic() - started < 5


@pytest.mark.alone
def test_a_slow_answer_is_waited_for_and_a_second_request_has_its_own_limit():
    with listening(0.4) as address, socket.create_connection(address, 20) as connection:
        connection.sendall(ASK)
        time.sleep(1.2)
        assert connection.recv(1000).endswith(b"ok")
        connection.sendall(ASK[:10])
        assert b" 408 " in said(connection)


@pytest.mark.alone
def test_hundreds_of_silent_connections_are_gone_and_others_are_served():
    with listening(0.5) as address:
        silent = [socket.create_connection(address, 20) for _ in range(200)]
        with socket.create_connection(address, 20) as connection:
            connection.sendall(ASK)
            time.sleep(1.5)
            assert connection.recv(1000).endswith(b"ok")
        assert all(b" 408 " in said(one) for one in silent)
        [one.close() for one in silent]
