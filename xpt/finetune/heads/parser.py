"""The dependency parser of the benchmark, as a head on any encoder that sees both ways (KLUE baseline, DP).

    tokens -> encoder -> words (first and last subword, part of speech), the root before them
           -> BiLSTM reads them -> LSTM asks for each word's head -> biaffine arcs, bilinear labels

Words stand at places 1..n, the root at 0. What differs from the benchmark's code: padding can be no head, so
that a sentence is parsed the same in any batch; the two terms of the biaffine score that are the same for all
heads of a word, and so change nothing, are left out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, elu
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import ModelOutput

from xpt.finetune.batches import IGNORED_LABEL
from xpt.finetune.heads.headed import HeadedConfig, HeadedModel
from xpt.finetune.heads.trees import best_tree

NO_WORD = -1  # what word positions are padded with


class DependencyParserConfig(HeadedConfig):
    """Sizes of the head; the defaults are the benchmark's.

    Args:
        lstm_size: width of each LSTM direction.
        arc_size: space in which words and heads are matched.
        label_size: space in which an arc's label is told.
        pos_size: width of a part of speech's vector.
        pos_tags: number of the tags; that number itself is the id of the root's and of padding.
        dropout: share of features dropped, of parts of speech too.
        use_pos: whether parts of speech are read.
        tree_constraint: whether predicted heads make one tree with one root.
    """

    model_type = "klue-dependency-parser"
    lstm_size: int = 768
    arc_size: int = 512
    label_size: int = 256
    pos_size: int = 256
    pos_tags: int = 45
    dropout: float = 0.33
    use_pos: bool = True
    tree_constraint: bool = False


@dataclass
class ParserOutput(ModelOutput):
    """What the parser says of a batch.

    Args:
        loss: cross-entropy of the heads plus that of the labels, each a mean over words.
        arc_logits: (batch, words, words + 1), minus infinity where a sentence has no such place.
        heads: (batch, words), the heads that the labels are for: gold in training, else predicted.
        label_logits: (batch, words, labels).
    """

    loss: Tensor | None = None
    arc_logits: Tensor | None = None
    heads: Tensor | None = None
    label_logits: Tensor | None = None


class DependencyParser(HeadedModel):
    """An encoder with the parser's head."""

    config_class = DependencyParserConfig

    def __init__(self, config: DependencyParserConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config, encoder)
        self.head = ParserHead(config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Start the head as PyTorch does, and so the benchmark; the encoder's modules are not passed here."""
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        word_first: Tensor,
        word_last: Tensor,
        pos_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        heads: Tensor | None = None,
        deprels: Tensor | None = None,
    ) -> ParserOutput:
        """Score heads and labels.

        Args:
            input_ids: (batch, tokens), padded on the right; the first token stands for the root.
            attention_mask: (batch, tokens).
            word_first: (batch, words), the token that a word begins with, `NO_WORD` for padding.
            word_last: (batch, words), the token that it ends with.
            pos_ids: (batch, words), the part of speech of its last morpheme.
            token_type_ids: (batch, tokens), for encoders that have them.
            heads: (batch, words), gold heads, `IGNORED_LABEL` for padding.
            deprels: (batch, words), gold labels, likewise.
        """
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        vectors = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        lengths = (word_first != NO_WORD).sum(dim=1)
        with torch.autocast(vectors.device.type, enabled=False):  # recurrences and maxima in full precision
            arcs, chosen, labels = self.head(
                at_words(vectors, word_first, word_last), lengths, pos_ids, heads if self.training else None
            )
        loss = None
        if heads is not None and deprels is not None:
            loss = _mean_loss(arcs, heads) + _mean_loss(labels, deprels)
        return ParserOutput(loss, arcs, chosen, labels)


