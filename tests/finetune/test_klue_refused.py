"""What cannot be a backbone is refused in one line: nothing is silently random, no code of others is run."""

import inspect
import os
import pickle

import pytest
import torch
from klue_models import (
    DECODERS,
    ENCODERS,
    FAMILIES,
    PAIRS_OF_STACKS,
    change_config,
    checkpoint_maker,
    make_checkpoint,
)
from klue_runs import fine_tune
from safetensors.torch import load, load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    CLIPConfig,
    modeling_utils,
)
from transformers.utils import logging

from xpt.finetune.backbone import Kind, check_task, open_backbone
from xpt.finetune.klue.tasks import make_task
from xpt.finetune.task import Task
from xpt.finetune.weight_files import find_weights
from xpt.program.errors import XPTError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Give `checkpoint(family)` the folder of a tiny model; nothing may be written there."""
    return checkpoint_maker(tmp_path_factory.mktemp("models"))


@pytest.fixture
def own_checkpoint(tmp_path):
    """Give `own_checkpoint(family)` a folder that may be changed."""
    return lambda family: make_checkpoint(family, tmp_path / family)


def loaded(folder):
    backbone = open_backbone(str(folder))
    return backbone, backbone.load(AutoModelForSequenceClassification, num_labels=3).eval()


# ---- what cannot be a backbone ---------------------------------------------------------------------------


def no_config(folder):
    (folder / "config.json").unlink()


def no_model_type(folder):
    (folder / "config.json").write_text("{}")


def unknown_family(folder):
    change_config(folder, model_type="brand-new")


def clip(folder):
    CLIPConfig().save_pretrained(folder)


def own_code(folder):
    change_config(folder, model_type="kobert-like", auto_map={"AutoConfig": "conf.C", "AutoModel": "mod.M"})
    (folder / "conf.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")


def no_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def slow_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "CanineTokenizer"}')


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def cut_weights(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("spoil", "way_out"),
    [
        (no_config, "give a folder with config.json"),
        (no_model_type, "give a folder with config.json"),
        (unknown_family, "brand-new"),
        (clip, "clip is no language model that reads text; take"),
        (own_code, "code of its own, which is never run; take"),
        (no_tokenizer, "put tokenizer.json beside the model"),
        (slow_tokenizer, "save the tokenizer as a fast one"),
        (no_weights, "get the model again|weights cannot be read"),
        (cut_weights, "weights cannot be read"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused_in_one_line(spoil, way_out, own_checkpoint):
    folder = own_checkpoint("bert")
    spoil(folder)
    with pytest.raises(XPTError, match=way_out) as caught:
        find_weights(str(folder), None) if spoil is no_weights else loaded(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    assert "trust_remote_code" not in str(caught.value)
    assert not (folder / "ran").exists()


def test_a_place_that_is_not_there_is_named():
    with pytest.raises(XPTError, match="nowhere/at-all: cannot be opened; give"):
        open_backbone("nowhere/at-all")


class ReadsBothWays(Task):
    name, title, left_to_right = "dp", "dependency parsing", False


@pytest.mark.parametrize("family", FAMILIES)
def test_a_task_that_looks_back_refuses_decoders_alone(family, checkpoint):
    backbone = open_backbone(str(checkpoint(family)))
    kinds = {ENCODERS: Kind.ENCODER, DECODERS: Kind.DECODER, PAIRS_OF_STACKS: Kind.ENCODER_DECODER}
    assert backbone.kind is next(kind for families, kind in kinds.items() if family in families)
    check_task(make_task("nli"), backbone)
    if family in DECODERS:
        with pytest.raises(XPTError, match="reads from left to right; take an encoder"):
            check_task(ReadsBothWays, backbone)
    else:
        check_task(ReadsBothWays, backbone)


# ---- what a checkpoint lacks -----------------------------------------------------------------------------


def rewrite(folder, change):
    tensors = change(load((folder / "model.safetensors").read_bytes()))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_body_with_a_missing_or_misshapen_tensor_is_refused(family, bare, own_checkpoint):
    folder = own_checkpoint(family)
    whole = load((folder / "model.safetensors").read_bytes())  # no view of a file that is rewritten
    names = [
        name for name in whole if whole[name].dim() == 2 and any(n in name for n in (".1.", "layer_groups"))
    ]
    name = names[len(names) // 2]

    def opened():
        backbone = open_backbone(str(folder))
        return (
            backbone.load_encoder()
            if bare
            else backbone.load(AutoModelForSequenceClassification, num_labels=3)
        )

    opened()
    rewrite(folder, lambda tensors: {key: value for key, value in tensors.items() if key != name})
    with pytest.raises(XPTError, match=r"is missing.*would be random"):
        opened()
    save_file({**whole, name: torch.zeros(3, 5)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(XPTError, match=r"is \(3, 5\) where the configuration says"):
        opened()


def test_only_head_and_pooler_are_new_and_named(own_checkpoint, capfd):
    folder = own_checkpoint("bert")
    logging.set_verbosity_warning()
    backbone, model = loaded(folder)
    pooler = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert set(backbone.new_tensors) == pooler | {"classifier.weight", "classifier.bias"}
    model.save_pretrained(folder)
    again, other = loaded(folder)
    assert again.new_tensors == ()
    torch.testing.assert_close(other.classifier.weight, model.classifier.weight, rtol=0, atol=0)
    renewed = open_backbone(str(folder))
    renewed.load(AutoModelForSequenceClassification, num_labels=7)
    assert set(renewed.new_tensors) == {"classifier.weight", "classifier.bias"}
    assert logging.get_verbosity() == logging.WARNING
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


# ---- pickles ---------------------------------------------------------------------------------------------


class Malicious:
    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return open, (self.place, "w")


def as_pickle(folder, extra=None, legacy=False):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(
        {**tensors, **(extra or {})},
        folder / "pytorch_model.bin",
        _use_new_zipfile_serialization=not legacy,
    )


def test_weights_that_are_a_pickle_are_read_said_and_written_as_safetensors(own_checkpoint, tmp_path, capfd):
    folder = own_checkpoint("xpt")
    expected = load_file(folder / "model.safetensors")
    as_pickle(folder)
    body = loaded(folder)[1].roberta.state_dict()
    assert all(torch.equal(body[name], expected[f"roberta.{name}"]) for name in body)
    assert fine_tune(folder, tmp_path / "out", num_train_epochs=1) == 0
    assert "the weights are a pickle" in capfd.readouterr().out
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert not list((tmp_path / "out").rglob("*.bin"))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_runs_none(legacy, own_checkpoint, tmp_path, capfd):
    folder, trap = own_checkpoint("bert"), tmp_path / "ran"
    as_pickle(folder, {"zzz": Malicious(trap)}, legacy)
    assert fine_tune(folder, tmp_path / "out") == 2
    assert not trap.exists()
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(said) == 1 and "its weights cannot be read" in said[0] and str(folder) in said[0]
    pickle.loads(pickle.dumps(Malicious(trap)))
    assert trap.exists(), "the trap works"


def test_no_server_is_asked_to_convert_pickles(checkpoint, monkeypatch):
    monkeypatch.delenv("DISABLE_SAFETENSORS_CONVERSION", raising=False)
    open_backbone(str(checkpoint("bert")))
    name = next(name for name in os.environ if name == "DISABLE_SAFETENSORS_CONVERSION")
    asked = f'not is_env_variable_true("{name}")'
    assert asked in inspect.getsource(modeling_utils), "transformers asks by another name"


# ---- what cannot train -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("optim", "galore_adamw", "the optimizer galore_adamw or the schedule linear cannot be used ("),
        ("lr_scheduler_kwargs", '{"no_such": 1}', "or the schedule linear cannot be used ("),
        ("use_liger_kernel", "true", "--use_liger_kernel needs a package that is not there: pip install"),
    ],
)
def test_what_cannot_train_is_refused_before_the_model_is_opened(
    tmp_path, capsys, monkeypatch, option, value, said
):
    monkeypatch.setattr("finetune_klue.open_backbone", lambda *args: pytest.fail("went on"))
    monkeypatch.setattr("xpt.training.arguments.is_liger_kernel_available", lambda: False)
    assert fine_tune(tmp_path / "model", tmp_path / "run", **{option: value}) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and said in error
    assert not (tmp_path / "run").exists()
