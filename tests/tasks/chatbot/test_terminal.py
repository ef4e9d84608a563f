"""The terminal chat: what is typed, what is shown, what is kept, and that Ctrl-C costs an answer and not the program."""

import codecs
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tasks.chatbot.language import languages
from tasks.chatbot.terminal import Terminal, read_question, stop_on_interrupt
from tasks.data.normalise import instruction
from tests import ROOT
from tests.helpers.terminal import Kept, Scripted


class Talk:
    """A terminal that is fed from a script; an exception in it is raised where it would be typed."""

    def __init__(self, *typed, lang="en"):
        self.typed, self.out, self.host, self.engine = iter(typed), io.StringIO(), Kept(), Scripted()
        self.terminal = Terminal(self.engine, self.host, self.ask, self.out, lang)
        self.answered = self.terminal.run()

    def ask(self, prompt: str) -> str:
        line = next(self.typed, EOFError)
        if isinstance(line, type):
            raise line
        return line

    @property
    def said(self) -> str:
        return self.out.getvalue()


def test_an_answer_is_shown_with_tools_sources_and_doubts_and_kept():
    talk = Talk("量子化とは?")
    assert talk.answered == 1 and talk.host.turns[0].question == "量子化とは?"
    lines = talk.said.splitlines()
    assert lines[1:6] == [
        '  calculate(expression="6*7", メモ="暗算")',
        "  = 42",
        "  fly()",
        "  ! no such tool",
        "first says: 量子化とは?",
    ]
    assert "  ? Invented. (no source says this)" in lines and not any("Known." in line for line in lines)
    assert lines[-2:] == ["  [1] 量子化 > 仕組み (量子化.md, p. 4)", ""]


def test_what_could_move_the_cursor_or_turn_text_around_is_not_printed():
    assert "\x1b" not in Talk("hello").said and "\u202e" not in Talk("hello").said


def test_it_speaks_japanese_where_the_user_does():
    said = Talk("量子化とは?", "/souces", "/good", lang="ja").said
    assert "出典で確かめられません" in said and "4 ページ" in said and "/sources ですか?" in said and "ありがとうございます" in said


def test_how_an_answer_ended_is_said_below_it():
    assert "do not answer this. [unanswered]" in Talk("unknown").said and "[未回答]" in Talk("unknown", lang="ja").said


def test_both_languages_have_the_same_words():
    english, japanese = languages()["en"], languages()["ja"]
    assert english.TERMINAL.keys() == japanese.TERMINAL.keys() and english.CUT.keys() == japanese.CUT.keys()
    assert all(text.count("{}") == japanese.TERMINAL[name].count("{}") for name, text in english.TERMINAL.items())


@pytest.mark.parametrize(
    ("typed", "question"),
    [
        (["one\\", "two\\", "three"], "one\ntwo\nthree"),
        (['"""', "def f():", "", "    return 1", '  """  '], "def f():\n\n    return 1"),
        (['"""', "終わりのない"], "終わりのない"),
        (["last\\"], "last"),
        (["  日本語の質問\u3000です。 "], "日本語の質問\u3000です。"),
        (["pasted\nas\none"], "pasted\nas\none"),
        (["broken \udce3\udc81 bytes"], "broken \ufffd bytes"),
        (["/usr/bin is what?"], "/usr/bin is what?"),
        (["/etc/hosts"], "/etc/hosts"),
    ],
)
def test_questions_of_several_lines_in_any_script(typed, question):
    talk = Talk(*typed)
    assert [heard for heard, _ in talk.engine.heard] == [question]


def test_surrogates_end_in_text_that_can_be_kept():
    assert read_question(lambda _: "\udce3x").encode() == "\ufffdx".encode()


@pytest.mark.parametrize("typed", ["/help", "\uff0fhelp", "/HELP?", "/quit later"])
def test_a_command_is_never_a_question(typed):
    assert Talk(typed).engine.heard == ([("/HELP?", [])] if typed == "/HELP?" else [])


def test_unknown_commands_are_named_with_the_nearest():
    said = Talk("/souces", "/xyzzy").said
    assert "there is no command /souces; did you mean /sources?" in said and "/xyzzy; /help" in said


def test_sources_in_full():
    assert "the last answer has no sources" in Talk("/sources").said
    said = Talk("q", "/sources 1", "/sources 7").said
    assert said.count("量子化は重みのビット数を減らします。") == 1 and "no source 7; it has 1" in said


def test_ratings_reach_the_last_answer():
    talk = Talk("/good", "a", "/good", "b", "/bad", "/better", "/better 正しくは、\\", "こうです。")
    assert talk.host.ratings == [("t1", 1, None), ("t2", -1, None), ("t2", -1, "正しくは、\nこうです。")]
    assert "nothing has been answered yet" in talk.said and "what would have been better" in talk.said


def test_another_model_goes_on_with_the_conversation_and_a_wrong_one_changes_nothing():
    talk = Talk("a", "/model", "/model third", "b", "/model second", "c")
    assert "first (talking)\nsecond\n" in talk.said and "no model 'third'" in talk.said and "now talking with second" in talk.said
    assert [turn.answer for turn in talk.host.turns] == ["first says: a", "first says: b", "second says: c"]
    assert talk.terminal.engine.heard == [("c", ["a", "first says: a", "b", "first says: b"])]


def test_reset_forgets_and_begins_a_new_conversation():
    talk = Talk("a", "/reset", "/sources", "b")
    assert talk.engine.heard[1] == ("b", []) and talk.host.begun == 1 and "the last answer has no sources" in talk.said


def test_a_failing_backend_costs_an_answer_and_not_the_chat():
    talk = Talk("break", "a")
    assert "the model broke off" in talk.said and [turn.question for turn in talk.host.turns] == ["a"]


