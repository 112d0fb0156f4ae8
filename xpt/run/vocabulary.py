"""Whose vocabulary a run has: one that is named, the source's own, or one that is to be trained."""

from pathlib import Path

from transformers import PreTrainedTokenizerFast

from xpt.program.errors import XPTError
from xpt.recipe.recipe import Recipe
from xpt.text.tokenizer import load_tokenizer, tokenizer_fingerprint
from xpt.text.word_marks import word_starts
from xpt.transplant.architectures import CLM
from xpt.transplant.source import Source


def ready_tokenizer(recipe: Recipe, source: Source | None) -> PreTrainedTokenizerFast | None:
    """The tokenizer that is named, or an XPT source's own where it is kept; else one is to be trained.

    Raises `XPTError` for one that does not tell words where they are to be masked.
    """
    ready = None
    causal = source is not None and source.objective == CLM
    if recipe.tokenizer.tokenizer_name_or_path:
        ready = load_tokenizer(recipe.tokenizer.tokenizer_name_or_path, causal=causal)
    elif source is not None and source.is_xpt and recipe.source.keep_vocabulary is not False:
        ready = source_tokenizer(source)
    if ready is not None and recipe.phases.whole_word_masking:
        word_starts(ready)
    return ready


def source_tokenizer(source: Source) -> PreTrainedTokenizerFast:
    """The tokenizer that an XPT source came with. Raises `XPTError` where there is none."""
    place = source.name if source.commit else Path(source.name).expanduser()
    try:
        return load_tokenizer(place, source.commit, causal=source.objective == CLM)
    except XPTError as error:
        raise XPTError(
            f"the source's own vocabulary is kept unless --keep_vocabulary is false, but {error}"
        ) from error


def keeps_vocabulary(recipe: Recipe, source: Source) -> bool:
    """Whether text and model speak the source's own ids: no other tokenizer is named, or an equal one.

    Raises `XPTError` where --keep_vocabulary says so and the tokenizers differ.
    """
    wish, named = recipe.source.keep_vocabulary, recipe.tokenizer.tokenizer_name_or_path
    if not source.is_xpt or wish is False:
        return False
    if not named:
        return True
    try:
        own = source_tokenizer(source)
    except XPTError:
        if wish:
            raise
        return False
    other = load_tokenizer(named, causal=source.objective == CLM)
    same = tokenizer_fingerprint(own) == tokenizer_fingerprint(other)
    if wish and not same:
        raise XPTError(
            f"--keep_vocabulary, but --tokenizer_name_or_path {named} is not the tokenizer of source "
            f"{source.name}; leave one of them out"
        )
    return same
