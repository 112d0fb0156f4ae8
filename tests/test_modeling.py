"""The model: equal to a stock RoBERTa of the same depth, and the same sentences under every kind of mask."""

import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import (
    BACKBONE,
    HEADS,
    KINDS,
    LENGTH,
    MASKED,
    PACKED,
    PAD,
    SENTENCES,
    SHAPE,
    assert_close,
    batch_for,
    gradients,
    ids,
    in_packed_order,
    layers_of,
    make,
)
from transformers import RobertaConfig
from transformers.models.roberta import modeling_roberta as stock
from transformers.utils.output_capturing import OutputRecorder

import modeling_xpt as xpt_models
from configuration_xpt import AUTO_MAP, XPTRobertaConfig
from modeling_xpt import XPTRobertaModel

both = pytest.mark.parametrize("kind", KINDS)


OWN_FIELDS = {
    "xpt": {"num_itl_in": 1, "num_itl_out": 1},
    "trelm": {"num_itl_in": 0, "num_itl_out": 0, "num_languages": 2, "default_language": 1},
}


@both
def test_config_is_complete_in_every_folder(kind, tmp_path):
    code = {f"{part}_{one}.py" for part in ("configuration", "modeling") for one in {"xpt", kind}}
    for name, head in KINDS[kind].items():
        head(make(head).config).save_pretrained(tmp_path / name)
        saved = json.loads((tmp_path / name / "config.json").read_text())
        assert saved["model_type"] == f"{kind}-roberta" and saved["auto_map"].keys() == AUTO_MAP.keys()
        for auto, path in saved["auto_map"].items():
            module, own = path.split(".")
            assert module == ("configuration" if auto == "AutoConfig" else "modeling") + f"_{kind}"
            assert own == AUTO_MAP[auto].split(".")[1].replace("XPT", {"xpt": "XPT", "trelm": "TreLM"}[kind])
        expected = {**OWN_FIELDS[kind], "sparse_prediction": False}
        assert {field: saved[field] for field in expected} == expected
        found = {file.name for file in (tmp_path / name).iterdir()}
        assert found == {"config.json", "model.safetensors", *code}
    make(KINDS[kind][MASKED]).config.save_pretrained(tmp_path / "config alone")
    assert {file.name for file in (tmp_path / "config alone").iterdir()} >= {
        name for name in code if name.startswith("configuration")
    }


@pytest.mark.parametrize("field", ["num_itl_in", "num_itl_out"])
@pytest.mark.parametrize("value", [-1, 1.0, "two", None, True])
def test_config_refuses_what_is_no_number_of_layers(field, value, tmp_path):
    with pytest.raises(ValueError, match=field):
        XPTRobertaConfig(**{field: value})
    XPTRobertaConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=field):
        XPTRobertaConfig.from_pretrained(tmp_path, **{field: value})


def test_config_takes_over_a_stock_one_and_refuses_a_decoder():
    config = XPTRobertaConfig(**RobertaConfig(**SHAPE).to_dict(), num_itl_in=0)
    assert (config.model_type, config.hidden_size, config.num_itl_in) == ("xpt-roberta", 32, 0)
    assert config.auto_map == AUTO_MAP and not XPTRobertaConfig().use_cache
    with pytest.raises(ValueError, match="sparse_prediction"):
        XPTRobertaConfig(sparse_prediction="yes")
    with pytest.raises(ValueError, match="encoder"):
        make(XPTRobertaModel, is_decoder=True)


