"""How much arithmetic a model asks for, and how fast this machine multiplies matrices of its shapes."""

import statistics
import time
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """What decides the cost of an encoder with a masked language model's head.

    Args:
        layers: all of them, ITLs included.
        frozen: how many of these learn nothing.
        hidden: width; the feed-forward part is four times as wide.
        vocab_size: rows of the output layer.
        length: tokens of a row.
        masked: share of the tokens that go through the head.
    """

    layers: int
    hidden: int
    vocab_size: int
    length: int
    masked: float
    frozen: int = 0

    def products(self) -> list[tuple[int, int, float, bool]]:
        """Each weight's matrix product: inputs, outputs, times per token, whether its weight learns."""
        h = self.hidden
        per_layer = [(h, h, 4.0), (h, 4 * h, 1.0), (4 * h, h, 1.0)]
        learning, frozen = self.layers - self.frozen, self.frozen
        found = [(i, o, count * learning, True) for i, o, count in per_layer if learning]
        found += [(i, o, count * frozen, False) for i, o, count in per_layer if frozen]
        return [*found, (h, h, self.masked, True), (h, self.vocab_size, self.masked, True)]

    def flops_per_token(self) -> float:
        """Of forward and backward pass: a product is 2 operations, its gradients one product each.

        A frozen weight has no gradient. Attention attends to the whole row. Softmax, norms, activation,
        optimizer: not counted, as usual.
        """
        weights = sum(
            2 * inputs * outputs * times * (3 if learns else 2)
            for inputs, outputs, times, learns in self.products()
        )
        attention = 2 * 2 * self.length * self.hidden * self.layers * 3
        return weights + attention


def matrix_rate(shape: Shape, rows: int, dtype: torch.dtype, device: torch.device, repeats: int = 7) -> float:
    """FLOP/s of the model's forward products, (tokens, inputs) by (inputs, outputs), weighted by use.

    Args:
        rows: rows of a batch.
        repeats: timings of each product, after two that are not counted.
    """
    flops = seconds = 0.0
    for inputs, outputs, times, _ in shape.products():
        through_head = times < 1
        tokens = round(rows * shape.length * (shape.masked if through_head else 1))
        a = torch.randn(tokens, inputs, dtype=dtype, device=device)
        b = torch.randn(outputs, inputs, dtype=dtype, device=device)
        taken = []
        for repeat in range(repeats + 2):
            start = time.perf_counter()
            functional.linear(a, b)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat > 1:
                taken.append(time.perf_counter() - start)
        uses = times / shape.masked if through_head else times
        flops += 2 * tokens * inputs * outputs * uses
        seconds += statistics.median(taken) * uses
    return flops / seconds
