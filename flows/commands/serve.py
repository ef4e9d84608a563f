"""Serve the champion over HTTP: the page, the API for OpenAI's clients, and its conversations in the catalog."""

import os
import signal
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flows.commands.show import console
from flows.running.local import interrupted
from flows.running.report import read_report
from flows.running.watching import read_watched
from flows.serving.decisions import KeptApprovals, note_tokens, person
from flows.serving.engine import Opened, open_anew, open_champion_index, open_engine
from flows.serving.wanted import Said, Wanted
from storage.chat_log import CANNOT_WRITE, ChatLog, Conversation, SafetyDecision
from storage.chats import KeptMessage, UnknownChat
from storage.home import Home
from storage.registry import champion_index
from storage.releases import champion_release
from tasks.chatbot.web.about import About
from tasks.chatbot.web.auth import check_exposure, is_loopback
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import NO_TOKENS, TokenFile, Tokens, User
from tasks.errors import MigakiError

if TYPE_CHECKING:
    import uvicorn

    from flows.serving.live_index import LiveIndex
    from tasks.chatbot.engine import ChatEngine
    from tasks.chatbot.events import Turn
    from tasks.chatbot.web.service import Service

LOOK = 1.0  # seconds between looks for other champions
TOKENS_LOOK = 1.0  # seconds between looks at the token file


def serve(home: Home, said: Said, *, artifact: str | None, token_file: Path | None, show: bool) -> dict[str, Any]:
    """Serve until interrupted.

    Raises:
        MigakiError: a setting or the token file is wrong, the address is taken, or there is nothing to serve.
    """
    settings = ServeSettings.build("serve", said.get("serve", {}))
    file = TokenFile(token_file) if token_file else None
    tokens = file.tokens if file else NO_TOKENS
    check_exposure(settings.host, tokens)
    with listening(settings) as sockets, ChatLog(home, on_log=console.print) as log:
        opened = open_engine(home, artifact, said)
        server, service = make_server(opened, settings, tokens, log)
        url = address(settings, sockets)
        announce(url, settings, tokens, opened)
        follow, over = Following(home, service, opened.wanted), threading.Event()
        del opened  # when the champion changes, nothing but the answers being made may hold the model
        followers = [threading.Thread(target=follow.follow, args=(over,), daemon=True)]
        note = partial(note_tokens, home, console.print)
        if file:
            note(file)
        if file and file.path.is_file():  # not a pipe, which gives its tokens once
            followers.append(threading.Thread(target=follow_tokens, args=(file, over, note), daemon=True))
        for follower in followers:
            follower.start()
        if show:
            threading.Thread(target=show_page, args=(server, url), daemon=True).start()
        for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises what ended it again: by then it must not end the process
            signal.signal(number, interrupted)
        try:
            server.run(sockets=sockets)
        except KeyboardInterrupt:
            console.print("stopped")
        finally:
            over.set()
            for follower in followers:
                follower.join()  # a thread inside DuckDB or torch must not outlive the program
            service.engine.backend.close()
    return {"url": url}


def make_server(opened: Opened, settings: ServeSettings, tokens: Tokens, log: ChatLog) -> "tuple[uvicorn.Server, Service]":
    import uvicorn

    from tasks.chatbot.web.app import create_app
    from tasks.chatbot.web.approvals import approval_routes
    from tasks.chatbot.web.connections import timed_protocol
    from tasks.chatbot.web.monitor import monitor_routes

    app = create_app(opened.engine, KeptChats(log, opened.about), opened.about, settings, tokens, partial(read_report, log.home))
    app.include_router(approval_routes(KeptApprovals(log.home)))
    app.include_router(monitor_routes(partial(read_watched, log.home)))
    config = uvicorn.Config(
        app,
        http=timed_protocol(settings.header_seconds),
        limit_concurrency=settings.max_connections,
        proxy_headers=bool(settings.trusted_proxies),  # uvicorn's own default believes whatever a program on this machine says
        forwarded_allow_ips=settings.trusted_proxies,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
    )
    return uvicorn.Server(config), app.state.service


def decisions_of(turn: "Turn") -> list[SafetyDecision]:
    """What the safety filters decided in a turn."""
    return [SafetyDecision(turn.turn_id, **decision) for decision in turn.decisions]


def conversation_with(about: About, channel: str, owner: str, title: str = "") -> Conversation:
    """A conversation as it begins with what serves."""
    return Conversation(
        about.version or about.model, about.index or None, channel, owner, title, about.release or None, about.unreleased or None
    )


class KeptChats:
    """Conversations in the catalog, as `tasks.chatbot.web.service.Chats` wants them."""

    def __init__(self, log: ChatLog, about: About):
        self.log, self.about = log, about

    def begin(self, owner: str, title: str) -> str:
        return self.log.begin_conversation(conversation_with(self.about, "page", owner, title))

    def keep(self, conversation_id: str, turn: "Turn") -> None:
        self.log.keep_turn(conversation_id, asdict(turn), decisions_of(turn))

    def note(self, turn: "Turn") -> None:
        self.log.keep_decisions(decisions_of(turn))

    def conversations(self, owner: str) -> list[dict[str, Any]]:
        return [{"id": talk.conversation_id, "title": talk.title, "last": talk.last.isoformat()} for talk in self.log.conversations(owner)]

    def messages(self, conversation_id: str, owner: str) -> list[dict[str, Any]]:
        with _as_the_page_expects():
            return [_as_shown(message) for message in self.log.messages(conversation_id, owner)]

    def delete(self, conversation_id: str, user: User) -> None:
        with _as_the_page_expects():
            self.log.delete_conversation(conversation_id, user.owner, person(user))

    def rate(self, turn_id: str, owner: str, rating: int, correction: str | None) -> None:
        with _as_the_page_expects():
            self.log.rate(turn_id, owner, rating, correction)


