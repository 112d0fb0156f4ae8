"""Evaluation: the unigram baseline, the other sentence's context, and independence of batching."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import encoded
from hypothesis import given
from hypothesis import strategies as st
from tiny_examples import SPECIAL, make_examples
from transformers import LlamaConfig

import xpt.training.evaluation
from configuration_xpt import XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.text.examples import Examples
from xpt.text.masking import IGNORE_INDEX, MLMCollator
from xpt.text.packing import Row
from xpt.training.contexts import OtherContexts
from xpt.training.evaluation import EVALUATION_SEED, _batches, evaluate_mlm, unigram_log_probs


@pytest.fixture(scope="module")
def model() -> XPTRobertaForMaskedLM:
    torch.manual_seed(0)
    config = XPTRobertaConfig(
        vocab_size=500,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=70,
        type_vocab_size=1,
        pad_token_id=1,
    )
    return XPTRobertaForMaskedLM(config)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=50))
def test_unigram_log_probs_are_add_one_frequencies(counts):
    probabilities = unigram_log_probs(np.asarray(counts)).double().exp()
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    total = sum(counts) + len(counts)
    assert probabilities.numpy() == pytest.approx([(c + 1) / total for c in counts], rel=1e-5)


def test_losses_equal_a_plain_loop_over_sentences(model):
    examples = make_examples(60)
    log_probs = unigram_log_probs(np.random.default_rng(0).integers(0, 50, 500))
    scored = evaluate_mlm(model, examples, log_probs)
    collator = MLMCollator(examples, 0.15, EVALUATION_SEED, packing=False)
    model.eval()
    loss = unigram = count = 0
    for index in range(len(examples)):
        batch = collator([Row(0, np.asarray([index]))])
        labels = batch.pop("labels")
        with torch.no_grad():
            logits = model(**batch).logits
        loss += torch.nn.functional.cross_entropy(logits[0], labels[0], reduction="sum").item()
        unigram -= log_probs[labels[labels != IGNORE_INDEX]].sum().item()
        count += int((labels != IGNORE_INDEX).sum())
    assert scored.masked_tokens == count
    assert scored.loss == pytest.approx(loss / count, rel=1e-5)
    assert scored.unigram_loss == pytest.approx(unigram / count, rel=1e-5)
    assert scored.perplexity == pytest.approx(math.exp(loss / count), rel=1e-4)


def test_batch_size_changes_no_result(model, monkeypatch):
    examples = make_examples(80)
    whole = evaluate_mlm(model, examples, shuffled_context=True)
    monkeypatch.setattr(xpt.training.evaluation, "TOKENS_PER_BATCH", 100)
    parts = evaluate_mlm(model, examples, shuffled_context=True)
    assert parts.masked_tokens == whole.masked_tokens
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
    assert parts.shuffled_context_loss == pytest.approx(whole.shuffled_context_loss, rel=1e-6)


def test_other_context_keeps_masks_and_labels_and_takes_visible_ids_of_another_sentence():
    examples = make_examples(50)
    collator = MLMCollator(examples, 0.15, EVALUATION_SEED, packing=False)
    contexts = OtherContexts(examples, collator, EVALUATION_SEED, causal=False)
    assert sorted(contexts.other) == list(range(50)) and (contexts.other != np.arange(50)).all()
    collator = MLMCollator(examples, 0.15, EVALUATION_SEED, packing=False)
    for rows in _batches(examples):
        batch = collator([Row(0, np.asarray([row])) for row in rows])
        changed = contexts.exchange(rows, batch)
        assert changed["labels"].equal(batch["labels"])
        for r, index in enumerate(rows):
            labels, before = batch["labels"][r].numpy(), batch["input_ids"][r].numpy()
            after = changed["input_ids"][r].numpy()
            visible = (labels == IGNORE_INDEX) & ~np.isin(before, SPECIAL.reserved)
            assert (after[~visible] == before[~visible]).all()
            assert set(after[visible]) <= set(examples[int(contexts.other[index])])


def test_a_model_that_reads_its_context_loses_by_the_exchange():
    """A model that copies a token repeated all over its sentence needs its own sentence."""

    sentences = encoded([[4 + i] * 20 for i in range(40)])
    examples = Examples(sentences, SPECIAL, 64)

    class Copier(torch.nn.Module):
        config = XPTRobertaConfig()

        def __init__(self):
            super().__init__()
            self.anchor = torch.nn.Parameter(torch.zeros(1))

        def roberta(self, input_ids, attention_mask):
            counts = torch.nn.functional.one_hot(input_ids, 500).sum(1, keepdim=True).float()
            counts[..., list(SPECIAL.reserved)] = 0
            hidden = counts.expand(-1, input_ids.shape[1], -1)
            return type("Output", (), {"last_hidden_state": hidden})

        def lm_head(self, hidden):
            return hidden

    scored = evaluate_mlm(Copier(), examples, shuffled_context=True)
    assert scored.loss < 0.1 and scored.shuffled_context_loss > 3


def test_a_decoder_is_scored_on_what_follows_its_own_beginning_or_anothers():
    """A model that repeats what it has read: right about its own text from the second token on, wrong behind
    another's; each token but the first is scored once."""
    examples = Examples(encoded([[4 + i] * 20 for i in range(40)]), SPECIAL, 64)

    class Repeater(torch.nn.Module):
        config = LlamaConfig()

        def __init__(self):
            super().__init__()
            self.anchor = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, attention_mask, use_cache):
            return SimpleNamespace(logits=50.0 * torch.nn.functional.one_hot(input_ids, 500).float())

    counts = np.ones(500)
    scored = evaluate_mlm(Repeater(), examples, unigram_log_probs(counts), shuffled_context=True)
    assert scored.masked_tokens == 40 * 21
    assert scored.loss == pytest.approx(50 * 2 / 21, abs=0.1)  # the first one and </s> are unforeseen
    assert scored.shuffled_context_loss == pytest.approx(50, abs=0.1)
    assert scored.unigram_loss == pytest.approx(np.log(500), abs=1e-4)


def test_mode_and_random_state_are_left_alone(model):
    model.train()
    before = torch.random.get_rng_state()
    evaluate_mlm(model, make_examples(20), shuffled_context=True)
    assert model.training and torch.random.get_rng_state().equal(before)
