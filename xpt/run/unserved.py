"""What a run on a decoder or on a ModernBERT leaves out, said in one line before anything is read."""

from typing import Any

from xpt.program.errors import XPTError
from xpt.recipe.recipe import Recipe


def check_causal(recipe: Recipe) -> None:
    """Raise `XPTError` for options that mean nothing to a decoder, or that do not serve one yet."""
    masks = "--whole_word_masking masks, and a decoder reads no masks; leave it out"
    shards = "--corpus_shards have a tokenizer for encoders as yet; give --corpus"
    _refuse(
        "a decoder",
        *_not_yet(recipe, "encoders"),
        (recipe.phases.whole_word_masking, masks),
        (recipe.corpus.corpus_shards, shards),
    )


def check_modernbert(recipe: Recipe) -> None:
    """Raise `XPTError` for options that do not serve a ModernBERT yet."""
    _refuse("a ModernBERT", *_not_yet(recipe, "RoBERTa's families"))


def _not_yet(recipe: Recipe, served: str) -> tuple[tuple[Any, str], ...]:
    """What serves only `served`: whether it is asked for, and what is said then."""
    lora = next((phase.name for phase in recipe.planned_phases() if phase.lora), None)
    return (
        (lora, f"phase {lora!r}: lora is for {served} as yet; train groups, such as encoder.top2"),
        (recipe.phases.dropout, f"--dropout above 0 is for {served} as yet; leave it out, or give 0"),
        (recipe.training.shards, f"FSDP is for {served} as yet; start it without"),
    )


def _refuse(source: str, *refused: tuple[Any, str]) -> None:
    for given, message in refused:
        if given:
            raise XPTError(f"{message} (the source is {source})")
