"""Batches for causal models, and tokenizers of theirs."""

import numpy as np
import pytest
import torch
from conftest import encoded, korean_sentences
from tiny_decoders import KINDS, VOCABULARY, logits, random_decoder
from tiny_examples import make_examples

from xpt.program.errors import XPTError
from xpt.text.causal import CausalCollator
from xpt.text.examples import Examples
from xpt.text.masking import IGNORE_INDEX
from xpt.text.packing import Row
from xpt.text.special_tokens import SpecialIds, frame_of
from xpt.text.tokenizer import load_tokenizer, save_tokenizer
from xpt.text.tokenizer_training import train_tokenizer

SPECIAL = SpecialIds(bos=0, pad=1, eos=2, mask=None, vocab_size=VOCABULARY, reserved=(0, 1, 2))
ROWS = [Row(0, np.asarray([0, 3, 1])), Row(0, np.asarray([2]))]


def few_examples(max_seq_length=24) -> Examples:
    random = np.random.default_rng(1)
    return Examples(
        encoded([random.integers(3, VOCABULARY, size).tolist() for size in (5, 6, 9, 1)]),
        SPECIAL,
        max_seq_length,
    )


@pytest.mark.parametrize("packing", [True, False])
def test_every_token_but_a_texts_first_is_asked_for_once(packing):
    examples = make_examples(40)
    rows = [examples.rows(packing, 3)[index] for index in range(6)]
    batch = CausalCollator(examples, packing)(rows)
    for r, row in enumerate(rows):
        asked = [token for index in row.examples for token in examples[index][1:]]  # </s>, too, and no <s>
        labels = batch["labels"][r]
        assert labels[labels != IGNORE_INDEX].tolist() == asked
        ids = batch["input_ids"][r]
        assert torch.equal(labels[labels != IGNORE_INDEX], ids[labels != IGNORE_INDEX])


@pytest.mark.parametrize("implementation", [None, "eager"])  # the class's own choice, and the other
@pytest.mark.parametrize("kind", KINDS)
def test_packed_texts_do_not_see_each_other(kind, implementation):
    """Logits of a packed row are those of each text alone, with windows shorter than a text, too."""
    model = random_decoder(kind, attn_implementation=implementation)
    examples = few_examples()
    packed = CausalCollator(examples, packing=True)(ROWS)
    labels = packed.pop("labels")
    both = logits(model, packed.pop("input_ids"), **packed)
    for r, row in enumerate(ROWS):
        start = 0
        for index in row.examples:
            alone = CausalCollator(examples, packing=False)([Row(0, np.asarray([index]))])
            alone.pop("labels")
            length = len(examples[index])
            wanted = logits(model, alone.pop("input_ids"), **alone)[0, :length]
            assert torch.allclose(both[r, start : start + length], wanted, rtol=0, atol=1e-5)
            start += length
        assert (labels[r, start:] == IGNORE_INDEX).all()


def test_the_loss_of_a_packed_batch_is_that_of_its_texts():
    model, examples = random_decoder("llama"), few_examples()
    together = model(**CausalCollator(examples, packing=True)(ROWS)).loss
    alone = [CausalCollator(examples, packing=False)([Row(0, np.asarray([index]))]) for index in range(4)]
    counts = torch.tensor([int((batch["labels"] != IGNORE_INDEX).sum()) for batch in alone])
    losses = torch.stack([model(**batch).loss.detach() for batch in alone])
    assert torch.allclose(together, (losses * counts).sum() / counts.sum(), atol=1e-5)


@pytest.fixture(scope="module")
def causal_tokenizer():
    return train_tokenizer(korean_sentences(1500), 600, byte_fallback=True, causal=True)


def test_a_trained_tokenizer_opens_a_text_and_spells_anything(causal_tokenizer, tmp_path):
    save_tokenizer(causal_tokenizer, tmp_path)
    loaded = load_tokenizer(tmp_path, causal=True)
    assert len(loaded) == 600 and loaded.mask_token is None and frame_of(loaded) is None
    special = SpecialIds.of(loaded)
    assert (special.bos, special.eos, special.pad) == (0, 2, 1)
    for text in ("국회는 오늘", "Wörter ຄຳ 🙂 \u4e2d", "x̌"):
        ids = loaded(text).input_ids
        assert ids[0] == special.bos and ids[-1] != special.eos and loaded.unk_token_id not in ids
        assert loaded.decode(ids, skip_special_tokens=True) == text
    assert causal_tokenizer("가나").input_ids == loaded("가나").input_ids


def test_a_vocabulary_that_is_too_large_is_told_what_fits():
    sentences = korean_sentences(60)
    with pytest.raises(XPTError, match="use at most") as error:
        train_tokenizer(sentences, 5000, byte_fallback=True, causal=True)
    most = int(str(error.value).split("use at most ")[1].split(",")[0])
    assert len(train_tokenizer(sentences, most, byte_fallback=True, causal=True)) == most


@pytest.mark.parametrize(
    "roles,said",
    [
        ({"pad_token": None}, "has no pad token"),
        ({"pad_token": "</s>"}, "pads with a token that texts have"),
        ({"eos_token": None}, "has no token that ends a text"),
    ],
)
def test_a_ready_tokenizer_without_what_it_takes_is_refused(roles, said, causal_tokenizer, tmp_path):
    import json

    save_tokenizer(causal_tokenizer, tmp_path)
    path = tmp_path / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), **roles}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    with pytest.raises(XPTError, match=said):
        load_tokenizer(tmp_path, causal=True)


def test_an_encoders_tokenizer_serves_a_decoder_and_puts_nothing_behind_a_text(tiny_tokenizer, tmp_path):
    save_tokenizer(tiny_tokenizer, tmp_path)
    loaded = load_tokenizer(tmp_path, causal=True)
    ids = loaded("국회는 오늘").input_ids
    assert ids[0] == loaded.bos_token_id and ids[-1] != loaded.eos_token_id
