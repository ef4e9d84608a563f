"""Only what is new is read, cut and embedded; what is gone is found no more; and the cache never changes what comes out."""

import json
from pathlib import Path

import numpy as np
import pytest

import tasks.rag.task
from flows.catalogue.stages import STAGES
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.catalog import Catalog, insert
from storage.segments import MOST
from tasks.documents.finding import DocumentFile
from tasks.errors import MigakiError
from tasks.rag.embedding import Embedder
from tasks.rag.incremental import embed_new, read_new
from tasks.rag.settings import IndexSettings
from tasks.stages.keys import Ingredients
from tests.helpers.project import SETTINGS, Project
from tests.helpers.words import subject


class Place(Project):
    """A project that counts what its builds read, cut and embed; `given` has the texts that were embedded."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        super().__init__(root)
        self.docs, self.did, self.given = root / "docs", {"read": 0, "cut": 0, "embedded": 0}, []
        self.docs.mkdir()
        self.nothing = self.dataset([])
        read, cut, embed = tasks.rag.task.read_all, tasks.rag.task.chunk_documents, Embedder.embed

        def counted(name, function, items):
            def call(*args, **kwargs):
                self.did[name] += len(items(args))
                return function(*args, **kwargs)

            return call

        monkeypatch.setattr(tasks.rag.task, "read_all", counted("read", read, lambda args: args[0]))
        monkeypatch.setattr(tasks.rag.task, "chunk_documents", counted("cut", cut, lambda args: args[0]))
        monkeypatch.setattr(Embedder, "embed", counted("embedded", embed, lambda args: self.given.extend(args[1]) or args[1]))

    def write(self, name: str, text: str) -> Path:
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def build(self, *documents: str, **settings) -> ArtifactRef:
        """An index of the folder of documents, or of those named."""
        self.did |= dict.fromkeys(self.did, 0)
        self.given.clear()
        named = list(documents) or [str(self.docs)]
        return self.run("index", IndexSettings(documents=named, **SETTINGS | settings), dataset=self.nothing)

    def file(self, ref: ArtifactRef, name: str) -> bytes:
        return (ArtifactStore(self.home).path(ref) / name).read_bytes()


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    made = Place(tmp_path, monkeypatch)
    for i in range(8):
        en, ja = subject(i)
        made.write(f"en{i}.md", f"# About {en}\n\nThe {en} was found in a cellar. It weighs {i + 3} kilos.")
        made.write(f"ja{i}.txt", f"{ja}は地下室で見つかりました。\n\n重さは{i + 3}キロです。")
    return made


def test_nothing_is_done_twice(place):
    first = place.build()
    assert place.did["read"] == place.did["cut"] == 16 and place.did["embedded"] >= 16
    again = place.build()
    assert place.did == {"read": 0, "cut": 0, "embedded": 0}
    for name in ("chunks.parquet", "dense.faiss", "sentences.npy", "index.json"):
        assert place.file(first, name) == place.file(again, name)
    place.write("en0.md", "# About nothing\n\nThis page is new.")
    place.build()
    assert place.did == {"read": 1, "cut": 1, "embedded": 2} and sorted(place.given) == ["About nothing", "This page is new."]
    for i in range(MOST):
        place.write("en0.md", f"# About nothing\n\nThis page is new, and changed {i} times.")
        place.build()
    assert all(len(list(folder.glob("*.parquet"))) < MOST for folder in (place.home.root / "cache").rglob("*") if folder.is_dir())
    place.build()
    assert place.did == {"read": 0, "cut": 0, "embedded": 0}


def test_moved_renamed_and_copied_files_cost_nothing(place):
    place.build()
    (place.docs / "deep").mkdir()
    (place.docs / "ja1.txt").rename(place.docs / "deep/renamed.txt")
    (place.docs / "en1.md").rename(place.docs / "moved.md")
    place.write("deep/copy.txt", (place.docs / "ja2.txt").read_text(encoding="utf-8"))
    index = place.build()
    assert place.did == {"read": 0, "cut": 0, "embedded": 0}
    rows = {row["path"]: row for row in place.table(index, "documents")}
    assert rows["deep/renamed.txt"]["title"] == "renamed" and len(rows) == 17 and "ja1.txt" not in rows
    hits = place.open(index).search(f"{subject(2)[1]}の重さ", 4)
    assert {hit.document for hit in hits} >= {"ja2.txt", "deep/copy.txt"}


def test_equal_chunks_are_embedded_once(place):
    for i in range(5):
        place.write(f"same{i}.txt", "The very same words stand in every one of these files.")
    place.build(*[str(place.docs / f"same{i}.txt") for i in range(5)])
    assert place.did == {"read": 5, "cut": 1, "embedded": 2}
    assert place.given == ["The very same words stand in every one of these files.", ""]  # there is no heading


def test_a_changed_sentence_is_all_that_is_embedded(place):
    before = "Stone lasts. Copper lasts too. The harbour froze."
    place.write("one.md", f"# About stone\n\n{before}\n\n## 銅の琴\n\n銅は光る。琴は鳴る。")
    place.build()
    place.write("one.md", f"# About stone\n\n{before.replace('too', 'longer')}\n\n## 銅の琴\n\n銅は光る。琴は静か。琴は鳴る。")
    place.build()
    assert sorted(place.given) == sorted(["Copper lasts longer.", "琴は静か。"])
    place.write("one.md", f"# About copper\n\n{before}\n\n## 銅の琴\n\n銅は光る。琴は静か。琴は鳴る。")
    place.build()
    assert sorted(place.given) == sorted(["About copper", "About copper > 銅の琴"])  # the sentence is as it was before


def test_a_sentence_that_chunks_share_is_embedded_once(place):
    sentences = [f"Sentence {i} is here." for i in range(9)]
    place.write("long.txt", " ".join(sentences))
    index = place.build(str(place.docs / "long.txt"))
    rows = [row["text"] for row in place.table(index, "chunks")]
    assert sum(text.count("Sentence") for text in rows) > len(sentences), rows  # some stand in two
    assert sorted(place.given) == sorted([*sentences, ""])
    opened = place.open(index)
    kept = opened.meaning.sentences
    shared = [(i, j) for i in range(len(kept.codes)) for j in range(i) if (kept.codes[i] == kept.codes[j]).all()]
    assert len(shared) == len(kept.codes) - len(sentences)


def test_another_cut_embeds_what_it_changes_and_another_embedder_everything(place):
    place.build()
    whole = place.did["embedded"]
    place.build(chunk_tokens=58)
    assert place.did["cut"] == 16 and place.did["embedded"] < whole
    place.build()
    assert place.did == {"read": 0, "cut": 0, "embedded": 0}
    model = place.embedder.path / "1_Pooling" / "config.json"
    facts = json.loads(model.read_text(encoding="utf-8"))
    model.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")  # another checksum
    place.embedder = type(place.embedder)(place.embedder.reference, place.embedder.path, "other")
    place.build()
    assert place.did["embedded"] == whole


def test_a_damaged_cache_costs_time_and_nothing_else(place):
    first = place.build()
    for path in (place.home.root / "cache").rglob("*.parquet"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
    again = place.build()
    assert place.did["read"] == place.did["cut"] == 16
    for name in ("chunks.parquet", "dense.faiss", "sentences.npy", "bm25.npz", "sentences.npz", "documents.npz"):
        assert place.file(first, name) == place.file(again, name), name


def test_deleted_documents_are_in_no_part_of_the_index(place):
    for i in range(520):
        place.write(f"many/{i:03}.txt", f"Parcel number{i} waits. 荷物{i}番を待つ。")
    before = place.open(place.build())
    assert before.search("number77")[0].document == "many/077.txt"
    for i in range(500):
        (place.docs / f"many/{i:03}.txt").unlink()
    index = place.build()
    assert place.did == {"read": 0, "cut": 0, "embedded": 0}
    after = place.open(index)
    there = {path.relative_to(place.docs).as_posix() for path in place.docs.rglob("*") if path.is_file()}
    stale = [hit for i in range(500) for hit in after.search(f"Parcel number{i} 荷物{i}番", 10) if hit.document not in there]
    assert stale == [] and len(after) == after.meaning.dense.size == after.levels["bm25"].size < len(before) - 499
    assert {row["path"] for row in place.table(index, "documents")} == there


def test_a_changed_row_of_a_table_is_one_document(place):
    rows = [f'"Question {i}?","The answer to {subject(i)[0]} is {i}.",{"en" if i % 2 else "ja"}' for i in range(20)]
    table = place.write("faq.csv", "\n".join(["title,text,topic", *rows]))
    spec = str(table)
    place.build(spec)
    assert place.did == {"read": 1, "cut": 20, "embedded": 40}  # questions and answers
    rows[3] = '"Question 3?","It is another answer now.",en'
    table.write_text("\n".join(["title,text,topic", *rows]), encoding="utf-8")
    index = place.build(spec)
    assert place.did == {"read": 1, "cut": 1, "embedded": 1}
    assert [hit.document for hit in place.open(index).search("another answer now", 1, where={"topic": "en"})] == ["faq.csv#4"]


def test_a_table_of_the_catalog_is_indexed(place, monkeypatch):
    monkeypatch.setenv("MIGAKI_HOME", str(place.home.root))
    with Catalog.of(place.home).write() as connection:
        connection.execute("CREATE TABLE handbook (id VARCHAR, body VARCHAR, team VARCHAR)")
        insert(
            connection, "handbook", [{"id": "a", "body": "Lanterns are lit at dusk.", "team": "night"}, {"id": "b", "body": "", "team": ""}]
        )
    settings = IndexSettings(**SETTINGS, documents=["table:handbook#text=body"])
    before = Ingredients.of(STAGES["index"], settings, {}, {}).key
    index = place.build("table:handbook#text=body")
    assert [hit.document for hit in place.open(index).search("lantern", where={"team": "night"})] == ["table:handbook#a"]
    rows = {row["path"]: row for row in place.table(index, "documents")}
    assert rows["table:handbook#b"]["status"] == "skipped" and "no text" in rows["table:handbook#b"]["reason"]
    with Catalog.of(place.home).write() as connection:
        connection.execute("UPDATE handbook SET body = 'Lanterns are put out at dawn.' WHERE id = 'a'")
    assert Ingredients.of(STAGES["index"], settings, {}, {}).key != before
    with pytest.raises(MigakiError, match="no table 'handbok'; of yours it has handbook"):
        place.build("table:handbok")
    for own in ("messages", "chunks", "feedback"):  # what people said, and what not everybody may see
        with pytest.raises(MigakiError, match=f"'{own}' is a table of Migaki's own"):
            place.build(f"table:{own}#text=content")


def test_pages_labels_and_metadata_reach_the_search(place):
    place.write("secret/.allowed", "board")
    place.write("secret/plan.md", "# Plan\n\nThe falcon flies at midnight.")
    place.write("open.md", "# Open\n\nThe falcon sleeps at noon.")
    retriever = place.open(place.build(dense_weight_en=0))  # to a random embedder all is alike
    assert [hit.document for hit in retriever.search("falcon")] == ["open.md"]
    assert {hit.document for hit in retriever.search("falcon", groups={"board"})} == {"open.md", "secret/plan.md"}


def test_what_is_read_is_indexed_or_accounted_for(place, monkeypatch):
    read = tasks.rag.task.read_all
    place.write("only.csv", "text")
    index = place.build()
    rows = {row["path"]: row for row in place.table(index, "documents")}
    assert len(rows) == 17 and rows["only.csv"]["status"] == "skipped" and rows["only.csv"]["reason"]
    assert sum(row["chunks"] for row in rows.values()) == len(place.open(index))
    place.write("new.txt", "One more.")
    monkeypatch.setattr(tasks.rag.task, "read_all", lambda *given, **named: [(f"x{name}", found) for name, found in read(*given, **named)])
    with pytest.raises(MigakiError, match="'xnew.txt' was read, and is of none of the 2 files given"):
        place.build()


def test_a_file_that_goes_while_the_index_is_built_is_skipped_with_the_reason(place, monkeypatch):
    digest = DocumentFile.digest

    def gone(file):
        if file.name == "en0.md":
            file.path.unlink(missing_ok=True)
        return digest(file)

    monkeypatch.setattr(DocumentFile, "digest", gone)
    rows = {row["path"]: row for row in place.table(place.build(), "documents")}
    assert rows["en0.md"]["status"] == "skipped" and "cannot be opened" in rows["en0.md"]["reason"] and len(rows) == 16


class Memory:
    """A cache in memory."""

    def __init__(self):
        self.values = {}

    def get(self, keys):
        return {key: self.values[key] for key in keys if key in self.values}

    def put(self, values):
        self.values |= values


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one", encoding="utf-8")
    cache = Memory()

    def read(files):
        from tasks.documents.formats import read_document

        path.write_text("two", encoding="utf-8")
        yield "a.txt", read_document(path)

    found, parsed = read_new([DocumentFile("a.txt", path)], "recipe", cache, lambda texts: set(), read)
    assert [section.paragraphs for section in parsed[found["a.txt"][0].text].sections] == [["two"]] and cache.values == {}


def test_vectors_of_the_wrong_size_are_made_again():
    cache, asked = Memory(), []

    def embed(texts):
        asked.extend(texts)
        return np.ones((len(texts), 3), np.float32)

    assert embed_new(["a", "b", "a"], 3, cache, embed).shape == (3, 3) and sorted(asked) == ["a", "b"]
    cache.values = {key: (b"short",) for key in cache.values}
    assert embed_new(["a", "b"], 3, cache, embed).tolist() == [[127, 127, 127], [127, 127, 127]] and len(asked) == 4
    former = np.ones(3, np.float32).tobytes()  # as they were kept before
    cache.values = {key: (former,) for key in cache.values}
    assert embed_new(["a", "b"], 3, cache, embed).dtype == np.int8 and len(asked) == 6
    assert embed_new([], 3, cache, embed).shape == (0, 3)
