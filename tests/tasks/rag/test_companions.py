"""The stage index with a second embedder for English, and how an index of the former format gives way to a new one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.catalogue.stages import STAGES
from flows.running.plan import reason
from flows.serving.live_index import open_champion
from storage.artifacts import ArtifactStore
from storage.home import Home
from storage.registry import champion_index
from tasks.errors import MigakiError
from tasks.models.reference import resolve
from tasks.rag.embedding import Embedder
from tasks.rag.index_files import FACTS
from tasks.rag.settings import IndexSettings
from tasks.stages.execute import ingredients
from tasks.stages.work import Context
from tests.helpers.embedder_en import save_second_embedder
from tests.helpers.former_index import strip
from tests.helpers.project import SETTINGS, ServedProject, seal

ENGLISH = "# Cats\n\nA cat sleeps in the garden. It wakes at night."
JAPANESE = "犬は港へ走る。\n\n石の庭に灯がともる。"


class Pair(ServedProject):
    """A served project whose runs have a second embedder; `given` has what each embedded, by its folder's name."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        super().__init__(root)
        self.companion = resolve(str(save_second_embedder(root / "embedder", root / "second")), self.home)
        self.given: dict[str, list[str]] = {"embedder": [], "second": []}
        embed = Embedder.embed

        def watched(own, texts, *more, **named):
            self.given[own.path.name] += texts
            return embed(own, texts, *more, **named)

        monkeypatch.setattr(Embedder, "embed", watched)

    def build(self, *texts: str, questions: list[dict] = (), **settings):
        for path in self.docs.iterdir():
            path.unlink()
        for i, text in enumerate(texts):
            (self.docs / f"{i}.md").write_text(text, encoding="utf-8")
        for given in self.given.values():
            given.clear()
        if not questions:
            return self.run("index", IndexSettings(documents=[str(self.docs)], **SETTINGS | settings), dataset=self.nothing)
        asked = self.docs.parent / "q.jsonl"
        asked.write_text("\n".join(json.dumps(row) for row in questions), encoding="utf-8")
        return self.run("index", IndexSettings(**SETTINGS | settings), dataset=self.dataset([str(self.docs)], [str(asked)]))

    def facts(self, ref) -> dict:
        return json.loads((ArtifactStore(self.home).path(ref) / FACTS).read_text(encoding="utf-8"))


@pytest.fixture
def pair(tmp_path, monkeypatch) -> Pair:
    return Pair(tmp_path, monkeypatch)


def test_english_chunks_have_vectors_of_both_embedders_and_what_is_kept_is_not_made_again(pair):
    index = pair.build(ENGLISH, JAPANESE)
    made = pair.facts(index)["companions"]["en"]
    assert made["embedder_reference"] == str(pair.companion.path) and made["embedder"] == pair.companion.checksum
    english = [row for row in pair.table(index, "chunks") if row["lang"] == "en"]
    assert pair.given["second"] == [f"{row['heading']}\n{row['text']}" for row in english] != []
    assert {"It wakes at night.", "A cat sleeps in the garden.", "Cats", "犬は港へ走る。"} <= set(pair.given["embedder"])
    assert pair.open(index).search("犬は港へ", 1)[0].document == "1.md" and len(pair.open(index).meaning.embedders) == 2
    pair.build(ENGLISH, JAPANESE)
    assert pair.given == {"embedder": [], "second": []}
    pair.build(ENGLISH, JAPANESE + "\n\n猫は寝る。")
    assert pair.given == {"embedder": ["猫は寝る。"], "second": []}
    pair.companion = None
    assert pair.facts(pair.build(ENGLISH, JAPANESE))["companions"] == {} and pair.given == {"embedder": [], "second": []}


def test_documents_without_english_have_no_companion_and_their_questions_are_asked(pair):
    questions = [
        {"question": "犬はどこへ走る?", "answer": "港", "document": "0.md"},
        {"question": "Where does the dog run?", "answer": "x", "document": "0.md"},
    ]
    index = pair.build(JAPANESE, questions=questions)
    assert pair.facts(index)["companions"] == {} and pair.given["second"] == [] and index.meta["hit_at_1"] == 1.0
    assert pair.open(index).search("犬", 1)


def test_a_question_with_the_words_of_a_passage_is_embedded_as_a_question(pair, monkeypatch):
    """Behind its own prefix: the vectors of both are kept apart, and each is made once."""
    asked, embed = [], Embedder.embed_queries
    monkeypatch.setattr(
        Embedder,
        "embed_queries",
        lambda own, texts, *more, **named: asked.extend((own.path.name, text) for text in texts) or embed(own, texts, *more, **named),
    )
    text = "It wakes at night."
    questions = [{"question": text, "answer": "x", "document": "0.md"}]
    pair.build(ENGLISH, questions=questions, query_prefix="q: ", chunk_tokens=50)
    assert text in pair.given["embedder"] and asked == [("embedder", text), ("second", text)]
    pair.build(ENGLISH, questions=questions, query_prefix="q: ", chunk_tokens=50)
    assert pair.given["embedder"] == [] and len(asked) == 2