def stock_twin(model):
    """A stock RoBERTa of L + ITLs layers, with the model's class of head and its weights."""
    config = model.config
    fields = {
        key: getattr(config, key) for key in (*SHAPE, "hidden_dropout_prob", "attention_probs_dropout_prob")
    }
    fields["num_hidden_layers"] = config.num_layers_with_itls
    twin_config = RobertaConfig(**fields, num_labels=getattr(model, "num_labels", 2))
    twin_config._attn_implementation = config._attn_implementation
    first, last = config.num_itl_in, config.num_itl_in + config.num_hidden_layers

    def renamed(name):
        for ours, offset in (("encoder.layer.", first), ("itl_in.", 0), ("itl_out.", last)):
            before, found, after = name.partition(ours)
            if found:
                number, rest = after.split(".", 1)
                return f"{before}encoder.layer.{int(number) + offset}.{rest}"
        return name.replace("choice_scorer", "classifier")

    twin = getattr(stock, type(model).__name__.removeprefix("XPT"))(twin_config).eval()
    twin.load_state_dict({renamed(name): tensor for name, tensor in model.state_dict().items()})
    return twin


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("itls", [(1, 1), (0, 0), (2, 1)])
@pytest.mark.parametrize("name", HEADS)
def test_equals_stock_roberta_to_the_bit(name, itls, implementation):
    fields = {"num_itl_in": itls[0], "num_itl_out": itls[1], "num_labels": 7}
    model = make(getattr(xpt_models, name), implementation, dropout=0.1, **fields)
    twin = stock_twin(model)
    flags = {"output_hidden_states": True, "output_attentions": implementation == "eager"}
    for training in (False, True):
        torch.manual_seed(3)
        ours = model.train(training)(**batch_for(name), **flags)
        torch.manual_seed(3)
        theirs = twin.train(training)(**batch_for(name), **flags)
        assert list(ours) == list(theirs)
        assert len(ours.hidden_states) == 2 + sum(itls) + 1
        assert len(ours.attentions or ()) == (2 + sum(itls) if implementation == "eager" else 0)
        for key in ours:
            pairs = (
                [(ours[key], theirs[key])]
                if torch.is_tensor(ours[key])
                else zip(ours[key], theirs[key], strict=True)
            )
            if key != "loss":
                assert all(torch.equal(*pair) for pair in pairs), key
        if "loss" in ours:
            torch.testing.assert_close(ours.loss, theirs.loss, rtol=1e-6, atol=0)


@both
def test_hidden_states_by_number(kind):
    if "num_hidden_layers_key" not in OutputRecorder.__dataclass_fields__:
        pytest.skip("this transformers returns all hidden states or none")
    model, batch = make(KINDS[kind][MASKED]), {"input_ids": ids(2, LENGTH)}
    every = model(**batch, output_hidden_states=True).hidden_states
    assert len(every) == model.config.num_layers_with_itls + 1
    for number in (-1, -2, 1, len(every) - 1):
        chosen = [
            state for state in model(**batch, output_hidden_states=number).hidden_states if state is not None
        ]
        assert len(chosen) == 1 and torch.equal(chosen[0], every[number])


@both
def test_hidden_states_and_attentions_are_those_of_the_layers_in_their_order(kind):
    model, seen = make(KINDS[kind][BACKBONE], num_itl_in=1, num_itl_out=2), []
    for number, layer in enumerate(layers_of(model)):
        layer.register_forward_hook(lambda _, given, state, number=number: seen.append((number, state)))
    found = model(ids(2, LENGTH), output_hidden_states=True, output_attentions=True)
    assert len(seen) == len(found.attentions) == model.config.num_layers_with_itls
    for place, (number, state) in enumerate(seen):
        assert number == place and torch.equal(state, found.hidden_states[1 + place])
    assert torch.equal(found.hidden_states[-1], found.last_hidden_state)
    assert all(one.shape == (2, 4, LENGTH, LENGTH) for one in found.attentions)


@both
def test_heads_return_tuples(kind):
    for name, head in KINDS[kind].items():
        model = make(head, num_labels=7)
        whole, parts = model(**batch_for(name)), model(**batch_for(name), return_dict=False)
        assert isinstance(parts, tuple) and torch.equal(parts[0], whole.to_tuple()[0])


