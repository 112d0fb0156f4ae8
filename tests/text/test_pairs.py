"""Batches of sentence pairs: order, slot of padding, cut pairs; one language as a pair with itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from configuration_trelm import TreLMRobertaConfig
from modeling_trelm import TreLMRobertaForMaskedLM
from xpt.program.errors import XPTError
from xpt.text.encoding import EncodedSentences
from xpt.text.examples import Examples
from xpt.text.masking import MLMCollator
from xpt.text.packing import Row, RowStream
from xpt.text.pair_batches import PairCollator, TurnCollator, collate_pairs
from xpt.text.pairs import SentencePairs, translation_pair
from xpt.text.reading import Reading, readings
from xpt.text.special_tokens import SpecialIds

SPECIAL = SpecialIds(bos=0, pad=1, eos=2, mask=39, vocab_size=40, reserved=(0, 1, 2, 3, 39))
ids = st.lists(st.integers(4, 38), min_size=1, max_size=14).map(np.asarray)


@st.composite
def linked(draw):
    source, target = draw(ids), draw(ids)
    link = st.tuples(st.integers(0, len(source) - 1), st.integers(0, len(target) - 1))
    return source, target, draw(st.lists(link, max_size=20))


def made(source, target, links, most=12):
    return translation_pair(source, target, links, SPECIAL, most)


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
    batch = collate_pairs([[long], [short]], SPECIAL, 12, packing=False)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "alignment", "target_attention_mask", "labels"), (2, 8)
    )
    assert batch["input_ids"].tolist() == [[0, 5, 6, 7, 2, 1, 1, 1], [0, 5, 2, 1, 1, 1, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1] * 5 + [0] * 3, [1] * 3 + [0] * 5]
    assert batch["alignment"].tolist() == [[0, 3, 4, 0, 0, 0, 0, 0], [0, 3, 3, 3, 3, 2, 0, 0]]
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
    return model.double()


def of_pairs(pairs, most=20) -> SentencePairs:
    """Of (source, target, links)."""

    def flat(rows):
        return EncodedSentences(np.concatenate(rows), np.cumsum([0, *map(len, rows)]))

    sources, targets, links = zip(*pairs, strict=True)
    return SentencePairs(
        flat(sources),
        flat(targets),
        np.asarray([link for one in links for link in one], dtype=np.int32).reshape(-1, 2),
        np.cumsum([0, *map(len, links)]),
        SPECIAL,
        most,
        (0, 1),
    )


def examples_of(sentences, most=20) -> Examples:
    offsets = np.cumsum([0, *map(len, sentences)])
    return Examples(EncodedSentences(np.concatenate(sentences), offsets), SPECIAL, most)


def summed(model, batch) -> tuple[float, int]:
    """Loss over all labels, and how many there are."""
    count = int((batch["labels"] != -100).sum())
    with torch.no_grad():
        return float(model(**batch).loss) * count, count


@given(pairs=st.lists(linked(), min_size=2, max_size=4))
@settings(max_examples=15, deadline=None)
def test_pairs_packed_into_one_row_have_the_loss_that_each_has_alone(pairs):
    model, read = make_model(), of_pairs(pairs, most=62)
    model.config.max_position_embeddings = 64
    batch = PairCollator(read, True)([Row(0, np.arange(len(pairs)))])
    slots = np.cumsum([len(read[one].source) for one in range(len(pairs))]) - 1
    assert (batch["input_ids"][0, slots] == 1).all() and not batch["attention_mask"][0, 0, :, slots].any()
    together = summed(model, batch)
    alone = [
        summed(model, PairCollator(read, False)([Row(0, np.asarray([one]))])) for one in range(len(pairs))
    ]
    assert together[1] == sum(count for _, count in alone)
    assert together[0] == pytest.approx(sum(loss for loss, _ in alone), rel=1e-9)


@given(text=st.lists(ids, min_size=2, max_size=4), packing=st.booleans(), pair=linked())
@settings(max_examples=15, deadline=None)
def test_masked_text_beside_pairs_has_the_loss_that_it_has_alone(text, packing, pair):
    """One mean over all label tokens, as published: a pair's and a masked one weigh the same."""
    model, pairs = make_model(), of_pairs([pair])
    own = MLMCollator(examples_of(text), 0.6, 1, packing)
    texts = [Row(0, np.asarray([index])) for index in range(len(text))]
    collator = TurnCollator({"target": own, "to_target": PairCollator(pairs, packing)}, {"target": 1}, 1)
    batch = collator([*texts, Row(0, np.asarray([0]), kind="to_target")])
    assert batch["language_ids"].flatten().tolist() == [1] * len(text) + [0]
    masked, translated = summed(model, own(texts)), summed(model, PairCollator(pairs, packing)([Row(0, [0])]))
    found = summed(model, batch)
    assert found[1] == masked[1] + translated[1] and translated[1] == len(pair[1][:18]) + 2
    assert found[0] == pytest.approx(masked[0] + translated[0], rel=1e-9)


def test_text_of_two_languages_in_one_batch_is_told_apart():
    own, other = (MLMCollator(examples_of([np.asarray(text)]), 0.5, 1, False) for text in ([5, 6], [7] * 9))
    batch = TurnCollator({"source": other, "target": own}, {"source": 0, "target": 1}, 1)(
        [Row(0, np.asarray([0])), Row(0, np.asarray([0]), kind="source")]
    )
    assert batch["language_ids"].tolist() == [[0], [1]] and "alignment" not in batch
    assert batch["attention_mask"].sum(1).tolist() == [11, 4]


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    turns=st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=3, max_size=3),
)
def test_streams_are_read_by_turns_and_go_on_in_the_next_phase(counts, turns):
    streams = {kind: RowStream(np.full(7, 5), 12, False, seed) for seed, kind in enumerate("abc")}
    phases = [(tuple(kinds), rows) for kinds, rows in zip(turns, counts, strict=False)]
    place = dict.fromkeys("abc", 0)
    for (kinds, rows), reading in zip(phases, readings(phases, streams), strict=True):
        for index in range(rows):
            kind = kinds[index % len(kinds)]
            row = reading[index]
            assert row.kind == kind and (row.examples == streams[kind][place[kind]].examples).all()
            assert row.epoch == streams[kind][place[kind]].epoch
            place[kind] += 1
        assert reading.tokens(0, rows) == rows * 5
        assert sum(reading.epochs(rows).values()) == pytest.approx(rows / 7)


def test_a_reading_of_one_stream_is_the_stream():
    stream = RowStream(np.full(7, 5), 12, True, 3)
    assert all(
        (Reading.of(stream, 4)[index].examples == stream[4 + index].examples).all() for index in range(9)
    )
