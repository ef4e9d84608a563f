"""How much one user, and all together, may ask for."""

import asyncio
import time
from collections import OrderedDict
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
    """At most `limit` answers at once; others wait in order, at most `places` of them and for at most `seconds`."""

    def __init__(self, limit: int, places: int, seconds: float):
        self.limit, self.places, self.seconds = limit, places, seconds
        self.active = self.waiting = 0
        self._free = asyncio.Semaphore(limit)

    def check(self) -> None:
        """Raises:
        ApiError: 503, no place is left to wait in.
        """
        if self.active + self.waiting >= self.limit + self.places:
            raise ApiError(503, "busy", "too many people are asking just now; try again in a moment", retry_after=5)

    async def take(self) -> None:
        """Wait for a slot. Whoever takes one gives it back with `give`. Raises what `check` raises, and the same after `seconds`."""
        self.check()
        self.waiting += 1
        try:
            async with asyncio.timeout(self.seconds):
                await self._free.acquire()
        except TimeoutError as error:
            raise ApiError(503, "busy", f"no turn came within {self.seconds:g} seconds; try again in a moment", retry_after=15) from error
        finally:
            self.waiting -= 1
        self.active += 1

    def give(self) -> None:
        self.active -= 1
        self._free.release()
