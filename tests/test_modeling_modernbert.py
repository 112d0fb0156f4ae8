"""XPT around a ModernBERT: the source's own numbers, its windows, and the same documents under every mask."""

import copy
import shutil

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from placed import placed
from tiny_models import (
    LENGTH,
    PACKED,
    PAD,
    SENTENCES,
    assert_close,
    batch_for,
    gradients,
    ids,
    in_packed_order,
)
from tiny_modernberts import (
    CLASSES,
    HEADS,
    SHAPE,
    around,
    layers_of,
    make_stock,
    make_xpt,
    packed_labels,
    text,
)
from transformers import ModernBertConfig
from transformers.utils.output_capturing import OutputRecorder

from configuration_xpt_modernbert import AUTO_MAP, XPTModernBertConfig
from modeling_xpt_modernbert import GLOBAL, LOCAL, XPTModernBertModel

every_kernel = pytest.mark.parametrize("implementation", ["eager", "sdpa"])
BIASES = dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), True)
SOURCES = [
    {},
    {"num_hidden_layers": 1},
    {"num_hidden_layers": 7, "global_attn_every_n_layers": 3},
    {"num_hidden_layers": 5, "global_attn_every_n_layers": 4, **BIASES},
    {"num_hidden_layers": 3, "global_attn_every_n_layers": 1},
    {"num_hidden_layers": 3, "layer_types": [LOCAL, LOCAL, GLOBAL], "decoder_bias": False},
    {"num_hidden_layers": 2, "layer_types": [LOCAL, LOCAL], "global_rope_theta": 50.0},
]
every_source = pytest.mark.parametrize("fields", SOURCES, ids=range(len(SOURCES)))


@every_kernel
@every_source
def test_without_itls_every_hidden_state_is_the_source_s(fields, implementation):
    source = make_stock(implementation=implementation, **fields)
    theirs = placed(source)(**text(), output_hidden_states=True)
    ours = placed(around(source))(**text(), output_hidden_states=True)
    assert len(ours.hidden_states) == len(theirs.hidden_states) == source.config.num_hidden_layers + 1
    for pair in zip((*ours.hidden_states, ours.logits), (*theirs.hidden_states, theirs.logits), strict=True):
        torch.testing.assert_close(*pair, rtol=0, atol=1e-5)


@every_kernel
@every_source
@pytest.mark.parametrize("itls", [(1, 1), (2, 0), (0, 3)])
def test_an_itl_that_adds_nothing_changes_no_bit_and_every_other_does(itls, fields, implementation):
    source = make_stock(implementation=implementation, **fields)
    without, identical = placed(around(source)), placed(around(source, *itls))
    found = identical(**text(), output_hidden_states=True)
    assert torch.equal(found.logits, without(**text()).logits)
    assert len(found.hidden_states) == identical.config.num_layers_with_itls + 1
    stock = source(**text(), output_hidden_states=True).hidden_states[1:-1]  # the first is behind the norm
    for ours, theirs in zip(found.hidden_states[1 + itls[0] :], stock, strict=False):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    random = around(source, *itls, identity=False)
    before = random(**text()).logits
    for layer in (*random.model.itl_in, *random.model.itl_out):
        kept = copy.deepcopy(layer.state_dict())
        torch.nn.init.zeros_(layer.attn.Wo.weight)
        assert not torch.allclose(random(**text()).logits, before, atol=1e-4)
        layer.load_state_dict(kept)


@every_kernel
@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("itls", [(0, 0), (1, 1), (2, 1)])
def test_the_window_of_a_layer_is_the_source_s_whatever_stands_before_it(itls, every, implementation):
    """A token 100 positions away reaches the layers that read all of the text, and no other."""
    fields = {"num_hidden_layers": 6, "global_attn_every_n_layers": every, "local_attention": 128}
    source = make_stock(implementation=implementation, **fields)
    model = around(source, *itls, identity=False).model
    given, reached = [], []
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, args, kwargs: given.append((args, kwargs)), with_kwargs=True
        )
        for layer in layers_of(model)
    ]
    model(ids(1, 140))
    for hook in hooks:
        hook.remove()
    for layer, ((hidden, *rest), kwargs) in zip(layers_of(model), given, strict=True):
        other = hidden.clone()
        other[:, 110] += torch.randn(32)
        before, after = (layer(one, *rest, **kwargs)[0] for one in (hidden, other))
        reached.append(not torch.equal(before[10], after[10]))
        assert not torch.equal(before[50], after[50])  # 60 away: within 64
        assert torch.equal(before[45], after[45]) or reached[-1]  # 65 away
    expected = [place % every == 0 for place in range(6)]
    assert reached == [True] * itls[0] + expected + [True] * itls[1]


