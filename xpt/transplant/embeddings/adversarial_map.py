"""A rotation of one space onto another without any pair, by an adversarial game (MUSE, Conneau et al. 2018).

A discriminator learns to tell turned vectors from the other space's, the rotation to fool it. The first game
begins where principal axes lie on each other, others anywhere: the axes of the two spaces have nothing to do
with each other, so that the identity, MUSE's begin, is no better. Which of all maps is best is told by CSLS
alone, and it is refined by Procrustes over mutual neighbors.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xpt.program.seeding import seeded_generator
from xpt.transplant.embeddings.algebra import one_thread, unit_rows
from xpt.transplant.embeddings.csls import criterion, refined

PLAYED, JUDGED, REFINED = 5_000, 2_000, 5_000  # the most frequent rows that each looks at
GAMES, EPOCHS, STEPS, BATCH = 3, 16, 150, 64
QUICK = 2  # rounds of refinement before a map is judged
PATIENCE, BETTER = 6, 0.002  # epochs in a row without that much more end a game
LAYER, SLOPE, DROPOUT, SMOOTHING = 256, 0.2, 0.1, 0.1
DISCRIMINATOR_STEPS = 3  # for one of the map
RATE, DECAY, ORTHOGONAL = 0.1, 0.95, 0.01


@dataclass(frozen=True, eq=False)
class Alignment:
    """A map and what is known of it without any pair.

    Args:
        turn: (width, width); a row times it lies in the other space.
        criterion: mean cosine to the nearest by CSLS of the most frequent rows.
        chance: the same of a random rotation, refined in the same way.
    """

    turn: Tensor
    criterion: float
    chance: float


def align_spaces(moved: Tensor, fixed: Tensor, seed: int, name: str) -> Alignment:
    """Turn `moved` onto `fixed`.

    Args:
        moved, fixed: unit rows, the most frequent first, (rows, width) each.
        seed, name: decide every draw.
    """
    frequent = moved[:REFINED], fixed[:REFINED]
    chance = refined(*frequent, _rotation(moved.shape[1], seeded_generator(seed, f"{name}/chance")))
    axes = matched_axes(*frequent)
    found = [refined(moved[:JUDGED], fixed[:JUDGED], axes, QUICK)]
    for number in range(GAMES):
        generator = seeded_generator(seed, f"{name}/{number}")
        begin = _rotation(moved.shape[1], generator) if number else axes
        found.append(_play(moved[:PLAYED], fixed[:PLAYED], begin, generator))
    # All of them: one that is behind may be nearer to the way.
    found = [refined(*frequent, turn) for turn in found]
    best = max(found, key=lambda turn: _score(moved, fixed, turn))
    return Alignment(best, _score(moved, fixed, best), _score(moved, fixed, chance))


def matched_axes(moved: Tensor, fixed: Tensor) -> Tensor:
    """The rotation of principal axes onto those of like rank (Hoshen and Wolf 2018), (width, width).

    Each axis points to where its third moment is positive.
    """
    with one_thread():
        axes = []
        for rows in (moved, fixed):
            centered = (rows - rows.mean(dim=0)).double()
            axis = torch.linalg.eigh(centered.mT @ centered).eigenvectors
            axes.append(axis * torch.where((centered @ axis).pow(3).sum(dim=0) < 0, -1.0, 1.0))
        return (axes[0] @ axes[1].mT).to(moved.dtype)


def _score(moved: Tensor, fixed: Tensor, turn: Tensor) -> float:
    return criterion(unit_rows(moved[:JUDGED] @ turn), fixed[:JUDGED])


def _rotation(width: int, generator: torch.Generator) -> Tensor:
    """A random one."""
    return torch.linalg.qr(torch.randn(width, width, generator=generator)).Q.clone()


def _play(moved: Tensor, fixed: Tensor, begin: Tensor, generator: torch.Generator) -> Tensor:
    """The map, after a quick refinement, that has the best criterion of all epochs, (width, width)."""
    with one_thread():
        turn = begin.clone().requires_grad_()
        judge = _Discriminator(moved.shape[1], generator)
        rate, last, waited = RATE, -1.0, 0
        best, best_score = turn.detach().clone(), -1.0
        for _ in range(EPOCHS):
            for _ in range(STEPS):
                for _ in range(DISCRIMINATOR_STEPS):
                    _step(judge.learned, judge.loss(*_batch(moved, fixed, generator), turn.detach()), rate)
                _step([turn], judge.loss(*_batch(moved, fixed, generator), turn, fooled=True), rate)
                with torch.no_grad():
                    turn.copy_((1 + ORTHOGONAL) * turn - ORTHOGONAL * turn @ turn.T @ turn)
            now = turn.detach().clone()
            score = _score(moved, fixed, now)
            quick = refined(moved[:JUDGED], fixed[:JUDGED], now, QUICK)
            reached = _score(moved, fixed, quick)
            waited = 0 if reached > best_score + BETTER else waited + 1
            if reached > best_score:
                best, best_score = quick, reached
            if waited == PATIENCE:
                break
            rate *= DECAY if score >= last else DECAY / 2
            last = score
    return best


def _batch(moved: Tensor, fixed: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    rows = [torch.randint(len(side), (BATCH,), generator=generator) for side in (moved, fixed)]
    return moved[rows[0]], fixed[rows[1]]


def _step(parts: list[Tensor], loss: Tensor, rate: float) -> None:
    """One of plain gradient descent."""
    gradients = torch.autograd.grad(loss, parts)
    with torch.no_grad():
        for part, gradient in zip(parts, gradients, strict=True):
            part -= rate * gradient


class _Discriminator:
    """Two hidden layers that tell turned rows from the other space's."""

    def __init__(self, width: int, generator: torch.Generator):
        self.generator = generator
        shapes = ((width, LAYER), (LAYER, LAYER), (LAYER, 1))
        self.weights = [
            (torch.randn(shape, generator=generator) / shape[0] ** 0.5).requires_grad_() for shape in shapes
        ]
        self.biases = [torch.zeros(shape[1], requires_grad=True) for shape in shapes]
        self.learned = [*self.weights, *self.biases]

    def loss(self, moved: Tensor, fixed: Tensor, turn: Tensor, fooled: bool = False) -> Tensor:
        """Smoothed cross-entropy of telling them apart, or of taking each for the other."""
        rows = torch.cat([moved @ turn, fixed])
        wanted = torch.cat([torch.zeros(len(moved)), torch.ones(len(fixed))])
        wanted = (1 - wanted if fooled else wanted) * (1 - 2 * SMOOTHING) + SMOOTHING
        hidden = rows * (torch.rand(rows.shape, generator=self.generator) >= DROPOUT) / (1 - DROPOUT)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = nn.functional.leaky_relu(hidden @ weight + bias, SLOPE)
        told = (hidden @ self.weights[-1] + self.biases[-1])[:, 0]
        return nn.functional.binary_cross_entropy_with_logits(told, wanted)
