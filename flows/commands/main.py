"""The `migaki` command. Heavy modules are imported by the commands that need them, so that help and errors come at once."""

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.catalogue.stages import FLOWS
from flows.commands.options import benchmark_options, common_options, data_options, running_options, said_in, settings_help
from flows.running.local import interruption
from storage.home import Home, StorageError
from tasks.errors import MigakiError
from tasks.shown import shown, shown_json

EXAMPLES = """examples:
  migaki retrain --profile quick                        the example project, in minutes
  migaki retrain --instructions a.jsonl --preferences b.jsonl --documents docs/ --questions q.json
  migaki retrain --set tune.epochs=2 --set run.align=false
  migaki index && migaki chat
"""
SEARCH_EXAMPLES = """examples:
  migaki search how does beam search work               the five best chunks for a question
  migaki search LoRA -k 20 --lang ja                    more of them, of Japanese documents alone
  migaki search travel expenses --groups sales,board    what somebody of these groups would find
  migaki search beam search --json                      for programs: one line of JSON, with every hit's whole text

The chat gives its model the first two (chat.chunks), and how sure it must be to answer follows from chat.cost_wrong.
"""
ACCEPT = """a question whose answers can be judged, a line of a file:
  {"question": "How long is the window of Llama 2?", "answer": "4,096 tokens.", "document": "en/models.md", "accept": ["4,096"]}

An answer is right if it contains one of accept; case, spaces and punctuation aside. A string that a wrong choice contains as well, or that stands
in no document, cannot tell right from wrong.
"""