@every_kernel
def test_padded_unpadded_and_packed_agree(implementation):
    model = make_xpt(implementation=implementation)
    with torch.no_grad():
        alone = [model(sentence[None]).logits[0] for sentence in SENTENCES]
        padded_ids = torch.nn.utils.rnn.pad_sequence(SENTENCES, batch_first=True, padding_value=PAD)
        padded = model(padded_ids, attention_mask=padded_ids.ne(PAD).long()).logits
        together = in_packed_order(model(**PACKED).logits)
        additive = torch.zeros(PACKED["attention_mask"].shape, dtype=torch.float64)
        additive.masked_fill_(~PACKED["attention_mask"], torch.finfo(torch.float32).min)
        by_floats = in_packed_order(model(**{**PACKED, "attention_mask": additive}).logits)
        counted_on = {name: PACKED[name] for name in ("input_ids", "attention_mask")}
        counted_on = in_packed_order(model(**counted_on).logits)  # of positions only differences count
    for expected, *others in zip(alone, padded, together, by_floats, counted_on, strict=True):
        for logits in others:
            torch.testing.assert_close(logits[: len(expected)], expected, rtol=0, atol=1e-5)


@every_kernel
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_packed_documents_never_meet(implementation, seed):
    model = make_xpt(implementation=implementation)
    changed = PACKED["input_ids"].clone()
    changed[0, :5] = ids(5, seed=seed + 100)
    before, after = model(**PACKED).logits, model(**{**PACKED, "input_ids": changed}).logits
    assert torch.equal(before[0, 5:14], after[0, 5:14]) and torch.equal(before[1], after[1])
    assert not torch.equal(changed, PACKED["input_ids"]) and not torch.equal(before[0, :5], after[0, :5])


@every_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_gradients_are_finite_and_those_of_single_documents(implementation, dtype):
    model = make_xpt(implementation=implementation).to(dtype)
    loss, gradient = gradients(model, **PACKED, labels=packed_labels())
    assert loss.dtype == torch.float32 and gradient.isfinite().all()
    if dtype == torch.float32:
        total = 0
        for sentence, at in ((SENTENCES[0], 1), (SENTENCES[1], 2), (SENTENCES[3], 1)):
            alone = torch.where(torch.arange(len(sentence)) == at, 9, -100)
            total += gradients(model, input_ids=sentence[None], labels=alone[None], num_items_in_batch=3)[1]
        assert_close(gradient, total, relative=1e-5)


@pytest.mark.parametrize(
    ("mask", "complaint"),
    [
        (torch.ones(2, LENGTH, LENGTH), "shape"),
        (torch.ones(2, 1, 1, LENGTH, dtype=torch.bool), "shape"),
        (torch.ones(2, 1, LENGTH, LENGTH, dtype=torch.long), "bool or float"),
    ],
)
def test_masks_of_unknown_kind_are_refused(mask, complaint):
    with pytest.raises(ValueError, match=complaint):
        make_xpt()(ids(2, LENGTH), attention_mask=mask)


def test_implementations_without_pairwise_masks_refuse_them():
    model = make_xpt()
    for name in ("flash_attention_2", "flex_attention"):  # not installed, hence not by the front door
        model.config._attn_implementation_internal = name
        with pytest.raises(ValueError, match="use sdpa or eager"):
            model(**PACKED)
    for inputs in ({}, {"input_ids": ids(1, 3), "inputs_embeds": torch.zeros(1, 3, 32)}):
        with pytest.raises(ValueError, match="exactly one"):
            model(**inputs)


@pytest.mark.slow  # compiles C++
@pytest.mark.skipif(shutil.which("g++") is None, reason="flex attention on a CPU needs a compiler")
def test_flex_attention_agrees_forward():
    flex, plain = (make_xpt(implementation=one) for one in ("flex_attention", "sdpa"))
    tokens = text()["attention_mask"].bool()
    with torch.no_grad():
        torch.testing.assert_close(
            flex(**text()).logits[tokens], plain(**text()).logits[tokens], rtol=0, atol=1e-5
        )


