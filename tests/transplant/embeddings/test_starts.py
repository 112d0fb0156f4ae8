"""What holds for every start, and defects of known implementations that ours must not have."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_starts import (
    HIDDEN,
    KOREAN,
    SHARED,
    SOURCE,
    SOURCE_ROLES,
    TARGET,
    TARGET_ROLES,
    own_space,
    short_games,
    toy,
    vocabulary,
)

from xpt.program.errors import XPTError
from xpt.transplant.embeddings import EMBEDDING_INITS, ParallelText
from xpt.transplant.embeddings.context import COPIED, DISTRIBUTIONAL, MIXED, PADDING, RANDOM
from xpt.transplant.embeddings.methods import OVERLAP_REST, overlap_with
from xpt.transplant.embeddings.mixing import mixed_bias
from xpt.transplant.embeddings.scale import scaled_to_source
from xpt.transplant.embeddings.spaces import target_space

MIXING = ("focus", "dictionary", "align", "procrustes", "adversarial")  # by convex weights
COMPARING = (*MIXING, "omp", "overlap")
UNSEEN = TARGET.index("▁unseen")


@pytest.fixture(autouse=True)
def _short_games(monkeypatch):
    short_games(monkeypatch)


def start_of(method, context=None):
    return EMBEDDING_INITS[method].start(context or toy())


def convex(start):
    """Which rows of the weights sum to 1 with none below 0."""
    weights = start.weights.toarray()
    return (weights >= 0).all(axis=1) & np.isclose(weights.sum(axis=1), 1, atol=1e-5)


# ---- of every start --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", EMBEDDING_INITS)
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(method, monkeypatch):
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.manual_seed(count)
            torch.set_num_threads(count)
            monkeypatch.setattr("xpt.transplant.embeddings.algebra.available_cores", lambda n=count: n)
            found.append(start_of(method).matrix)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)
    if method != "omp":  # which draws nothing here
        assert not torch.equal(found[0], start_of(method, toy(seed=1)).matrix)


@pytest.mark.parametrize("method", EMBEDDING_INITS)
def test_rows_fit_the_padding_is_zero_and_the_report_counts_each_row_once(method):
    start = start_of(method)
    assert start.matrix.shape == (len(TARGET), HIDDEN) and start.matrix.dtype == torch.float32
    assert start.matrix.isfinite().all()
    pad = TARGET_ROLES["pad"]
    assert not start.matrix[pad].any() and start.kinds[pad] == PADDING
    rest = [index for index in range(len(TARGET)) if index != pad]
    assert start.matrix[rest].any(dim=1).all()
    report = start.report(toy())
    assert sum(report["rows"].values()) == len(TARGET) - 1
    for kind, mean in report["mean_norms"].items():
        rows = np.flatnonzero(start.kinds == ["copied", "mixed", "distributional", "random"].index(kind))
        assert mean == pytest.approx(start.matrix[rows].norm(dim=1).mean().item(), rel=1e-4)


@pytest.mark.parametrize("method", [*MIXING, "omp"])
@pytest.mark.parametrize("own", [False, True])
def test_other_ids_give_the_same_rows_at_other_places(method, own):
    order = np.random.default_rng(3).permutation(len(TARGET))
    usual, moved = (own_space(one) if own else one for one in (toy(), toy(order)))
    one, other = start_of(method, usual), start_of(method, moved)
    assert (one.kinds == other.kinds[order]).all()
    known = np.flatnonzero(np.isin(one.kinds, (COPIED, MIXED)))  # what is drawn is drawn by id
    assert one.matrix[known].numpy() == pytest.approx(other.matrix[order[known]].numpy(), abs=2e-4)


@pytest.mark.parametrize("method", MIXING)
def test_mixed_rows_are_convex_mixes_of_the_sources(method):
    start = start_of(method)
    mixed = start.kinds == MIXED
    assert mixed.sum() >= 20 and convex(start)[mixed].all()
    expected = start.weights.toarray().astype(np.float64) @ toy().source_embeddings.double().numpy()
    known = np.isin(start.kinds, (COPIED, MIXED))
    assert start.matrix.numpy()[known] == pytest.approx(expected[known], abs=1e-6)
    assert not start.weights.toarray()[~known].any()


@pytest.mark.parametrize("rest", OVERLAP_REST)
def test_the_overlap_can_be_laid_over_any_start(rest):
    start = overlap_with(rest).start(toy())
    for piece in SHARED:
        row = toy().source_embeddings[SOURCE.index(piece)]
        assert torch.equal(start.matrix[TARGET.index(piece)], row)
    report = start.report(toy())["rows"]
    assert report["copied"] == len(SHARED) + 4
    assert (report["distributional"] > 0) == (rest == "static")


# ---- defects of others -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", COMPARING)
def test_special_tokens_are_copied_by_role_though_no_string_is_the_same(method):
    start = start_of(method)
    for role in ("bos", "eos", "unk", "mask"):
        row = toy().source_embeddings[SOURCE_ROLES[role]]
        assert torch.equal(start.matrix[TARGET_ROLES[role]], row), role
        assert start.kinds[TARGET_ROLES[role]] == COPIED


@pytest.mark.parametrize("method", [*COMPARING])
def test_digits_marks_and_foreign_words_are_the_sources_own(method):
    start = start_of(method)
    for piece in SHARED:
        row = toy().source_embeddings[SOURCE.index(piece)]
        assert torch.allclose(start.matrix[TARGET.index(piece)], row, atol=1e-6), piece


def test_words_of_the_languages_own_script_are_not_taken_for_the_sources():
    """Welsh and English share spellings, not meanings: there a dictionary says what `km` is."""
    welsh = [
        piece if not piece or piece in SHARED else f"▁welsh{index}" for index, piece in enumerate(TARGET)
    ]
    context = replace(toy(), target=vocabulary(welsh, TARGET_ROLES))
    pairs = [(other, f"welsh{TARGET.index('▁' + word)}") for other, word in toy().dictionary]
    start = start_of("dictionary", replace(context, dictionary=pairs))
    kinds = {piece: start.kinds[TARGET.index(piece)] for piece in SHARED}
    assert kinds == {piece: MIXED if piece == "▁km" else COPIED for piece in SHARED}


@pytest.mark.parametrize("method", [*MIXING, "omp"])
def test_the_output_bias_is_mixed_as_the_rows_are(method):
    start, bias = start_of(method), torch.arange(len(SOURCE)).float()
    mixed = mixed_bias(start, bias)
    for index in range(len(TARGET)):
        row = start.weights[[index]].toarray()[0].astype(np.float64)
        expected = row @ bias.double().numpy() if row.any() else bias.mean().item()
        assert mixed[index].item() == pytest.approx(expected, rel=1e-5, abs=1e-4)
    assert mixed[TARGET_ROLES["mask"]] == bias[SOURCE_ROLES["mask"]]


def test_negative_cosines_take_nothing_away():
    context = toy()
    vectors, seen = target_space(context)
    anchors = [TARGET.index(piece) for piece in SHARED]
    cosines = vectors[[TARGET.index(piece) for piece in KOREAN]] @ vectors[anchors].T
    assert (cosines < 0).any() and seen[anchors].all()
    assert (start_of("focus", context).weights.toarray() >= 0).all()


def test_rows_are_as_wide_as_the_source_however_wide_the_donor_and_the_texts_vectors_are():
    """Reducing the source instead would take away what its layers read."""
    context = toy(hidden=200)  # the text has far fewer dimensions, the donor has 20
    for method in [*MIXING, "omp"]:
        start = start_of(method, context)
        assert start.matrix.shape[1] == 200
        rows = start.matrix[start.kinds == MIXED].double()
        basis = torch.linalg.qr(context.source_embeddings.double().T).Q
        assert torch.allclose(rows @ basis @ basis.T, rows, atol=1e-6)


def test_a_piece_that_stands_once_in_the_text_has_a_vector():
    usual = [[4 + index % 25, 5 + index % 24, TARGET.index("▁1"), TARGET.index(",")] for index in range(60)]
    once = [[UNSEEN, 4, TARGET.index("▁km")]]
    for method in ("focus", "dictionary", "procrustes"):
        assert start_of(method, toy(sentences=[np.array(one) for one in usual])).kinds[UNSEEN] == RANDOM
        with_it = toy(sentences=[np.array(one) for one in usual + once])
        assert start_of(method, with_it).kinds[UNSEEN] == MIXED


def test_a_pair_that_is_linked_once_counts():
    text = ParallelText([("waf", "unseen")], [[(0, 0)]])
    start = start_of("align", replace(toy(), parallel=text))
    assert torch.allclose(start.matrix[UNSEEN], toy().source_embeddings[SOURCE.index("▁waf")])


@pytest.mark.parametrize("method", ["focus", "dictionary", "align", "procrustes"])
def test_rows_that_nothing_is_known_of_differ_and_have_the_sources_scale(method):
    """Not all the source's unknown token, and no division by a length of zero."""
    few = replace(
        toy(sentences=[np.array([4, 5, 29, 30])] * 3), parallel=ParallelText([("waf", "가국")], [[(0, 0)]])
    )
    start = start_of(method, few)
    drawn = np.flatnonzero(start.kinds == RANDOM)
    assert len(drawn) > 15 and start.matrix.isfinite().all()
    assert len(start.matrix[drawn].unique(dim=0)) == len(drawn)
    wanted = few.source_embeddings.norm(dim=1).mean().item()
    assert start.matrix[drawn].norm(dim=1).mean().item() == pytest.approx(wanted, rel=0.1)


