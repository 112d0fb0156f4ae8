"""Parameter groups: every parameter in one of them, phases train exactly what they name."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import make_model
from torch import nn

from xpt.program.errors import XPTError
from xpt.recipe.command_line import read_recipe
from xpt.run.post_training import PostTraining
from xpt.training.adapters import LoraSettings, attach_adapters
from xpt.training.parts import NEW_GROUPS, Parts
from xpt.training.phases import read_phase, share_schedules
from xpt.training.trainable import group_sizes, set_trainable, training_dropout
from xpt.transplant.parameter_groups import XPT_GROUPS, parameter_group

MODEL = make_model()
OPEN = {"name": "a", "train": "new", "steps": 5, "until": {"every": 2}, "lr_scheduler_type": "constant"}
NAMES = [name for name, _ in MODEL.named_parameters()]


def test_every_parameter_has_a_group_and_sizes_add_up():
    assert {parameter_group(name).split(".")[0] for name in NAMES} == set(XPT_GROUPS)
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


@given(st.sets(st.sampled_from([*XPT_GROUPS, "itl.in", "itl.out", "encoder.0", "encoder.2"]), min_size=1))
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
        ({"name": "a", "train": "all", "steps": 2.5}, "2.5 is no whole number"),
        ({"name": "a b", "train": "all", "steps": 5}, "name is made of"),
        ({"name": "before", "train": "all", "steps": 5}, "the name is taken"),
        ({"name": "kept", "train": "all", "steps": 5}, "the name is taken"),
        ({"name": "a", "train": [], "steps": 5}, "train is empty"),
        ({"name": "a", "train": "all", "steps": 5, "mlm_probability": 1.5}, "mlm_probability is 1.5"),
        ({"name": "a", "train": "all", "steps": 5, "learning_rate": -1}, "learning_rate is -1"),
        ({"name": "a", "train": "all", "steps": 5, "lr_scheduler_type": "liner"}, "liner is not a valid"),
        (
            {"name": "a", "train": "encoder.top4", "steps": 5},
            "'encoder.top4': the model has 3 encoder layers",
        ),
        ({"name": "a", "train": "new", "steps": 5, "unfreeze": "up"}, "unfreeze is 'up'; give top_down or"),
        (
            {"name": "a", "train": "new", "steps": 2, "unfreeze": "top_down"},
            "steps is 2; unfreezing 3 layers",
        ),
        ({"name": "a", "train": ["lora", "new"], "steps": 5}, "phase 'a': it trains lora but has none"),
        ({"name": "a", "train": "new", "steps": 5, "lora": {"r": 8}}, "adapters would not learn; name lora"),
        ({"name": "a", "train": "all", "steps": 5, "lora": {"r": 0}}, "phase 'a': r of lora is 0"),
        (
            {"name": "a", "train": ["lora", "all"], "steps": 5, "lora": {}},
            "'all' holds the weights that lora",
        ),
        ({"name": "a", "train": ["lora", "encoder.top1"], "steps": 5, "lora": {}}, "'encoder.2' holds the"),
        (
            {"name": "a", "train": "lora", "steps": 5, "lora": {}, "unfreeze": "top_down"},
            "phase 'a-1': 'encoder.2' holds the weights that lora",
        ),
        ({**OPEN, "mlm_probability": [0.4, 0.2]}, "phase 'a': until leaves open when it ends"),
    ],
)
def test_a_wrong_phase_is_named(values, message):
    with pytest.raises(XPTError, match=message) as error:
        read_phase(values, {"learning_rate": 1e-4}, Parts(layers=3))
    assert "\n" not in str(error.value)


def test_no_schedule_goes_on_from_a_phase_whose_steps_are_open():
    later = {"name": "b", "train": "all", "steps": 5, "rewarm": False}
    phases = [
        one
        for values in (OPEN, later)
        for one in read_phase(values, {"learning_rate": 1e-4}, Parts(layers=3))
    ]
    with pytest.raises(XPTError, match=r"phase 'b': rewarm: false .* which until of phase 'a' leaves open"):
        share_schedules(phases)


def read(train, parts, **entries):
    return read_phase({"name": "a", "train": train, "steps": 20, **entries}, {"learning_rate": 1e-4}, parts)


def test_lower_and_upper_are_the_halves_of_the_encoder():
    (phase,) = read(["encoder.lower", "tri"], Parts(layers=4))
    assert phase.train == ("encoder.0", "encoder.1", "tri")
    (phase,) = read("encoder.upper", Parts(layers=4))
    assert phase.train == ("encoder.2", "encoder.3")
    (phase,) = read("encoder.upper", Parts())  # before the source is known
    assert phase.train == ("encoder.upper",)
    with pytest.raises(XPTError, match=r"'encoder\.lower': the model has 3 encoder layers, which is odd"):
        read("encoder.lower", Parts(layers=3))


@given(st.integers(1, 30), st.data())
def test_layers_are_counted_from_either_end(layers, data):
    count = data.draw(st.integers(1, layers))
    (phase,) = read(["itl", f"encoder.top{count}", f"encoder.bottom{count}"], Parts(layers=layers))
    chosen = {int(group.split(".")[1]) for group in phase.train if group.startswith("encoder.")}
    assert chosen == {n for n in range(layers) if n < count or n >= layers - count}
    assert phase.train[0] == "itl" and len(set(phase.train)) == len(phase.train)


@given(st.integers(1, 30), st.integers(0, 500), st.sampled_from(["top_down", "bottom_up"]))
def test_unfreezing_lets_one_layer_more_learn_in_each_phase(layers, more, direction):
    steps = layers + more
    phases = read("new", Parts(layers=layers), unfreeze=direction, steps=steps)
    assert [phase.name for phase in phases] == [f"a-{number}" for number in range(1, layers + 1)]
    assert sum(phase.steps for phase in phases) == steps
    assert max(phase.steps for phase in phases) - min(phase.steps for phase in phases) <= 1
    assert phases[-1].train == ("all",)
    order = range(layers - 1, -1, -1) if direction == "top_down" else range(layers)
    beyond = "lm_head_transform" if direction == "top_down" else "source_embeddings"
    for number, phase in enumerate(phases[:-1], 1):
        unfrozen = {f"encoder.{layer}" for layer in list(order)[:number]}
        assert set(phase.train) == {*NEW_GROUPS, beyond, *unfrozen}


def report(**copied):
    """A transplant's report of a model with these groups: whether they were copied."""
    groups = {group: {"copied": 0, "new": 0} for group in XPT_GROUPS}
    groups |= {group: {"copied": 9 * was, "new": 9 * (not was)} for group, was in copied.items()}
    return {"groups": groups, "layers": 3}


