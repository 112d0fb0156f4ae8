"""A model's answers to features, in their order; several processes share the work."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm import tqdm
from transformers import PreTrainedModel

from xpt.finetune.encoding import TextEncoder
from xpt.finetune.task import Feature, Task
from xpt.program.launcher import is_first
from xpt.text.lengths import padded_length


@dataclass(frozen=True)
class Answers:
    """What `Task.outputs` and `Task.confidences` gave for each feature, and the mean loss where the features
    have labels."""

    outputs: list[Any]
    confidences: list[float]
    loss: float | None


def answer(
    model: PreTrainedModel,
    task: Task,
    features: Sequence[Feature],
    encoder: TextEncoder,
    batch_size: int,
    autocast_dtype: torch.dtype | None = None,
    description: str = "Predicting",
) -> Answers:
    """Run the model over all features, long ones first so that a full memory shows at once.

    Args:
        batch_size: of the longest; shorter sequences share a batch of as many tokens, padding included.
        autocast_dtype: mixed precision; None computes in the weights' own.
    """
    state, device = PartialState(), next(model.parameters()).device
    lengths = [padded_length(max(feature.lengths), encoder.max_length) for feature in features]
    sequences = max((len(feature.lengths) for feature in features), default=1)
    batches = length_batches(lengths, max(1, batch_size // sequences))
    own = batches[state.process_index :: state.num_processes]
    was_training = model.training
    model.eval()
    found: list[tuple[int, tuple[Any, float]]] = []
    losses: list[tuple[float, int]] = []
    bar = tqdm(
        own, description, unit=" batches", leave=False, dynamic_ncols=True,
        disable=None if is_first() else True, file=sys.stderr,
    )  # fmt: skip
    try:
        for indices in bar:
            batch = task.collate([features[index] for index in indices], encoder)
            with torch.inference_mode(), _autocast(device, autocast_dtype):
                output = model(**{name: tensor.to(device) for name, tensor in batch.items()})
            rows = zip(task.outputs(output, batch), task.confidences(output, batch), strict=True)
            found += zip(indices, rows, strict=True)
            if output.loss is not None:
                losses.append((float(output.loss), len(indices)))
    finally:
        model.train(was_training)
    found = gather_object(found)
    losses = gather_object(losses)
    ordered = dict(found)
    outputs, confidences = ([ordered[index][at] for index in range(len(features))] for at in (0, 1))
    count = sum(rows for _, rows in losses)
    loss = sum(value * rows for value, rows in losses) / count if count else None
    return Answers(outputs, confidences, loss)


def _autocast(device: torch.device, dtype: torch.dtype | None) -> Any:
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def length_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Indices by length, longest first, in batches of about the same number of tokens."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    tokens = batch_size * lengths[order[0]] if order else 0
    while order:
        size = max(1, min(4 * batch_size, tokens // max(1, lengths[order[0]])))
        batches.append(order[:size])
        order = order[size:]
    return batches
