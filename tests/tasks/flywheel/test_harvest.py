"""The flywheel: thumbs and corrections become training rows, without personal data, duplicates, contradictions, or what was refused."""

import json
import re
from dataclasses import asdict

import pytest

from flows.catalogue.stages import STAGES
from flows.running.feedback import gather, harvested, with_feedback, write_harvest
from flows.serving.live_index import LiveIndex
from storage import chat_log, chats
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.chat_log import Conversation, SafetyDecision
from storage.home import Home
from tasks.chatbot.engine import source_of
from tasks.chatbot.safety.learning import Masked, speaks_of_health
from tasks.data.records import load_instructions, load_preferences
from tasks.data.settings import PrepareSettings
from tasks.flywheel.harvest import Harvest, harvest
from tasks.flywheel.settings import HarvestSettings
from tasks.stages.spec import function
from tasks.stages.work import Context, Work
from tests.helpers.turns import turn


def mask(text: str) -> Masked:
    clean, count = re.subn(r"[\w.]+@[\w.]+\w", "[EMAIL]", text)
    return Masked(clean, ("private.email",) * count)


class Talk:
    """Conversations in a catalog; each is a list of (question, answer, rating, correction, facts of the turn)."""

    def __init__(self, home: Home):
        self.home, self.count = home, 0

    def hold(self, *turns: tuple, owner: str = "ann") -> None:
        name = chat_log.begin_conversation(self.home, Conversation("m", "i", "web", owner))
        for question, answer, rating, correction, *facts in turns:
            self.count += 1
            checked = [{"text": answer, "cites": (1,), "supported": True}]
            facts = {"lang": "en", "sentences": checked, "calls": []} | (facts[0] if facts else {})
            chat_log.keep_turn(self.home, name, turn(f"t{self.count}", question, answer, **facts))
            if rating or correction:
                chats.rate(self.home, f"t{self.count}", owner, rating, correction)

    def flag(self, turn_id: str, code: str, blocked: bool) -> None:
        chat_log.keep_decisions(self.home, [SafetyDecision(turn_id, "document", code, blocked, 1.0, "en")])

    def harvest(self, **settings) -> Harvest:
        turns = [asdict(turn) for turn in chats.rated_conversations(self.home)]
        return harvest(turns, HarvestSettings(**settings), mask, lambda text: "bomb" in text, lambda source: "", speaks_of_health)


@pytest.fixture
def talk(home) -> Talk:
    return Talk(home)


def pairs(found: Harvest) -> list[tuple[str, str, str]]:
    return [(row["messages"][-1]["content"], row["chosen"], row["rejected"]) for row in found.pairs]


def instructions(found: Harvest) -> list[tuple[str, str]]:
    return [(row["messages"][-2]["content"], row["messages"][-1]["content"]) for row in found.instructions]


def test_a_correction_is_preferred_to_the_answer_and_learnt(talk):
    talk.hold(("猫は何を食べますか?", "石です。", -1, "魚や肉を食べます。", {"lang": "ja"}), ("Unrated?", "Yes.", 0, None))
    found = talk.harvest()
    assert pairs(found) == [("猫は何を食べますか?", "魚や肉を食べます。", "石です。")]
    assert instructions(found) == [("猫は何を食べますか?", "魚や肉を食べます。")]
    assert found.pairs[0]["turns"] == ["t1"] and found.pairs[0]["from"] == "correction"
    assert found.counts() == [
        {"kind": "instructions", "lang": "ja", "reason": "correction", "rows": 1},
        {"kind": "pairs", "lang": "ja", "reason": "correction", "rows": 1},
    ]


def test_what_only_some_may_see_is_not_learnt_nor_kept_as_history(talk):
    source = {"chunk_id": "c", "document": "d.md", "title": "t", "heading": "", "text": "x", "lang": "en", "score": 1.0, "number": 1}
    liked = ("What is the plan?", "A secret.", 1, "A better secret.", {"sources": [source | {"restricted": True}]})
    talk.hold(liked, ("And the moon?", "It is round.", 1, None, {"sources": [source]}))
    found = talk.harvest()
    assert instructions(found) == [("And the moon?", "It is round.")] and "secret" not in json.dumps(found.instructions)
    assert found.left_out["restricted source", "en"] == 1


