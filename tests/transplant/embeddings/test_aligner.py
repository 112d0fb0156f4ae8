"""The aligner beside a plain loop, on sentences whose links are known, and by hand."""

import math

import numpy as np
import pytest

from xpt.transplant.embeddings import aligner
from xpt.transplant.embeddings.aligner import _Cells, align, align_blocks, align_both, symmetrize, usable


def relabeled(count, reverse, seed=0, words=60):
    """Sentences, and the same with every id another one, in reverse order or the same."""
    random = np.random.default_rng(seed)
    other = random.permutation(words)
    pairs, links = [], []
    for _ in range(count):
        source = random.choice(words, random.integers(4, 11), replace=False)
        target = other[source][::-1] if reverse else other[source]
        last = len(source) - 1
        pairs.append((source.tolist(), target.tolist()))
        links.append({(index, last - index if reverse else index) for index in range(len(source))})
    return pairs, links


def f1(found, links):
    right = sum(len(set(found[index]) & true) for index, true in enumerate(links))
    return 2 * right / (sum(map(len, found.values())) + sum(map(len, links)))


def test_both_directions_speak_of_the_same_sides(monkeypatch):
    """The second direction calls the target the source: its link (2, 0) is the first one's (0, 2)."""
    answers = iter([[[(0, 2)]], [[(2, 0)]]])
    monkeypatch.setattr(aligner, "align", lambda pairs: next(answers))
    assert align_both([([1, 2, 3], [4, 5, 6])]) == {0: [(0, 2)]}


@pytest.mark.parametrize("reverse", [True, False])
def test_links_of_relabeled_sentences_are_found_in_any_order(reverse):
    pairs, links = relabeled(400, reverse)
    assert f1(align_both(pairs), links) >= 0.99


def test_more_pairs_than_memory_holds_are_aligned_in_blocks(monkeypatch):
    pairs, links = relabeled(900, True)
    cells = sum((len(source) + 1) * len(target) for source, target in pairs)
    monkeypatch.setattr(aligner, "MAX_CELLS", cells // 3 + 500)
    sizes, whole = [], aligner.align
    monkeypatch.setattr(aligner, "align", lambda block: sizes.append(len(block)) or whole(block))
    found = align_blocks(pairs)
    assert sizes == [300, 300, 300] and len(found) == 900
    assert f1(dict(enumerate(found)), links) >= 0.99
    assert align_blocks([]) == []


def test_words_that_translate_none_are_left_alone():
    pairs, links = relabeled(400, False)
    noisy = [(source, [60, *target]) for source, target in pairs]  # 60 stands before every translation
    shifted = [{(row, column + 1) for row, column in one} for one in links]
    assert f1(align_both(noisy), shifted) >= 0.9


@pytest.mark.parametrize("tension", [0.0, 4.0])
def test_a_round_equals_a_plain_loop(tension):
    pairs, _ = relabeled(12, True, words=15)
    pairs.append(([1, 1, 2], [3, 3]))  # a word twice
    cells = _Cells(pairs)
    table, likelihood = cells.start(), 0.0
    slow = {(e, f): 1.0 for source, target in pairs for e in [None, *source] for f in target}
    for _ in range(3):
        likelihood = cells.likelihood(table, cells.prior(tension))
        table, _ = cells.round(table, cells.prior(tension))
        counts, totals, expected = dict.fromkeys(slow, 0.0), {}, 0.0
        for source, target in pairs:
            for j, f in enumerate(target):
                near = [
                    math.exp(-tension * abs((j + 0.5) / len(target) - (i + 0.5) / len(source)))
                    for i in range(len(source))
                ]
                prior = [0.08, *(0.92 * one / sum(near) for one in near)]
                scores = [slow[e, f] * p for e, p in zip([None, *source], prior, strict=True)]
                expected += math.log(sum(scores))
                for e, score in zip([None, *source], scores, strict=True):
                    counts[e, f] += score / sum(scores)
                    totals[e] = totals.get(e, 0.0) + score / sum(scores)
        slow = {(e, f): count / totals[e] for (e, f), count in counts.items()}
        assert likelihood == pytest.approx(expected, abs=1e-4)
    assert sorted(table) == pytest.approx(sorted(slow.values()), abs=1e-6)


def test_the_diagonal_counts_where_the_order_is_kept_and_not_where_it_is_reversed():
    for reverse, strong in ((False, True), (True, False)):
        pairs, _ = relabeled(300, reverse)
        cells, table = _Cells(pairs), None
        table = cells.start()
        for _ in range(aligner.MODEL_1_ROUNDS):
            table, _ = cells.round(table, cells.prior(0.0))
        higher = cells.likelihood(table, cells.prior(8.0)) > cells.likelihood(table, cells.prior(0.0))
        assert higher == strong


def test_of_a_word_twice_the_one_at_the_same_place_is_linked():
    random = np.random.default_rng(0)
    pairs = []
    for _ in range(200):
        middle = random.choice(np.arange(1, 40), 6, replace=False).tolist()
        source = [0, *middle, 0]
        pairs.append((source, source))
    for links in align_both(pairs).values():
        assert (0, 0) in links and (7, 7) in links and (0, 7) not in links and (7, 0) not in links


def test_symmetrized_by_hand():
    """Both say 0-0; 0-1 is beside it with a new target; 3-3 is far and free (final-and); 3-0 is not."""
    forward, backward = {(0, 0), (0, 1), (3, 3)}, {(0, 0), (3, 0)}
    assert symmetrize(forward, backward, 4, 4) == [(0, 0), (0, 1), (3, 3)]
    assert symmetrize(set(), {(2, 1)}, 3, 3) == [(2, 1)]
    assert symmetrize(set(), set(), 2, 2) == []


def test_empty_and_long_sentences_are_left_out_and_of_many_evenly_chosen_ones_count(monkeypatch):
    pairs = [([1], [2]), ([], [2]), ([1], []), ([1] * 101, [2]), ([3], [4])]
    assert usable(pairs) == [0, 4]
    assert set(align_both(pairs)) == {0, 4} and align([]) == []
    monkeypatch.setattr(aligner, "MAX_CELLS", 4 * 10)
    assert usable([([1], [2])] * 30) == list(range(0, 30, 3))
