"""Identical strings in the place of a dictionary (Smith et al. 2017), and WECHSEL's mixes after it."""

import torch

from xpt.program.errors import XPTError
from xpt.transplant.embeddings.context import EmbeddingContext, Start
from xpt.transplant.embeddings.mixing import mixed_start
from xpt.transplant.embeddings.spaces import aligned, nearest_mix, source_space, target_space
from xpt.transplant.embeddings.vocabulary import identical_pieces


def procrustes_start(context: EmbeddingContext) -> Start:
    """Identical pieces are copied and decide the rotation; other rows mix the ten nearest source rows.

    Raises:
        ValueError: the context has no text or no vocabularies.
        XPTError: no identical piece has vectors on both sides.
    """
    copies = identical_pieces(*context.vocabularies())
    target, target_seen = target_space(context)
    source, source_seen, notes = source_space(context)
    seeds = [(one, other) for one, other in copies.items() if target_seen[one] and source_seen[other]]
    if not seeds:
        raise XPTError(
            "--embedding_init procrustes: no piece of the text is spelled as one of the source; give a "
            "dictionary (--embedding_init dictionary) or parallel text (align)"
        )
    ours, theirs = (torch.tensor(ids) for ids in zip(*seeds, strict=True))
    turned, target = aligned(source, target, (source[theirs], target[ours]))
    notes += (f"{len(seeds):,} identical pieces served as a dictionary",)
    return mixed_start(context, nearest_mix(target, target_seen, turned, source_seen), copies, notes)
