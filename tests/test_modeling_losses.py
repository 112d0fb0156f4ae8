"""The model in training: sparse and full losses, accumulated batches, checkpointed, compiled, resized."""

import copy

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from placed import placed
from tiny_models import LENGTH, PACKED, PAD, VOCAB, assert_close, gradients, ids, make, some_labels
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments

from modeling_xpt import XPTRobertaForMaskedLM, XPTRobertaForSequenceClassification, XPTRobertaModel

FULL = make()
SPARSE = copy.deepcopy(FULL)
SPARSE.config.sparse_prediction = True


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(0, 1), seed=st.integers(0, 1000), items=st.none() | st.integers(1, 50))
@example(rate=0.0, seed=0, items=None)
@example(rate=0.0, seed=0, items=0)
def test_sparse_and_full_are_equal(rate, seed, items):
    input_ids = ids(3, LENGTH, seed=seed)
    batch = {
        "input_ids": input_ids,
        "labels": some_labels(input_ids, rate, seed),
        "num_items_in_batch": items,
    }
    full, sparse = FULL(**batch), SPARSE(**batch)
    chosen = batch["labels"] != -100
    assert sparse.logits.shape == (chosen.sum(), VOCAB) and full.logits.shape == (3, LENGTH, VOCAB)
    torch.testing.assert_close(sparse.logits, full.logits[chosen], rtol=0, atol=1e-5)
    expected = cross_entropy(full.logits[chosen], batch["labels"][chosen], reduction="sum")
    torch.testing.assert_close(full.loss, expected / max(1, items or chosen.sum()), rtol=1e-6, atol=0)
    torch.testing.assert_close(sparse.loss, full.loss, rtol=1e-6, atol=0)
    assert_close(gradients(SPARSE, **batch)[1], gradients(FULL, **batch)[1])


@pytest.mark.parametrize("model", [FULL, SPARSE])
def test_nothing_to_predict_costs_nothing(model):
    for items in (None, 0, torch.tensor(0), 5):
        labels = torch.full((2, LENGTH), -100)
        loss, gradient = gradients(model, input_ids=ids(2, LENGTH), labels=labels, num_items_in_batch=items)
        assert loss == 0 and not gradient.any()  # NaN would be "any"


def test_sparse_without_labels_gives_all_logits():
    assert torch.equal(SPARSE(ids(2, LENGTH)).logits, FULL(ids(2, LENGTH)).logits)


def trained(model, dataset, accumulation, folder):
    """The update of one step of plain gradient descent, whose rate is 1: minus the gradient."""
    model = copy.deepcopy(model)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    arguments = TrainingArguments(
        folder,
        max_steps=1,
        optim="sgd",
        learning_rate=1.0,
        max_grad_norm=0.0,
        per_device_train_batch_size=8 // accumulation,
        gradient_accumulation_steps=accumulation,
        logging_steps=1,
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=dataset)
    # Before transformers 5.6 accelerate divides once more, whatever the model: not what is tested here.
    trainer.accelerator.gradient_accumulation_steps = 1
    trainer.train()
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    return trainer.state.log_history[0]["loss"], after - before


@pytest.mark.parametrize("kind", ["full", "sparse", "classifier"])
def test_accumulated_batches_equal_one_large_one(kind, tmp_path):
    input_ids = ids(8, LENGTH)
    labels = some_labels(input_ids)  # a different number of predicted tokens in each row
    model = FULL if kind == "full" else SPARSE
    if kind == "classifier":
        model, labels = make(XPTRobertaForSequenceClassification, num_labels=7), torch.arange(8) % 7
    dataset = [{"input_ids": row, "labels": label} for row, label in zip(input_ids, labels, strict=True)]
    large, small = (trained(model, dataset, steps, tmp_path / str(steps)) for steps in (1, 4))
    assert small[0] == pytest.approx(large[0], rel=1e-6)
    assert_close(small[1], large[1], relative=3e-6)  # weights of 1e-1 move by 1e-2: differences lose a digit


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing(reentrant):
    model = make(dropout=0.1).train()
    input_ids = ids(3, LENGTH)
    batch = {"input_ids": input_ids, "labels": some_labels(input_ids), "output_hidden_states": True}
    torch.manual_seed(5)
    plain = gradients(model, **batch)
    runs = []
    layers = [*model.roberta.itl_in, *model.roberta.encoder.layer, *model.roberta.itl_out]
    for number, layer in enumerate(layers):
        layer.intermediate.register_forward_hook(lambda *_, number=number: runs.append(number))
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()
    torch.manual_seed(5)
    checkpointed = gradients(model, **batch)
    assert torch.equal(plain[0], checkpointed[0])
    assert_close(checkpointed[1], plain[1])
    assert sorted(runs) == [0, 0, 1, 1, 2, 2, 3, 3]  # every layer, ITLs too, ran again for the backward pass