def test_every_layer_follows_the_model_s_choice_of_attention():
    model = make_xpt(implementation="sdpa", num_itl_in=2)
    held = {id(module.config) for module in model.modules() if hasattr(module, "config")}
    assert held == {id(model.config)} and model.config.layer_types == [GLOBAL, LOCAL, LOCAL, GLOBAL]
    model.set_attn_implementation("eager")
    found = model(**text(), output_attentions=True).attentions
    assert len(found) == model.config.num_layers_with_itls == 7
    assert all(one.shape == (3, 4, 40, 40) for one in found)


def test_hidden_states_are_those_of_the_layers_in_their_order():
    model, seen = make_xpt(XPTModernBertModel, num_itl_out=2), []
    for number, layer in enumerate(layers_of(model)):
        layer.register_forward_hook(lambda _, given, state, number=number: seen.append((number, state)))
    found = model(ids(2, LENGTH), output_hidden_states=True)
    assert [number for number, _ in seen] == [*range(7)]
    for number, state in seen[:-1]:
        assert torch.equal(state, found.hidden_states[1 + number])
    assert torch.equal(found.hidden_states[0], model.embeddings.tok_embeddings(ids(2, LENGTH)))
    assert torch.equal(found.hidden_states[-1], found.last_hidden_state)
    if "num_hidden_layers_key" in OutputRecorder.__dataclass_fields__:
        last = model(ids(2, LENGTH), output_hidden_states=-2).hidden_states
        assert torch.equal(next(state for state in last if state is not None), found.hidden_states[-2])


def test_a_text_of_8192_tokens_is_the_source_s():
    fields = {"num_hidden_layers": 2, "num_attention_heads": 1, "hidden_size": 8, "intermediate_size": 8}
    source = make_stock(implementation="sdpa", local_attention=128, max_position_embeddings=8192, **fields)
    with torch.no_grad():
        found, expected = (one(ids(1, 8192)).logits for one in (around(source, 1, 1), source))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_the_stock_one(name, pooling):
    stock = getattr(transformers, name.removeprefix("XPT"))
    labels = 2 if name.endswith("QuestionAnswering") else 7
    source = make_stock(stock, num_labels=labels, classifier_pooling=pooling)
    renamed = {"QuestionAnswering": "qa_outputs", "MultipleChoice": "choice_scorer"}.get(
        name.split("For")[-1]
    )
    model = CLASSES[name](XPTModernBertConfig(**source.config.to_dict(), num_itl_in=0, num_itl_out=0)).eval()
    model.set_attn_implementation("eager")
    model.load_state_dict(
        {
            key.replace("classifier", renamed) if renamed else key: tensor
            for key, tensor in source.state_dict().items()
        }
    )
    batch = batch_for(name.replace("ModernBert", "Roberta"))
    ours, theirs = (placed(one)(**batch, output_hidden_states=True) for one in (model, source))
    assert list(ours) == list(theirs)
    for key in ours:
        torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=1e-5)
    parts = model(**batch, return_dict=False)
    assert isinstance(parts, tuple) and torch.equal(parts[0], ours.to_tuple()[0])


@pytest.mark.parametrize("field", ["num_itl_in", "num_itl_out"])
@pytest.mark.parametrize("value", [-1, 1.0, "two", None, True])
def test_config_refuses_what_is_no_number_of_layers(field, value, tmp_path):
    with pytest.raises(ValueError, match=field):
        XPTModernBertConfig(**{field: value})
    XPTModernBertConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=field):
        XPTModernBertConfig.from_pretrained(tmp_path, **{field: value})


def test_config_takes_over_a_stock_one():
    stock = ModernBertConfig(**SHAPE, global_attn_every_n_layers=2).to_dict()
    config = XPTModernBertConfig(**stock, num_itl_in=3)
    assert (config.model_type, config.hidden_size, config.num_itl_in) == ("xpt-modernbert", 32, 3)
    assert config.auto_map == AUTO_MAP and config.layer_types == [GLOBAL, LOCAL, GLOBAL, LOCAL]
    assert config.num_layers_with_itls == 8
    with pytest.raises(ValueError, match="sparse_prediction"):
        XPTModernBertConfig(sparse_prediction="yes")
