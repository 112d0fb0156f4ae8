"""Examples of random ids, for the tests of rows."""

import numpy as np
from conftest import encoded

from xpt.text.encoding import EncodedSentences
from xpt.text.examples import Examples
from xpt.text.special_tokens import SpecialIds

SPECIAL = SpecialIds(bos=0, pad=1, eos=2, mask=499, vocab_size=500, reserved=(0, 1, 2, 3, 499))


def random_sentences(count: int, seed: int = 0, mean: int = 20) -> EncodedSentences:
    random = np.random.default_rng(seed)
    return encoded([random.integers(4, 499, 1 + random.poisson(mean)).tolist() for _ in range(count)])


def make_examples(count: int = 300, max_seq_length: int = 64, mean: int = 20) -> Examples:
    return Examples(random_sentences(count, mean=mean), SPECIAL, max_seq_length)
