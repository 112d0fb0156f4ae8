"""A toy of two vocabularies for the tests of starts: Korean words, English words, what both share.

The source's special tokens are BERT's, the target's RoBERTa's: no string of one is one of the other.
"""

from dataclasses import replace

import numpy as np
import torch
from conftest import encoded

from xpt.text.special_tokens import SpecialIds
from xpt.transplant.embeddings import EmbeddingContext, ParallelText, Vocabulary

KOREAN = [f"▁{first}{second}" for first in "가나다라마" for second in "국법사회정"]
ENGLISH = [f"▁w{first}{second}" for first in "abcde" for second in "fghij"]
SHARED = ["▁1", "▁2", "▁km", ",", "▁."]
TARGET = [None, None, None, None, *KOREAN, *SHARED, "▁unseen", None]
SOURCE = [None, None, None, None, None, "▁other", *SHARED[::-1], *ENGLISH]
TARGET_ROLES = {"bos": 0, "pad": 1, "eos": 2, "unk": 3, "mask": len(TARGET) - 1}
SOURCE_ROLES = {"pad": 0, "unk": 1, "bos": 2, "eos": 3, "mask": 4}
HIDDEN = 48  # more than either vocabulary has ids, so that no dimension of the text's vectors is cut off


def vocabulary(pieces, roles, folds_case=False) -> Vocabulary:
    """Reads words between spaces, each one piece or unknown; `a+b` is a word of the two pieces ▁a and ▁b."""
    ids = {piece: index for index, piece in enumerate(pieces) if piece}

    def encode(texts):
        return [
            [
                ids.get(f"▁{part}", ids.get(part, roles["unk"]))
                for word in text.split()
                for part in word.split("+")
            ]
            for text in texts
        ]

    return Vocabulary(tuple(pieces), roles, encode, folds_case)


def toy(order=None, sentences=None, hidden=HIDDEN, seed=0) -> EmbeddingContext:
    """The toy; `order` gives each target id another one: row i of the usual toy is row `order[i]` of this."""
    size = len(TARGET)
    order = np.arange(size) if order is None else np.asarray(order)
    pieces = [None] * size
    for index, piece in enumerate(TARGET):
        pieces[order[index]] = piece
    roles = {role: int(order[index]) for role, index in TARGET_ROLES.items()}
    random = np.random.default_rng(0)
    seen = np.arange(4, size - 2)
    ours = sentences or [random.choice(seen, 8, replace=False) for _ in range(150)]
    theirs = [random.choice(np.arange(6, len(SOURCE)), 8, replace=False) for _ in range(150)]
    text, other = encoded([order[one] for one in ours]), encoded(theirs)
    generator = torch.Generator().manual_seed(1)
    donor = torch.empty(size, 20)
    donor[order] = torch.randn(size, 20, generator=generator)
    pairs = [(english[1:], korean[1:]) for english, korean in zip(ENGLISH, KOREAN, strict=True)]
    lines = []
    for _ in range(60):
        chosen = random.choice(len(pairs), 5, replace=False)
        lines.append((" ".join(pairs[i][0] for i in chosen), " ".join(pairs[i][1] for i in chosen)))
    return EmbeddingContext(
        source_embeddings=torch.randn(len(SOURCE), hidden, generator=generator) * 0.1 + 0.05,
        vocab_size=size,
        special=SpecialIds(
            roles["bos"], roles["pad"], roles["eos"], roles["mask"], size, tuple(sorted(roles.values()))
        ),
        ids=text.ids,
        offsets=text.offsets,
        seed=seed,
        target=vocabulary(pieces, roles),
        source=vocabulary(SOURCE, SOURCE_ROLES),
        source_ids=other.ids,
        source_offsets=other.offsets,
        dictionary=pairs[:18],
        parallel=ParallelText(lines),
        donor=donor,
    )


def own_space(context: EmbeddingContext) -> EmbeddingContext:
    """Without a text in the source's language."""
    return replace(context, source_ids=None, source_offsets=None)


def short_games(monkeypatch) -> None:
    """Adversarial games of a few steps, for tests of anything but what they find."""
    for name, value in {"GAMES": 2, "EPOCHS": 1, "STEPS": 3}.items():
        monkeypatch.setattr(f"xpt.transplant.embeddings.adversarial_map.{name}", value)
