"""Rows become log-probabilities, batch by batch; what is known already is not computed again."""

import inspect
import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from xpt.evaluate.rows import Row
from xpt.evaluate.store import ScoreStore
from xpt.finetune.batches import pad_batch
from xpt.finetune.encoding import TextEncoder
from xpt.finetune.predict import length_batches
from xpt.program.errors import XPTError
from xpt.text.lengths import padded_length

KEEP = "logits_to_keep"  # how transformers' decoders are told to give the last positions' logits only


def score_rows(
    model: PreTrainedModel,
    rows: Sequence[Row],
    encoder: TextEncoder,
    batches: Sequence[Sequence[int]],
    store: ScoreStore,
    description: str,
) -> None:
    """Write the sums of log-probabilities, in nats, of all batches that `store` lacks; a bar shows the time
    left, by tokens.

    Raises:
        XPTError: scores that are no numbers.
    """
    todo = [number for number in range(len(batches)) if number not in store.batches]
    tokens = [sum(len(rows[index].ids) for index in batch) for batch in batches]
    done = sum(tokens) - sum(tokens[number] for number in todo)
    bar = tqdm(
        total=sum(tokens), initial=done, desc=description, unit=" tokens", unit_scale=True, leave=False,
        dynamic_ncols=True, disable=None, file=sys.stderr,
    )  # fmt: skip
    keeps = KEEP in inspect.signature(model.forward).parameters
    with bar, torch.inference_mode():
        for number in todo:
            scores = _batch_scores(model, [rows[index] for index in batches[number]], encoder, keeps)
            if not all(map(math.isfinite, scores)):
                raise XPTError(f"{description}: scores are no numbers; give --dtype float32")
            store.add(number, scores)
            bar.update(tokens[number])


def plan_batches(rows: Sequence[Row], batch_size: int, max_length: int) -> list[list[int]]:
    """Indices of rows, the longest first; shorter rows share a batch of as many tokens."""
    return length_batches([padded_length(len(row.ids), max_length) for row in rows], batch_size)


def _batch_scores(
    model: PreTrainedModel, rows: Sequence[Row], encoder: TextEncoder, keeps: bool
) -> list[float]:
    inputs: list[dict[str, Any]] = []
    for row in rows:
        values: dict[str, Any] = {"input_ids": row.ids, "attention_mask": [1] * len(row.ids)}
        if encoder.token_types:
            values["token_type_ids"] = [encoder.single.types[1]] * len(row.ids)
        inputs.append(values)
    batch = pad_batch(inputs, encoder.padding, encoder.max_length)
    length, first = batch["input_ids"].shape[1], min(row.places[0] for row in rows)
    first = first if keeps else 0
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    logits = model(**batch, **({KEEP: length - first} if keeps else {})).logits  # (batch, kept, vocabulary)
    scores = []
    for row, given in zip(rows, logits, strict=True):
        places = torch.tensor(row.places, device=given.device) - first
        targets = torch.tensor(row.targets, device=given.device)
        logs = given[places].float().log_softmax(dim=-1)
        scores.append(float(logs.gather(1, targets[:, None]).double().sum()))
    return scores