def test_without_any_overlap_nothing_breaks_and_what_needs_one_says_so():
    foreign = [
        piece if index < 6 or piece not in SHARED else f"▁x{index}" for index, piece in enumerate(SOURCE)
    ]
    context = replace(toy(), source=vocabulary(foreign, SOURCE_ROLES))
    assert start_of("focus", context).report(context)["rows"]["mixed"] == 0
    assert start_of("overlap", context).report(context)["rows"]["copied"] == 4
    for method in ("procrustes", "omp"):
        with pytest.raises(XPTError, match=r"no piece .*is spelled as one of the source"):
            start_of(method, context)


def test_pairs_of_the_dictionary_that_are_not_found_change_nothing():
    context = toy()
    more = [("nowhere", "가국"), ("waf", "없는"), *context.dictionary]
    one, other = start_of("dictionary", context), start_of("dictionary", replace(context, dictionary=more))
    assert torch.equal(one.matrix, other.matrix)
    assert one.notes[-1].startswith("18 of 36 dictionary pairs were found")
    with pytest.raises(XPTError, match="none of its 1 pairs has vectors on both sides"):
        start_of("dictionary", replace(context, dictionary=more[:1]))


def test_a_source_that_folds_case_has_the_small_letters_of_capitals():
    capitals = ["▁KM" if piece == "▁km" else piece for piece in TARGET]
    for folds, kind in ((True, COPIED), (False, DISTRIBUTIONAL)):
        context = replace(
            toy(),
            target=vocabulary(capitals, TARGET_ROLES),
            source=vocabulary(SOURCE, SOURCE_ROLES, folds_case=folds),
        )
        assert overlap_with("static").start(context).kinds[TARGET.index("▁km")] == kind


