"""LoRA adapters: what they stand beside, how they start, what merging, saving and taking them away leave."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_models import make_model, some_labels

from xpt.program.errors import XPTError
from xpt.program.manifest import DamagedError, verify, write_manifest
from xpt.training.adapters import (
    MATRICES,
    LoraSettings,
    adapters_aside,
    attach_adapters,
    has_adapters,
    load_adapters,
    merge_adapters,
    remove_adapters,
    save_adapters,
)
from xpt.training.trainable import group_sizes, set_trainable
from xpt.transplant.parameter_groups import ADAPTER_FOLDER

IDS = torch.arange(4, 24).reshape(2, 10)


def adapted(seed=0, phase="phase2", **changes):
    torch.manual_seed(1)
    model = make_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    attach_adapters(model, LoraSettings(**changes), seed, phase)
    return model


def adapters_of(model) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.named_parameters() if ".lora_" in name}


def learn(model) -> None:
    with torch.no_grad():
        for tensor in adapters_of(model).values():
            tensor.add_(torch.randn_like(tensor))


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def test_adapters_stand_beside_the_named_matrices_of_the_encoder_alone():
    names = {name.split(".lora_")[0] for name in adapters_of(adapted())}
    self = "roberta.encoder.layer.{}.attention.self.{}"
    assert names == {self.format(layer, matrix) for layer in range(3) for matrix in ("query", "value")}
    names = {name.split(".lora_")[0] for name in adapters_of(adapted(target_modules=MATRICES))}
    assert len(names) == 3 * 6 and all(".encoder.layer." in name for name in names)
    names = {name.split(".lora_")[0] for name in adapters_of(adapted(target_modules=("intermediate.dense",)))}
    assert names == {f"roberta.encoder.layer.{layer}.intermediate.dense" for layer in range(3)}


@settings(max_examples=10, deadline=None)
@given(
    st.sets(st.sampled_from([*MATRICES, "output.dense"]), min_size=1),
    st.integers(1, 6),
    st.integers(1, 20),
    st.integers(0, 9),
)
def test_merged_weights_differ_by_the_adapters_product_and_nothing_else_is_left(targets, r, alpha, seed):
    plain, model = make_model(), make_model()
    plain.load_state_dict(model.state_dict())
    before = set(vars(model))
    chosen = LoraSettings(r=r, lora_alpha=alpha, target_modules=tuple(sorted(targets)))
    attach_adapters(model, chosen, seed, "phase2")
    torch.testing.assert_close(logits(model), logits(plain), rtol=0, atol=0)  # they start at nothing
    learn(model)
    learned = {name: tensor.detach().clone() for name, tensor in adapters_of(model).items()}
    expected = logits(model)
    merge_adapters(model)
    assert set(vars(model)) == before and not has_adapters(model)
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in plain.named_parameters()]
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)
    for name, tensor in model.named_parameters():
        update = torch.zeros_like(tensor)
        stem = name.removesuffix(".weight")
        if f"{stem}.lora_A.default.weight" in learned:
            a, b = (learned[f"{stem}.lora_{side}.default.weight"] for side in "AB")
            update = (alpha / r * b.double() @ a.double()).float()
            assert update.abs().max() > 0
        torch.testing.assert_close(tensor, plain.get_parameter(name) + update, rtol=1e-5, atol=1e-5)


def test_the_start_is_a_function_of_seed_phase_and_name():
    def start(**changes):
        torch.manual_seed(torch.seed())  # whatever the process has drawn before
        return torch.cat([tensor.flatten() for tensor in adapters_of(adapted(**changes)).values()])

    assert torch.equal(start(), start())
    assert not torch.equal(start(), start(seed=1)) and not torch.equal(start(), start(phase="phase3"))
    a = [tensor for name, tensor in adapters_of(adapted()).items() if ".lora_A." in name]
    assert all(tensor.abs().max() > 0 for tensor in a) and not torch.equal(a[0], a[1])


def test_attaching_draws_nothing_from_the_process():
    model = make_model()
    state = torch.random.get_rng_state()
    attach_adapters(model, LoraSettings(), 0, "phase2")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_taken_away_they_leave_the_model_as_it_was():
    plain, model = make_model(), make_model()
    plain.load_state_dict(model.state_dict())
    attach_adapters(model, LoraSettings(), 0, "phase2")
    learn(model)
    remove_adapters(model)
    assert vars(model).keys() == vars(plain).keys()
    assert [name for name, _ in model.named_modules()] == [name for name, _ in plain.named_modules()]
    assert all(torch.equal(tensor, plain.get_parameter(name)) for name, tensor in model.named_parameters())


def test_only_the_named_groups_learn_in_bf16_too():
    model = adapted(r=2)
    set_trainable(model, ("lora", "itl"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.train()(input_ids=IDS, labels=some_labels(IDS)).loss.backward()
    for name, tensor in model.named_parameters():
        learns = ".lora_" in name or ".itl_" in name
        assert tensor.requires_grad == learns == (tensor.grad is not None), name
    assert all(
        tensor.grad.abs().max() > 0 for name, tensor in adapters_of(model).items() if ".lora_B." in name
    )
    sizes = group_sizes(model)
    assert sizes["lora"] == sum(tensor.numel() for tensor in adapters_of(model).values())
    with adapters_aside(model):
        assert group_sizes(model) == {group: size for group, size in sizes.items() if group != "lora"}


def test_saved_adapters_come_back_and_others_are_refused(tmp_path):
    model = adapted(r=3)
    learn(model)
    save_adapters(model, tmp_path)
    config = json.loads((tmp_path / ADAPTER_FOLDER / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["base_model_name_or_path"]) == ("LORA", 3, None)
    again = adapted(r=3, seed=5)
    load_adapters(again, tmp_path)
    assert all(torch.equal(adapters_of(again)[name], tensor) for name, tensor in adapters_of(model).items())
    with pytest.raises(ValueError, match="does not fit the adapters of this phase"):
        load_adapters(adapted(r=3, target_modules=("query",)), tmp_path)
    stored = load_file(tmp_path / ADAPTER_FOLDER / "adapter_model.safetensors")
    assert len(stored) == 12 and all(name.startswith("base_model.model.roberta.encoder.") for name in stored)


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_damaged_adapter_is_seen(tmp_path, file):
    save_adapters(adapted(), tmp_path)
    write_manifest(tmp_path, {})
    verify(tmp_path)
    path = tmp_path / ADAPTER_FOLDER / file
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DamagedError, match=f"adapter/{file} is of the right size but other content"):
        verify(tmp_path)


def test_a_target_that_is_no_matrix_of_the_encoder_is_named():
    for target in ("querry", "LayerNorm", "decoder", "attention"):
        with pytest.raises(XPTError, match=f"no encoder layer has a matrix '{target}'; there are query, key"):
            attach_adapters(make_model(), LoraSettings(target_modules=("value", target)), 0, "phase2")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (True, "lora is True; give its entries"),
        ({"rank": 8}, "unknown entry 'rank' of lora; it has r, lora_alpha"),
        ({"r": 0}, "r of lora is 0; give at least 1"),
        ({"r": 2.5}, "r of lora: 2.5 is no whole number"),
        ({"r": True}, "r of lora: True is no whole number"),
        ({"r": "many"}, "r of lora: invalid literal"),
        ({"lora_alpha": -8}, "lora_alpha of lora is -8; give at least 1"),
        ({"lora_dropout": 1}, "lora_dropout is 1.0; give a share from 0 to below 1"),
        ({"target_modules": []}, "target_modules of lora is empty; name some of query"),
        ({"target_modules": 7}, "target_modules of lora: 'int' object is not iterable"),
        ({"merge": "perhaps"}, "merge of lora: 'perhaps' is neither true nor false"),
    ],
)
def test_a_wrong_entry_is_named(values, message):
    with pytest.raises(ValueError, match=message) as error:
        LoraSettings.from_dict(values)
    assert "\n" not in str(error.value)


def test_entries_are_read_as_yaml_and_flags_write_them():
    read = LoraSettings.from_dict({"r": "4", "target_modules": "query", "merge": "no", "lora_alpha": 16.0})
    assert read == LoraSettings(4, 16, 0.0, ("query",), False)
    assert LoraSettings.from_dict({"target_modules": "all-linear"}).target_modules == MATRICES
