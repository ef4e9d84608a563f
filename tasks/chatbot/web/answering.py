"""Answers of the engine, which blocks, handed to the server's event loop, which must not.

Each answer is made in a thread of its own. A client that leaves only sets `stop`: the thread goes on to the end of the turn, so
that what was written is kept, and its slot is free when it has really ended.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.requests import Request

from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.limits import Slots
from tasks.chatbot.web.tokens import NO_TOKENS, Tokens, withdrawn

GRACE = 15.0  # seconds that an answer may take to stop when it is told to
LOOK = 0.25  # seconds between looks at whether a client is still there
ENDED = object()
T = TypeVar("T")


async def answering(
    produce: Callable[[], Iterator[T]], stop: threading.Event, slots: Slots, seconds: float, owner: str = "", tokens: Tokens = NO_TOKENS
) -> AsyncGenerator[T, None]:
    """The events of `produce()`, which runs in a thread once there is a slot.

    After `seconds`, when the owner's token is taken back, and when the iteration is left early, `stop` is set.

    Raises:
        ApiError: no slot came, the answer did not end even when it was stopped, or the token was taken back, be it while this waited.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()  # of events, or an exception, then ENDED

    def taken_back() -> None:
        stop.set()
        slots.dismiss(owner, withdrawn())
        while not queue.empty():  # what was not sent yet is not sent any more
            queue.get_nowait()
        queue.put_nowait(withdrawn())

    with tokens.held(owner, taken_back):
        await slots.take(owner)
        threading.Thread(target=_run, args=(produce, loop, queue, slots, owner), daemon=True, name="answer").start()
        timer, deadline = loop.call_later(seconds, stop.set), time.monotonic() + seconds + GRACE
        try:
            while (event := await _next(queue, deadline)) is not ENDED:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            timer.cancel()
            stop.set()


def _run(
    produce: Callable[[], Iterator[object]], loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[Any], slots: Slots, owner: str
) -> None:
    def say(call: Callable[..., Any], *arguments: Any) -> None:
        with suppress(RuntimeError):  # of a loop that was closed, because the server is gone
            loop.call_soon_threadsafe(call, *arguments)

    try:
        for event in produce():
            say(queue.put_nowait, event)
    except Exception as error:
        say(queue.put_nowait, error)
    finally:
        say(slots.give, owner)
        say(queue.put_nowait, ENDED)


async def _next(queue: asyncio.Queue[Any], deadline: float) -> Any:
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await queue.get()
    except TimeoutError as error:
        raise ApiError(504, "timeout", "the answer took too long and did not stop") from error


async def together(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[tuple[int, T], None]:
    """What several streams give, as it comes, each with its number. When one of them fails, or the iteration is left early, all end.

    Raises what a stream raises.
    """
    queue: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()  # of what they give, or an exception, then ENDED

    async def pump(number: int, stream: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(stream):
                async for given in stream:
                    queue.put_nowait((number, given))
        except Exception as error:
            queue.put_nowait((number, error))
        queue.put_nowait((number, ENDED))

    tasks = [asyncio.create_task(pump(number, stream)) for number, stream in enumerate(streams)]
    try:
        left = len(tasks)
        while left:
            number, given = await queue.get()
            if given is ENDED:
                left -= 1
            elif isinstance(given, Exception):
                raise given
            else:
                yield number, given
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, which is cancelled when the client leaves (nobody reads the answer then: None)."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=LOOK)
            if not task.done() and await request.is_disconnected():
                return None
        return task.result()
    finally:
        task.cancel()
