"""Batches of sentence pairs: order, slot of padding, cut pairs; one language as a pair with itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from configuration_trelm import TreLMRobertaConfig
from modeling_trelm import TreLMRobertaForMaskedLM
from xpt.program.errors import XPTError
from xpt.text.pairs import collate_pairs, monolingual_pair, translation_pair
from xpt.text.special_tokens import SpecialIds

SPECIAL = SpecialIds(bos=0, pad=1, eos=2, mask=39, vocab_size=40, reserved=(0, 1, 2, 3, 39))
ids = st.lists(st.integers(4, 38), min_size=1, max_size=14).map(np.asarray)


@st.composite
def linked(draw):
    source, target = draw(ids), draw(ids)
    link = st.tuples(st.integers(0, len(source) - 1), st.integers(0, len(target) - 1))
    return source, target, draw(st.lists(link, max_size=20))


def made(source, target, links, most=12):
    return translation_pair(source, target, links, SPECIAL, most, (0, 1))


@given(pair=linked(), most=st.integers(4, 20))
def test_each_target_token_stands_where_its_last_link_says_or_in_the_slot_of_padding(pair, most):
    source, target, links = pair
    found = made(source, target, links, most)
    kept = source[: most - 3]
    assert found.source.tolist() == [0, *kept, 2, 1] and len(found.source) <= most
    assert found.labels.tolist() == [0, *target[: most - 2], 2] and len(found.labels) <= most
    assert found.order[0] == 0 and found.source[found.order[-1]] == 2
    for place, taken in enumerate(found.order[1:-1]):
        of_token = [there for there, here in links if here == place and there < len(kept)]
        assert taken == (of_token[-1] + 1 if of_token else len(found.source) - 1)


@pytest.mark.parametrize("link", [(3, 0), (0, 2), (-1, 0)])
def test_a_link_beyond_its_pair_is_refused(link):
    with pytest.raises(
        XPTError, match=rf"a link {link[0]}-{link[1]} points beyond its pair of 3 and 2 tokens"
    ):
        made(np.asarray([5, 6, 7]), np.asarray([8, 9]), [(0, 0), link])


def test_a_batch_pads_each_side_and_no_padding_is_predicted():
    long = made(np.asarray([5, 6, 7]), np.asarray([8]), [(2, 0)])
    short = made(np.asarray([5]), np.asarray([8, 9, 10, 11]), [])
    batch = collate_pairs([long, short], SPECIAL, 12)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        **dict.fromkeys(
            ("input_ids", "attention_mask", "alignment", "target_attention_mask", "labels"), (2, 8)
        ),
        **dict.fromkeys(("language_ids", "target_language_ids"), (2, 1)),
    }
    assert batch["input_ids"].tolist() == [[0, 5, 6, 7, 2, 1, 1, 1], [0, 5, 2, 1, 1, 1, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1] * 5 + [0] * 3, [1] * 3 + [0] * 5]
    assert batch["alignment"].tolist() == [[0, 3, 4, 5, 5, 5, 5, 5], [0, 3, 3, 3, 3, 2, 3, 3]]
    assert batch["labels"].tolist() == [[0, 8, 2] + [-100] * 5, [0, 8, 9, 10, 11, 2, -100, -100]]
    assert batch["target_attention_mask"].sum(1).tolist() == [3, 6]


def make_model():
    torch.manual_seed(0)
    config = TreLMRobertaConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=22, type_vocab_size=1, default_language=1,
    )  # fmt: skip
    model = TreLMRobertaForMaskedLM(config).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model


@given(text=st.lists(st.integers(4, 39), min_size=1, max_size=9))
@settings(max_examples=15)
def test_one_language_in_a_batch_of_pairs_has_the_loss_that_it_has_alone(text):
    model = make_model()
    masked = np.asarray([0, *text, 2])
    labels = np.where(np.arange(len(masked)) % 2 == 1, 7, -100)
    pair = monolingual_pair(masked, labels, SPECIAL, language=1)
    batch = collate_pairs([pair], SPECIAL, 20)
    alone = {"input_ids": torch.from_numpy(masked[None]), "labels": torch.from_numpy(labels[None])}
    torch.testing.assert_close(model(**batch).loss, model(**alone).loss)


def test_a_mixed_batch_has_one_mean_over_all_label_tokens():
    """As published: a pair's tokens and the masked ones weigh the same, each as one token."""
    model = make_model()
    translated = made(np.asarray([5, 6, 7]), np.asarray([8, 9, 10, 11, 12]), [(0, 1), (2, 3)])
    own = monolingual_pair(np.asarray([0, 39, 8, 2]), np.asarray([-100, 6, -100, -100]), SPECIAL, 1)
    alone = [model(**collate_pairs([pair], SPECIAL, 20)).loss for pair in (translated, own)]
    counts = [7, 1]
    expected = sum(count * loss for count, loss in zip(counts, alone, strict=True)) / sum(counts)
    torch.testing.assert_close(model(**collate_pairs([translated, own], SPECIAL, 20)).loss, expected)