def test_what_rests_on_a_document_that_is_gone_or_not_for_everybody_any_more_is_not_learnt(served):
    texts = {"lamp.md": "The lamp is brass.", "door.md": "The door is oak.", "roof.md": "The roof is slate.", "猫.md": "猫は日なたで寝る。"}
    for name, text in texts.items():
        (served.docs / name).write_text(text, encoding="utf-8")
    served.serve()
    retriever, talk = LiveIndex(served.home), Talk(served.home)
    for name, text in texts.items():
        sources = [asdict(source_of(hit, 1)) for hit in retriever.search(text) if hit.document == name]
        assert sources
        talk.hold((f"What of {name[:-3]}?", text, 1, None, {"sources": sources}))
    assert len(gather(served.home, HarvestSettings()).instructions) == 4
    (served.docs / "lamp.md").unlink()
    (served.docs / "door.md").write_text("---\nallowed: staff\n---\nThe door is oak.", encoding="utf-8")
    (served.docs / "roof.md").write_text("The roof is of slate and tin.", encoding="utf-8")
    (served.docs / "猫.md").rename(served.docs / "ねこ.md")
    served.serve()
    found = gather(served.home, HarvestSettings(history=0))
    assert instructions(found) == [("What of roof?", "The roof is slate."), ("What of 猫?", "猫は日なたで寝る。")]
    assert found.left_out == {("source gone", "en"): 1, ("restricted source", "en"): 1}


def test_a_thumb_up_is_preferred_to_a_thumb_down_of_the_same_question_of_anybody(talk):
    talk.hold(("What is LoRA?", "Small matrices beside frozen weights.", 1, None), owner="ann")
    talk.hold(("what is LoRA ?", "A radio.", -1, None), owner="bob")
    talk.hold(("What is PPO?", "A fruit.", -1, None))
    found = talk.harvest()
    assert pairs(found) == [("What is LoRA?", "Small matrices beside frozen weights.", "A radio.")]
    assert found.pairs[0]["turns"] == ["t1", "t2"] and found.pairs[0]["from"] == "thumb"
    assert instructions(found) == [("What is LoRA?", "Small matrices beside frozen weights.")]
    assert found.left_out == {("no better answer", "en"): 1}


def test_a_liked_answer_is_learnt_only_when_its_sources_support_it(talk):
    half = [{"text": "a", "cites": (1,), "supported": True}, {"text": "b", "cites": (), "supported": False}]
    talk.hold(("How many?", "Seven, I think.", 1, None, {"sentences": half}), ("How old?", "Nine years.", 1, None, {"sentences": []}))
    assert talk.harvest().instructions == [] and talk.harvest().left_out == {("unsupported", "en"): 2}
    assert instructions(talk.harvest(min_support=0.5)) == [("How many?", "Seven, I think.")]


def test_personal_data_is_gone_from_questions_answers_corrections_and_history(talk):
    talk.hold(
        ("I am ann@example.com.", "Hello ann@example.com!", 0, None),
        ("Who is bob@example.com?", "See bob@example.com.", -1, "Nobody: eve@example.com."),
    )
    found = talk.harvest()
    text = json.dumps([found.pairs, found.instructions])
    assert "example.com" not in text and text.count("[EMAIL]") == 9
    assert [message["role"] for message in found.pairs[0]["messages"]] == ["user", "assistant", "user"]


def test_what_speaks_of_health_waits_for_a_person_and_is_no_history(talk, home):
    talk.hold(
        ("My wife has diabetes, mail ann@example.com. Sick leave?", "Ten days.", 1, None),
        ("And holidays?", "Twenty.", 1, None),
        ("うつ病で休めますか?", "はい。", -1, "医師の診断書が要ります。", {"lang": "ja"}),
    )
    found = talk.harvest()
    assert instructions(found) == [("And holidays?", "Twenty.")] and "diabetes" not in str(found.instructions)
    assert found.left_out == {("held: health", "en"): 1, ("held: health", "ja"): 1}
    assert {"kind": "masked", "lang": "en", "reason": "private.email", "rows": 1} in found.counts()
    write_harvest(home, found)
    kept = [json.loads(line) for line in (home.root / "feedback" / "chats.held.jsonl").read_text("utf-8").splitlines()]
    assert [(row["turn"], row["question"]) for row in kept] == [
        ("t1", "My wife has diabetes, mail [EMAIL]. Sick leave?"),
        ("t3", "うつ病で休めますか?"),
    ]
    assert kept[1]["correction"] == "医師の診断書が要ります。" and kept[1]["rating"] == -1
    assert len(talk.harvest(health="learn").instructions) == 3


def test_rows_count_for_the_language_of_the_question_that_was_rated(talk):
    talk.hold(("Hello there.", "Hi.", 0, None), ("首都は?", "京都です。", -1, "東京です。", {"lang": "ja"}))
    assert {(row["kind"], row["lang"]) for row in talk.harvest().counts()} == {("pairs", "ja"), ("instructions", "ja")}