@contextmanager
def _as_the_page_expects() -> Iterator[None]:
    """Errors of the store as `Chats` names them."""
    try:
        yield
    except UnknownChat as error:
        raise LookupError(str(error)) from error
    except CANNOT_WRITE as error:
        raise OSError(str(error)) from error


def _as_shown(message: KeptMessage) -> dict[str, Any]:
    """A message without what only the catalog needs; calls as the events have them: what was called, and what came back."""
    if message.role == "user":
        return {"role": "user", "content": message.content}
    calls = [
        ({"name": call["name"], "arguments": call["arguments"]}, {name: value for name, value in call.items() if name != "arguments"})
        for call in message.calls
    ]
    return {name: value for name, value in asdict(message).items() if name not in ("message_id", "ordinal", "ts")} | {"calls": calls}


@contextmanager
def listening(settings: ServeSettings) -> Iterator[list[socket.socket]]:
    """The socket, taken before a model is loaded: that an address is in use should not take a minute to learn.

    Raises:
        MigakiError: the address is taken or not this machine's, or one half of the TLS pair is missing.
    """
    for name in ("tls_certificate", "tls_key"):
        path = getattr(settings, name)
        if bool(path) != bool(settings.tls_certificate or settings.tls_key) or (path and not Path(path).is_file()):
            raise MigakiError(f"serve.{name} = {path!r}: HTTPS needs both serve.tls_certificate and serve.tls_key, PEM files that exist")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        found = socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        raise MigakiError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; name others with --host and --port (0 takes a free one)"
        ) from error
    with found:
        yield [found]


def address(settings: ServeSettings, sockets: list[socket.socket]) -> str:
    """Where a browser on this machine finds the page."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, f"[{settings.host}]" if ":" in settings.host else settings.host)
    return f"http{'s' if settings.tls_certificate else ''}://{host}:{sockets[0].getsockname()[1]}/"


def announce(url: str, settings: ServeSettings, tokens: Tokens, opened: Opened) -> None:
    about = opened.about
    index = f"index {about.index[:12]}, {about.documents} documents" if about.index else "no index"
    console.print(f"{url}  ({about.model} {about.version[:12]} {about.precision}; {index}); Ctrl-C ends")
    console.print(about.unreleased or f"release {about.release[:12]}", soft_wrap=True)
    if tokens and not is_loopback(settings.host) and not settings.tls_certificate:
        console.print("tokens travel unencrypted: set serve.tls_certificate and serve.tls_key, or put a proxy with HTTPS before this")


def show_page(server: "uvicorn.Server", url: str) -> None:
    """Open the page in a browser once it is there; without a display the address printed has to do."""
    while not server.started and not server.should_exit:
        time.sleep(0.1)
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)


def follow_tokens(file: TokenFile, over: threading.Event, note: Callable[[TokenFile], object]) -> None:
    """Let in whom the token file names now, and have it noted. What cannot be followed any more lets nobody in."""
    while not over.wait(TOKENS_LOOK):
        try:
            if told := file.look():
                console.print(told)
                note(file)
        except Exception as error:
            file.tokens.replace({})
            console.print(f"the token file {str(file.path)!r} cannot be followed, so no token works: {error}")


class Following:
    """A server that answers from another index, and by another release, once it is the champion. One that cannot be opened is not tried twice."""

    def __init__(self, home: Home, service: "Service", want: Wanted):
        self.home, self.service, self.want = home, service, want
        self.index, self.release = service.about.index, want.base_id

    def follow(self, over: threading.Event) -> None:
        """Look until it is over."""
        while not over.wait(LOOK):
            for look in (self.look_for_index, self.look_for_release):
                try:
                    look()
                except Exception as error:
                    console.print(f"another champion cannot be opened, what served before goes on: {error}")

    def look_for_index(self) -> None:
        """Have the index taken up, nobody having asked, and say which it is once questions are answered from it.

        Raises:
            MigakiError, StorageError: it cannot be opened.
        """
        row = champion_index(self.home)
        if row is None or row.artifact_id == self.index:
            return
        live = cast("LiveIndex | None", self.service.engine.retriever)
        if live is not None and live.serving.id != row.artifact_id:
            if live.failed != row.artifact_id:
                return  # it is being opened
            self.index = row.artifact_id
            raise MigakiError(live.error)
        self.index = row.artifact_id
        if live is None:
            self.service.engine.retriever = open_champion_index(self.home)
        self._tell(replace(self.service.about, index=row.artifact_id, documents=row.documents))
        console.print(f"answering from index {row.artifact_id[:12]} now, {row.documents} documents")

    def look_for_release(self) -> None:
        """Questions from now on go to the champion; answers being made end with what they began with, whose model is freed after the last of them."""
        row = None if self.want.fixed else champion_release(self.home)
        if row is None or row.release_id == self.release:
            return
        self.release = row.release_id
        opened = open_anew(self.home, cast("ChatEngine", self.service.engine), self.service.about, self.want)
        self.service.engine, self.want = opened.engine, opened.wanted
        about = replace(opened.model, index=self.service.about.index, documents=self.service.about.documents)
        self._tell(about)
        console.print(
            f"answering with {about.model} {about.version[:12]} {about.precision} now, {about.unreleased or f'release {about.release[:12]}'}"
        )

    def _tell(self, about: About) -> None:
        self.service.about = self.service.chats.about = about
