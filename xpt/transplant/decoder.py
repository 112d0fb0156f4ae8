"""The transplant of a decoder: a stock model of its own class with the Implicit Translation Layers as layers.

    word embeddings | itl_in ... | the source's layers | itl_out ... | final norm | output matrix

A pre-norm layer adds to what it reads, so that an ITL with zeros in its output projections is an identity,
to the bit (as in LLaMA Pro, Wu et al. 2024). ITLs see the whole text where layers differ in what they see.
`num_itl_in` and `num_itl_out` in `config.json` say which layers they are; who does not know these fields
loads the model all the same.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from xpt.transplant.architectures import DECODERS, ITL_COUNTS
from xpt.transplant.decoder_source import PER_LAYER, with_layers
from xpt.transplant.embeddings import SpecialTokens
from xpt.transplant.source_checkpoint import Source

EVERYTHING = "full_attention"  # of the types of layers the one that sees the whole text


def new_decoder(
    source: Source,
    special: SpecialTokens,
    slots: tuple[list[int | None], list[int], list[int | None]],
) -> PreTrainedModel:
    """A model of the source's class, for the target's vocabulary; its weights are yet to be given.

    Args:
        source: a decoder.
        special: the tokenizer's ids.
        slots: of `itl_in`, the source's layers that are kept, and `itl_out`, which of the source each is, or
            None where it is new.
    """
    places = [*slots[0], *slots[1], *slots[2]]
    own = source.config.to_dict()
    types = {
        name: [EVERYTHING if place is None else own[name][place] for place in places]
        for name in PER_LAYER
        if own.get(name)
    }
    config = with_layers(
        source.config,
        len(places),
        vocab_size=special.vocab_size,
        bos_token_id=special.bos,
        eos_token_id=special.eos,
        pad_token_id=special.pad,
        architectures=None,
        dtype="float32",
        **types,
        **dict(zip(ITL_COUNTS, (len(slots[0]), len(slots[2])), strict=True)),
    )
    with torch.random.fork_rng(devices=[]):
        return DECODERS[source.family].model(config)


def layer_copies(
    source: Source, slots: tuple[list[int | None], list[int], list[int | None]]
) -> dict[str, Tensor]:
    """Tensors of the source's layers by their names in the new model."""
    stem = DECODERS[source.family].layout.layers
    copies: dict[str, Tensor] = {}
    for place, origin in enumerate([*slots[0], *slots[1], *slots[2]]):
        if origin is not None:
            old = f"{stem}{origin}."
            copies |= {
                f"{stem}{place}.{name.removeprefix(old)}": tensor
                for name, tensor in source.body.items()
                if name.startswith(old)
            }
    return copies


def outer_copies(source: Source) -> dict[str, Tensor]:
    """Tensors of the source that are neither of a layer nor of a vocabulary: its final norm."""
    layout = DECODERS[source.family].layout
    of_vocabulary = (layout.words, source.output_name)
    return {
        name: tensor
        for name, tensor in source.body.items()
        if not name.startswith(layout.layers) and name not in of_vocabulary
    }


def layer_slots(
    config: Any, layers: int, wanted: tuple[int, int], itls: str
) -> tuple[list[int | None], list[int], list[int | None]]:
    """What each layer of the new model is in the source: `itl_in`, the layers that are kept, `itl_out`.

    Args:
        config: the source's.
        layers: how many of its layers are kept, the first ones.
        wanted: ITLs at both ends.
        itls: new, or kept as the source has them, or a copy of the nearest layer.
    """
    before, behind = (getattr(config, side, 0) for side in ITL_COUNTS)
    kept = list(range(before, before + layers))
    if itls == "keep":
        last = before + config.num_hidden_layers
        return list(range(before)), kept, list(range(last, last + behind))
    nearest = (kept[0], kept[-1]) if itls == "copy" else (None, None)
    return [nearest[0]] * wanted[0], kept, [nearest[1]] * wanted[1]
