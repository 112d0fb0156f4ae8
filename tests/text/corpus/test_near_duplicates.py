"""Near-duplicates: what is dropped, which stays, held-out text, the report, order and memory."""

import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from corpus_files import SENTENCES, as_jsonl, build_from, contents, everything, text_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpt.program.errors import XPTError
from xpt.text.corpus import SPLIT_NAMES
from xpt.text.corpus.near_duplicates import NearDuplicates, band_shape, shingles, similarity

WORDS = [first + second for first in "가나다라마바사아자차카타파하" for second in "강군길논담돌몸밤별산"]


def unlike(index: int) -> str:
    """A sentence that shares hardly a trigram with that of another index."""
    random = np.random.default_rng(index)
    return " ".join(random.choice(WORDS, 14)) + "."


ORIGINALS = [unlike(index) for index in range(60)]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from([0.7, 0.8, 0.9]))
def test_of_planted_near_duplicates_hardly_two_stay(tmp_path, data, threshold):
    lines = list(ORIGINALS[:30])
    for _ in range(data.draw(st.integers(1, 40))):
        line = data.draw(st.sampled_from(lines))
        place = data.draw(st.integers(0, len(line) - 1))
        lines.append(line[:place] + data.draw(st.sampled_from(["", "x", "그 "])) + line[place + 1 :])
    lines = data.draw(st.permutations(lines))
    path = text_of(tmp_path / "a.txt", lines)
    options = {"near_duplicates": True, "near_duplicate_threshold": threshold}
    corpus = build_from(path, tmp_path / "cache", **options)
    kept, exact = everything(corpus), everything(build_from(path, tmp_path / "cache"))
    near = {pair for pair in combinations(exact, 2) if jaccard(*pair) >= threshold}
    stay = near & set(combinations(kept, 2))
    # Of pairs at the threshold MinHash finds 99 in 100 by design, of those well above it nearly all.
    assert len(stay) <= max(2, len(near) // 10)
    assert not any(jaccard(*pair) >= (1 + threshold) / 2 for pair in stay)
    for line in set(exact) - set(kept):  # and nothing else was dropped
        assert any(line in pair and set(pair) & set(kept) for pair in near)
    report = corpus.report["near_duplicates"]
    dropped = sum(report["dropped"].values()) + sum(report["near_an_earlier_split"].values())
    assert dropped == len(exact) - len(kept)


def jaccard(first: str, second: str) -> float:
    """By definition, apart from the code that is tested."""
    one, two = ({line[i : i + 3] for i in range(len(line) - 2)} for line in (first, second))
    return len(one & two) / len(one | two)


def test_exact_duplicates_and_different_sentences_are_as_without_the_option(tmp_path):
    path = text_of(tmp_path / "a.txt", [*ORIGINALS, *ORIGINALS[:20]])
    plain = build_from(path, tmp_path / "cache")
    thinned = build_from(path, tmp_path / "cache", near_duplicates=True)
    assert contents(thinned) == contents(plain)
    assert thinned.report["dropped"] == plain.report["dropped"]
    assert thinned.report["dropped"]["duplicate"] == 20
    assert "near_duplicates" not in plain.report
    assert thinned.folder != plain.folder and thinned.fingerprint != plain.fingerprint


def test_off_the_threshold_changes_nothing(tmp_path):
    path = text_of(tmp_path / "a.txt", SENTENCES)
    first = build_from(path, tmp_path / "cache")
    assert build_from(path, tmp_path / "cache", near_duplicate_threshold=0.5).fingerprint == first.fingerprint
    one = build_from(path, tmp_path / "cache", near_duplicates=True, near_duplicate_threshold=0.5)
    two = build_from(path, tmp_path / "cache", near_duplicates=True, near_duplicate_threshold=0.6)
    assert len({first.fingerprint, one.fingerprint, two.fingerprint}) == 3


def test_held_out_sentences_near_training_are_dropped_and_counted(tmp_path):
    """Documents decide here: each holds a sentence of its own and a variant of one that all have."""
    common = ORIGINALS[0]
    places = [index % len(common) for index in range(300)]
    variants = [
        f"{common[:place]}{chr(0xAC00 + 7 * index)}{common[place + 1 :]}"
        for index, place in enumerate(places)
    ]
    rows = [f"{unlike(1000 + index)}\n{variant}" for index, variant in enumerate(variants)]
    (tmp_path / "a.jsonl").write_bytes(as_jsonl(rows))
    options = {"split_by": "document"}
    plain = contents(build_from(tmp_path / "a.jsonl", tmp_path / "cache", **options))
    corpus = build_from(tmp_path / "a.jsonl", tmp_path / "cache", near_duplicates=True, **options)
    splits = contents(corpus)
    near = {name: [line for line in plain[name] if jaccard(line, common) > 0.6] for name in SPLIT_NAMES}
    assert near["train"] and near["validation"] + near["test"]
    report = corpus.report["near_duplicates"]
    for name in SPLIT_NAMES:  # no training sentence makes space for one held out
        lost = len(plain[name]) - len(splits[name])
        assert lost == report["dropped"][name] + report["near_an_earlier_split"].get(name, 0)
    for line in splits["validation"] + splits["test"]:
        assert all(jaccard(line, other) < 0.8 for other in splits["train"])
    assert sum(corpus.report["near_duplicates"]["near_an_earlier_split"].values())


def test_limits_keep_smaller_corpora_inside_larger_ones_and_one_test_set(tmp_path):
    path = text_of(tmp_path / "a.txt", SENTENCES)
    whole = contents(build_from(path, tmp_path / "cache", near_duplicates=True))
    some = contents(build_from(path, tmp_path / "cache", near_duplicates=True, train_sentences=20))
    assert set(some["train"]) < set(whole["train"]) and len(some["train"]) == 20
    assert some["test"] == whole["test"] and some["validation"] == whole["validation"]


def test_the_report_shows_examples(tmp_path):
    changed = ORIGINALS[0][:-1] + "!"
    corpus = build_from(
        text_of(tmp_path / "a.txt", [*ORIGINALS, changed]), tmp_path / "cache", near_duplicates=True
    )
    (example,) = corpus.report["near_duplicates"]["examples"]
    assert {example["dropped"], example["kept"]} == {changed, ORIGINALS[0]}
    assert example["similarity"] == round(jaccard(changed, ORIGINALS[0]), 3)
    assert json.dumps(corpus.report["near_duplicates"])


@pytest.mark.slow
def test_the_result_does_not_depend_on_the_process(tmp_path):
    path = text_of(tmp_path / "a.txt", SENTENCES)
    code = (
        "import sys; from pathlib import Path; from xpt.text.corpus import *; "
        "settings = CorpusSettings(corpus=(sys.argv[1],), near_duplicates=True); "
        "print(build_corpus(settings, Path(sys.argv[2]), False).fingerprint)"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code, str(path), str(tmp_path / f"cache{seed}")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(prints) == 1


def test_similarity_is_that_of_trigram_sets():
    assert similarity(shingles("가나다라"), shingles("가나다라")) == 1
    assert similarity(shingles("가나다라"), shingles("가나다마")) == 1 / 3
    assert shingles("가나") == {"가나"}


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_find_pairs_at_the_threshold(threshold):
    bands, rows = band_shape(threshold)
    assert bands * rows <= 128
    assert 1 - (1 - threshold**rows) ** bands >= 0.99


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01])
def test_impossible_thresholds_are_refused(tmp_path, threshold):
    with pytest.raises(XPTError, match=r"near_duplicate_threshold is .*: give a share above 0, at most 1"):
        build_from(tmp_path, tmp_path / "cache", near_duplicate_threshold=threshold)


@pytest.mark.slow
def test_it_takes_at_most_100_bytes_a_sentence(tmp_path):
    def peak(count: int) -> int:
        lines = [hashlib.sha256(b"%d" % index).hexdigest() for index in range(count)]
        path = text_of(tmp_path / f"{count}", lines)
        lengths = np.full(count, 65, np.uint32)
        tracemalloc.start()
        try:
            NearDuplicates(0.8).drop(np.zeros(count, np.uint8), path, lengths, False)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # More than are held at once, so that what is held at once does not count.
    assert (peak(12_000) - peak(6_000)) / 6_000 <= 100
