"""Parameter groups: every parameter in one of them, phases train exactly what they name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configuration_xpt import XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.errors import XPTError
from xpt.phases import (
    GROUPS,
    NEW_GROUPS,
    Phase,
    frozen_dropout_off,
    group_sizes,
    parameter_group,
    set_trainable,
)


def make_model(**changes) -> XPTRobertaForMaskedLM:
    small = {"vocab_size": 50, "max_position_embeddings": 20, "type_vocab_size": 1, "pad_token_id": 1}
    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    config = XPTRobertaConfig(**{**small, **shape, **changes})
    return XPTRobertaForMaskedLM(config)


MODEL = make_model()
NAMES = [name for name, _ in MODEL.named_parameters()]


def test_every_parameter_has_a_group_and_sizes_add_up():
    assert {parameter_group(name).split(".")[0] for name in NAMES} == set(GROUPS)
    assert sum(group_sizes(MODEL).values()) == sum(p.numel() for p in MODEL.parameters())
    with pytest.raises(ValueError, match="belongs to no group"):
        parameter_group("classifier.weight")


def test_phase_one_of_the_method_trains_what_is_new_and_the_tied_output():
    trained = set_trainable(MODEL, NEW_GROUPS)
    assert "roberta.embeddings.word_embeddings.weight" in trained and "lm_head.bias" in trained
    assert sum("itl_in" in name for name in trained) == 16 == sum("itl_out" in name for name in trained)
    assert len(trained) == 34
    assert MODEL.lm_head.decoder.weight.requires_grad
    assert not any("encoder" in n or "position" in n or "lm_head.dense" in n for n in trained)


@given(st.sets(st.sampled_from([*GROUPS, "itl.in", "itl.out", "encoder.0", "encoder.2"]), min_size=1))
def test_trained_is_the_union_of_the_named_groups(groups):
    trained = set(set_trainable(MODEL, sorted(groups)))
    assert trained == {n for n, p in MODEL.named_parameters() if p.requires_grad}
    for name in NAMES:
        group = parameter_group(name)
        assert (name in trained) == (group in groups or group.split(".")[0] in groups)


def test_encoder_one_is_not_encoder_ten():
    model = make_model(num_hidden_layers=11)
    trained = set_trainable(model, ["encoder.1"])
    assert trained and all(".layer.1." in name for name in trained)


def test_a_group_that_the_model_lacks_is_refused():
    with pytest.raises(XPTError, match=r"'encoder\.7' is empty in this model"):
        set_trainable(MODEL, ["encoder.7"])
    with pytest.raises(XPTError, match="'itl' is empty"):
        set_trainable(make_model(num_itl_in=0, num_itl_out=0), ["itl"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a", "train": "all", "steps": 5, "lr": 1}, "unknown entry 'lr'"),
        ({"name": "a", "train": "all"}, "lacks 'steps'"),
        ({"name": "a", "train": "encodr", "steps": 5}, "unknown parameter group 'encodr'"),
        ({"name": "a", "train": "all", "steps": 0}, "steps is 0"),
        ({"name": "a", "train": "all", "steps": "x"}, "invalid literal"),
        ({"name": "a b", "train": "all", "steps": 5}, "name is made of"),
        ({"name": "before", "train": "all", "steps": 5}, "the name is taken"),
        ({"name": "a", "train": [], "steps": 5}, "train is empty"),
        ({"name": "a", "train": "all", "steps": 5, "mlm_probability": 1.5}, "mlm_probability is 1.5"),
        ({"name": "a", "train": "all", "steps": 5, "learning_rate": -1}, "learning_rate is -1"),
        ({"name": "a", "train": "all", "steps": 5, "lr_scheduler_type": "liner"}, "liner is not a valid"),
    ],
)
def test_a_wrong_phase_is_named(values, message):
    with pytest.raises(XPTError, match=message):
        Phase.from_dict(values, {"learning_rate": 1e-4})


def test_frozen_dropout_is_off_in_frozen_layers_only_and_comes_back():
    set_trainable(MODEL, NEW_GROUPS)

    def rates():
        return {name: module.p for name, module in MODEL.named_modules() if hasattr(module, "p")}

    before = rates()
    with frozen_dropout_off(MODEL):
        inside = rates()
    assert rates() == before and set(before.values()) == {0.1}
    assert all((rate == 0) == ("encoder" in name) for name, rate in inside.items())
