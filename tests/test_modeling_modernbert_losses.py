"""XPT around a ModernBERT in training: both losses, the fast path, recomputed, compiled, resized."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from placed import placed
from tiny_models import LENGTH, PACKED, PAD, VOCAB, assert_close, gradients, ids, some_labels
from tiny_modernberts import layers_of, make_xpt, packed_labels, text
from torch.nn.functional import cross_entropy

from modeling_xpt_modernbert import XPTModernBertForMaskedLM
from xpt.training.fast.path import fast_path


@settings(max_examples=15, deadline=None)
@given(rate=st.floats(0, 1), seed=st.integers(0, 1000), items=st.none() | st.integers(0, 50))
def test_sparse_and_full_losses_are_equal(rate, seed, items):
    full, sparse = make_xpt(), make_xpt(sparse_prediction=True)
    input_ids = ids(3, LENGTH, seed=seed)
    labels = some_labels(input_ids, rate, seed)
    batch = {"input_ids": input_ids, "labels": labels, "num_items_in_batch": items}
    one, other = full(**batch), sparse(**batch)
    chosen = labels != -100
    torch.testing.assert_close(other.logits, one.logits[chosen], rtol=0, atol=1e-5)
    expected = cross_entropy(one.logits[chosen], labels[chosen], reduction="sum")
    torch.testing.assert_close(
        one.loss, expected / max(1, chosen.sum() if items is None else items), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(other.loss, one.loss, rtol=1e-6, atol=0)
    assert_close(gradients(sparse, **batch)[1], gradients(full, **batch)[1])


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing(reentrant):
    model = make_xpt(mlp_dropout=0.1, attention_dropout=0.1).train()
    batch = {**text(), "labels": some_labels(text()["input_ids"]), "output_hidden_states": True}
    torch.manual_seed(5)
    plain = gradients(model, **batch)
    runs = []
    for number, layer in enumerate(layers_of(model.model)):
        layer.attn.register_forward_hook(lambda *_, number=number: runs.append(number))
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()
    torch.manual_seed(5)
    checkpointed = gradients(model, **batch)
    assert torch.equal(plain[0], checkpointed[0])
    assert_close(checkpointed[1], plain[1])
    assert sorted(runs) == sorted([*range(model.config.num_layers_with_itls)] * 2)


def test_compiled_model_is_the_same():
    model = make_xpt(implementation="sdpa")
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for batch in ({**text(), "labels": some_labels(text()["input_ids"])}, PACKED):
        torch.testing.assert_close(compiled(**batch).logits, model(**batch).logits, rtol=0, atol=1e-6)
    torch._dynamo.reset()


@pytest.mark.parametrize("size", [75, 50])
def test_resized_vocabulary_stays_tied_and_reloads(size, tmp_path):
    model = make_xpt()
    before = model(ids(2, LENGTH) % 50).logits
    model.resize_token_embeddings(size, mean_resizing=False)
    table = model.model.embeddings.tok_embeddings
    assert model.decoder.weight is table.weight and len(model.decoder.bias) == size
    assert (table.num_embeddings, table.padding_idx, model.config.vocab_size) == (size, PAD, size)
    after = placed(model)(ids(2, LENGTH) % 50, labels=ids(2, LENGTH) % 50)
    kept = min(size, VOCAB)
    torch.testing.assert_close(after.logits[..., :kept], before[..., :kept])
    model.save_pretrained(tmp_path)
    again = XPTModernBertForMaskedLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert torch.equal(placed(again)(ids(2, LENGTH) % 50).logits, after.logits)


def test_the_fast_path_computes_the_same():
    model = make_xpt(implementation="sdpa").train()
    labels = some_labels(text()["input_ids"]).masked_fill(text()["attention_mask"] == 0, -100)
    for batch in ({**PACKED, "labels": packed_labels()}, {**text(), "labels": labels}):
        plain = gradients(model, **batch)
        with fast_path(model, torch.device("cpu")):
            fast = gradients(model, **batch)
        torch.testing.assert_close(fast[0], plain[0], rtol=1e-6, atol=0)
        assert_close(fast[1], plain[1], relative=1e-5)
