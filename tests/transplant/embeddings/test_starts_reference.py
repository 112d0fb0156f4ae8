"""Each start beside a slow, obvious implementation in float64, on a toy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_starts import KOREAN, SHARED, SOURCE, SOURCE_ROLES, TARGET, TARGET_ROLES, own_space, toy

from xpt.transplant.embeddings import EMBEDDING_INITS
from xpt.transplant.embeddings.algebra import procrustes, sparsemax, top_softmax
from xpt.transplant.embeddings.context import COPIED, MIXED
from xpt.transplant.embeddings.methods import overlap_with
from xpt.transplant.embeddings.omp import ATOMS, pursue
from xpt.transplant.embeddings.spaces import source_space, target_space

SHARED_IDS = {TARGET.index(piece): SOURCE.index(piece) for piece in SHARED}
ROLE_IDS = {TARGET_ROLES[role]: SOURCE_ROLES[role] for role in ("bos", "eos", "unk", "mask")}


def slow_sparsemax(scores):
    """By halving the interval in which the threshold lies."""
    low, high = scores.min() - 1, scores.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(scores - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(scores - high, 0)


def slow_procrustes(moved, fixed):
    """By the polar decomposition M (M'M)^-1/2, from eigenvectors; what the pairs do not tell is zero."""
    products = moved.T @ fixed
    squares, axes = np.linalg.eigh(products.T @ products)
    roots = np.sqrt(np.maximum(squares, 0))
    inverse = np.where(roots > 1e-4 * roots.max(), 1 / np.maximum(roots, 1e-12), 0)
    return products @ axes @ np.diag(inverse) @ axes.T


def mix_of_nearest(ours, theirs, seen):
    """WECHSEL's rule for one vector, word for word."""
    cosines = {
        index: ours @ theirs[index] / np.linalg.norm(ours) / np.linalg.norm(theirs[index])
        for index in np.flatnonzero(seen)
    }
    nearest = sorted(cosines, key=lambda index: -cosines[index])[:10]
    weights = {index: np.exp(cosines[index] / 0.1) for index in nearest}
    return {index: weight / sum(weights.values()) for index, weight in weights.items()}


def expected_rows(context, mixes, copies):
    """Copies and mixes of the source's rows in float64, by target id."""
    rows = context.source_embeddings.numpy().astype(np.float64)
    found = {one: sum(weight * rows[other] for other, weight in mix.items()) for one, mix in mixes.items()}
    return found | {one: rows[other] for one, other in {**copies, **ROLE_IDS}.items()}


def check(start, expected, tolerance=1e-6):
    for index, row in expected.items():
        assert start.matrix[index].double().numpy() == pytest.approx(row, abs=tolerance), TARGET[index]
    said = {int(one) for one in np.flatnonzero((start.kinds == COPIED) | (start.kinds == MIXED))}
    assert said == set(expected)


def double_spaces(context):
    """Both spaces as the starts see them, in float64."""
    ours, ours_seen = target_space(context)
    theirs, theirs_seen, _ = source_space(context)
    return ours.double().numpy(), ours_seen.numpy(), theirs.double().numpy(), theirs_seen.numpy()


def test_gaussian_rows_are_as_far_out_as_their_draws_in_the_sources_covariance():
    torch.manual_seed(0)
    context = toy(hidden=6)
    rows = context.source_embeddings.double().numpy()
    inverse = np.linalg.inv(np.cov(rows.T))
    centered = EMBEDDING_INITS["gaussian"].start(context).matrix.double().numpy() - rows.mean(0)
    random = EMBEDDING_INITS["random"].start(context).matrix.double().numpy() / context.initializer_range
    far = np.einsum("ij,jk,ik->i", centered, inverse, centered)
    ours = [index for index in range(len(TARGET)) if index != TARGET_ROLES["pad"]]
    assert far[ours] == pytest.approx((random**2).sum(1)[ours], rel=1e-3)


@pytest.mark.parametrize("rest", ["matched", "static", "align"])
def test_overlap(rest):
    context = toy()
    start = overlap_with(rest).start(context)
    other = EMBEDDING_INITS[rest].start(context)
    copies = {**SHARED_IDS, **ROLE_IDS}
    for index in range(len(TARGET)):
        row = context.source_embeddings[copies[index]] if index in copies else other.matrix[index]
        assert torch.equal(start.matrix[index], row), TARGET[index]
    assert (start.kinds[list(copies)] == COPIED).all()
    left = [index for index in range(len(TARGET)) if index not in copies]
    assert (start.kinds[left] == other.kinds[left]).all()


def test_focus():
    context = toy()
    vectors, seen, *_ = double_spaces(context)
    anchors = [one for one in SHARED_IDS if seen[one]]
    mixes = {}
    for index, piece in enumerate(TARGET):
        if piece in KOREAN:
            weights = slow_sparsemax(np.array([vectors[index] @ vectors[one] for one in anchors]))
            mixes[index] = {SHARED_IDS[one]: weight for one, weight in zip(anchors, weights, strict=True)}
    check(EMBEDDING_INITS["focus"].start(context), expected_rows(context, mixes, SHARED_IDS))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("method", ["dictionary", "procrustes"])
def test_dictionary_and_procrustes(method, own):
    context = own_space(toy()) if own else toy()
    ours, ours_seen, theirs, theirs_seen = double_spaces(context)
    if method == "dictionary":
        pairs = [(SOURCE.index(f"▁{one}"), TARGET.index(f"▁{other}")) for one, other in context.dictionary]
    else:
        pairs = [(other, one) for one, other in SHARED_IDS.items() if ours_seen[one] and theirs_seen[other]]
    moved, fixed = theirs[[pair[0] for pair in pairs]], ours[[pair[1] for pair in pairs]]
    turn = slow_procrustes(moved, fixed)
    mixes = {
        index: mix_of_nearest(ours[index] @ turn.T @ turn, theirs @ turn, theirs_seen)
        for index in np.flatnonzero(ours_seen)
        if index not in SHARED_IDS
    }
    check(EMBEDDING_INITS[method].start(context), expected_rows(context, mixes, SHARED_IDS), 1e-5)


def test_the_rotation_is_orthogonal_and_the_best():
    random = np.random.default_rng(0)
    moved = random.standard_normal((40, 6))
    truth = np.linalg.qr(random.standard_normal((6, 6)))[0]
    fixed = moved @ truth + 0.1 * random.standard_normal((40, 6))
    found = procrustes(torch.from_numpy(moved), torch.from_numpy(fixed)).numpy()
    assert found @ found.T == pytest.approx(np.eye(6), abs=1e-9)
    assert found == pytest.approx(slow_procrustes(moved, fixed), abs=1e-6)
    best = np.linalg.norm(moved @ found - fixed)
    for _ in range(200):  # no small turn is better
        turn = np.linalg.qr(np.eye(6) + 0.05 * random.standard_normal((6, 6)))[0]
        turn *= np.sign(np.diag(turn))
        assert np.linalg.norm(moved @ found @ turn - fixed) >= best


def test_align_with_links_that_are_given():
    context = toy()
    pairs = [("waf wag 1", "가국 가법 1"), ("waf", "가국+나국"), ("wah+waj unheard", "가사 가국")]
    links = [[(0, 0), (1, 1), (2, 2)], [(0, 0)], [(0, 0), (1, 1)]]
    text = type(context.parallel)(pairs, links)
    start = EMBEDDING_INITS["align"].start(replace(context, parallel=text))
    english = {piece: SOURCE.index(f"▁{piece}") for piece in ("waf", "wag", "wah", "waj")}
    mixes = {
        TARGET.index("▁가국"): {english["waf"]: 1.0},
        TARGET.index("▁나국"): {english["waf"]: 1.0},
        TARGET.index("▁가법"): {english["wag"]: 1.0},
        TARGET.index("▁가사"): {english["wah"]: 0.5, english["waj"]: 0.5},
    }
    mixes |= {one: {other: 1.0} for one, other in SHARED_IDS.items()}
    check(start, expected_rows(context, mixes, {}))


def test_align_finds_what_the_toys_sentences_say():
    context = toy()
    mixes = {
        TARGET.index(f"▁{other}"): {SOURCE.index(f"▁{one}"): 1.0}
        for english, korean in context.parallel.pairs
        for one, other in zip(english.split(), korean.split(), strict=True)
    }
    mixes |= {one: {other: 1.0} for one, other in SHARED_IDS.items()}
    check(EMBEDDING_INITS["align"].start(context), expected_rows(context, mixes, {}), 2e-2)


def slow_pursuit(vector, atoms, count):
    """Orthogonal matching pursuit with a plain least squares a step."""
    chosen, left = [], vector.copy()
    for _ in range(min(count, len(atoms))):
        likeness = [abs(left @ atom) / np.linalg.norm(atom) for atom in atoms]
        for index in chosen:
            likeness[index] = -1
        chosen.append(int(np.argmax(likeness)))
        fitted = np.linalg.lstsq(atoms[chosen].T, vector, rcond=None)[0]
        left = vector - fitted @ atoms[chosen]
    return dict(zip(chosen, fitted, strict=True))


def test_omp():
    context = toy()
    donor = context.donor.double().numpy()
    anchors = list(SHARED_IDS)
    mixes = {}
    for index, piece in enumerate(TARGET):
        if piece and index not in SHARED_IDS:
            found = slow_pursuit(donor[index], donor[anchors], ATOMS)
            mixes[index] = {SHARED_IDS[anchors[place]]: value for place, value in found.items()}
    check(EMBEDDING_INITS["omp"].start(context), expected_rows(context, mixes, SHARED_IDS), 1e-5)


def test_pursuit_takes_the_atoms_that_a_vector_is_made_of():
    random = np.random.default_rng(0)
    atoms, vectors = random.standard_normal((30, 12)), random.standard_normal((5, 12))
    found = pursue(torch.from_numpy(vectors), torch.from_numpy(atoms), 4).numpy()
    for vector, row in zip(vectors, found, strict=True):
        expected = slow_pursuit(vector, atoms, 4)
        assert set(np.flatnonzero(row)) == set(expected)
        assert [row[index] for index in expected] == pytest.approx(list(expected.values()), abs=1e-4)


def test_pursuit_adds_nothing_to_what_is_met_already():
    atoms = torch.from_numpy(np.random.default_rng(0).standard_normal((30, 12)))
    vectors = torch.stack([2 * atoms[3], atoms[5] - 3 * atoms[7]])
    expected = torch.zeros(2, 30, dtype=torch.float64)
    expected[0, 3], expected[1, 5], expected[1, 7] = 2.0, 1.0, -3.0
    for count in (3, 8):
        assert torch.allclose(pursue(vectors, atoms, count), expected, atol=1e-3)


def test_sparsemax_and_softmax_of_the_largest():
    scores = np.random.default_rng(0).standard_normal((20, 9))
    found = sparsemax(torch.from_numpy(scores)).numpy()
    assert found == pytest.approx(np.stack([slow_sparsemax(row) for row in scores]), abs=1e-9)
    few = top_softmax(torch.from_numpy(scores), 3, 0.1).numpy()
    for row, weights in zip(scores, few, strict=True):
        largest = np.argsort(-row)[:3]
        powers = np.exp((row[largest] - row.max()) / 0.1)
        assert set(np.flatnonzero(weights)) <= set(largest)
        assert weights[largest] == pytest.approx(powers / powers.sum(), abs=1e-9)
