"""The model in training: sparse and full losses, accumulated batches, checkpointed, compiled, resized."""

import copy

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from placed import placed
from tiny_models import (
    BACKBONE,
    CLASSIFIER,
    KINDS,
    LENGTH,
    MASKED,
    PACKED,
    PAD,
    VOCAB,
    assert_close,
    gradients,
    ids,
    layers_of,
    make,
    some_labels,
)
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments

both = pytest.mark.parametrize("kind", KINDS)
FULL = {kind: make(heads[MASKED]) for kind, heads in KINDS.items()}
SPARSE = copy.deepcopy(FULL)
for _model in SPARSE.values():
    _model.config.sparse_prediction = True


@both
@settings(max_examples=25, deadline=None)
@given(rate=st.floats(0, 1), seed=st.integers(0, 1000), items=st.none() | st.integers(1, 50))
@example(rate=0.0, seed=0, items=None)
@example(rate=0.0, seed=0, items=0)
def test_sparse_and_full_are_equal(kind, rate, seed, items):
    input_ids = ids(3, LENGTH, seed=seed)
    batch = {
        "input_ids": input_ids,
        "labels": some_labels(input_ids, rate, seed),
        "num_items_in_batch": items,
    }
    models = FULL[kind], SPARSE[kind]
    full, sparse = (model(**batch) for model in models)
    chosen = batch["labels"] != -100
    assert sparse.logits.shape == (chosen.sum(), VOCAB) and full.logits.shape == (3, LENGTH, VOCAB)
    torch.testing.assert_close(sparse.logits, full.logits[chosen], rtol=0, atol=1e-5)
    expected = cross_entropy(full.logits[chosen], batch["labels"][chosen], reduction="sum")
    torch.testing.assert_close(full.loss, expected / max(1, items or chosen.sum()), rtol=1e-6, atol=0)
    torch.testing.assert_close(sparse.loss, full.loss, rtol=1e-6, atol=0)
    assert_close(*(gradients(model, **batch)[1] for model in reversed(models)))


@pytest.mark.parametrize("model", [*FULL.values(), *SPARSE.values()])
def test_nothing_to_predict_costs_nothing(model):
    for items in (None, 0, torch.tensor(0), 5):
        labels = torch.full((2, LENGTH), -100)
        loss, gradient = gradients(model, input_ids=ids(2, LENGTH), labels=labels, num_items_in_batch=items)
        assert loss == 0 and not gradient.any()  # NaN would be "any"


@both
def test_sparse_without_labels_gives_all_logits(kind):
    assert torch.equal(*(models[kind](ids(2, LENGTH)).logits for models in (SPARSE, FULL)))


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


@both
@pytest.mark.parametrize("loss", ["full", "sparse", "classifier"])
def test_accumulated_batches_equal_one_large_one(kind, loss, tmp_path):
    input_ids = ids(8, LENGTH)
    labels = some_labels(input_ids)  # a different number of predicted tokens in each row
    model = (FULL if loss == "full" else SPARSE)[kind]
    if loss == "classifier":
        model, labels = make(KINDS[kind][CLASSIFIER], num_labels=7), torch.arange(8) % 7
    dataset = [{"input_ids": row, "labels": label} for row, label in zip(input_ids, labels, strict=True)]
    large, small = (trained(model, dataset, steps, tmp_path / str(steps)) for steps in (1, 4))
    assert small[0] == pytest.approx(large[0], rel=1e-6)
    assert_close(small[1], large[1], relative=3e-6)  # weights of 1e-1 move by 1e-2: differences lose a digit


@both
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing(kind, reentrant):
    model = make(KINDS[kind][MASKED], dropout=0.1).train()
    input_ids = ids(3, LENGTH)
    batch = {"input_ids": input_ids, "labels": some_labels(input_ids), "output_hidden_states": True}
    torch.manual_seed(5)
    plain = gradients(model, **batch)
    runs = []
    layers = layers_of(model.roberta)
    for number, layer in enumerate(layers):
        layer.intermediate.register_forward_hook(lambda *_, number=number: runs.append(number))
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()
    torch.manual_seed(5)
    checkpointed = gradients(model, **batch)
    assert torch.equal(plain[0], checkpointed[0])
    assert_close(checkpointed[1], plain[1])
    # Every layer, ITLs and TRILayer too, ran again for the backward pass.
    assert sorted(runs) == sorted([*range(model.config.num_layers_with_itls)] * 2)


@both
def test_compiled_model_is_the_same(kind):
    model = make(KINDS[kind][MASKED], implementation="sdpa")
    compiled = torch.compile(
        model, backend="eager", fullgraph=True
    )  # traced whole, without generated kernels
    input_ids = ids(2, LENGTH)
    for batch in ({"input_ids": input_ids, "labels": some_labels(input_ids)}, PACKED):
        torch.testing.assert_close(compiled(**batch).logits, model(**batch).logits, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="38 positions"):
        torch.compile(model, backend="eager")(ids(2, 39))
    torch._dynamo.reset()


@both
@pytest.mark.parametrize("padding", [1, 3])
def test_too_long_a_sequence_is_refused_with_the_length_that_fits(kind, padding):
    model = make(KINDS[kind][MASKED], pad_token_id=padding)
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


@both
@pytest.mark.parametrize("size", [75, 50])
def test_resized_vocabulary_stays_tied_and_reloads(kind, size, tmp_path):
    model = make(KINDS[kind][MASKED])
    before = model(ids(2, LENGTH) % 50).logits
    model.resize_token_embeddings(size, mean_resizing=False)
    table = model.roberta.embeddings.word_embeddings
    assert model.lm_head.decoder.weight is table.weight and model.lm_head.decoder.bias is model.lm_head.bias
    assert (table.num_embeddings, table.padding_idx, model.config.vocab_size) == (size, PAD, size)
    kept = min(size, VOCAB)
    after = placed(model)(ids(2, LENGTH) % 50, labels=ids(2, LENGTH) % 50)
    torch.testing.assert_close(after.logits[..., :kept], before[..., :kept])
    model.save_pretrained(tmp_path)
    again = KINDS[kind][MASKED].from_pretrained(tmp_path, attn_implementation="eager")
    assert torch.equal(placed(again)(ids(2, LENGTH) % 50).logits, after.logits)


@both
def test_no_layer_is_asked_for_a_cache(kind):
    model = make(KINDS[kind][MASKED], use_cache=True)  # as in the configuration of a stock RoBERTa
    seen = []
    layers = layers_of(model.roberta)
    for layer in layers:
        layer.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append("use_cache" in kwargs), with_kwargs=True
        )
    model(ids(1, LENGTH))
    assert seen == [False] * len(layers)


@both
def test_every_layer_matters(kind):
    model = make(KINDS[kind][BACKBONE], num_itl_in=2, num_itl_out=2)
    before = model(ids(1, LENGTH)).last_hidden_state
    for layer in layers_of(model):
        kept = copy.deepcopy(layer.state_dict())
        torch.nn.init.normal_(layer.output.dense.weight)
        assert not torch.allclose(model(ids(1, LENGTH)).last_hidden_state, before, atol=1e-3)
        layer.load_state_dict(kept)