@pytest.mark.parametrize(("history", "length"), [(0, 1), (1, 3), (2, 5)])
def test_the_history_is_as_long_as_wanted(talk, history, length):
    talk.hold(*[(f"Question {n}?", f"Answer {n}.", -1 if n == 3 else 0, "Better." if n == 3 else None) for n in range(4)])
    assert len(talk.harvest(history=history).pairs[0]["messages"]) == length


def test_refused_filtered_and_injected_turns_are_left_out_and_are_no_history(talk):
    talk.hold(
        ("Bad?", "No.", -1, "Do it.", {"refused": "harm.weapons", "reason": "refused"}),
        ("Injected?", "I obey.", 1, None),
        ("Blocked?", "x", 1, None),
        ("Next question?", "Wrong.", -1, "Right."),
        ("How?", "Like so.", -1, "Build a bomb."),
    )
    talk.flag("t2", "injection.instructions", blocked=False)
    talk.flag("t3", "private.email", blocked=True)
    found = talk.harvest()
    assert pairs(found) == [("Next question?", "Right.", "Wrong.")] and len(found.pairs[0]["messages"]) == 1
    assert instructions(found) == [("Next question?", "Right.")]
    assert found.left_out == {("refused", "en"): 2, ("injection", "en"): 1, ("unsafe correction", "en"): 1}


def test_contradictory_ratings_are_outvoted_or_say_nothing(talk):
    for owner, rating in (("ann", 1), ("bob", 1), ("eve", -1)):
        talk.hold(("Most?", "Liked.", rating, None), owner=owner)
    for owner, rating in (("ann", 1), ("bob", -1)):
        talk.hold(("Split?", "So so.", rating, None), owner=owner)
    talk.hold(("Split?", "Bad.", -1, None))
    talk.hold(("Turned?", "Old.", -1, "New."))  # one prefers New,
    talk.hold(("Turned?", "New.", -1, "Old."), owner="bob")  # the other Old
    found = talk.harvest()
    assert instructions(found) == [("Most?", "Liked.")] and pairs(found) == []
    assert found.left_out == {("contradiction", "en"): 3, ("no better answer", "en"): 1}


def test_who_asks_again_has_one_vote_and_may_change_their_mind(talk):
    for rating in (1, 1, 1):
        talk.hold(("Loud?", "One person likes this.", rating, None), owner="ann")
    for owner in ("bob", "eve"):
        talk.hold(("Loud?", "One person likes this.", -1, None), owner=owner)
    talk.hold(("Loud?", "Two like this.", 1, None), owner="bob")
    assert pairs(talk.harvest()) == [("Loud?", "Two like this.", "One person likes this.")]
    talk.hold(("Mind?", "First.", -1, "Second."))
    talk.hold(("Mind?", "Second.", -1, "First."))
    assert ("Mind?", "First.", "Second.") in pairs(talk.harvest()) and len(pairs(talk.harvest())) == 2
    chats.rate(talk.home, f"t{talk.count - 1}", "ann", -1, "Second.")  # the older answer, rated later
    assert ("Mind?", "Second.", "First.") in pairs(talk.harvest()) and len(pairs(talk.harvest())) == 2


def test_a_correction_that_says_the_same_is_a_thumb(talk):
    talk.hold(("Sky?", "It is blue.", 1, "it is BLUE"))
    assert instructions(talk.harvest()) == [("Sky?", "It is blue.")] and talk.harvest().left_out == {}


def test_only_what_the_model_wrote_to_the_end_is_preferred_or_rejected(talk):
    talk.hold(
        ("引用?", "資料より引用します。", 1, None, {"quoted": True, "lang": "ja"}),
        ("引用2?", "資料より引用します。", -1, "自分の言葉です。", {"quoted": True, "lang": "ja"}),
        ("Unknown?", "The documents do not answer this.", -1, "It is 42.", {"reason": "unanswered"}),
        ("Perhaps?", "I am not sure; From “A”: B.", 1, None, {"reason": "unsure", "quoted": True}),
        ("Cut?", "It goes on and", 1, None, {"finish": "length"}),
        ("Stopped?", "It", -1, None, {"finish": "stopped"}),
    )
    found = talk.harvest(history=0)
    assert found.pairs == [] and instructions(found) == [("引用2?", "自分の言葉です。"), ("Unknown?", "It is 42.")]
    assert found.left_out == {("not a whole answer of the model's own", lang): n for lang, n in (("ja", 1), ("en", 3))}