# ---- scale -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", EMBEDDING_INITS)
def test_scaled_rows_have_the_sources_mean_norm_and_copies_stay(method):
    context = toy()
    start = start_of(method, context)
    scaled = scaled_to_source(start, context)
    wanted = context.source_embeddings.norm(dim=1).mean().item()
    for kind in (MIXED, DISTRIBUTIONAL, RANDOM):
        rows = np.flatnonzero(start.kinds == kind)
        if len(rows):
            assert scaled.matrix[rows].norm(dim=1).mean().item() == pytest.approx(wanted, rel=1e-4)
            ratio = scaled.matrix[rows].norm(dim=1) / start.matrix[rows].norm(dim=1)
            assert ratio.max() - ratio.min() < 1e-4
    copied = start.kinds == COPIED
    assert torch.equal(scaled.matrix[copied], start.matrix[copied])
    assert not scaled.matrix[TARGET_ROLES["pad"]].any()


def test_starts_say_what_they_need():
    bare = replace(toy(), ids=None, dictionary=None, parallel=None, donor=None)
    for method in EMBEDDING_INITS.keys() - {"random", "matched", "gaussian", "overlap"}:
        with pytest.raises(ValueError, match="need"):
            start_of(method, bare)
    for method in COMPARING:
        with pytest.raises(ValueError, match="pieces of both tokenizers"):
            start_of(method, replace(toy(), source=None))
