"""New word embeddings: their statistics, their determinism, and what the distributional ones know."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from xpt.text.special_tokens import SpecialIds
from xpt.transplant.embeddings import EMBEDDING_INITS, EmbeddingContext
from xpt.transplant.embeddings.algebra import product
from xpt.transplant.embeddings.static import cooccurrences, positive_pmi

VOCAB = 80
OF_TEXT = ("random", "matched", "gaussian", "static")  # they look at no piece


def context(sentences=None, seed=0, hidden=24) -> EmbeddingContext:
    random = np.random.default_rng(0)
    sentences = sentences or [random.integers(4, 70, 12).tolist() for _ in range(400)]
    flat = encoded(sentences)
    source = torch.randn(500, hidden, generator=torch.Generator().manual_seed(1)) * 0.05 + 0.3
    special = SpecialIds(
        bos=0, pad=1, eos=2, mask=VOCAB - 1, vocab_size=VOCAB, reserved=(0, 1, 2, 3, VOCAB - 1)
    )
    return EmbeddingContext(source, VOCAB, special, flat.ids, flat.offsets, seed, 0.02)


def table_of(method, context) -> torch.Tensor:
    return EMBEDDING_INITS[method].start(context).matrix


@pytest.mark.parametrize("method", OF_TEXT)
def test_tables_are_deterministic_fit_and_leave_padding_zero(method):
    torch.manual_seed(0)
    first = table_of(method, context())
    torch.manual_seed(1)
    assert torch.equal(first, table_of(method, context()))
    assert not torch.equal(first, table_of(method, context(seed=1)))
    assert first.shape == (VOCAB, 24) and first.dtype == torch.float32 and first.isfinite().all()
    assert not first[1].any() and first[2].any()


def test_random_has_the_papers_scale_and_matched_the_sources_statistics():
    wide = context(hidden=400)
    table = table_of("random", wide)
    assert table[2:].std().item() == pytest.approx(0.02, rel=0.05) and abs(table.mean().item()) < 1e-3
    table, source = table_of("matched", wide)[2:], wide.source_embeddings
    assert table.mean().item() == pytest.approx(source.mean().item(), rel=0.02)
    assert table.std(0).mean().item() == pytest.approx(source.std(0).mean().item(), rel=0.1)


def test_static_rows_have_the_sources_norm_and_mean():
    ids = context()
    table = table_of("static", ids)
    seen = torch.from_numpy(np.unique(ids.ids).astype(int))
    mean = ids.source_embeddings.mean(0)
    norms = (table[seen] - mean).norm(dim=1)
    assert norms.std() < 1e-4 * norms.mean()
    assert norms.mean().item() == pytest.approx(
        (ids.source_embeddings - mean).norm(dim=1).mean().item(), rel=1e-4
    )


@pytest.mark.learned
def test_static_puts_pieces_of_like_use_together():
    """Ids 10..19 stand only beside 30..39, and 20..29 only beside 40..49."""
    random = np.random.default_rng(0)
    sentences = []
    for _ in range(2000):
        first, second = ((10, 30), (20, 40))[random.integers(2)]
        words, others = random.integers(first, first + 10, 6), random.integers(second, second + 10, 6)
        sentences.append(np.stack([words, others], 1).ravel().tolist())
    table = table_of("static", context(sentences))
    rows = torch.nn.functional.normalize(table - table[10:50].mean(0), dim=1)
    likeness = rows @ rows.T
    within = (likeness[10:20, 10:20].sum() - 10) / 90
    assert within > likeness[10:20, 20:30].mean() + 0.3


@given(st.lists(st.lists(st.integers(4, 12), min_size=1, max_size=12), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_counts_equal_a_plain_loop(sentences):
    flat = encoded(sentences)
    expected = np.zeros((13, 13))
    for sentence in sentences:
        for i, first in enumerate(sentence):
            for j, second in enumerate(sentence):
                if 0 < abs(i - j) <= 5:
                    expected[first, second] += 1 / abs(i - j)
    assert cooccurrences(flat.ids, flat.offsets, 13).toarray() == pytest.approx(expected, rel=1e-5)


def test_chunks_change_no_count(monkeypatch):
    ids = context()
    whole = cooccurrences(ids.ids, ids.offsets, VOCAB).toarray()
    monkeypatch.setattr("xpt.transplant.embeddings.static.CHUNK_TOKENS", 100)
    assert cooccurrences(ids.ids, ids.offsets, VOCAB).toarray() == pytest.approx(whole, rel=1e-5)


def test_information_is_that_of_the_definition():
    counts = cooccurrences(context().ids, context().offsets, VOCAB)
    dense = counts.toarray().astype(np.float64)
    rows = dense.sum(1)
    smooth = rows**0.75 / (rows**0.75).sum()
    with np.errstate(all="ignore"):
        expected = np.log(dense / rows[:, None] / smooth[None, :])
    expected = np.where(np.isfinite(expected) & (expected > 0), expected, 0)
    assert positive_pmi(counts).toarray() == pytest.approx(expected, abs=1e-5)


def test_pieces_that_the_text_does_not_show_start_as_matched():
    table, matched = (table_of(method, context()) for method in ("static", "matched"))
    unseen = [0, 2, 3, *range(70, VOCAB)]
    assert torch.equal(table[unseen], matched[unseen])
    assert not torch.isclose(table[4:70], matched[4:70]).all(dim=1).any()


def test_static_fits_where_the_vocabulary_is_smaller_than_the_width_and_without_any_pair():
    assert table_of("static", context(hidden=3 * VOCAB)).isfinite().all()
    lonely = context(sentences=[[5], [6], [7]])
    assert torch.equal(table_of("static", lonely), table_of("matched", lonely))


def test_static_gives_the_same_bytes_on_one_thread_and_on_two():
    threads = torch.get_num_threads()
    try:
        tables = []
        for count in (1, 2):
            torch.set_num_threads(count)
            tables.append(table_of("static", context(hidden=64)))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*tables)


@pytest.mark.parametrize("cores", [1, 2, 3, 40])
def test_a_product_is_the_same_to_the_bit_on_any_number_of_cores(monkeypatch, cores):
    random = np.random.default_rng(0)
    full = random.standard_normal((50, 60), dtype=np.float32) * (random.random((50, 60)) < 0.2)
    matrix = sparse.csr_array(full)
    dense = torch.from_numpy(random.standard_normal((60, 17), dtype=np.float32))
    monkeypatch.setattr("xpt.transplant.embeddings.algebra.available_cores", lambda: cores)
    assert np.array_equal(product(matrix, dense).numpy(), matrix @ dense.numpy())


def test_of_a_long_text_evenly_chosen_examples_count(monkeypatch):
    sentences = [[number % 60 + 4, number % 50 + 10] for number in range(900)]
    ids, every_third = context(sentences), context(sentences[::3])
    monkeypatch.setattr("xpt.transplant.embeddings.static.MAX_TOKENS", 600)
    monkeypatch.setattr("xpt.transplant.embeddings.static.CHUNK_TOKENS", 100)
    counted = cooccurrences(ids.ids, ids.offsets, VOCAB).toarray()
    monkeypatch.undo()
    assert (counted == cooccurrences(every_third.ids, every_third.offsets, VOCAB).toarray()).all()


def test_static_without_text_says_what_it_needs():
    with pytest.raises(ValueError, match="need the token ids of the training split"):
        table_of("static", replace(context(), ids=None))
