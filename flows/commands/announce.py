"""`migaki index --announce`: tells a platform that documents changed, so that it makes the index of them anew."""

import argparse
import os
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil

from flows.commands.show import console
from flows.running.events import CORPUS_UPDATED, tell_of_documents
from flows.running.local import address_of, servers
from flows.running.roots import allowed, hold_to, placed
from flows.running.secret import read_secret
from flows.running.supervisor import Api
from flows.running.watch import watched
from storage.home import Home
from tasks.documents.finding import find_documents, split_columns
from tasks.documents.parsed import SUFFIXES
from tasks.documents.rows import Columns
from tasks.errors import MigakiError
from tasks.rag.fingerprint import TABLE, table_documents
from tasks.rag.settings import IndexSettings
from tasks.shown import shown

OTHERS = ("documents", "serve_anyway", "verify", "profile", "model", "config", "set")  # options of `migaki index`, which indexes here


def announce(home: Home, arguments: argparse.Namespace) -> dict[str, Any]:
    """Tell the server of PREFECT_API_URL, or else this home's platform, that documents changed, and say what comes of it.

    Raises:
        MigakiError: another option was given; no server is there, it refuses, or nothing there waits for the event; or a run of this home's platform
            would refuse what was named. Nothing was told then.
    """
    if others := [f"--{name.replace('_', '-')}" for name in OTHERS if getattr(arguments, name)]:
        raise MigakiError(
            f"--announce goes with no {', '.join(others)}: the platform makes the index, with the settings of its deployment (prefect.yaml); "
            "documents are named behind --announce"
        )
    if "" in arguments.announce:
        raise MigakiError("--announce '' names no file; name files and folders, or nothing at all")
    if elsewhere := os.environ.get("PREFECT_API_URL", ""):
        api = Api(elsewhere.rstrip("/").removesuffix("/api"), os.environ.get("PREFECT_API_AUTH_STRING", ""))
        documents = list(arguments.announce)  # as its workers find them
    else:
        if (address := address_of(home)) is None:
            raise MigakiError(
                "there is no platform to tell: start `migaki platform` with this home, or set PREFECT_API_URL (and PREFECT_API_AUTH_STRING); "
                "`migaki index --documents` indexes without one"
            )
        api = Api(address, read_secret(home))
        documents = _checked(home, arguments.announce) if arguments.announce else watched(home)
    try:
        waiting = listeners(api)
        if not waiting:
            raise MigakiError(
                f"no automation at {api.address} waits for {CORPUS_UPDATED}, or it is switched off: `prefect --no-prompt deploy --all` makes it "
                "(prefect.yaml), and Prefect's page switches it on"
            )
        tell_of_documents(api, documents, {})
    except (OSError, ValueError, HTTPException) as error:  # of ValueError are addresses that are none, and answers of what is no Prefect
        raise MigakiError(f"Prefect's server at {api.address} was not told: {error}") from error
    _say(api.address, documents, waiting)
    return {"told": CORPUS_UPDATED, "server": api.address, "documents": documents, "automations": waiting}


def listeners(api: Api) -> list[str]:
    """The names of the server's automations that are switched on and wait for the event.

    Raises:
        OSError: the server does not answer, or refuses.
    """
    found = api("/automations/filter", {"limit": 200})
    return [one["name"] for one in found if one["enabled"] and CORPUS_UPDATED in one["trigger"].get("expect", ())]


def _checked(home: Home, named: Sequence[str]) -> list[str]:
    """What was named, as a run of this home's platform finds it, which looks from elsewhere.

    Raises:
        MigakiError: it is not there, or would be refused; has columns that are none; or is of no format that is read.
    """
    documents = [placed(name, Path.cwd()) for name in named]
    hold_to(_roots(home), {"index": IndexSettings(documents=documents)})
    tables = [spec for spec in documents if spec.startswith(TABLE)]
    try:
        files = find_documents([spec for spec in documents if spec not in tables])
        for spec in tables:
            table_documents(spec, home)
        for spec in documents:
            Columns.of(split_columns(spec)[1])
    except MigakiError as error:
        raise MigakiError(str(error).replace("prepare.documents", "--announce", 1)) from error
    if not tables and not any(file.path.suffix.lower() in SUFFIXES and not file.barred for file in files):
        raise MigakiError(f"--announce {' '.join(named)}: nothing there is a document; read are {', '.join(SUFFIXES)}")
    return documents


def _roots(home: Home) -> list[Path]:
    """The folders that this home's platform allows: its server has the environment of its workers."""
    with suppress(StopIteration, psutil.Error):
        return allowed(next(servers(home.root / "platform")).environ())
    return allowed()


def _say(address: str, documents: Sequence[str], waiting: Sequence[str]) -> None:
    what = f"of {', '.join(documents)}, and of nothing else" if documents else "of the documents that its deployment names (prefect.yaml)"
    console.print(
        shown(
            f"{address} was told that documents changed ({CORPUS_UPDATED}), for which waits: {', '.join(waiting)}\n"
            f"a run of `index` begins in seconds and makes the index {what}; what has not changed is reused. Of several within 20 s the last counts\n"
            "`migaki status` says which index serves, Prefect's page how the run goes"
        ),
        soft_wrap=True,
    )
