"""Vectors of sentences in int8: near enough to what they were, read from the disk as they are asked for, and chunks are the mean of theirs."""

import numpy as np
import pytest

from tasks.rag.sentence_vectors import (
    CODES,
    HEADING,
    SentenceVectors,
    chunk_vectors,
    quantized,
    scales,
    sentence_texts,
    unit,
    write_sentences,
)


def drawn(rows: int, dimension: int = 384, seed: int = 0) -> np.ndarray:
    """Unit vectors of any direction."""
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_direction_is_kept_in_one_byte_a_number():
    vectors = drawn(5000)
    codes = quantized(vectors)
    assert codes.dtype == np.int8 and codes.shape == vectors.shape and np.abs(codes.astype(int)).max(axis=1).tolist() == [127] * len(codes)
    kept = unit(codes)
    np.testing.assert_allclose(np.linalg.norm(kept, axis=1), 1, atol=1e-5)
    assert (kept * vectors).sum(axis=1).min() >= 0.9999
    np.testing.assert_array_equal(quantized(kept), codes)  # made of codes, it is the codes again
    np.testing.assert_array_equal(quantized(vectors * 2.0**-20), codes)  # whatever its length


def test_one_large_number_costs_little():
    vectors = drawn(200)
    vectors[:, 7] = 1.0
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (unit(quantized(vectors)) * vectors).sum(axis=1).min() >= 0.999


def test_a_vector_of_zeros_stays_one():
    codes = quantized(np.zeros((2, 8), np.float32))
    assert not codes.any() and not unit(codes).any() and np.isfinite(scales(codes)).all()


def test_no_texts():
    none = np.zeros((0, 8), np.int8)
    assert quantized(np.zeros((0, 8), np.float32)).shape == unit(none).shape == (0, 8) and scales(none).shape == (0,)
    assert chunk_vectors(none, np.zeros(0, int), np.zeros(0, int), none).shape == (0, 8)


def test_sentences_are_where_their_places_say():
    assert sentence_texts("One. Two!  三。", [0, 4, 5, 9, 11, 13]) == ["One.", "Two!", "三。"]
    assert sentence_texts("", [0, 0]) == [""]


def by_hand(codes, lengths, counts, headings) -> list[np.ndarray]:
    """The means in float64, a chunk after the other."""
    found, at = [], 0
    for count, heading in zip(counts, headings, strict=True):
        total = np.zeros(codes.shape[1])
        for row in range(at, at + count):
            vector = codes[row].astype(float)
            total += np.sqrt(lengths[row]) * vector / np.linalg.norm(vector)
        total /= np.linalg.norm(total)
        if heading.any():
            total = total + HEADING * heading.astype(float) / np.linalg.norm(heading.astype(float))
        found.append(total / np.linalg.norm(total))
        at += count
    return found


@pytest.mark.parametrize("chunks", [1, 7, 5000])  # the last is worked out in two steps
def test_a_chunk_is_the_mean_of_its_sentences_and_its_heading(chunks):
    generator = np.random.default_rng(chunks)
    counts = generator.integers(1, 6, chunks)
    codes, lengths = quantized(drawn(int(counts.sum()), 24)), generator.integers(1, 200, int(counts.sum()))
    headings = quantized(drawn(chunks, 24, seed=1) * generator.integers(0, 2, (chunks, 1)))
    assert (headings.any(axis=1).sum() in range(1, chunks)) or chunks == 1
    np.testing.assert_allclose(chunk_vectors(codes, lengths, counts, headings), by_hand(codes, lengths, counts, headings), atol=1e-5)


def test_sentences_that_say_the_opposite_leave_the_heading_and_never_a_number_that_is_none():
    codes = quantized(np.array([[1, 0], [-1, 0]], np.float32))
    there = chunk_vectors(codes, np.array([4, 4]), np.array([2]), quantized(np.array([[0, 1]], np.float32)))
    np.testing.assert_allclose(there, [[0, 1]], atol=1e-6)
    assert not chunk_vectors(codes, np.array([4, 4]), np.array([2]), np.zeros((1, 2), np.int8)).any()
    assert np.isfinite(chunk_vectors(codes, np.array([0, 0]), np.array([2]), np.zeros((1, 2), np.int8))).all()


@pytest.fixture
def kept(tmp_path) -> tuple[SentenceVectors, np.ndarray, np.ndarray]:
    """Vectors of 9,000 chunks (more than are looked at in one step), what they are in float32, and how many each has."""
    counts = np.random.default_rng(3).integers(1, 4, 9000)
    codes = quantized(drawn(int(counts.sum()), 12, seed=4))
    write_sentences(tmp_path, codes)
    return SentenceVectors(tmp_path, counts), unit(codes), counts


def test_the_best_sentence_is_that_of_a_scan(kept):
    vectors, whole, counts = kept
    question, starts = drawn(1, 12, seed=5)[0], np.cumsum(counts) - counts
    every = [float((whole[start : start + count] @ question).max()) for start, count in zip(starts, counts, strict=True)]
    np.testing.assert_allclose(vectors.best(question, np.arange(len(counts))), every, atol=1e-5)
    some = np.array([8999, 0, 77, 77, 4096])  # in any order, and twice
    np.testing.assert_allclose(vectors.best(question, some), [every[i] for i in some], atol=1e-5)
    assert vectors.best(question, np.zeros(0, np.int64)).shape == (0,)
    for chunk in (0, 5, 8999):
        np.testing.assert_allclose(
            vectors.cosines(question, chunk), whole[starts[chunk] : starts[chunk] + counts[chunk]] @ question, atol=1e-5
        )


def test_rows_are_those_of_the_chunks_asked_for(kept):
    vectors, _, counts = kept
    starts = np.cumsum(counts) - counts
    asked = np.array([3, 0, 8999])
    rows, first = vectors.rows(asked)
    assert rows.tolist() == [row for i in asked for row in range(starts[i], starts[i] + counts[i])]
    assert first.tolist() == [0, counts[3], counts[3] + counts[0]]
    assert vectors.rows(np.zeros(0, np.int64))[0].tolist() == []


def test_they_are_mapped_and_not_read(kept, tmp_path):
    vectors, whole, _ = kept
    assert isinstance(vectors.codes, np.memmap) and not vectors.codes.flags.writeable
    assert vectors.codes.nbytes / len(vectors.codes) == 12  # a byte a number on the disk, 4 more for the scale in memory
    np.testing.assert_allclose(vectors.vectors(np.arange(50)), whole[:50], atol=1e-6)
    with (tmp_path / CODES).open("r+b") as file:  # what is on the disk is what is compared
        file.seek(-12 * len(vectors.codes), 2)
        file.write(bytes(12))
    assert not vectors.vectors(np.array([0])).any()


def test_an_index_without_any_says_so(tmp_path):
    assert not SentenceVectors.there(tmp_path)
    write_sentences(tmp_path, quantized(drawn(1, 4)))
    assert SentenceVectors.there(tmp_path)