class ShowVersion(argparse.Action):
    """Looks the version up only when it is asked for: other commands run without an installed package too, such as in a bare checkout."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print("migaki", importlib.metadata.version("migaki"))
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The command line: stages, then talking, then looking."""
    root = argparse.ArgumentParser(
        prog="migaki",
        description="Turns an open language model and your own text into a tuned, aligned, quantized, grounded chatbot.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action=ShowVersion, help="show the version of the package that is installed")
    commands = root.add_subparsers(dest="command", metavar="command", required=True)
    common, running, data = common_options(), running_options(), data_options()

    def add(name: str, help_text: str, *options: argparse.ArgumentParser, epilog: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(
            name, parents=[common, *options], help=help_text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    whole = add("retrain", "run every stage, from data to promotion", running, data, epilog=EXAMPLES)
    whole.add_argument("--plan", action="store_true", help="say which stages would run and why, and run nothing")
    for name, spec in FLOWS.items():
        stage = add(name, spec.help, running, *([data] if name == "prepare" else []), epilog=settings_help(name))
        if name == "index":
            stage.add_argument("--documents", nargs="+", metavar="PATH", help="index these files and folders as they are now")
            help_text = "let the index serve also where it finds the documents of the stored questions less often than the one before"
            stage.add_argument("--serve-anyway", action="store_true", help=help_text)
            stage.add_argument(
                "--verify", action="store_true", help="compare the index that serves with the catalog, and mend what differs"
            )
        if name == "benchmark":
            benchmark_options(stage)
        if name == "promote":
            instead = stage.add_mutually_exclusive_group()
            instead.add_argument("--to", metavar="ID", help="put this release in the champion's place, whatever was measured")
            instead.add_argument("--rollback", action="store_true", help="go back to the release that served before")
    add_talking(add)
    add_looking(add, running)
    return root


def add_talking(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Commands for people who talk with the models, and for what comes of it."""
    chat = add("chat", "talk with the champion in the terminal", epilog=settings_help("chat", "tools"))
    chat.add_argument("--artifact", metavar="ID", help="talk with this model or release instead (`migaki status` lists them)")
    server = add("serve", "serve the champion: a web page, and an API for OpenAI's clients", epilog=settings_help("serve", "chat", "tools"))
    server.add_argument("--host", help="address to listen on (default 127.0.0.1); beyond loopback a token file is needed")
    server.add_argument("--port", type=int, help="port to listen on (default 8400; 0 takes a free one)")
    server.add_argument("--token-file", type=Path, metavar="FILE", help="who may ask: token[:group,group][:name[:role]] on each line")
    server.add_argument("--artifact", metavar="ID", help="serve this model or release instead of the champion")
    server.add_argument("--open", action="store_true", help="open the page in a browser, where there is a display")
    labels = add("label", "compare answers of two models; the next run learns from it")
    labels.add_argument("--count", type=int, default=20, help="comparisons to ask for (default 20)")
    labels.add_argument("--seed", type=int, default=0, help="seed of prompts, answers and order")
    labels.add_argument("--artifact", metavar="ID", help="compare this model with the champion (default: the newest other release)")
    labels.add_argument("--prompts", type=Path, metavar="FILE", help="a prompt on each line (default: the training prompts)")
    labels.add_argument("--export", type=Path, metavar="FILE.jsonl", help="write all comparisons as preference pairs, and ask nothing")
    help_text = "make preference pairs and instructions of the ratings and corrections in chats, for the next retrain"
    gather = add("harvest", help_text, epilog=settings_help("harvest"))
    gather.add_argument("--dry-run", action="store_true", help="count and show examples, and write nothing")


def add_looking(add: Callable[..., argparse.ArgumentParser], running: argparse.ArgumentParser) -> None:
    """Commands that show what there is, and the platform."""
    status = add("status", "what serves and since when, releases, models, indexes, last runs")
    status.add_argument("--rebuild", action="store_true", help="first enter every artifact on disk into the catalog")
    found = add("search", "what the index that serves finds, with scores, ranks and text", epilog=SEARCH_EXAMPLES)
    found.add_argument("query", nargs="+", metavar="QUERY", help="a question, or words of one")
    found.add_argument("-k", default="5", metavar="N", help="show so many chunks, best first (default 5, at most 1,000)")
    help_text = "search as somebody of these groups (a,b), as a line of the token file names them; without, what everybody may see"
    found.add_argument("--groups", default="", metavar="GROUPS", help=help_text)
    found.add_argument("--lang", metavar="CODE", help="search documents in this language alone, such as ja")
    old = add("prune", "remove models, indexes and data that neither the champions nor the newest runs need")
    old.add_argument("--keep-runs", type=int, default=3, metavar="N", help="keep what the newest N runs made or reused (default 3)")
    old.add_argument("--dry-run", action="store_true", help="show what would go, and remove nothing")
    doctor = add("doctor", "what this machine has, and what would not work", running)
    help_text = "the memory that this stage would take, with the settings given; for tune, whatever of the model would be refused too"
    doctor.add_argument("--for", choices=("align", "tune"), dest="stage", help=help_text)
    known = add("models", "known models with parameters, context, licence and memory; or what one is, and whether it can be tuned")
    known.add_argument("--check", metavar="REF", help="look at this model (what --model takes) and say what a run would refuse")
    known.add_argument("--parameters", metavar="N", help="the memory of the weights of a model of this size: 7e9, 7B, 350M")
    asked = add(
        "questions", "say which questions of a file have answers that can be judged, or add a rated answer of a chat to one", epilog=ACCEPT
    )
    help_text = "check: say what is wrong, a line each; the exit code is 1 where anything is. add: make an item of a rated answer"
    asked.add_argument("action", choices=("check", "add"), help=help_text)
    asked.add_argument("files", nargs="+", metavar="FILE", help="question files, as retrain --questions takes them")
    asked.add_argument("--conversation", metavar="ID", help="add: the conversation in which the answer was rated or corrected")
    asked.add_argument("--turn", type=int, metavar="N", help="add: which turn of it, from 1 (default: the one that was rated)")
    help_text = "add: a short string of which any right answer contains one; may be given several times"
    asked.add_argument("--accept", action="append", default=[], metavar="TEXT", help=help_text)
    help_text = "add: the document that answers (default: the first one shown with the answer that holds an accepted string)"
    asked.add_argument("--document", default="", metavar="NAME", help=help_text)
    help_text = "the files and folders that they are about (default: prepare.documents, where --config or --set says it)"
    asked.add_argument("--documents", nargs="+", metavar="DIR", help=help_text)
    sql = add("sql", "ask the catalog")
    sql.add_argument("query", help='one SELECT, SHOW, DESCRIBE or EXPLAIN; `migaki sql "SHOW TABLES"` lists the tables')
    sql.add_argument("--files", nargs="+", type=Path, default=[], metavar="PATH", help="files and folders that the query may read too")
    platform = add("platform", "start the Prefect server and a worker for each pool, deployments included")
    platform.add_argument("--port", type=int, default=4200)


def run_flow(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    """Run a stage, or all of them, in this process."""
    import importlib

    from flows.running.local import isolate, local_server

    isolate(home)
    from flows.running.parameters import RunParams

    params = RunParams(said_in(arguments))
    name = arguments.command
    if getattr(arguments, "plan", False):
        from flows.commands.show import plan_table
        from flows.running.plan import plan

        return plan_table(plan(home, params))
    if getattr(arguments, "verify", False):
        from flows.commands.verify import verify_index

        return verify_index(home, params.run)
    if getattr(arguments, "to", None) is not None or getattr(arguments, "rollback", False):
        from flows.commands.show import promotion_line
        from flows.running.releases import promote_to, roll_back

        return promotion_line(roll_back(home) if arguments.rollback else promote_to(home, arguments.to))
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    wanted: dict[str, Any] = params.flow_parameters() if name == "retrain" else {"run": params.run, name: params.stages[name]}
    if getattr(arguments, "serve_anyway", False):
        wanted["serve_anyway"] = True
    if getattr(arguments, "artifact", ""):
        wanted["inputs"] = {"trained": arguments.artifact}
    with local_server(home):
        answer = flow(**wanted)
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
    arguments = parser().parse_args()
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


def chat(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.chat import chat_in_terminal

    return chat_in_terminal(home, arguments.artifact, said_in(arguments), sys.stderr if arguments.json else sys.stdout)


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


def label(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.label import label
    from flows.running.feedback import export

    if arguments.export:
        return {"exported": export(home, arguments.export), "file": str(arguments.export)}
    return label(home, arguments.count, arguments.seed, arguments.artifact, arguments.prompts, sys.stderr if arguments.json else sys.stdout)


def status(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.show import status_tables

    return status_tables(home, rebuild_first=arguments.rebuild)


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


def sql(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.show import sql_table

    return sql_table(home, arguments.query, arguments.files)


def platform(arguments: argparse.Namespace, home: Home) -> dict[str, Any]:
    from flows.commands.platform import serve

    return serve(home, arguments.port)


COMMANDS: dict[str, Callable[[argparse.Namespace, Home], dict[str, Any]]] = {
    "chat": chat,
    "harvest": harvest,
    "label": label,
    "prune": prune,
    "questions": questions,
    "search": search,
    "serve": serve,
    "status": status,
    "doctor": doctor,
    "models": models,
    "sql": sql,
    "platform": platform,
}

if __name__ == "__main__":
    main()