@both
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_padded_unpadded_and_packed_agree(kind, implementation):
    model = make(KINDS[kind][MASKED], implementation=implementation)
    with torch.no_grad():
        alone = [model(sentence[None]).logits[0] for sentence in SENTENCES]
        padded_ids = torch.nn.utils.rnn.pad_sequence(SENTENCES, batch_first=True, padding_value=PAD)
        padded = model(padded_ids, attention_mask=padded_ids.ne(PAD).long()).logits
        together = in_packed_order(model(**PACKED).logits)
        additive = torch.zeros(PACKED["attention_mask"].shape, dtype=torch.float64)
        additive.masked_fill_(~PACKED["attention_mask"], torch.finfo(torch.float32).min)
        by_floats = in_packed_order(model(**{**PACKED, "attention_mask": additive}).logits)
    for expected, row, pack, floats in zip(alone, padded, together, by_floats, strict=True):
        for logits in (row[: len(expected)], pack, floats):
            torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


@both
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_packed_sentences_never_meet(kind, implementation, seed):
    model = make(KINDS[kind][MASKED], implementation=implementation)
    changed = PACKED["input_ids"].clone()
    changed[0, :5] = ids(5, seed=seed + 100)
    before, after = model(**PACKED).logits, model(**{**PACKED, "input_ids": changed}).logits
    assert torch.equal(before[0, 5:14], after[0, 5:14]) and torch.equal(before[1], after[1])
    assert not torch.equal(changed, PACKED["input_ids"]) and not torch.equal(before[0, :5], after[0, :5])


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_packed_gradients_are_finite_and_those_of_single_sentences(kind, implementation, dtype):
    model = make(KINDS[kind][MASKED], implementation=implementation).to(dtype)
    labels = torch.full_like(PACKED["input_ids"], -100)
    for row, column in ((0, 1), (0, 7), (1, 4)):
        labels[row, column] = 9
    loss, gradient = gradients(model, **PACKED, labels=labels)
    assert loss.dtype == torch.float32 and gradient.isfinite().all()
    if dtype == torch.float32:
        total = 0
        for sentence, at in ((SENTENCES[0], 1), (SENTENCES[1], 2), (SENTENCES[3], 1)):
            alone = torch.where(torch.arange(len(sentence)) == at, 9, -100)
            total += gradients(model, input_ids=sentence[None], labels=alone[None], num_items_in_batch=3)[1]
        assert_close(gradient, total, relative=1e-5)


@both
@pytest.mark.parametrize(
    ("mask", "complaint"),
    [
        (torch.ones(2, LENGTH, LENGTH), "shape"),
        (torch.ones(2, 1, 1, LENGTH, dtype=torch.bool), "shape"),
        (torch.ones(2, 1, LENGTH, LENGTH, dtype=torch.long), "bool or float"),
    ],
)
def test_masks_of_unknown_kind_are_refused(kind, mask, complaint):
    with pytest.raises(ValueError, match=complaint):
        make(KINDS[kind][MASKED])(ids(2, LENGTH), attention_mask=mask)


@both
def test_implementations_without_pairwise_masks_refuse_them(kind):
    model = make(KINDS[kind][MASKED])
    for name in ("flash_attention_2", "flex_attention"):  # not installed, hence not by the front door
        model.config._attn_implementation_internal = name
        with pytest.raises(ValueError, match="use sdpa or eager"):
            model(**PACKED)


@both
@pytest.mark.slow  # compiles C++
@pytest.mark.skipif(shutil.which("g++") is None, reason="flex attention on a CPU needs a compiler")
def test_flex_attention_agrees_forward(kind):
    flex, plain = (make(KINDS[kind][MASKED], implementation=one) for one in ("flex_attention", "sdpa"))
    batch = batch_for("XPTRobertaForMaskedLM")
    tokens = batch["input_ids"].ne(PAD)
    with torch.no_grad():
        torch.testing.assert_close(
            flex(**batch).logits[tokens], plain(**batch).logits[tokens], rtol=0, atol=1e-5
        )
