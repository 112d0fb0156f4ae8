"""WECHSEL (Minixhofer et al. 2022): a bilingual dictionary turns one space of vectors onto the other."""

from xpt.program.errors import XPTError
from xpt.transplant.embeddings.context import EmbeddingContext, Start
from xpt.transplant.embeddings.mixing import mixed_start
from xpt.transplant.embeddings.spaces import aligned, nearest_mix, source_space, target_space, word_vectors
from xpt.transplant.embeddings.vocabulary import same_meaning

MAX_PIECES = 2  # of a word that serves; the mean of many pieces' vectors says little of it


def dictionary_start(context: EmbeddingContext) -> Start:
    """Each row is a mix of the ten source rows whose vectors are nearest to its own.

    Vectors of the target's pieces come from the training text, those of the source's from `--source_text` or
    from the source's embeddings; the dictionary's pairs, also in small letters and as titles, decide the
    rotation. Pieces without letters or in a foreign script are copied where the source has the same.

    Raises:
        ValueError: the context has no text, no vocabularies or no dictionary.
        XPTError: no pair of the dictionary has vectors on both sides.
    """
    if context.dictionary is None:
        raise ValueError("this start needs a dictionary")
    target_vocabulary, source_vocabulary = context.vocabularies()
    target, target_seen = target_space(context)
    source, source_seen, notes = source_space(context)
    pairs = with_cases(context.dictionary)
    ours, our_pieces = word_vectors(target_vocabulary, [pair[1] for pair in pairs], target, target_seen)
    theirs, their_pieces = word_vectors(source_vocabulary, [pair[0] for pair in pairs], source, source_seen)
    found = (our_pieces > 0) & (their_pieces > 0) & (our_pieces.maximum(their_pieces) <= MAX_PIECES)
    if not found.any():
        raise XPTError(
            f"--dictionary: none of its {len(context.dictionary):,} pairs has vectors on both sides; "
            "give one of the languages of source and text, the source's first"
        )
    notes += (
        f"{int(found.sum()):,} of {len(pairs):,} dictionary pairs were found in at most {MAX_PIECES} pieces",
    )
    turned, target = aligned(source, target, (theirs[found], ours[found]))
    weights = nearest_mix(target, target_seen, turned, source_seen)
    return mixed_start(context, weights, same_meaning(target_vocabulary, source_vocabulary), notes)


def with_cases(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs, and each in small letters and as titles; every one once."""
    spelled = [(change(one), change(other)) for one, other in pairs for change in (str, str.lower, str.title)]
    return list(dict.fromkeys(spelled))