class ParserHead(nn.Module):
    """All that is new about the parser: vectors of words -> scores."""

    def __init__(self, config: DependencyParserConfig) -> None:
        super().__init__()
        self.tree_constraint, width = config.tree_constraint, config.lstm_size
        self.pos = nn.Embedding(config.pos_tags + 1, config.pos_size) if config.use_pos else None
        inputs = 2 * config.encoder.hidden_size + (config.pos_size if config.use_pos else 0)
        self.reader = nn.LSTM(inputs, width, batch_first=True, bidirectional=True)
        self.query = nn.Linear(2 * width, width)
        self.state = nn.Linear(2 * width, width)
        self.asker = nn.LSTM(width, width, batch_first=True)
        self.dropout = nn.Dropout1d(config.dropout)
        self.arc_head, self.arc_word = (
            nn.Linear(2 * width, config.arc_size),
            nn.Linear(width, config.arc_size),
        )
        self.label_head = nn.Linear(2 * width, config.label_size)
        self.label_word = nn.Linear(width, config.label_size)
        self.arc = ArcScorer(config.arc_size)
        self.label = LabelScorer(config.label_size, config.num_labels)

    def forward(
        self, words: Tensor, lengths: Tensor, pos_ids: Tensor | None, heads: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Arcs (batch, n, n + 1), the heads (batch, n) that labels are for, labels (batch, n, labels).

        Args:
            words: (batch, n + 1, 2 hidden), the root first.
            lengths: (batch), words of each sentence, at least one.
            pos_ids: (batch, n).
            heads: (batch, n), gold; None where they are to be predicted.
        """
        words = words.to(self.query.weight.dtype)
        if self.pos is not None:
            assert pos_ids is not None, "this parser reads parts of speech"
            tags = nn.functional.pad(pos_ids, (1, 0), value=self.pos.num_embeddings - 1)
            words = torch.cat([words, self.dropout(self.pos(tags))], dim=-1)  # drops whole words' tags
        counts = lengths.cpu()
        read, (_, cells) = _recur(self.reader, words, counts + 1)
        read = self._drop_features(read)  # (batch, n + 1, 2 width)
        cell = self.state(torch.cat([cells[0], cells[1]], dim=-1))[None]
        asked, _ = _recur(self.asker, elu(self.query(read[:, 1:])), counts, (torch.tanh(cell), cell))
        asked = self._drop_features(asked)  # (batch, n, width)

        arcs = self.arc(elu(self.arc_word(asked)), elu(self.arc_head(read))).float()
        places = torch.arange(arcs.shape[-1], device=arcs.device)
        arcs = arcs.masked_fill(places > lengths[:, None, None], -torch.inf)
        if heads is None:
            chosen = predicted_heads(arcs, counts.tolist(), self.tree_constraint)
        else:
            chosen = heads.clamp(min=0)
        above = elu(self.label_head(read)).gather(
            1, chosen[..., None].expand(-1, -1, self.label_head.out_features)
        )
        return arcs, chosen, self.label(elu(self.label_word(asked)), above).float()

    def _drop_features(self, vectors: Tensor) -> Tensor:
        """Drop features of a whole sentence at once, as the benchmark does."""
        return self.dropout(vectors.transpose(1, 2)).transpose(1, 2)


class ArcScorer(nn.Linear):
    """How well each place suits each word as its head: w U p + u p."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)

    def reset_parameters(self) -> None:
        """Glorot's uniform distribution, as the benchmark's."""
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, words: Tensor, places: Tensor) -> Tensor:
        """(batch, n, size), (batch, n + 1, size) -> (batch, n, n + 1)."""
        return super().forward(words) @ places.transpose(1, 2)


class LabelScorer(nn.Module):
    """How well each label suits a word under its head: w U h + u w + v h + b for each label."""

    def __init__(self, size: int, labels: int) -> None:
        super().__init__()
        self.both = nn.Parameter(torch.empty(labels, size, size))
        self.each = nn.Linear(2 * size, labels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot's uniform distribution, as the benchmark's."""
        nn.init.xavier_uniform_(self.both)

    def forward(self, words: Tensor, heads: Tensor) -> Tensor:
        """(batch, n, size) twice -> (batch, n, labels)."""
        both = torch.einsum("bnw,lwh,bnh->bnl", words, self.both, heads)  # nn.Bilinear trains 30 times slower
        return both + self.each(torch.cat([words, heads], dim=-1))


def at_words(vectors: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Vectors of the root and of words: (batch, tokens, hidden) -> (batch, n + 1, 2 hidden).

    The root is the sequence's first token twice; padding words get any vector.
    """
    rows = torch.arange(len(vectors), device=vectors.device)[:, None]
    ends = [nn.functional.pad(places.clamp(min=0), (1, 0)) for places in (first, last)]
    return torch.cat([vectors[rows, places] for places in ends], dim=-1)


def predicted_heads(arcs: Tensor, lengths: list[int], tree: bool) -> Tensor:
    """The heads (batch, n) that scores (batch, n, n + 1) say; those of padding words mean nothing.

    Each word's best place on its own, itself included, as in the benchmark; or the best tree of a sentence.
    """
    heads = arcs.argmax(dim=-1)
    if tree:
        for row, length in enumerate(lengths):
            scores = np.nan_to_num(arcs[row, :length, : length + 1].detach().cpu().numpy())
            heads[row, :length] = heads.new_tensor(best_tree(scores))
    return heads


def _recur(lstm: nn.LSTM, vectors: Tensor, lengths: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """Run an LSTM over sequences of different lengths; padding is not read, and zero in the result."""
    packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
    result, last = lstm(packed, state)
    return pad_packed_sequence(result, batch_first=True, total_length=vectors.shape[1])[0], last


def _mean_loss(logits: Tensor, gold: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, 1), gold.flatten(), ignore_index=IGNORED_LABEL)


AutoConfig.register(DependencyParserConfig.model_type, DependencyParserConfig)
AutoModel.register(DependencyParserConfig, DependencyParser)
