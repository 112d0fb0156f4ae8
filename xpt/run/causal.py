"""What a run on a decoder leaves out, said in one line before anything is read."""

from xpt.program.errors import XPTError
from xpt.recipe.recipe import Recipe


def check_causal(recipe: Recipe) -> None:
    """Raise `XPTError` for options that mean nothing to a decoder, or that do not serve one yet."""
    training, phases = recipe.training, recipe.planned_phases()
    if phases_with_lora := [phase.name for phase in phases if phase.lora]:
        raise XPTError(
            f"phase {phases_with_lora[0]!r}: lora is for encoders as yet, and the source is a decoder; train "
            "groups, such as encoder.top2"
        )
    refused = {
        "--whole_word_masking": (recipe.phases.whole_word_masking, "masks, and a decoder reads none"),
        "--corpus_shards": (recipe.corpus.corpus_shards, "has a tokenizer for encoders; give --corpus"),
        "--dropout": (recipe.phases.dropout, "is for encoders, a decoder keeps its own"),
    }
    for option, (given, why) in refused.items():
        if given:
            raise XPTError(f"{option} {why}; leave it out" if "give" not in why else f"{option} {why}")
    if getattr(training, "shards", False):
        raise XPTError("FSDP is for encoders as yet, and the source is a decoder; start it without")
