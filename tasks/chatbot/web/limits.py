"""How much one user, and all together, may ask for."""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from tasks.chatbot.web.errors import ApiError

REMEMBERED = 10_000  # users whose buckets are kept; the one unseen for longest goes first


@dataclass
class _Bucket:
    level: float
    at: float


class Buckets:
    """A token bucket per user (ITU-T I.371's leaky bucket as a meter): `burst` at once, `per_minute` in the long run."""

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic):
        self.rate, self.burst, self.clock = per_minute / 60, burst, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, user: str) -> float:
        """Take one from the user's bucket. Returns 0, or, when it is empty, the seconds until there is one."""
        now = self.clock()
        bucket = self._buckets.pop(user, None) or _Bucket(self.burst, now)
        bucket.level, bucket.at = min(self.burst, bucket.level + (now - bucket.at) * self.rate), now
        self._buckets[user] = bucket
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        if bucket.level < 1:
            return (1 - bucket.level) / self.rate
        bucket.level -= 1
        return 0.0


class Slots:
    """At most `limit` answers at once, and `limit_each` of one user; others wait, at most `places` of them, `places_each` of one user, and for at most
    `seconds`.

    The next place goes to whoever has the fewest answers being made, of those to who was served longest ago, then to who came first: a user who
    asks a hundred times gets no more than the others, unless there are none. Without an owner nobody is told apart, and only the limits of all hold.
    """

    def __init__(self, limit: int, places: int, seconds: float, limit_each: int | None = None, places_each: int | None = None):
        self.limit, self.places, self.seconds = limit, places, seconds
        self.limit_each = limit if limit_each is None else min(limit, limit_each)
        self.places_each = places if places_each is None else min(places, places_each)
        self.active = 0
        self._running: Counter[str] = Counter()
        self._served: dict[str, int] = {}  # when, of those who wait or are answered
        self._count = 0
        self._queue: list[tuple[str, asyncio.Future[None]]] = []  # in the order of arrival

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def share(self, owner: str = "") -> int:
        """Answers that one user may have made, or wait for, at once."""
        return self.limit_each + self.places_each if owner else self.limit + self.places

    def check(self, owner: str = "", answers: int = 1) -> None:
        """Raises:
        ApiError: 503, no place is left for so many answers to wait in; 429, this user has none left.
        """
        if owner and self._running[owner] + self._waiting(owner) + answers > self.share(owner):
            raise ApiError(
                429, "too_many_at_once", "too many of your questions are being answered just now; wait for one of them", retry_after=5
            )
        if self.active + self.waiting + answers > self.share():
            raise ApiError(503, "busy", "too many people are asking just now; try again in a moment", retry_after=5)

    async def take(self, owner: str = "") -> None:
        """Wait for a slot. Whoever takes one gives it back with `give`. Raises what `check` raises, and the same after `seconds`."""
        self.check(owner)
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((owner, turn))
        self._hand_out()
        try:
            async with asyncio.timeout(self.seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came in the same moment
                self.give(owner)
            self._queue = [waiting for waiting in self._queue if waiting[1] is not turn]
            if isinstance(error, TimeoutError):
                raise ApiError(
                    503, "busy", f"no turn came within {self.seconds:g} seconds; try again in a moment", retry_after=15
                ) from error
            raise

    def dismiss(self, owner: str, error: ApiError) -> None:
        """Whoever waits for this user waits no longer: `take` raises the error."""
        for one, turn in self._queue:
            if one == owner and not turn.done():
                turn.set_exception(error)

    def give(self, owner: str = "") -> None:
        self.active -= 1
        self._running[owner] -= 1
        self._hand_out()
        if not self._running[owner]:
            del self._running[owner]
            if not self._waiting(owner):
                self._served.pop(owner, None)

    def _waiting(self, owner: str) -> int:
        return sum(one == owner for one, _ in self._queue)

    def _hand_out(self) -> None:
        """Give free slots to those whose turn it is."""
        while self.active < self.limit:
            ready = [place for place, (owner, _) in enumerate(self._queue) if not owner or self._running[owner] < self.limit_each]
            if not ready:
                return
            owner, turn = self._queue.pop(min(ready, key=lambda place: self._had(self._queue[place][0])))
            if not turn.done():
                self.active += 1
                self._count += 1
                self._running[owner] += 1
                self._served[owner] = self._count
                turn.set_result(None)

    def _had(self, owner: str) -> tuple[int, int]:
        """Answers that a user has just now, and when the last began."""
        return (self._running[owner], self._served.get(owner, 0)) if owner else (0, 0)
