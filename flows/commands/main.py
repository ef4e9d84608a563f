"""The `migaki` command. Heavy modules are imported by the commands that need them, so that help and errors come at once."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.commands.options import said_in
from flows.commands.parser import parsed
from flows.running.local import interruption
from storage.home import Home, StorageError
from tasks.errors import MigakiError
from tasks.shown import shown, shown_json


def run_flow(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    """Run a stage, or all of them, in this process."""
    import importlib

    from flows.catalogue.stages import STAGES
    from flows.running.local import isolate, local_server
    from tasks.stages.keys import sources

    isolate(home)
    from flows.running.parameters import RunParams

    params = RunParams(said_in(arguments))
    name = arguments.command.replace("-", "_")
    if getattr(arguments, "plan", False):
        from flows.commands.show import plan_table
        from flows.running.plan import plan

        return plan_table(plan(home, params))
    if getattr(arguments, "verify", False):
        from flows.commands.verify import verify_index

        return verify_index(home, params.run)
    if name == "promote":
        from flows.commands.decide import by_a_person

        if (told := by_a_person(arguments, home)) is not None:
            return told
    wanted: dict[str, Any] = params.flow_parameters() if name == "retrain" else {"run": params.run, name: params.stages[name]}
    if getattr(arguments, "serve_anyway", False):
        wanted["serve_anyway"] = True
    if getattr(arguments, "artifact", ""):
        wanted["inputs"] = {"trained": arguments.artifact}

    def flow() -> Any:
        return getattr(importlib.import_module(f"flows.{name}"), name)

    def meanwhile() -> None:
        flow()
        if name == "retrain":
            importlib.import_module("tasks.evaluation.report")  # and matplotlib, which it would load at its end
        for stage in wanted.keys() & STAGES.keys():
            sources(STAGES[stage].module)  # of which their keys are made: a second of reading

    with local_server(home, meanwhile):
        answer = flow()(**wanted)
    from flows.commands.show import run_table, stage_lines

    if name == "retrain":
        return run_table(home, answer)
    return stage_lines(home, name, answer, params)


def out_of_space(command: str, error: BaseException) -> dict[str, Any]:
    """Say that the disk is full, where that is what an unforeseen error came of; any other is raised again."""
    from storage.failures import disk_is_full, no_space  # imports DuckDB

    if not disk_is_full(error):
        raise error
    message = shown(no_space(Path(os.environ["MIGAKI_HOME"]), f"`migaki {command}` was at work"))
    print(f"migaki {command}: {message}", file=sys.stderr)
    return {"status": "error", "message": message}


def main() -> None:
    """Entry point: one clear message and an exit code for whatever goes wrong (1 mendable, 2 usage, 130 interrupted)."""
    arguments = parsed()
    if arguments.home:
        os.environ["MIGAKI_HOME"] = arguments.home
    os.environ["MIGAKI_HOME"] = str(Path(os.environ.get("MIGAKI_HOME") or ".migaki").expanduser().absolute())
    try:
        answer = COMMANDS.get(arguments.command, run_flow)(arguments, Home.current())
        code = answer.pop("exit_code", 0)
    except (MigakiError, StorageError) as error:
        print(shown(f"migaki {arguments.command}: {error}"), file=sys.stderr)
        answer, code = {"status": "error", "message": str(error)}, 1
    except BaseException as error:
        if interruption.is_set() or isinstance(error, KeyboardInterrupt):
            print(f"\nmigaki {arguments.command}: interrupted; finished stages are kept, run the same command to go on", file=sys.stderr)
            answer, code = {"status": "cancelled"}, 130
        else:
            answer, code = out_of_space(arguments.command, error), 1
    if arguments.json:
        print(shown_json({"command": arguments.command, "status": "ok"} | answer))
    if code == 130:  # an interrupt that went through exec (of a dataclass being made, say) would make Python die by SIGINT in place of this
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def index(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    if arguments.announce is None:
        return run_flow(arguments, home)
    from flows.commands.announce import announce

    return announce(home, arguments)


def chat(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.chat import chat_in_terminal

    return chat_in_terminal(home, arguments.artifact, said_in(arguments), sys.stderr if arguments.json else sys.stdout)


def generate(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.generate import Asked, generate

    return generate(home, Asked.of(arguments), said_in(arguments), sys.stderr if arguments.json else sys.stdout)


def serve(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.serve import serve

    said = said_in(arguments)
    named = {name: getattr(arguments, name) for name in ("host", "port") if getattr(arguments, name) is not None}
    said["serve"] = said.get("serve", {}) | named
    return serve(home, said, artifact=arguments.artifact, token_file=arguments.token_file, show=arguments.open)


def harvest(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.running.local import isolate, local_server

    isolate(home)
    from flows.commands.show import harvest_table
    from flows.harvest import harvest
    from tasks.flywheel.settings import HarvestSettings

    said = said_in(arguments).get("harvest", {}) | ({"dry_run": True} if arguments.dry_run else {})
    settings = HarvestSettings.build("harvest", said)
    with local_server(home):
        return harvest_table(harvest(harvest=settings), dry_run=settings.dry_run)


def monitor(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.running.local import isolate, local_server

    isolate(home)
    from flows.commands.monitor import monitor_table
    from flows.monitor import monitor
    from flows.running.parameters import RunSettings
    from tasks.monitoring.settings import MonitorSettings

    said = said_in(arguments)
    settings, run = MonitorSettings.build("monitor", said.get("monitor", {})), RunSettings.build("run", said.get("run", {}))
    with local_server(home):
        return monitor_table(monitor(monitor=settings, run=run))


def label(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.label import label
    from flows.running.feedback import export

    if arguments.export:
        return {"exported": export(home, arguments.export), "file": str(arguments.export)}
    return label(home, arguments.count, arguments.seed, arguments.artifact, arguments.prompts, sys.stderr if arguments.json else sys.stdout)


def status(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.decide import pending_table
    from flows.commands.show import status_tables

    return status_tables(home, rebuild_first=arguments.rebuild) | {"pending": pending_table(home)}


def search(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.search import search

    out = sys.stderr if arguments.json else sys.stdout
    return search(home, " ".join(arguments.query), arguments.k, arguments.groups, arguments.lang, said_in(arguments), out)


def prune(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.show import prune_table

    if arguments.keep_runs < 0:
        raise MigakiError(f"--keep-runs {arguments.keep_runs}: 0 or more runs can be kept")
    return prune_table(home, arguments.keep_runs, arguments.dry_run)


def doctor(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.check_model import check_model
    from flows.commands.doctor import examine, memory_for_align
    from flows.running.parameters import RunParams

    if arguments.stage is None:
        return examine(home)
    params = RunParams(said_in(arguments))
    return memory_for_align(home, params) if arguments.stage == "align" else check_model(home, params.run.model, params)


def models(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.models import models

    return models(home, arguments.check, arguments.parameters, said_in(arguments))


def questions(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.questions import check
    from tasks.errors import MigakiError

    out = sys.stderr if arguments.json else sys.stdout
    if arguments.action == "check":
        return check(arguments.files, said_in(arguments).get("prepare", {}).get("documents"), out)
    if not (arguments.conversation and arguments.accept and len(arguments.files) == 1):
        raise MigakiError("questions add takes --conversation ID, --accept TEXT (once or more) and one FILE")
    from flows.commands.rated import add

    return add(home, Path(arguments.files[0]), arguments.conversation, arguments.turn, arguments.accept, arguments.document, out)


def prompts(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.prompts import prompts

    out = sys.stderr if arguments.json else sys.stdout
    more = {"lang": arguments.lang, "artifact": arguments.artifact, "said": said_in(arguments)}
    return prompts(home, arguments.action, arguments.names, arguments.prompts, arguments.field, out, **more)


def sql(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.show import sql_table

    return sql_table(home, arguments.query, arguments.files)


def audit(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.audit import audit

    return audit(home, arguments.since)


def platform(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    if arguments.apply or arguments.test_notifications:
        from flows.commands.notifications import apply_notifications, try_notifications

        return (apply_notifications if arguments.apply else try_notifications)(home, arguments.notify)
    from flows.commands.platform import serve

    return serve(home, arguments.port, arguments.notify, said_in(arguments))


COMMANDS: dict[str, Callable[[argparse.Namespace, Home], dict[str, Any]]] = {
    "audit": audit,
    "chat": chat,
    "generate": generate,
    "harvest": harvest,
    "index": index,
    "label": label,
    "monitor": monitor,
    "prune": prune,
    "questions": questions,
    "search": search,
    "serve": serve,
    "status": status,
    "doctor": doctor,
    "models": models,
    "sql": sql,
    "platform": platform,
    "prompts": prompts,
}

if __name__ == "__main__":
    main()
