"""The TreLM model against what it is made of: a stock RoBERTa, an order, and sums in the middle."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import RobertaConfig, RobertaModel

from configuration_trelm import TreLMRobertaConfig
from modeling_trelm import TreLMRobertaForMaskedLM, TreLMRobertaModel
from xpt.transplant.parameter_groups import GROUPS, parameter_group

SHAPE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 22,
    "type_vocab_size": 1,
    "pad_token_id": 1,
}
LAYERS, PAD = 4, 1


def make_model(head: bool = False, seed: int = 0, **changes):
    torch.manual_seed(seed)
    config = TreLMRobertaConfig(**{**SHAPE, "num_hidden_layers": LAYERS, **changes})
    model = (
        TreLMRobertaForMaskedLM(config) if head else TreLMRobertaModel(config, add_pooling_layer=False)
    ).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model


def make_stock(model):
    """A stock RoBERTa of one layer more with the same weights."""
    stock = RobertaModel(RobertaConfig(**{**SHAPE, "num_hidden_layers": LAYERS + 1}), add_pooling_layer=False)
    tensors, half = {}, LAYERS // 2
    for name, tensor in model.state_dict().items():
        parts = name.split(".")
        if parts[0] == "tri":
            name = ".".join(["encoder", "layer", str(half), *parts[1:]])
        elif parts[:2] == ["encoder", "layer"] and int(parts[2]) >= half:
            name = ".".join(["encoder", "layer", str(int(parts[2]) + 1), *parts[3:]])
        elif parts[0] == "language_embeddings":
            continue
        tensors[name] = tensor
    stock.load_state_dict(tensors)
    return stock.eval()


def make_text(batch: int, length: int, generator=None):
    ids = torch.randint(5, 40, (batch, length), generator=generator)
    lengths = torch.randint(1, length + 1, (batch,), generator=generator)
    mask = (torch.arange(length) < lengths[:, None]).long()
    return torch.where(mask.bool(), ids, PAD), mask


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_without_languages_and_positions_it_is_a_stock_roberta_of_one_layer_more(attention):
    model = make_model(attn_implementation=attention)
    for table in (model.language_embeddings, model.embeddings.position_embeddings):
        torch.nn.init.zeros_(table.weight)
    stock = make_stock(model)
    stock.set_attn_implementation(attention)
    ids, mask = make_text(3, 9)
    ours, theirs = (one(ids, mask, output_hidden_states=True).hidden_states for one in (model, stock))
    assert len(ours) == len(theirs) == LAYERS + 2
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@given(
    batch=st.integers(1, 3),
    source=st.integers(1, 7),
    target=st.integers(1, 9),
    seed=st.integers(0, 999),
    languages=st.booleans(),
)
@settings(max_examples=30)
def test_it_computes_what_the_pseudo_code_says(batch, source, target, seed, languages):
    """Longer and shorter targets than sources, unaligned tokens and several of one source token."""
    model, generator = make_model(), torch.Generator().manual_seed(seed)
    ids, mask = make_text(batch, source, generator)
    order = torch.randint(0, source, (batch, target), generator=generator)
    target_mask = make_text(batch, target, generator)[1]
    told = {}
    of_source = of_target = torch.full((batch, 1), model.config.default_language)
    if languages:
        of_source, of_target = torch.zeros(batch, 1, dtype=torch.long), torch.ones(batch, 1, dtype=torch.long)
        told = {"language_ids": of_source, "target_language_ids": of_target}
    found = model(ids, mask, alignment=order, target_attention_mask=target_mask, **told).last_hidden_state

    table = model.embeddings
    positions = (ids != PAD).cumsum(1) * (ids != PAD) + PAD
    hidden = table.word_embeddings(ids) + table.position_embeddings(positions)
    hidden = (
        hidden + table.token_type_embeddings(torch.zeros_like(ids)) + model.language_embeddings(of_source)
    )
    hidden = table.LayerNorm(hidden)
    for layer in model.encoder.layer[: LAYERS // 2]:
        hidden = layer(hidden, mask.bool()[:, None, None, :].expand(-1, 1, source, -1))
    hidden = torch.stack([states[places] for states, places in zip(hidden, order, strict=True)])
    positions = target_mask.cumsum(1) * target_mask + PAD
    hidden = hidden + model.language_embeddings(of_target) + table.position_embeddings(positions)
    for layer in (model.tri, *model.encoder.layer[LAYERS // 2 :]):
        hidden = layer(hidden, target_mask.bool()[:, None, None, :].expand(-1, 1, target, -1))
    torch.testing.assert_close(found, hidden, rtol=1e-5, atol=1e-5)


def test_one_language_is_the_alignment_of_each_token_with_itself():
    model = make_model()
    ids, mask = make_text(3, 8)
    identity = torch.arange(8).expand(3, 8)
    alone = model(ids, mask).last_hidden_state
    aligned = model(ids, mask, alignment=identity, target_attention_mask=mask).last_hidden_state
    assert torch.equal(alone, aligned)
    named = model(ids, mask, language_ids=torch.ones(3, 8, dtype=torch.long)).last_hidden_state
    assert torch.equal(alone, named)
    other = model(ids, mask, language_ids=torch.zeros(3, 1, dtype=torch.long)).last_hidden_state
    assert not torch.allclose(alone, other)


def test_what_enters_the_trilayer_is_the_source_in_the_order_of_the_target():
    model, entered = make_model(), []
    model.tri.register_forward_pre_hook(lambda module, given: entered.append(given[0]))
    ids, mask = make_text(2, 6)[0].clamp(min=5), torch.ones(2, 6, dtype=torch.long)
    order = torch.stack([torch.randperm(6) for _ in range(2)])
    states = model(ids, mask, output_hidden_states=True).hidden_states[LAYERS // 2]
    model(ids, mask, alignment=order)
    added = entered[0] - states
    torch.testing.assert_close(entered[1], states.gather(1, order[..., None].expand(-1, -1, 16)) + added)


def test_padding_of_source_and_target_changes_nothing():
    """The released code masks the upper half by the source's lengths; so this is what it gets wrong."""
    model = make_model()
    ids, mask = make_text(2, 6)
    order, target_mask = torch.randint(0, 3, (2, 5)), torch.tensor([[1] * 5, [1] * 3 + [0] * 2])
    told = {"alignment": order, "target_attention_mask": target_mask}
    expected = model(ids, mask, **told).last_hidden_state[target_mask.bool()]
    longer = (
        torch.cat((ids, torch.full((2, 4), 7)), 1),
        torch.cat((mask, torch.zeros(2, 4, dtype=torch.long)), 1),
    )
    found = model(*longer, **told).last_hidden_state[target_mask.bool()]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    other = torch.where(target_mask.bool(), order, 5)
    found = model(ids, mask, alignment=other, target_attention_mask=target_mask).last_hidden_state
    torch.testing.assert_close(found[target_mask.bool()], expected, rtol=1e-5, atol=1e-5)
    wrong = model(ids, mask, alignment=order).last_hidden_state[target_mask.bool()]  # its padding attended to
    assert not torch.allclose(wrong, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sparse", [True, False])
def test_the_loss_of_a_pair_is_that_of_every_target_token(sparse):
    model = make_model(head=True, sparse_prediction=sparse)
    ids, mask = make_text(2, 6)
    order, labels = torch.randint(0, 6, (2, 4)), torch.tensor([[5, 6, 7, 8], [9, 10, -100, -100]])
    target_mask = (labels != -100).long()
    told = {"alignment": order, "target_attention_mask": target_mask}
    logits = model(ids, mask, **told).logits
    assert logits.shape == (2, 4, 40)
    expected = torch.nn.functional.cross_entropy(logits[target_mask.bool()], labels[target_mask.bool()])
    torch.testing.assert_close(model(ids, mask, labels=labels, **told).loss, expected)


def make_pairs():
    ids, mask = make_text(3, 7)
    target_mask = make_text(3, 9)[1]
    labels = torch.where(target_mask.bool(), torch.randint(5, 40, (3, 9)), -100)
    order = torch.randint(0, 7, (3, 9))
    return {
        **{"input_ids": ids, "attention_mask": mask, "labels": labels, "alignment": order},
        "target_attention_mask": target_mask,
        "language_ids": torch.zeros(3, 1, dtype=torch.long),
        "target_language_ids": torch.ones(3, 1, dtype=torch.long),
    }


@pytest.mark.parametrize(
    "changed",
    [
        lambda model: model.set_attn_implementation("sdpa"),
        lambda model: model.gradient_checkpointing_enable({"use_reentrant": False}),
        lambda model: model.compile(backend="eager", fullgraph=True),
        lambda model: setattr(model.config, "sparse_prediction", True),
        pytest.param(
            lambda model: model.set_attn_implementation("flex_attention"),
            marks=[
                pytest.mark.slow,  # compiles C++
                pytest.mark.skipif(shutil.which("g++") is None, reason="flex attention needs a compiler"),
            ],
        ),
    ],
    ids=["sdpa", "checkpointing", "compiled", "sparse", "flex"],
)
def test_pairs_give_the_same_loss_and_gradients_however_they_are_computed(changed, request):
    model, batch = make_model(head=True, attn_implementation="eager").train(), make_pairs()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    grad = "flex" not in request.node.name  # which has no backward pass on a CPU
    found = []
    for step in (lambda model: None, changed):
        step(model)
        model.zero_grad()
        with torch.set_grad_enabled(grad):
            loss = model(**batch).loss
        if grad:
            loss.backward()
        found.append((loss.detach(), [one.grad.clone() for one in model.parameters()] if grad else []))
    torch._dynamo.reset()
    (loss, gradients), (again, others) = found
    torch.testing.assert_close(again, loss, rtol=1e-5, atol=0)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"target_language_ids": torch.zeros(2, 1)}, "needs an alignment"),
        ({"alignment": torch.zeros(3, 4, dtype=torch.long)}, r"alignment has the shape \(3, 4\)"),
        ({"alignment": torch.zeros(2, dtype=torch.long)}, r"alignment has the shape \(2,\)"),
        ({"alignment": torch.zeros(2, 21, dtype=torch.long)}, "longer than the 20 positions"),
    ],
)
def test_a_target_that_is_none_is_refused(told, said):
    ids, mask = make_text(2, 6)
    with pytest.raises(ValueError, match=said):
        make_model()(ids, mask, **told)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 3}, "num_hidden_layers must be even"),
        ({"num_languages": 0}, "num_languages must be a whole number"),
        ({"default_language": -1}, "default_language must be a whole number"),
    ],
)
def test_a_configuration_that_is_none_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        TreLMRobertaConfig(**{**SHAPE, "num_hidden_layers": LAYERS, **changes})


def test_every_parameter_has_a_group():
    model = make_model(head=True)
    groups: dict[str, set[str]] = {}
    for name, _ in model.named_parameters():
        groups.setdefault(parameter_group(name).split(".")[0], set()).add(name)
    assert set(groups) == {*GROUPS} - {"itl"}
    assert groups["language_embeddings"] == {"roberta.language_embeddings.weight"}
    first = "roberta.encoder.layer.0."
    layer = {name.removeprefix(first) for name in groups["encoder"] if name.startswith(first)}
    assert {name.removeprefix("roberta.tri.") for name in groups["tri"]} == layer
