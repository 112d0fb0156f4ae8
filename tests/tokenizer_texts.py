"""Made-up Korean text and the kinds of tokenizers that the tests of the tokenizer train on it."""

import random

from places import REPO

SHIPPED = REPO / "tokenizer"
KINDS = {
    "unigram": {"vocab_size": 500},
    "bpe": {"vocab_size": 500, "model_type": "bpe"},
    "unigram-bytes": {"vocab_size": 800, "byte_fallback": True},
    "bpe-bytes": {"vocab_size": 800, "model_type": "bpe", "byte_fallback": True},
}
FAMILY, FLAG, HEART = "👨‍👩‍👧‍👦", "🇰🇷", "❤️"


def synthetic_sentences(count: int = 1500, seed: int = 0) -> list[str]:
    """Words of a Zipf-like made-up Korean: stems, particles, numbers, single letters, Latin, emoji."""
    chance = random.Random(seed)
    syllables = [chr(0xAC00 + 588 * chance.randrange(19) + 28 * chance.randrange(21)) for _ in range(90)]
    syllables += [chr(ord(syllable) + 4) for syllable in syllables[:20]]
    stems = ["".join(chance.choices(syllables, k=chance.randint(1, 3))) for _ in range(300)]
    stems += ["ㅋㅋㅋ", "ㅠㅠ", "XPT", "model", FAMILY, FLAG, HEART, "😀", "111", "2021년", "aaaa", "漢字"]
    weights = [1 / (rank + 1) for rank in range(len(stems))]
    particles = ["", "", "은", "는", "를", "에서", "다", "다.", "?", "!", ",", ")"]

    def word() -> str:
        return chance.choices(stems[::-1] if chance.random() < 0.3 else stems, weights)[0] + chance.choice(
            particles
        )

    return [" ".join(word() for _ in range(chance.randint(3, 14))) for _ in range(count)]
