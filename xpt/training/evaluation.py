"""Language-model loss of held-out sentences, beside the two baselines that tell whether it learned.

A model that has only learned how frequent each piece is sits on the unigram plateau: its loss looks fine and
it ignores its input. So the loss is always shown with (1) the loss of the training split's unigram
frequencies on the same masked positions, and (2) the model's own loss when the visible tokens come from
another sentence. Masks depend on the evaluation seed and the sentence alone, so runs compare on equal terms.
A decoder is scored on every token but a sentence's first; what it reads before each is, in the second
baseline, another sentence's beginning.

Several processes share the batches; sums are rounded once, so their number changes no result.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import PartialState
from tqdm import tqdm

from modeling_xpt import gather_predicted
from xpt.program.launcher import is_first
from xpt.program.processes import summed
from xpt.text.causal import CausalCollator
from xpt.text.examples import Examples
from xpt.text.lengths import padded_length
from xpt.text.masking import IGNORE_INDEX, MLMCollator
from xpt.text.packing import Row
from xpt.training.contexts import OtherContexts
from xpt.transplant.architectures import is_causal

EVALUATION_SEED = 2021
EVALUATION_MLM_PROBABILITY = 0.15
TOKENS_PER_BATCH = 2048  # no more than a small step: scoring takes little memory that training has not taken


@dataclass(frozen=True)
class MLMEvaluation:
    """Losses in nats per masked token, or of a decoder per token, over the same `masked_tokens` positions.

    Args:
        loss: of the model.
        masked_tokens: how many positions were scored.
        unigram_loss: of the training split's word frequencies; a model that ignores its input has it too.
        shuffled_context_loss: of the model when it reads another sentence.

    Example:
        >>> xpt.MLMEvaluation(loss=0.0, masked_tokens=10).perplexity
        1.0
    """

    loss: float
    masked_tokens: int
    unigram_loss: float | None = None
    shuffled_context_loss: float | None = None

    @property
    def perplexity(self) -> float:
        """exp(loss), at most what fits a float: JSON has no infinity."""
        return math.exp(min(self.loss, 700.0))

    def record(self) -> dict[str, Any]:
        """All of it, for records of a run."""
        return {
            "eval_loss": self.loss,
            "eval_perplexity": self.perplexity,
            "eval_unigram_loss": self.unigram_loss,
            "eval_shuffled_context_loss": self.shuffled_context_loss,
            "eval_masked_tokens": self.masked_tokens,
        }


def unigram_log_probs(counts: np.ndarray) -> torch.Tensor:
    """Add-one smoothed log frequencies, shape (vocab_size,), float32."""
    smoothed = counts.astype(np.float64) + 1.0
    return torch.from_numpy(np.log(smoothed / smoothed.sum())).float()


def evaluate_mlm(
    model: Any,
    examples: Examples,
    log_probs: torch.Tensor | None = None,
    shuffled_context: bool = False,
    autocast_dtype: torch.dtype | None = None,
    description: str = "Evaluating",
) -> MLMEvaluation:
    """Loss of `model` on all `examples`, masked at 15 %; the model's mode and RNG are left as they were.

    Every process of the run must call it: each scores a share and gets the result of all.

    Args:
        model: an XPT or a RoBERTa masked language model, or a decoder, on any device.
        examples: held-out sentences as token ids, such as `text.held_out["test"]`.
        log_probs: unigram log probabilities, (vocab_size,), for the unigram loss: `text.log_probs`.
        shuffled_context: whether the loss on another sentence's visible tokens is measured too.
        autocast_dtype: to compute in; None for that of the weights.
        description: of the progress bar.

    Returns:
        Losses in nats per masked token; of a decoder per token.

    Example:
        >>> recipe, source = xpt.read_recipe("tiny.yaml"), xpt.open_source("tiny-roberta")
        >>> text = xpt.prepare_text(recipe, source)
        >>> model, report = xpt.prepare_model(recipe, source, text)
        >>> scored = xpt.evaluate_mlm(model, text.held_out["test"], text.log_probs)
        >>> scored.masked_tokens > 0 and scored.perplexity > 1 and scored.unigram_loss > 0
        True
    """
    device, process = next(model.parameters()).device, PartialState()
    was_training = model.training
    model.eval()
    causal = is_causal(model.config)
    collator: Any = (
        CausalCollator(examples, packing=False)
        if causal
        else MLMCollator(examples, EVALUATION_MLM_PROBABILITY, EVALUATION_SEED, packing=False)
    )
    contexts = OtherContexts(examples, collator, EVALUATION_SEED, causal) if shuffled_context else None
    batches = _batches(examples)
    sums = torch.zeros(len(batches), 4, dtype=torch.float64)  # masked tokens, own, unigram, other
    try:
        with torch.no_grad(), _bar(examples, description) as bar:
            for number, rows in enumerate(batches):
                bar.update(len(rows))
                if number % process.num_processes != process.process_index:
                    continue
                batch = collator([Row(0, np.asarray([row])) for row in rows])
                labels = batch["labels"][batch["labels"] != IGNORE_INDEX]
                if not len(labels):
                    continue
                sums[number, 0] = len(labels)
                sums[number, 1] = _summed_loss(model, batch, device, autocast_dtype)
                if log_probs is not None:
                    sums[number, 2] = -log_probs[labels].double().sum()
                if contexts is not None:
                    exchanged = contexts.exchange(rows, batch)
                    sums[number, 3] = _summed_loss(model, exchanged, device, autocast_dtype)
    finally:
        model.train(was_training)
    masked, own, unigram, other = (math.fsum(column) for column in summed(sums, device).T.tolist())
    count = max(int(masked), 1)
    return MLMEvaluation(
        loss=own / count,
        masked_tokens=int(masked),
        unigram_loss=unigram / count if log_probs is not None else None,
        shuffled_context_loss=other / count if contexts is not None else None,
    )


def predictions(
    model: Any, batch: Mapping[str, Any], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, (predicted positions, vocab_size), and what stands there; of the labels some may be ignored."""
    labels = batch["labels"].to(device)
    inputs = {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
        if name != "labels"
    }
    if is_causal(model.config):
        asked = labels[:, 1:] != IGNORE_INDEX
        return model(**inputs).logits[:, :-1][asked], labels[:, 1:][asked]
    # The head is applied to the masked positions alone: the same numbers, without the full logits.
    backbone = model.roberta if hasattr(model, "roberta") else model.model  # the latter is a ModernBERT's
    hidden, labels, _ = gather_predicted(backbone(**inputs).last_hidden_state, labels)
    if hasattr(model, "lm_head"):
        return model.lm_head(hidden), labels
    return model.decoder(model.head(hidden)), labels


def _summed_loss(
    model: Any, batch: Mapping[str, Any], device: torch.device, dtype: torch.dtype | None
) -> float:
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        logits, labels = predictions(model, batch, device)
    losses = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="none")
    return float(losses.cpu().double().sum())  # on the CPU: not every device has float64


def _batches(examples: Examples) -> list[list[int]]:
    """All examples once, short ones first, about `TOKENS_PER_BATCH` tokens a batch."""
    batches: list[list[int]] = []
    for index in np.argsort(examples.lengths, kind="stable").tolist():
        length = padded_length(int(examples.lengths[index]), examples.max_seq_length)
        if not batches or (len(batches[-1]) + 1) * length > TOKENS_PER_BATCH:
            batches.append([])
        batches[-1].append(index)
    return batches


def _bar(examples: Examples, description: str) -> tqdm:
    silent = None if is_first() else True  # None: where no terminal shows it
    return tqdm(total=len(examples), desc=description, unit=" sentences", leave=False, disable=silent)
