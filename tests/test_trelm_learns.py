"""Cross-lingual language modeling on two made-up languages: it is the links that it learns by."""

import numpy as np
import pytest
import torch

from configuration_trelm import TreLMRobertaConfig
from modeling_trelm import TreLMRobertaForMaskedLM
from xpt.text.pair_batches import collate_pairs
from xpt.text.pairs import translation_pair
from xpt.text.special_tokens import SpecialIds

pytestmark = [pytest.mark.slow, pytest.mark.learned]
WORDS, FIRST, LONGEST = 250, 5, 12  # of each language, which have half of the vocabulary each
SPECIAL = SpecialIds(bos=0, pad=1, eos=2, mask=4, vocab_size=FIRST + 2 * WORDS, reserved=(0, 1, 2, 3, 4))


def sentences(random: np.random.Generator, count: int, shuffled: bool):
    """The second language has other words in reversed order. With `shuffled` links join any two words."""
    for _ in range(count):
        words = random.integers(0, WORDS, random.integers(4, LONGEST))
        source, target = FIRST + words, FIRST + WORDS + words[::-1]
        places = np.arange(len(words))
        to = random.permutation(places) if shuffled else places[::-1]
        links = list(zip(places.tolist(), to.tolist(), strict=True))
        yield translation_pair(source, target, links, SPECIAL, 20)


def batch_of(random: np.random.Generator, count: int, shuffled: bool) -> dict[str, torch.Tensor]:
    batch = collate_pairs([[pair] for pair in sentences(random, count, shuffled)], SPECIAL, 20, packing=False)
    languages = torch.zeros(count, 1, dtype=torch.long)
    return {**batch, "language_ids": languages, "target_language_ids": languages + 1}


def held_out_accuracy(shuffled: bool) -> float:
    """Of the words of new sentences, after 800 steps on pairs with true or with shuffled links."""
    torch.manual_seed(0)
    config = TreLMRobertaConfig(
        vocab_size=SPECIAL.vocab_size, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=24, type_vocab_size=1, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model, random = TreLMRobertaForMaskedLM(config).train(), np.random.default_rng(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / 50, 1 - step / 800))
    for _ in range(800):
        model(**batch_of(random, 32, shuffled)).loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()
    batch = batch_of(random, 200, shuffled)
    with torch.no_grad():
        found = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits.argmax(
            -1
        )
    words = batch["labels"] >= FIRST
    return float((found == batch["labels"])[words].float().mean())


def test_it_translates_where_links_are_true_and_not_where_they_are_shuffled():
    assert held_out_accuracy(shuffled=False) > 0.95
    assert held_out_accuracy(shuffled=True) < 0.2
