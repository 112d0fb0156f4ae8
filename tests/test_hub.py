"""Publishing, against a Hub on the loopback device that the unmodified clients take for the real one."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from hub_server import LoopbackHub, User
from klue_runs import fine_tune
from safetensors.torch import load_file
from test_autoclasses import WITHOUT_THE_PACKAGE
from tiny_models import make
from tiny_runs import run
from transformers import RobertaConfig, RobertaForMaskedLM, set_seed

import modeling_xpt
from xpt.errors import XPTError
from xpt.hub import PushOptions, main, push
from xpt.klue.saving import load_fine_tuned
from xpt.publishing import Publisher
from xpt.tokenizer import save_tokenizer

REPO = Path(__file__).resolve().parents[1]
OWNER, READER, STRANGER = (f"hf_{letter * 34}" for letter in "ors")
BASE, TAG = "org/xpt-ko", "v1.0"
CONSTANTS = huggingface_hub.constants
CODE = {"configuration_xpt.py", "modeling_xpt.py"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "sentencepiece.model"}
HEADS = ["SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice"]


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module", autouse=True)
def hub(tmp_path_factory, patch):
    """The server; clients in this process are led to it as HF_ENDPOINT would lead them at their import."""
    folder = tmp_path_factory.mktemp("hub")
    with LoopbackHub(folder / "server") as hub:
        hub.users[OWNER] = User("gildong", {"org": "write", "closed": "read"})
        hub.users[READER] = User("reader", {"org": "read"})
        hub.users[STRANGER] = User("stranger")
        patch.setattr(CONSTANTS, "ENDPOINT", hub.url)
        patch.setattr(CONSTANTS, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(CONSTANTS, "HF_HUB_OFFLINE", False)
        patch.setattr(CONSTANTS, "HF_HUB_DISABLE_XET", True)
        patch.setattr(CONSTANTS, "HF_HUB_CACHE", str(folder / "cache"))
        patch.setattr(CONSTANTS, "HF_TOKEN_PATH", str(folder / "token"))
        patch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(folder / "cache"))
        patch.setenv("HF_TOKEN", OWNER)
        yield hub


@pytest.fixture(autouse=True)
def well(hub):
    yield
    hub.restore()


@pytest.fixture
def impatient(monkeypatch):
    """The client's retries, without the waiting in between."""
    clock = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.utils._http.time", clock)


@pytest.fixture(scope="module")
def trained(options, tmp_path_factory, hub):
    """A run of post-training that published each of its phases."""
    flags = ["--push_to_hub", "true", "--hub_model_id", BASE]
    return run([*options(), *flags], tmp_path_factory.mktemp("home") / "gildong" / "xpt-ko")


@pytest.fixture(scope="module")
def fine_tuned(trained, tmp_path_factory):
    """The folder of the run above fine-tuned on NLI, with its results."""
    folder = tmp_path_factory.mktemp("tuned") / "nli"
    assert fine_tune(trained, folder, num_train_epochs=1) == 0
    return folder


@pytest.fixture(scope="module")
def adapter(trained, tmp_path_factory):
    """LoRA adapters trained on, and published beside, what the run above has published."""
    folder = tmp_path_factory.mktemp("lora") / "nli"
    published = {"push_to_hub": "true", "hub_model_id": "gildong/nli-lora", "hub_private_repo": "true"}
    assert fine_tune(BASE, folder, lora="true", num_train_epochs=1, **published) == 0
    return folder


@pytest.fixture(scope="module")
def native(tiny_tokenizer, tmp_path_factory):
    """A stock RoBERTa, as a native twin lies on the disk."""
    set_seed(3)
    config = RobertaConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=80, type_vocab_size=1,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("native") / "xpt-native"
    RobertaForMaskedLM(config).save_pretrained(folder)
    save_tokenizer(tiny_tokenizer, folder)
    return folder


def headed(head: str, fine_tuned: Path, folder: Path) -> Path:
    """A checkpoint of a head with the tokenizer and results of a real fine-tuning."""
    shutil.copytree(fine_tuned, folder)
    config = json.loads((fine_tuned / "config.json").read_text())
    make(getattr(modeling_xpt, f"XPTRobertaFor{head}"), vocab_size=config["vocab_size"]).save_pretrained(folder)
    return folder


# ---- what scripts publish --------------------------------------------------------------------------------


def test_each_phase_is_published_and_tagged(trained, hub):
    repository = hub.repositories[BASE]
    assert set(repository.tags) == {"phase1", "phase2"} and len(repository.commits) == 3  # one made it
    first, last = (hub.files(BASE, tag) for tag in ("phase1", "phase2"))
    checkpoint = trained / "checkpoints" / "phase1" / "checkpoint-4" / "model.safetensors"
    assert first["model.safetensors"] == checkpoint.read_bytes()
    assert last["model.safetensors"] == (trained / "model.safetensors").read_bytes()
    phase = {".gitattributes", "README.md", "config.json", "model.safetensors"} | CODE | TOKENIZER
    assert set(first) == phase and set(last) - {".eval_results/xpt.yaml"} == phase | {"results.json", "loss.png"}
    assert json.loads(last["results.json"])["test"] == json.loads((trained / "results.json").read_text())["test"]