def test_the_same_model_twice_is_no_companion(pair):
    pair.companion = replace(pair.companion, checksum=pair.embedder.checksum)
    assert pair.facts(pair.build(ENGLISH))["companions"] == {}


def test_a_chunk_longer_than_the_companion_reads_is_embedded_whole_in_parts(pair):
    """Limits count in the index's own tokens; another tokenizer may make more of a text."""
    for name in ("second/sentence_bert_config.json", "second/0_Transformer/sentence_bert_config.json"):
        file = pair.docs.parent / name
        if file.exists():
            file.write_text(json.dumps(json.loads(file.read_text()) | {"max_seq_length": 16}))
    pair.companion = resolve(str(pair.companion.path), pair.home)
    second = Embedder(pair.companion.path)
    assert second.room == 14
    text = "A cat of the stone zzzz 9999 zzzz 9999 zzzz 9999 zzzz 9999."
    index = pair.build(text)
    kept = pair.open(index).meaning.companions["en"].dense.vectors(np.array([0]))[0]
    assert kept @ second.embed([text])[0] > 0.9995
    cut = second.embed([text[:18]])[0]  # of 14 tokens
    assert second.count_tokens(text[:18]) == 14 and kept @ cut < 0.995
    assert second.count_tokens(text) > 2 * second.room
    with pytest.raises(MigakiError, match="reads 14 tokens at most"):  # the index's own embedder reads each chunk in one piece
        pair.embedder, pair.companion = pair.companion, None
        pair.build(text)


def test_the_key_of_an_index_follows_the_second_embedder(pair):
    settings = IndexSettings(documents=[str(pair.docs)])

    def key(second: str) -> str:
        return ingredients(
            STAGES["index"], settings, {}, Context(Home(pair.home.root), "", str(pair.embedder.path), embedder_en=second)
        ).key

    none, other, same = key(""), key(str(pair.companion.path)), key(str(pair.embedder.path))
    assert len({none, other, same}) == 3 and key("") == none


def made_former(pair: Pair, ref) -> None:
    """Make the index that serves one of format 3, its manifest too."""
    folder = ArtifactStore(pair.home).path(ref)
    whole, embedder = pair.open(ref), Embedder(pair.embedder.path, backend="auto")
    import faiss

    former = faiss.IndexFlatIP(16)
    former.add(embedder.embed(whole.chunks["indexed"].to_pylist()))
    faiss.write_index(former, str(folder / "dense.faiss"))
    strip(folder)
    seal(folder)


def test_an_index_of_the_former_format_serves_until_a_new_one_does_and_the_new_one_says_why(pair):
    pair.companion = None
    first = pair.serve()
    made_former(pair, first)
    serving = open_champion(pair.home)
    assert serving.retriever.facts["format"] == 3 and serving.retriever.search("cat", 1)[0].document == "cat.md"
    assert champion_index(pair.home).artifact_id == first.id
    settings = IndexSettings(documents=[str(pair.docs)], **SETTINGS)
    context = Context(
        pair.home, "", str(pair.embedder.path), embedder_en=str(save_second_embedder(pair.embedder.path, pair.docs.parent / "third"))
    )
    now = ingredients(STAGES["index"], settings, {}, context)
    former = {
        "id": first.id,
        "stage": "index",
        "embedder": context.embedder,
        "made_of": {"settings": now.settings, "inputs": {}, "files": now.files},
    }
    code = {path: digest for path, digest in now.code.items() if path != "tasks/rag/sentence_vectors.py"}
    references = {"embedder": context.embedder, "embedder_en": ""}
    made_of = former["made_of"] | {"models": now.models, "code": code, "versions": now.versions}
    assert (
        reason(STAGES["index"], now, former | {"made_of": made_of}, references)
        == "the source file tasks/rag/sentence_vectors.py is new to it"
    )
    second = pair.serve()
    assert pair.facts(second)["format"] == 4 and champion_index(pair.home).artifact_id == second.id
    taken = open_champion(pair.home, serving.retriever.meaning.embedders)
    assert taken.retriever.meaning.sentences is not None and taken.retriever.search("cat", 1)[0].document == "cat.md"
    assert taken.retriever.embedder is serving.retriever.embedder  # one embedder for both while they change over