@pytest.mark.parametrize("facts", [{"quoted": True}, {"reason": "unsure", "quoted": True}, {"reason": "unanswered"}, {"finish": "stopped"}])
def test_what_the_model_did_not_write_to_the_end_is_no_history(talk, facts):
    talk.hold(("Sky?", "It is blue.", 0, None), ("Perhaps?", "From “A”: B.", 0, None, facts), ("Why?", "It is the air.", 1, None))
    assert [message["content"] for message in talk.harvest().instructions[0]["messages"]] == ["Why?", "It is the air."]


def test_the_quotation_below_an_unsupported_answer_is_not_learnt_or_rejected(talk):
    said, quotation = "It trains a radio.", "From “LoRA”: It trains small matrices."
    checked = [{"text": said, "cites": (), "supported": False}, {"text": quotation, "cites": (1,), "supported": True}]
    talk.hold(("What does LoRA train?", f"{said}\n\n{quotation}", -1, "Small matrices.", {"sentences": checked}))
    talk.hold(("What is LoRA?", f"{said}\n\n{quotation}", 1, None, {"sentences": checked}))
    found = talk.harvest()
    assert pairs(found) == [("What does LoRA train?", "Small matrices.", said)] and found.left_out == {("unsupported", "en"): 1}


def test_near_duplicates_are_dropped_and_counted(talk):
    long = "The harbour of the old town was built of copper and marble by nine falcons in the winter of 1873"
    talk.hold((f"{long}, is it so?", "No.", -1, "Yes, it is so."))
    talk.hold((f"{long}; is it so?!", "No.", -1, "Yes, it is so."))  # the same after normalisation: one question
    talk.hold((f"{long} - is this so?", "No.", -1, "Yes, it is so."))
    found = talk.harvest()
    assert len(found.pairs) == len(found.instructions) == 1 and found.left_out == {("near duplicate", "en"): 2}


def test_one_question_gives_a_limited_number_of_pairs_the_clearest_first(talk):
    for owner, answer in (("ann", "Good one."), ("ann", "Good two."), ("bob", "Good two.")):
        talk.hold(("Busy?", answer, 1, None), owner=owner)
    for owner, answer in (("ann", "Bad alpha."), ("ann", "Bad beta."), ("bob", "Bad beta.")):
        talk.hold(("Busy?", answer, -1, None), owner=owner)
    assert pairs(talk.harvest(max_pairs=1)) == [("Busy?", "Good two.", "Bad beta.")]
    assert len(talk.harvest().pairs) == 4


def test_the_next_run_reads_the_harvest_and_forgets_what_was_taken_back(talk, home, tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}), encoding="utf-8")
    (tmp_path / "i.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}), encoding="utf-8")
    empty = {kind: [] for kind in PrepareSettings.PATHS}
    settings = PrepareSettings(**empty | {"preferences": [str(tmp_path / "p.jsonl")], "instructions": [str(tmp_path / "i.jsonl")]})
    talk.hold(("What is LoRA?", "A radio.", -1, "Small matrices."), ("温度とは?", "気温です。", -1, "確率の広がりです。", {"lang": "ja"}))
    assert with_feedback(settings) == settings
    write_harvest(home, talk.harvest())
    assert with_feedback(settings.model_copy(update={"feedback": False})).instructions == settings.instructions
    assert with_feedback(PrepareSettings(**empty)) == PrepareSettings(**empty)  # these kinds are not wanted
    with ArtifactStore(home).draft("dataset", "d") as folder:
        work = Work(STAGES["prepare"], folder, Context(home, "", "", emit=lambda text, final: None, log=print), {})
        function(STAGES["prepare"].body)(with_feedback(settings), {}, work)
        prepared = [*load_preferences(folder, "train"), *load_preferences(folder, "eval")]
        learnt = [*load_instructions(folder, "train"), *load_instructions(folder, "eval")]
    assert {(pair.chosen, pair.lang) for pair in prepared} == {("b", "en"), ("Small matrices.", "en"), ("確率の広がりです。", "ja")}
    assert {row.answer for row in learnt} == {"b", "Small matrices.", "確率の広がりです。"}
    for name in ("t1", "t2"):
        chats.rate(home, name, "ann", 0)
    write_harvest(home, talk.harvest())
    assert with_feedback(settings) == settings and not harvested(home, "instructions").exists()


def test_nobody_has_said_anything(home):
    assert harvest([asdict(turn) for turn in chats.rated_conversations(home)], HarvestSettings(), mask, bool, str, bool).counts() == []
    assert Catalog.of(home).query("SELECT * FROM feedback") == []