def test_a_refusal_says_why_and_is_kept():
    talk = Talk("bomb")
    assert "[refused (harm.weapons)]\nI can't.\n" in talk.said and talk.host.turns[0].refused == "harm.weapons"


def test_ctrl_c_stops_an_answer_and_the_next_question_is_answered():
    talk = Talk("slow", "a")
    assert "par [stopped]" in talk.said and [turn.answer for turn in talk.host.turns] == ["par", "first says: a"]


def test_ctrl_c_again_gives_up_an_answer_that_does_not_stop():
    talk = Talk("deaf", "a")
    assert "par [stopped]" in talk.said and "never" not in talk.said and [turn.question for turn in talk.host.turns] == ["a"]


def test_ctrl_c_at_the_prompt_warns_once_and_leaves_when_pressed_again():
    talk = Talk(KeyboardInterrupt, "a", KeyboardInterrupt, KeyboardInterrupt, "b")
    assert talk.said.count("Ctrl-C once more") == 2 and [question for question, _ in talk.engine.heard] == ["a"]
    assert Talk("half\\", KeyboardInterrupt, "a").engine.heard == [("a", [])]


def test_the_former_handler_of_ctrl_c_is_back_after_an_answer():
    before = signal.getsignal(signal.SIGINT)
    with stop_on_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_conversation_is_saved_as_markdown_or_json_lines(tmp_path):
    talk = Talk("量子化とは?", "two\\", "lines", f"/save {tmp_path}/chat.md", f"/save {tmp_path}/chat.jsonl")
    text = (tmp_path / "chat.md").read_text(encoding="utf-8")
    assert text.startswith("## 量子化とは?\n\nfirst says: 量子化とは?\n") and "1. 量子化 > 仕組み (量子化.md)" in text
    assert "## two\n\nlines\n\nfirst says: two\nlines" in text and '- `calculate({"expression": "6*7", "メモ": "暗算"})`: 42' in text
    rows = [json.loads(line) for line in (tmp_path / "chat.jsonl").read_text(encoding="utf-8").splitlines()]
    assert instruction(rows[0], "f").answer == "first says: 量子化とは?" and rows[0]["sources"][0]["chunk_id"] == "c1"
    assert talk.said.count("2 answers written to") == 2


def test_saving_never_costs_a_file(tmp_path):
    (tmp_path / "chat.md").write_text("mine", encoding="utf-8")
    talk = Talk("/save a.md", "q", "/save", *(f"/save {tmp_path}/{name}" for name in ("chat.md", "chat.txt", "gone/chat.md")))
    for complaint in ("nothing has been answered yet", "name a file", "is there already", "'.txt'", "No such file"):
        assert complaint in talk.said
    assert (tmp_path / "chat.md").read_text(encoding="utf-8") == "mine" and [path.name for path in tmp_path.iterdir()] == ["chat.md"]
    Talk("q", f"/save! {tmp_path}/chat.md")
    assert (tmp_path / "chat.md").read_text(encoding="utf-8").startswith("## q\n")


ON_A_TERMINAL = """
import sys, time
from tests.helpers.terminal import Kept, Scripted
from tasks.chatbot.events import Ended, Piece, Turn
from tasks.chatbot.terminal import Terminal

class Endless(Scripted):
    def answer(self, conversation, question, *, stop):
        turn = Turn("t", question, "en")
        if question != "endless":
            yield from super().answer(conversation, question, stop=stop)
            return
        while not stop.is_set():
            yield Piece("and on ")
            time.sleep(0.02)
        turn.answer, turn.finish = "and on", "stopped"
        yield Ended(turn)

print("answers:", Terminal(Endless(), Kept(), input, sys.stdout, "en").run())
"""


class Pseudo:
    """A program on a pseudo-terminal of its own, as a person would sit at it."""

    def __init__(self, code: str):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: _take_terminal(slave),
            env=os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"},
        )
        os.close(slave)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a read may end inside a character
        self.seen, self.read = "", 0  # all that was shown, and how far it has been waited for

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Read on until something new says `text`."""
        until = time.monotonic() + seconds
        while (found := self.seen.find(text, self.read)) < 0:
            assert time.monotonic() < until, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += self.decoder.decode(os.read(self.master, 4096))
                except OSError as error:  # the program has ended
                    raise AssertionError(self.seen) from error
        self.read = found + len(text)

    def wait_for_prompt(self) -> None:
        """The prompt, and the program asleep behind it: a signal just before it reads would be seen only with the next key."""
        self.wait_for("you> ")
        program, before = psutil.Process(self.process.pid), None
        while before != (before := (program.cpu_times()[:2], program.num_ctx_switches())) or program.status() != psutil.STATUS_SLEEPING:
            time.sleep(0.3)

    def close(self) -> None:
        self.process.kill()
        os.close(self.master)


def _take_terminal(slave: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests that a shell runs in the background ignore it, and so would the program


def test_ctrl_c_on_a_real_terminal():
    shell = Pseudo(ON_A_TERMINAL)
    try:
        shell.wait_for_prompt()
        shell.type("endless\n")
        shell.wait_for("and on and on")
        shell.type("\x03")
        shell.wait_for("[stopped]")
        shell.wait_for_prompt()
        shell.type("量子化とは?\n")
        shell.wait_for("first says: 量子化とは?")
        shell.wait_for_prompt()
        shell.type("half a line\x03")
        shell.wait_for("Ctrl-C once more")
        shell.wait_for_prompt()
        shell.type("\x04")
        shell.wait_for("answers: 2")
        assert shell.process.wait(30) == 0
    finally:
        shell.close()
