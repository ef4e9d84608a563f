"""Compressed bytes, unpacked no further than they may grow: a megabyte of gzip can hold gigabytes."""

import zlib
from collections.abc import Iterable

GZIP_OR_ZLIB = zlib.MAX_WBITS + 32


class TooLarge(Exception):
    """What was unpacked passed its limit."""


def gunzipped(parts: Iterable[bytes], limit: int) -> bytes:
    """What gzip or zlib data hold, several members one after the other included.

    Args:
        limit: bytes that it may become.

    Raises:
        TooLarge: it becomes more.
        EOFError: the data end in the middle.
        zlib.error: they are no gzip or zlib data, or damaged.
    """
    found, member = bytearray(), zlib.decompressobj(GZIP_OR_ZLIB)
    for part in parts:
        while part:
            if member.eof:
                if part := part.lstrip(b"\0"):  # padding between members
                    member = zlib.decompressobj(GZIP_OR_ZLIB)
                continue
            found += member.decompress(part, limit + 1 - len(found))
            if len(found) > limit:
                raise TooLarge
            part = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise EOFError("the compressed data end in the middle")
    return bytes(found)
