"""Rates by parameter group reach exactly their tensors; phases that share a schedule are one longer phase."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import make_model
from torch import nn
from transformers import get_scheduler

from xpt.program.errors import XPTError
from xpt.training.adapters import LoraSettings, attach_adapters
from xpt.training.parts import Parts
from xpt.training.phases import read_phase, share_schedules
from xpt.training.rates import apply_factors, going_on, rates_by_group, require_held
from xpt.training.trainable import set_trainable

MODEL = make_model()
# Which tensors a group has; told by their names, not by the code that is tested.
TENSORS = {
    "all": "",
    "word_embeddings": "word_embeddings",
    "source_embeddings": r"\.embeddings\.(?!word)",
    "source_embeddings.norm": r"\.embeddings\.LayerNorm",
    "itl": r"\.itl_",
    "itl.in": r"\.itl_in\.",
    "encoder": r"\.encoder\.",
    "encoder.0": r"\.encoder\.layer\.0\.",
    "encoder.2": r"\.encoder\.layer\.2\.",
    "lm_head_transform": r"^lm_head\.(dense|layer_norm)",
    "lm_head_bias": r"^lm_head\.bias",
}
FACTORS = st.dictionaries(st.sampled_from(sorted(TENSORS)), st.sampled_from([0.25, 0.5, 2.0, 8.0]))


def optimizer_of(model: nn.Module) -> torch.optim.AdamW:
    """Two groups, as the Trainer makes them: with weight decay and without."""
    tensors = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    groups = [
        {"params": [t for t in tensors.values() if t.dim() > 1], "weight_decay": 0.1},
        {"params": [t for t in tensors.values() if t.dim() == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3)


@given(FACTORS)
def test_each_tensor_has_the_factor_of_its_smallest_group_and_keeps_its_decay(factors):
    set_trainable(MODEL, ["all"])
    optimizer = optimizer_of(MODEL)
    apply_factors(optimizer, MODEL, factors)
    found = {}
    for group in optimizer.param_groups:
        found |= {id(tensor): (group["lr"], group["weight_decay"]) for tensor in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(found)
    by_size = sorted(factors, key=lambda group: (group != "all", "." in group))
    for name, tensor in MODEL.named_parameters():
        factor = 1.0
        for group in by_size:
            if re.search(TENSORS[group], name):
                factor = factors[group]
        assert found[id(tensor)] == (1e-3 * factor, 0.1 if tensor.dim() > 1 else 0.0), name


def test_a_schedule_moves_all_rates_alike_and_the_log_has_each():
    set_trainable(MODEL, ["all"])
    factors = {"word_embeddings": 4.0, "encoder": 0.5, "lm_head_bias": 2.0}
    optimizer = optimizer_of(MODEL)
    apply_factors(optimizer, MODEL, factors)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=10)
    optimizer.step()
    scheduler.step()
    assert rates_by_group(optimizer, scheduler.get_last_lr()[0], factors) == pytest.approx(
        {
            "learning_rate": 9e-4,
            "learning_rate_word_embeddings": 36e-4,
            "learning_rate_encoder": 4.5e-4,
            "learning_rate_lm_head_bias": 18e-4,
        }
    )


def test_adapters_are_a_group():
    model = make_model()
    attach_adapters(model, LoraSettings(r=2), 0, "phase2")
    set_trainable(model, ["lora", "itl"])
    optimizer = optimizer_of(model)
    apply_factors(optimizer, model, {"lora": 3.0})
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    for group in optimizer.param_groups:
        assert {".lora_" in names[id(tensor)] for tensor in group["params"]} == {group["lr"] == 3e-3}


def read(parts=None, common=None, **entries):
    defaults = {"learning_rate": 1e-4, "learning_rates": common or {}}
    return read_phase(
        {"name": "a", "train": "all", "steps": 20, **entries}, defaults, parts or Parts(layers=3)
    )


def test_a_phase_has_the_factors_of_what_it_trains():
    common = {"new": 2.0, "encoder": 0.5}
    (phase,) = read(common=common, train=["itl", "encoder.top1"])
    assert phase.learning_rates == {"itl": 2.0, "encoder": 0.5}
    assert phase.to_dict()["learning_rates"] == {"itl": 2.0, "encoder": 0.5}
    (phase,) = read(common=common, learning_rates={"itl.in": "3e0", "encoder.top2": 4, "word_embeddings": 5})
    assert phase.learning_rates == {
        **{"word_embeddings": 5.0, "itl": 2.0, "itl.in": 3.0, "lm_head_bias": 2.0},
        **{"encoder": 0.5, "encoder.1": 4.0, "encoder.2": 4.0},
    }
    stages = read(learning_rates={"encoder.0": 2}, train="new", unfreeze="top_down")
    assert [stage.learning_rates for stage in stages] == [{}, {}, {"encoder.0": 2.0}]
    assert "learning_rates" not in read()[0].to_dict() and "rewarm" not in read()[0].to_dict()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"learning_rates": {"itll": 2}}, "learning_rates: unknown parameter group 'itll'"),
        ({"learning_rates": {"itl": 0}}, "learning_rates of itl is 0; give a positive number"),
        ({"learning_rates": {"itl": True}}, "learning_rates of itl is True"),
        ({"learning_rates": {"itl": "nan"}}, "learning_rates of itl is 'nan'"),
        ({"learning_rates": {"itl": "two"}}, "could not convert string to float: 'two'"),
        ({"learning_rates": [2]}, "give factors by group, such as {itl: 2.0}"),
        ({"learning_rates": {"new": 2, "itl": 3}}, "learning_rates names itl twice: new and itl"),
        ({"learning_rates": {"encoder.top2": 2, "encoder.2": 3}}, "names encoder.2 twice: encoder.top2 and"),
        ({"learning_rates": {"encoder.top4": 2}}, "'encoder.top4': the model has 3 encoder layers"),
        ({"learning_rates": {"lora": 2}}, "learning_rates names 'lora', which does not learn"),
        ({"train": "new", "learning_rates": {"encoder": 2}}, "names 'encoder', which does not learn"),
        ({"train": "encoder.0", "learning_rates": {"encoder.top1": 2}}, "names 'encoder.top1', which does"),
        ({"rewarm": False, "warmup_steps": 3}, "warmup_steps contradicts rewarm: false"),
        ({"rewarm": False, "lr_scheduler_type": "cosine"}, "lr_scheduler_type contradicts rewarm: false"),
        ({"rewarm": "maybe"}, "'maybe' is neither true nor false"),
        ({"mlm_probability": [0.1, 0.2, 0.3]}, "give one share, or the first and the last"),
        ({"mlm_probability": [0.1, 1.0]}, "mlm_probability is 1.0; give a share between 0 and 1"),
        ({"mlm_probability": []}, "give one share, or the first and the last"),
    ],
)
def test_what_cannot_be_meant_is_named(entries, message):
    with pytest.raises(XPTError, match=re.escape(message)) as error:
        read(**entries)
    assert "\n" not in str(error.value)


def test_before_the_model_is_known_what_hangs_on_it_is_let_pass():
    for train, group in (("new", "encoder"), ("encoder.0", "encoder.top1"), ("new", "lm_head_transform")):
        read(Parts(), train=train, learning_rates={group: 2.0})
    with pytest.raises(XPTError, match="does not learn"):
        read(Parts(), train="itl", learning_rates={"encoder.top1": 2.0})


def test_a_group_without_a_tensor_is_refused():
    trained = set_trainable(MODEL, ["all"])
    require_held(["encoder.2", "itl", "all"], trained, "phase 'a'")
    with pytest.raises(XPTError, match=r"'encoder\.3', which is empty in this model"):
        require_held(["encoder.3"], trained, "phase 'a'")


# ---- shared schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "cosine", "polynomial", "constant_with_warmup", "inverse_sqrt"])
@pytest.mark.parametrize("start", [0, 1, 4, 11])
def test_a_schedule_goes_on_where_it_was(kind, start):
    def rates(first: int, is_stock: bool = False) -> list[tuple[float, ...]]:
        tensors = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
        optimizer = torch.optim.SGD(
            [{"params": [tensors[0]], "lr": 1.0}, {"params": [tensors[1]], "lr": 4.0}], 1.0
        )
        scheduler = get_scheduler(kind, optimizer, num_warmup_steps=3, num_training_steps=12)
        scheduler, found = scheduler if is_stock else going_on(scheduler, first), []
        for _ in range(first, 12):
            found.append(tuple(group["lr"] for group in optimizer.param_groups))
            optimizer.step()
            scheduler.step()
        return found

    assert rates(start) == rates(0, is_stock=True)[start:]


def test_a_schedule_that_hangs_on_the_loss_cannot_be_shared():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    with pytest.raises(XPTError, match="needs a schedule that the step alone decides"):
        going_on(torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer), 0)


def phase(name, steps, rewarm=True, warmup=0.1):
    (made,) = read_phase(
        {"name": name, "train": "all", "steps": steps, "rewarm": rewarm},
        {"learning_rate": 1e-4, "warmup_steps": warmup},
        Parts(layers=3),
    )
    return made


def test_phases_without_a_warm_up_of_their_own_share_the_schedule_before():
    given = [
        phase("a", 5, rewarm=False),
        phase("b", 3, warmup=0.3),
        phase("c", 4, False),
        phase("d", 2, False),
    ]
    a, b, c, d = share_schedules(given)
    assert a.schedule is None and a.rewarm  # there is none to go on with
    assert [(one.schedule.start, one.schedule.steps, one.schedule.before) for one in (b, c, d)] == [
        (0, 9, None),
        (3, 9, ("b", 3)),
        (7, 9, ("c", 4)),
    ]
    assert [one.warmup_steps for one in (b, c, d)] == [0.3] * 3
    assert [one.to_dict().get("rewarm") for one in (a, b, c, d)] == [None, None, False, False]
    assert share_schedules([phase("a", 5), phase("b", 3)]) == [phase("a", 5), phase("b", 3)]
