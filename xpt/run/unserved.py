"""What a run on a decoder or on a ModernBERT leaves out, said in one line before anything is read."""

from typing import Any

from xpt.program.errors import XPTError
from xpt.recipe.recipe import Recipe


def check_causal(recipe: Recipe) -> None:
    """Raise `XPTError` for options that mean nothing to a decoder, or that do not serve one yet."""
    training, arguments, lora = recipe.training, recipe.phases, _lora(recipe)
    _refuse(
        "a decoder",
        (lora, f"phase {lora!r}: lora is for encoders as yet; train groups, such as encoder.top2"),
        (
            arguments.whole_word_masking,
            "--whole_word_masking masks, and a decoder reads no masks; leave it out",
        ),
        (recipe.corpus.corpus_shards, "--corpus_shards have a tokenizer for encoders as yet; give --corpus"),
        (arguments.dropout, "--dropout is for encoders as yet, a decoder keeps its own; leave it out"),
        (training.shards, "FSDP is for encoders as yet; start it without"),
    )


def check_modernbert(recipe: Recipe) -> None:
    """Raise `XPTError` for options that do not serve a ModernBERT yet."""
    training, arguments, lora = recipe.training, recipe.phases, _lora(recipe)
    _refuse(
        "a ModernBERT",
        (lora, f"phase {lora!r}: lora is for RoBERTa's families as yet; train groups, such as encoder.top2"),
        (
            arguments.dropout,
            "--dropout is for RoBERTa's families as yet, a ModernBERT keeps its own; leave it out",
        ),
        (training.shards, "FSDP is for RoBERTa's families as yet; start it without"),
    )


def _lora(recipe: Recipe) -> str | None:
    """The first phase with adapters."""
    return next((phase.name for phase in recipe.planned_phases() if phase.lora), None)


def _refuse(source: str, *refused: tuple[Any, str]) -> None:
    for given, message in refused:
        if given:
            raise XPTError(f"{message} (the source is {source})")
