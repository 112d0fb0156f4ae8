"""A source's `config.json`, read by its family's own class and said in our words, or refused with the reason.

The file is a stranger's: it may hold anything. Only the fields of the family's class are passed on, since
some general ones make transformers build tables of any claimed size; no code that it names is run.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from reprlib import repr as short_repr
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from configuration_xpt import XPTRobertaConfig
from xpt.program.errors import XPTError
from xpt.transplant.architectures import DECODERS
from xpt.transplant.families import FAMILIES, POST_TRAINED, REFUSED
from xpt.transplant.source_files import CONFIG, one_line

SUPPORTED = (
    f"supported are encoders of the families {', '.join(FAMILIES)}, modernbert, and decoders of the types "
    f"{', '.join(DECODERS)}"
)
POSITIVE = (
    "hidden_size num_attention_heads intermediate_size type_vocab_size num_hidden_layers vocab_size "
    "max_position_embeddings"
).split()
NOT_NEGATIVE = ("num_itl_in", "num_itl_out", "layer_norm_eps", "initializer_range")
OURS = ("num_itl_in", "num_itl_out", "num_languages", "default_language")  # of a post-trained source
SHARES = ("hidden_dropout_prob", "attention_probs_dropout_prob")


@dataclass(frozen=True, eq=False)
class SourceConfig:
    """What a source says of itself.

    `config` is in our words: it has the source's layers, vocabulary and position rows, and no ITL where the
    source is not post-trained. `first_position` is the first used row of the position table,
    `head_activation` what an LM head would compute, `added_tables` as in `Family`.
    """

    family: str
    config: XPTRobertaConfig
    first_position: int
    head_activation: str
    added_tables: dict[str, int]


def read_config(raw: dict[str, Any], name: str) -> SourceConfig:
    """Read what `config.json` of the source `name` holds.

    Raises `XPTError` for what is no encoder that computes RoBERTa's function.
    """
    family_name = raw.pop("model_type", None)
    found = f"source {name!r} is of type {short_repr(family_name)}{_classes(raw.get('architectures'))}"
    if not isinstance(family_name, str) or family_name not in FAMILIES:
        reason = REFUSED.get(family_name) if isinstance(family_name, str) else None
        because = f", which {reason}" if reason else ", not an encoder or a decoder that XPT knows"
        raise XPTError(f"{found}{because}; {SUPPORTED}")
    if raw.get("is_decoder") or raw.get("add_cross_attention"):
        raise XPTError(f"{found} and a decoder (is_decoder or add_cross_attention is true); {SUPPORTED}")
    if raw.get("auto_map") and family_name not in POST_TRAINED:  # which name our own code, and none is run
        raise XPTError(f"{found} but computes with code of its own (auto_map), which is not run; {SUPPORTED}")
    positions = raw.get("position_embedding_type") or "absolute"
    if positions != "absolute":
        raise XPTError(f"{found} with positions of type {short_repr(positions)}; supported are absolute ones")
    own = _own_config(raw, family_name, found)
    try:
        reason = FAMILIES[family_name].unfit(own)
    except Exception as error:  # a field that is compared may be of any kind
        raise XPTError(f"{found}, but its {CONFIG} is not in order: {one_line(error)}") from error
    if reason:
        raise XPTError(f"{found}, which {reason}; {SUPPORTED}")
    return _in_our_words(own, family_name, name)


def _own_config(raw: dict[str, Any], family_name: str, found: str) -> PreTrainedConfig:
    """The configuration by the family's class, of the fields that are this class's own."""
    kind: Any = POST_TRAINED.get(family_name) or CONFIG_MAPPING[family_name]
    own = {entry.name for entry in fields(kind)} - {entry.name for entry in fields(PreTrainedConfig)}
    names = own | kind.attribute_map.keys() | {"pad_token_id"}
    try:
        return AutoConfig.for_model(family_name, **{name: raw[name] for name in raw if name in names})
    except Exception as error:  # each config class has its own ways to refuse a value
        raise XPTError(f"{found}, but its {CONFIG} is not in order: {one_line(error)}") from error


def _in_our_words(own: PreTrainedConfig, family_name: str, name: str) -> SourceConfig:
    family = FAMILIES[family_name]
    try:
        kind = POST_TRAINED.get(family_name, XPTRobertaConfig)
        ours = {name: getattr(own, name, 0) for name in OURS if hasattr(kind, name)}
        config = kind(**family.in_our_words(own), **ours)
        first, tables = family.first_position(own), family.added_tables(own)
        _check_numbers(config, first, tables.values())
        return SourceConfig(family_name, config, first, family.head_activation(own), tables)
    except Exception as error:  # a config may hold any value, and Python any complaint about it
        raise XPTError(f"source {name!r}: its {CONFIG} describes no model: {one_line(error)}") from error


def _check_numbers(config: XPTRobertaConfig, first_position: int, tables: Iterable[int]) -> None:
    """Raise `ValueError` for numbers that no model can have, of which the classes let many through."""
    wanted: list[tuple[str, Any, bool]] = []
    for name in POSITIVE:
        wanted.append((name, value := getattr(config, name), type(value) is int and value > 0))
    for name in NOT_NEGATIVE:
        wanted.append((name, value := getattr(config, name), math.isfinite(value) and value >= 0))
    for name in SHARES:
        wanted.append((name, value := getattr(config, name), 0 <= value <= 1))
    if hasattr(config, "num_languages"):
        wanted.append(("default_language", value := config.default_language, value < config.num_languages))
    for rows in tables:
        wanted.append(("task_type_vocab_size", rows, type(rows) is int and rows > 0))
    for name, value, holds in wanted:
        if not holds:
            raise ValueError(f"{name} is {short_repr(value)}")
    positions = config.max_position_embeddings
    if type(first_position) is not int or not 0 <= first_position < positions:
        raise ValueError(f"{positions} positions, of which the first used is {short_repr(first_position)}")


def _classes(architectures: Any) -> str:
    """The classes that the checkpoint names, in parentheses, as far as they are names."""
    listed = architectures if isinstance(architectures, list) else []
    names = [name for name in listed if isinstance(name, str) and name.isidentifier() and len(name) < 60]
    return f" ({', '.join(names[:3])})" if names else ""
