"""The head of dialogue state tracking: a generator that writes or copies the value of each slot.

As TRADE (Wu et al. 2019, https://aclanthology.org/P19-1078) in the form of the KLUE baseline: the words of a
slot's name start a GRU; at each step a distribution over the vocabulary, by the encoder's own word
embeddings, is mixed with one over the tokens that were read. All slots are decoded side by side.

    input_ids (batch, length) -> gate logits (batch, slots, gates), tokens (batch, slots, steps)

The mixture over the vocabulary is never made: a target's probability needs its own logit, the log-sum of all
and the attention on its copies; the likeliest token is one that was read or the vocabulary's own best. What
is made of the vocabulary is made for some rows at a time and made again for the gradient.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, logsigmoid
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import ModelOutput

from xpt.klue.batches import IGNORED_LABEL
from xpt.klue.headed import HeadedConfig, HeadedModel
from xpt.sizes import padded_length

GATES = ("none", "dontcare", "ptr", "yes", "no")
POINTER = GATES.index("ptr")
LOGITS_AT_ONCE = 2**25  # 128 MiB of float32


class DialogueStateConfig(HeadedConfig):
    """The configuration of a generator of dialogue states.

    Args:
        slot_ids: (slots, tokens) of the slots' names, padded.
        separator_id: the token that ends a value.
        dropout: of the decoder's inputs.
        teacher_forcing: share of training batches that are decoded along their targets.
        decoding_steps: tokens that a predicted value may have.
    """

    model_type = "klue-dialogue-state"
    slot_ids: Any = None
    separator_id: int = 0
    dropout: float = 0.1
    teacher_forcing: float = 0.5
    decoding_steps: int = 10


@dataclass
class DialogueStateOutput(ModelOutput):
    """`loss` (), `gate_logits` (batch, slots, gates), `generated` (batch, slots, steps) or None."""

    loss: Tensor | None = None
    gate_logits: Tensor | None = None
    generated: Tensor | None = None


@dataclass(frozen=True)
class _Reading:
    """What the decoder reads: tokens (batch, length), which count, hidden states (batch, length, hidden).

    `groups` (batch, length) is a number below length that a token shares with its repetitions only.
    """

    ids: Tensor
    mask: Tensor
    states: Tensor
    groups: Tensor


@dataclass(frozen=True)
class _Step:
    """The decoder after one token: (batch, slots, ...) of its state, attention, context, writing logit."""

    hidden: Tensor
    attention: Tensor
    context: Tensor
    writing: Tensor


class DialogueStateGenerator(HeadedModel):
    """Encoder, gate classifier and generator of values."""

    config_class = DialogueStateConfig

    def __init__(self, config: DialogueStateConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config, encoder)
        width = self.encoder.config.hidden_size
        embedded = self.get_input_embeddings().weight.shape[1]
        pooled = getattr(self.encoder, "pooler", None) is not None
        self.pooler = None if pooled else nn.Linear(width, width)  # as the benchmark gives ELECTRA
        same = embedded == width
        self.widened = nn.Identity() if same else nn.Linear(embedded, width, bias=False)
        self.narrowed = nn.Identity() if same else nn.Linear(width, embedded, bias=False)
        self.cell = nn.GRUCell(width, width)
        self.writing = nn.Linear(3 * width, 1)
        self.gate = nn.Linear(width, len(GATES))
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Layers of the head keep what PyTorch gives them, as in the benchmark."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        target_ids: Tensor | None = None,
        gate_ids: Tensor | None = None,
    ) -> DialogueStateOutput:
        """Gates, the loss where there are targets, and the values where the model is evaluated.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length).
            token_type_ids: (batch, length), for an encoder that has types.
            target_ids: (batch, slots, steps) tokens of the values; `IGNORED_LABEL` counts for nothing.
            gate_ids: (batch, slots).

        Returns:
            the loss (mean over target tokens + mean over gates), the gates' logits, and in evaluation the
            likeliest tokens: of a slot without the gate "ptr", and after a value's end, separators.
        """
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        read = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types)
        groups = torch.searchsorted(input_ids.sort(dim=1).values, input_ids)
        reading = _Reading(input_ids, attention_mask.bool(), read.last_hidden_state, groups)
        slots = torch.tensor(self.config.slot_ids, device=input_ids.device)
        words = self._embedded(slots).sum(dim=1).expand(len(input_ids), -1, -1)
        start = self._pooled(read)[:, None].expand_as(words)
        first = self._step(reading, words, start)
        gate_logits = self.gate(first.context)
        loss = generated = None
        if target_ids is not None and gate_ids is not None:
            gates = cross_entropy(gate_logits.flatten(0, 1).float(), gate_ids.long().flatten())
            loss = self._target_loss(reading, first, target_ids.long()) + gates
        if not self.training:
            generated = self._generated(reading, first, gate_logits.argmax(dim=-1) == POINTER)
        return DialogueStateOutput(loss, gate_logits, generated)

    def _pooled(self, read: Any) -> Tensor:
        if self.pooler is None:
            return read.pooler_output
        return torch.tanh(self.pooler(read.last_hidden_state[:, 0]))

    def _embedded(self, ids: Tensor) -> Tensor:
        return self.widened(self.get_input_embeddings()(ids))

    def _step(self, reading: _Reading, words: Tensor, hidden: Tensor) -> _Step:
        """Feed one token a slot: `words` and `hidden` (batch, slots, hidden)."""
        words = self.dropout(words)
        hidden = self.cell(words.flatten(0, 1), hidden.flatten(0, 1)).view_as(words)
        scores = (hidden @ reading.states.transpose(1, 2)).float()
        scores = scores.masked_fill(~reading.mask[:, None], torch.finfo(scores.dtype).min)
        attention = scores.softmax(dim=-1)
        context = attention.to(reading.states.dtype) @ reading.states
        writing = self.writing(torch.cat([words, hidden, context], dim=-1)).squeeze(-1).float()
        return _Step(hidden, attention, context, writing)

    def _target_loss(self, reading: _Reading, step: _Step, targets: Tensor) -> Tensor:
        """Mean negative log-likelihood; the next input is the target, or the likeliest token."""
        forced = not self.training or torch.rand(()).item() < self.config.teacher_forcing
        losses = []
        said: Tensor | None = None
        for wanted in targets.unbind(dim=-1):
            if said is not None:
                step = self._step(reading, self._embedded(said), step.hidden)
            counted = wanted != IGNORED_LABEL
            log_likelihood, best = self._spoken(reading, step, counted, wanted, choose=not forced)
            losses.append(-log_likelihood.sum())
            said = wanted.clamp_min(0) if best is None else best
        return torch.stack(losses).sum() / (targets != IGNORED_LABEL).sum()

    @torch.no_grad()
    def _generated(self, reading: _Reading, step: _Step, active: Tensor) -> Tensor:
        """Likeliest tokens (batch, slots, steps) of the `active` slots; separators elsewhere."""
        end = torch.full_like(active, self.config.separator_id, dtype=torch.long)
        tokens: list[Tensor] = []
        while len(tokens) < self.config.decoding_steps and active.any():
            if tokens:
                step = self._step(reading, self._embedded(tokens[-1]), step.hidden)
            _, best = self._spoken(reading, step, active, end, choose=True)
            tokens.append(best)
            active = active & (best != self.config.separator_id)
        tokens += [end] * (self.config.decoding_steps - len(tokens))
        return torch.stack(tokens, dim=-1)

    def _spoken(
        self, reading: _Reading, step: _Step, active: Tensor, wanted: Tensor, choose: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Log-likelihood of the `wanted` token (batch, slots) in each `active` row, (rows,); and, where
        asked for, each slot's likeliest token (batch, slots), a separator where it is not active."""
        count = int(active.sum())
        fillers = padded_length(count, active.numel()) - count  # the first slot, whatever is wanted of it
        rows = nn.functional.pad(active.nonzero(), (0, 0, 0, fillers)).unbind(dim=1)
        example = rows[0]
        read = reading.ids[example]
        attention, writing = step.attention[rows], step.writing[rows]
        wanted = wanted[rows][:, None].clamp_min(0)
        asked = torch.cat([wanted, read], dim=1) if choose else wanted
        logits, total, top, best = self._vocabulary(self.narrowed(step.hidden[rows]), asked)
        written = logsigmoid(writing)[:, None] + logits - total
        copied = (attention * (read == wanted)).sum(dim=1, keepdim=True)
        likelihood = torch.logaddexp(written[:, :1], logsigmoid(-writing)[:, None] + _log(copied))[:count, 0]
        if not choose:
            return likelihood, None
        with torch.no_grad():
            groups = reading.groups[example]
            mass = torch.zeros_like(attention).scatter_add(1, groups, attention).gather(1, groups)
            copied = logsigmoid(-writing)[:, None] + _log(mass)
            score, place = torch.logaddexp(written[:, 1:], copied).max(dim=1, keepdim=True)
            new = logsigmoid(writing)[:, None] + top - total > score
            chosen = torch.where(new, best, read.gather(1, place))[:count, 0]
        tokens = torch.full(active.shape, self.config.separator_id, device=active.device)
        tokens[active] = chosen
        return likelihood, tokens

    def _vocabulary(self, rows: Tensor, asked: Tensor) -> tuple[Tensor, ...]:
        """Of `rows` (rows, embedding): logits of the `asked` tokens (rows, asked), log-sum, largest logit and
        its token (rows, 1 each)."""
        weight = self.get_input_embeddings().weight
        size = max(1, LOGITS_AT_ONCE // len(weight))
        parts = [
            checkpoint(_scores, part, weight, tokens, use_reentrant=False, preserve_rng_state=False)
            for part, tokens in zip(rows.split(size), asked.split(size), strict=True)
        ]
        return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))


def _scores(rows: Tensor, weight: Tensor, asked: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logits = linear(rows, weight).float()
    top, best = logits.detach().max(dim=1, keepdim=True)
    return logits.gather(1, asked), logits.logsumexp(dim=1, keepdim=True), top, best


def _log(shares: Tensor) -> Tensor:
    """Logarithm of what may be 0, without a gradient there."""
    return shares.clamp_min(torch.finfo(shares.dtype).tiny).log()


AutoConfig.register(DialogueStateConfig.model_type, DialogueStateConfig)
AutoModel.register(DialogueStateConfig, DialogueStateGenerator)
