"""What is said of a run's text: counts, hashes, and what makes losses of other vocabularies compare."""

from typing import Any

from xpt.recipe.recipe import Recipe
from xpt.run.preparation import PreparedText


def describe_text(recipe: Recipe, text: PreparedText) -> dict[str, Any]:
    """Counts, hashes and tokenizer, for `results.json`; of the test split also what its loss is shared by."""
    return {
        "corpus": {
            "fingerprint": text.corpus.fingerprint,
            **text.corpus.report,
        },
        "tokenizer": {
            "name": recipe.tokenizer.tokenizer_name_or_path,
            "vocab_size": len(text.tokenizer),
            "mask_token": text.tokenizer.mask_token,
            "fingerprint": text.fingerprints["tokenizer"],
            "train_tokens": int(text.counts.sum()),
            **({"morphemes": text.morphemes} if text.morphemes else {}),
        },
        **({"bilingual": text.bilingual.describe()} if text.bilingual else {}),
        "test_text": measure_text(text, "test"),
    }


def measure_text(text: PreparedText, split: str) -> dict[str, int]:
    """How long the text of a held-out split is, in tokens, characters and UTF-8 bytes.

    Tokens of one vocabulary are longer than those of another, so that losses per token do not compare;
    `loss x tokens / characters` does. It estimates the pseudo-log-likelihood (Salazar et al. 2020) of a
    character in nats, from the 15 % of the positions that are masked, all of a sentence's at once instead of
    one by one. `<s>` and `</s>`, which are never masked, are not counted. Of a decoder it is no estimate;
    it is asked for `</s>`, too, which counts.
    """
    characters = size = 0
    for sentence in text.corpus.split(split):
        characters += len(sentence)
        size += len(sentence.encode("utf-8"))
    examples = text.held_out[split]
    framing = (1 if text.causal else 2) * len(examples)
    return {"tokens": int(examples.lengths.sum()) - framing, "characters": characters, "bytes": size}