def test_new_is_what_was_not_copied_and_the_parts_that_the_method_adds():
    usual = {"word_embeddings": 0, "source_embeddings": 1, "itl": 0, "encoder": 1, "lm_head_bias": 0}
    for changes, new in (
        ({"lm_head_transform": 1}, {"word_embeddings", "itl", "lm_head_bias"}),
        ({"lm_head_transform": 0}, {"word_embeddings", "itl", "lm_head_bias", "lm_head_transform"}),
        ({"lm_head_transform": 1, "itl": 1}, {"word_embeddings", "itl", "lm_head_bias"}),  # copies of layers
    ):
        (phase,) = read("new", Parts.of_report(report(**{**usual, **changes})))
        assert set(phase.train) == new
    without_itls = {group: was for group, was in usual.items() if group != "itl"}
    (phase,) = read("new", Parts.of_report(report(**without_itls, lm_head_transform=1)))
    assert set(phase.train) == {"word_embeddings", "lm_head_bias"}
    (phase,) = read("new", Parts.of_report(report(**dict.fromkeys(XPT_GROUPS, 0))))
    assert phase.train == ("all",)


def test_parts_of_a_group_are_groups():
    trained = set_trainable(MODEL, ["source_embeddings.position"])
    assert trained == ["roberta.embeddings.position_embeddings.weight"]
    whole, parts = set_trainable(MODEL, ["source_embeddings"]), ("position", "token_type", "norm")
    assert set_trainable(MODEL, [f"source_embeddings.{part}" for part in parts]) == whole
    assert all(set_trainable(MODEL, [f"source_embeddings.{part}"]) for part in parts)


@pytest.mark.parametrize("p", [None, 0.0, 0.3])
@pytest.mark.parametrize("frozen", [True, False])
def test_dropout_in_training_is_what_was_asked_for_and_comes_back(p, frozen):
    model = make_model()
    attach_adapters(model, LoraSettings(r=2, lora_dropout=0.2, target_modules=("query",)), 0, "phase2")
    set_trainable(model, NEW_GROUPS)

    def rates():
        return {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}

    before = rates()
    with training_dropout(model, p, frozen):
        inside = rates()
    assert rates() == before and set(before.values()) == {0.1, 0.2}
    for name, rate in inside.items():
        usual = 0.2 if "lora" in name else 0.1 if p is None else p
        assert rate == (0 if "encoder" in name and not frozen else usual), name


@pytest.mark.parametrize(("flags", "rate"), [([], 0.1), (["--dropout", "0.3"], 0.3)])
def test_training_takes_dropout_from_the_recipe(flags, rate):
    run = SimpleNamespace(
        recipe=read_recipe(["--use_cpu", "true", "--bf16", "false", *flags]), model=make_model()
    )
    set_trainable(run.model, NEW_GROUPS)
    with PostTraining.training_conditions(run):
        inside = {name: m.p for name, m in run.model.named_modules() if isinstance(m, nn.Dropout)}
    assert all(p == (0 if "encoder" in name else rate) for name, p in inside.items())
