"""Corpus splits, duplicates, the store, fingerprints, the cache and memory, on files made here."""

import os
import pickle
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from corpus_files import SENTENCES, as_jsonl, build_from, contents, everything, sentence, text_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpt.program.errors import XPTError
from xpt.text.corpus import SPLIT_NAMES, build
from xpt.text.corpus.select import DROPPED, TEST, TRAIN, VALIDATION, select, split_codes


def test_the_split_is_a_function_of_the_sentence(tmp_path):
    some = contents(build_from(text_of(tmp_path / "some.txt", SENTENCES[:300]), tmp_path / "cache"))
    more = contents(build_from(text_of(tmp_path / "more.txt", SENTENCES[::-1]), tmp_path / "cache"))
    for name in SPLIT_NAMES:
        assert some[name] and set(some[name]) <= set(more[name])
    other = contents(build_from(tmp_path / "some.txt", tmp_path / "cache", split_seed=1))
    assert set(other["test"]) != set(some["test"])


def test_the_shares_are_the_papers():
    hashes = np.random.default_rng(0).integers(0, 2**64, 2_000_000, dtype=np.uint64)
    shares = np.bincount(split_codes(hashes), minlength=3) / len(hashes)
    assert np.abs(shares - [1 - 0.0451, 0.024, 0.0211]).max() < 5e-4
    edges = np.array([0, 2**64 * 0.0210, 2**64 * 0.0212, 2**64 * 0.0450, 2**64 * 0.0452], dtype=np.uint64)
    assert split_codes(edges).tolist() == [TEST, TEST, VALIDATION, VALIDATION, TRAIN]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 400), min_size=2, max_size=3, unique=True),
    st.sampled_from(["sentence", "document"]),
)
def test_smaller_corpora_lie_inside_larger_ones_and_share_the_test_set(tmp_path, sizes, split_by):
    path = tmp_path / "a.txt"
    if not path.exists():
        blocks = [SENTENCES[start : start + 4] for start in range(0, 400, 4)]
        path.write_text("\n\n".join("\n".join(block) for block in blocks), "utf-8")
    built = []
    for size in sorted(sizes):
        corpus = build_from(
            path, tmp_path / "cache", split_by=split_by, train_sentences=size, test_sentences=3
        )
        built.append((size, corpus))
    whole = build_from(path, tmp_path / "cache", split_by=split_by)
    for size, corpus in built:
        train = list(corpus.split("train"))
        assert len(train) == min(size, len(whole.split("train")))
        assert corpus.report["splits"]["train"]["shortfall"] == size - len(train)
        assert set(train) <= set(whole.split("train"))
        order = {line: place for place, line in enumerate(whole.split("train"))}
        assert train == sorted(train, key=order.__getitem__)
        assert list(corpus.split("test")) == list(built[0][1].split("test"))
        assert set(corpus.split("test")) <= set(whole.split("test"))
    for (_, small), (_, large) in pairwise(built):
        assert set(small.split("train")) <= set(large.split("train"))


def test_lowest_hashes_are_kept():
    hashes = np.random.default_rng(1).integers(0, 2**64, 20_000, dtype=np.uint64)
    codes = split_codes(hashes)
    selection = select(hashes, None, {"train": 500, "validation": 7, "test": None})
    assert sorted(hashes[selection.codes == TRAIN]) == sorted(hashes[codes == TRAIN])[:500]
    assert sorted(hashes[selection.codes == VALIDATION]) == sorted(hashes[codes == VALIDATION])[:7]
    assert (selection.codes == TEST).sum() == (codes == TEST).sum()


def test_exact_duplicates_are_dropped_and_the_first_stays(tmp_path):
    lines = [*SENTENCES[:40], SENTENCES[3], SENTENCES[0], "  " + SENTENCES[7].replace(" ", "   ") + " "]
    corpus = build_from(text_of(tmp_path / "a.txt", lines), tmp_path / "cache")
    assert corpus.report["dropped"]["duplicate"] == 3
    assert list(corpus.split("train")) == [
        line for line in SENTENCES[:40] if line in set(corpus.split("train"))
    ]
    assert everything(corpus) == sorted(SENTENCES[:40])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=200))