def test_compiled_model_is_the_same():
    model = make(implementation="sdpa", num_hidden_layers=1)
    compiled = torch.compile(
        model, backend="eager", fullgraph=True
    )  # traced whole, without generated kernels
    input_ids = ids(2, LENGTH)
    for batch in ({"input_ids": input_ids, "labels": some_labels(input_ids)}, PACKED):
        torch.testing.assert_close(compiled(**batch).logits, model(**batch).logits, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="38 positions"):
        torch.compile(model, backend="eager")(ids(2, 39))
    torch._dynamo.reset()


@pytest.mark.parametrize("padding", [1, 3])
def test_too_long_a_sequence_is_refused_with_the_length_that_fits(padding):
    model = make(pad_token_id=padding)
    usable = 40 - padding - 1
    model(ids(2, usable))
    with pytest.raises(
        ValueError, match=rf"{usable + 1} tokens .* {usable} positions .* max_length={usable}"
    ):
        model(ids(2, usable + 1))
    with pytest.raises(ValueError, match=f"{usable} positions"):
        model(inputs_embeds=torch.zeros(1, usable + 1, 32))
    padded = torch.nn.functional.pad(ids(2, usable), (0, 5), value=padding)
    logits = model(padded, attention_mask=padded.ne(padding).long()).logits  # longer, but not in tokens
    torch.testing.assert_close(logits[:, :usable], model(ids(2, usable)).logits, rtol=0, atol=1e-5)
    restarting = torch.arange(usable + 1).remainder(20)[None] + padding + 1
    assert model(ids(1, usable + 1), position_ids=restarting).logits.isfinite().all()
    for inputs in ({}, {"input_ids": ids(1, 3), "inputs_embeds": torch.zeros(1, 3, 32)}):
        with pytest.raises(ValueError, match="exactly one"):
            model(**inputs)


@pytest.mark.parametrize("size", [75, 50])
def test_resized_vocabulary_stays_tied_and_reloads(size, tmp_path):
    model = make()
    before = model(ids(2, LENGTH) % 50).logits
    model.resize_token_embeddings(size, mean_resizing=False)
    table = model.roberta.embeddings.word_embeddings
    assert model.lm_head.decoder.weight is table.weight and model.lm_head.decoder.bias is model.lm_head.bias
    assert (table.num_embeddings, table.padding_idx, model.config.vocab_size) == (size, PAD, size)
    kept = min(size, VOCAB)
    after = placed(model)(ids(2, LENGTH) % 50, labels=ids(2, LENGTH) % 50)
    torch.testing.assert_close(after.logits[..., :kept], before[..., :kept])
    model.save_pretrained(tmp_path)
    again = XPTRobertaForMaskedLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert torch.equal(placed(again)(ids(2, LENGTH) % 50).logits, after.logits)


def test_no_layer_is_asked_for_a_cache():
    model = make(use_cache=True)  # as in the configuration of a stock RoBERTa
    seen = []
    layers = [*model.roberta.itl_in, *model.roberta.encoder.layer, *model.roberta.itl_out]
    for layer in layers:
        layer.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append("use_cache" in kwargs), with_kwargs=True
        )
    model(ids(1, LENGTH))
    assert seen == [False] * 4


def test_every_layer_matters():
    model = make(XPTRobertaModel, num_itl_in=2, num_itl_out=2)
    before = model(ids(1, LENGTH)).last_hidden_state
    for stack in (model.itl_in, model.itl_out):
        for layer in stack:
            changed = copy.deepcopy(layer.state_dict())
            torch.nn.init.normal_(layer.output.dense.weight)
            assert not torch.allclose(model(ids(1, LENGTH)).last_hidden_state, before, atol=1e-3)
            layer.load_state_dict(changed)
