"""JSON from a service by HTTP, for the providers that a team sets up."""

import zlib
from typing import Any
from urllib.parse import quote

import httpx

from tasks.errors import MigakiError
from tasks.unpacking import TooLarge, gunzipped

LARGEST = 2 << 20  # bytes of an answer


def get_json(template: str, values: dict[str, object], key: str = "", seconds: float = 8.0) -> dict[str, Any]:
    """The JSON object at a URL.

    Args:
        template: the URL with places such as `{query}`, which are filled with the values, quoted.
        key: sent as a bearer token where there is one.

    Raises:
        MigakiError: the template names a place that nothing fills; or no such object came in time.
    """
    try:
        url = template.format(**{name: quote(str(value), safe="") for name, value in values.items()})
    except (KeyError, IndexError, ValueError) as error:
        raise MigakiError(f"the address {template!r} has a place that nothing fills; there are: {', '.join(values)}") from error
    host = httpx.URL(url).host
    headers = {"Accept-Encoding": "gzip, deflate"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        with httpx.stream("GET", url, headers=headers, timeout=seconds) as response:
            response.raise_for_status()
            body = _read(response, host)
            return _object(httpx.Response(200, content=body).json(), host)
    except httpx.HTTPStatusError as error:
        raise MigakiError(f"{host} answered with status {error.response.status_code}") from error
    except httpx.TimeoutException as error:
        raise MigakiError(f"{host} did not answer within {seconds:g} s") from error
    except httpx.HTTPError as error:
        raise MigakiError(f"{host} could not be reached ({type(error).__name__})") from error
    except ValueError as error:
        raise MigakiError(f"{host} did not answer in JSON") from error


def _read(response: httpx.Response, host: str) -> bytes:
    """The body, unpacked here: httpx would unpack a whole part before its size can be seen."""
    packing = response.headers.get("content-encoding", "identity").strip().lower()
    try:
        if packing in ("gzip", "x-gzip", "deflate"):
            return gunzipped(response.iter_raw(), LARGEST)
        if packing not in ("", "identity"):
            raise MigakiError(f"{host} answered in the encoding {packing!r}; gzip, deflate and none are accepted")
        body = b""
        for part in response.iter_raw():
            body += part
            if len(body) > LARGEST:
                raise TooLarge
        return body
    except TooLarge:
        raise MigakiError(f"{host} answered with more than {LARGEST >> 20} MiB") from None
    except (EOFError, zlib.error) as error:
        raise MigakiError(f"{host} answered in gzip that is not whole: {error}") from error


def _object(value: Any, host: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MigakiError(f"{host} answered with a {type(value).__name__} where a JSON object was expected")
    return value