def test_selection_by_document_against_a_plain_python_one(pairs):
    """Few sentences and documents with chosen hashes: every split and repetition occurs."""
    step = 2**64 // 31
    hashes = np.array([number * step for number, _ in pairs], dtype=np.uint64)
    keys = np.array(
        [[0.0, 0.01, 0.02, 0.03, 0.04][d] * 2**64 if d < 5 else d * 2**60 for _, d in pairs], np.uint64
    )
    selection = select(hashes, lambda: keys, dict.fromkeys(SPLIT_NAMES))
    expected = np.full(len(pairs), DROPPED)
    seen: set[int] = set()
    for split in (TRAIN, VALIDATION, TEST):
        for index, (number, _) in enumerate(pairs):
            if split_codes(keys)[index] == split and number not in seen:
                seen.add(number)
                expected[index] = split
    assert selection.codes.tolist() == expected.tolist()
    assert selection.duplicates + selection.leaked == (expected == DROPPED).sum()


def test_documents_stay_whole_and_nothing_held_out_stands_in_training(tmp_path):
    boilerplate = "현행법은 이러한 사항을 규정하지 아니하고 있다."
    documents = [[boilerplate, *SENTENCES[start : start + 4]] for start in range(0, 400, 4)]
    rows = ["\n".join(document) for document in documents]
    (tmp_path / "a.jsonl").write_bytes(as_jsonl(rows))
    corpus = build_from(tmp_path / "a.jsonl", tmp_path / "cache", split_by="document")
    splits = contents(corpus)
    place = {line: name for name, lines in splits.items() for line in lines}
    for document in documents:
        assert len({place[line] for line in document[1:]}) == 1
    assert splits["validation"] and splits["test"]
    assert place[boilerplate] == "train"
    held_out = (len(splits["validation"]) + len(splits["test"])) // 4
    assert corpus.report["dropped"]["held_out_seen_in_training"] == held_out
    assert corpus.report["dropped"]["duplicate"] == len(documents) - held_out - 1
    assert corpus.report["documents"] == 100


def test_a_block_between_blank_lines_is_a_document_however_long(tmp_path):
    blocks = [[sentence(index) for index in range(2500)], [sentence(index) for index in range(2500, 2510)]]
    (tmp_path / "a.txt").write_text("\n \n".join("\n".join(block) for block in blocks), "utf-8")
    corpus = build_from(tmp_path / "a.txt", tmp_path / "cache", split_by="document")
    assert corpus.report["documents"] == 2
    splits = contents(corpus)
    place = {line: name for name, lines in splits.items() for line in lines}
    assert all(len({place[line] for line in block}) == 1 for block in blocks)


# The store


def test_sentences_read_lazily_by_index_slice_iteration_and_after_pickling(tmp_path):
    corpus = build_from(text_of(tmp_path / "a.txt", SENTENCES), tmp_path / "cache")
    train = corpus.split("train")
    lines = list(train)
    assert [train[index] for index in range(len(train))] == lines
    assert (train[-1], train[2:5], train[np.int64(3)]) == (lines[-1], lines[2:5], lines[3])
    assert list(pickle.loads(pickle.dumps(train))) == lines
    with pytest.raises(IndexError):
        train[len(train)]
    report = corpus.report["splits"]["train"]
    assert report["characters"] == sum(map(len, lines))
    assert len(build_from(text_of(tmp_path / "b.txt", SENTENCES[:2]), tmp_path / "cache").split("test")) == 0
    with pytest.raises(XPTError, match="no split dev"):
        corpus.split("dev")


