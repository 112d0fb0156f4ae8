"""The families of encoders that can be a source: a table, one row a family.

A family qualifies when its layers, copied into RoBERTa's, give the source's own hidden states. A row says in
what it differs from RoBERTa: the names of its tensors, and which rows of its position table tokens use.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Fields that mean the same in every family; vocabulary, special ids and positions are the target's own.
SHARED_FIELDS = (
    "hidden_size num_attention_heads intermediate_size hidden_act layer_norm_eps "
    "type_vocab_size hidden_dropout_prob attention_probs_dropout_prob initializer_range"
).split()

OLD_NAMES = ((r"\.gamma$", ".weight"), (r"\.beta$", ".bias"))  # checkpoints converted from TensorFlow


@dataclass(frozen=True)
class Family:
    """How one family's checkpoints read in RoBERTa's words.

    Args:
        prefix: what stands before the backbone's tensors in the checkpoint of a model with a head.
        first_position: config -> the first used row of the position table.
        renames: (regular expression, replacement), applied in order to each tensor's name without its prefix,
            after which names are those of `RobertaForMaskedLM` without "roberta.".
        exact_gelu_head: whether the LM head always applies exact GELU, as RoBERTa's does, or `hidden_act`.
    """

    prefix: str
    first_position: Callable[[Any], int]
    renames: tuple[tuple[str, str], ...] = ()
    exact_gelu_head: bool = True

    def rename(self, name: str) -> str:
        """A tensor's name in RoBERTa's words; names that mean nothing to it go through unchanged."""
        name = name.removeprefix(f"{self.prefix}.")
        for pattern, replacement in (*OLD_NAMES, *self.renames):
            name = re.sub(pattern, replacement, name)
        return name


# RoBERTa counts positions from the padding id on: rows up to that one are never used by a token.
ROBERTA = Family("roberta", lambda config: config.pad_token_id + 1)
BERT = Family(
    "bert",
    lambda config: 0,
    renames=(
        (r"^cls\.predictions\.transform\.dense\.", "lm_head.dense."),
        (r"^cls\.predictions\.transform\.LayerNorm\.", "lm_head.layer_norm."),
    ),
    exact_gelu_head=False,
)
FAMILIES: dict[str, Family] = {
    "roberta": ROBERTA,
    "camembert": ROBERTA,
    "xlm-roberta": ROBERTA,
    "bert": BERT,
}