def test_the_fingerprint_follows_content_and_settings_not_places(tmp_path):
    here, there = text_of(tmp_path / "a.txt", SENTENCES), text_of(tmp_path / "b.txt", SENTENCES)
    first = build_from(here, tmp_path / "cache").fingerprint
    assert build_from(there, tmp_path / "other").fingerprint == first
    assert build_from(here, tmp_path / "cache", min_characters=11).fingerprint != first
    assert build_from(text_of(tmp_path / "c.txt", SENTENCES[1:]), tmp_path / "cache").fingerprint != first


def test_the_corpus_does_not_depend_on_the_process(tmp_path):
    path = text_of(tmp_path / "a.txt", SENTENCES)
    code = (
        "import sys; from pathlib import Path; from xpt.text.corpus import *; "
        "settings = CorpusSettings(corpus=(sys.argv[1],)); "
        "print(build_corpus(settings, Path(sys.argv[2]), False).fingerprint)"
    )
    prints = [
        subprocess.run(
            [sys.executable, "-c", code, str(path), str(tmp_path / f"cache{seed}")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert prints[0] == prints[1]


# The cache


def refuse_to_build(*_arguments):
    raise AssertionError("built again")


def test_a_built_corpus_is_reused_until_an_input_or_setting_changes(tmp_path, monkeypatch):
    path, cache = text_of(tmp_path / "a.txt", SENTENCES), tmp_path / "cache"
    first = build_from(path, cache)
    with monkeypatch.context() as patch:
        patch.setattr(build, "_build", refuse_to_build)
        assert build_from(path, cache).fingerprint == first.fingerprint
        with pytest.raises(AssertionError):
            build_from(path, cache, language="ja")
        text_of(path, SENTENCES[::-1])  # the same size, another modification time
        with pytest.raises(AssertionError):
            build_from(path, cache)
    assert build_from(path, cache).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "damage", [lambda file: file.unlink(), lambda file: file.write_bytes(file.read_bytes()[:-9])]
)
def test_a_damaged_cache_is_built_again(tmp_path, damage):
    path, cache = text_of(tmp_path / "a.txt", SENTENCES), tmp_path / "cache"
    first = build_from(path, cache)
    names = sorted(file.name for file in first.folder.iterdir())
    assert len(names) == 7
    for name in names:
        damage(first.folder / name)
        again = build_from(path, cache)
        assert contents(again) == contents(first) and again.fingerprint == first.fingerprint


@pytest.mark.parametrize("stop", ["write_splits", "digest_json"])
def test_an_interrupted_build_leaves_nothing(tmp_path, monkeypatch, stop):
    path = text_of(tmp_path / "a.txt", SENTENCES)

    def interrupt(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "_cache_key", lambda *_: "0" * 64)
        patch.setattr(build, stop, interrupt)
        with pytest.raises(KeyboardInterrupt):
            build_from(path, tmp_path / "deep" / "cache")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.txt"]


# Memory


def peak_bytes(action) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shares", [None, (Fraction(2, 3), Fraction(1, 3))])
@pytest.mark.parametrize("by_document", [False, True])
def test_selection_takes_at_most_32_bytes_a_sentence(by_document, shares):
    def run(count: int) -> None:
        random = np.random.default_rng(0)
        hashes = random.integers(0, 2**64, count, dtype=np.uint64)
        keys = (lambda: np.roll(hashes, 1)) if by_document else None
        sizes = [count // 3, count - count // 3]
        select(hashes, keys, {"train": count // 2, "validation": 100, "test": 100}, sizes, shares)

    small, large = (peak_bytes(lambda count=count: run(count)) for count in (500_000, 2_000_000))
    assert (large - small) / 1_500_000 <= 32


def test_building_takes_at_most_32_bytes_a_sentence(tmp_path):
    peaks = []
    for count in (10_000, 30_000):
        path = tmp_path / f"{count}.txt"
        text_of(path, [sentence(index) for index in range(count)])
        peaks.append(peak_bytes(lambda path=path: build_from(path, tmp_path / "cache", splitter="lines")))
    assert (peaks[1] - peaks[0]) / 20_000 <= 32
