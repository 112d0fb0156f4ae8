"""LoRA: little is trained, everything trained is stored, and base and folder give the same model anywhere."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from klue_models import FAMILIES, POSITIONS, checkpoint_maker
from klue_runs import fine_tune
from klue_tokenizers import make_tokenizer
from peft import PeftModel
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from placed import placed
from places import REPO
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AddedToken,
    AlbertConfig,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    ElectraConfig,
    GPTNeoXConfig,
    RobertaConfig,
    T5Config,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from configuration_xpt import XPTRobertaConfig
from xpt.finetune.arguments import ModelArguments
from xpt.finetune.backbone import Backbone, Kind, open_backbone
from xpt.finetune.batches import pad_batch
from xpt.finetune.heads.headed import HeadedConfig, HeadedModel
from xpt.finetune.lora import adapter_parameters, attach_adapters
from xpt.finetune.rows import ShuffledRows
from xpt.finetune.saving import load_fine_tuned, save_model
from xpt.program.errors import XPTError

MARKERS = ("<a>", "</a>", "<b>", "</b>")
PLAIN = ModelArguments(lora=True, lora_dropout=0.0)
LEARNED = (".lora_A.", ".lora_B.", ".modules_to_save.", ".trainable_tokens_delta.")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Give `checkpoint(family)` the folder of a tiny model; nothing may be written there."""
    return checkpoint_maker(tmp_path_factory.mktemp("bases"))


def with_markers(folder):
    backbone = open_backbone(str(folder))
    tokens = [AddedToken(marker, special=True, normalized=False) for marker in MARKERS]
    backbone.tokenizer.add_tokens(tokens, special_tokens=True)
    return backbone


def marked_batch(backbone):
    """Two rows, one with each marker."""
    encoder, size = backbone.encoder_for(POSITIONS), len(backbone.tokenizer)
    rows = [
        encoder.pair([10, size - 4, 12, size - 3], [13, size - 2, 14, size - 1]),
        encoder.pair([20], [21, 22]),
    ]
    return pad_batch(rows, encoder.padding)


def logits_of(model, batch):
    with torch.no_grad():
        return placed(model).eval()(**batch).logits


def trained(model, batch, steps=2):
    """`model` after a few steps, and the gradients of the last one by name."""
    parameters = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    optimizer = torch.optim.SGD(parameters.values(), lr=0.3)
    for _ in range(steps):  # B starts at 0, so A learns from the second step on
        optimizer.zero_grad()
        model(**batch).logits.square().sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
    return {name: tensor.grad for name, tensor in parameters.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_trained_and_stored_is_all_that_changed(family, checkpoint, tmp_path):
    backbone = with_markers(checkpoint(family))
    model = backbone.load(AutoModelForSequenceClassification, num_labels=3).eval()
    batch = marked_batch(backbone)
    before = logits_of(model, batch)
    adapted = attach_adapters(model, backbone, PLAIN, seed=3)
    assert torch.equal(logits_of(adapted, batch), before), "adapters change nothing before they have learned"

    frozen = {name: t.clone() for name, t in adapted.named_parameters() if not t.requires_grad}
    gradients = trained(adapted, batch)
    assert all(any(part in name for part in LEARNED) for name in gradients)
    untouched = [name for name, grad in gradients.items() if grad is None or not grad.any()]
    # BART's and T5's `shared` is read by no stack: each has the matrix under a name of its own.
    assert all(".shared." in name for name in untouched) and len(untouched) == (family in ("bart", "t5"))
    now = dict(adapted.named_parameters())
    assert all(torch.equal(now[name], tensor) for name, tensor in frozen.items())
    rows = [name for name in gradients if "trainable_tokens" in name]
    assert set(rows) > set(untouched), "new rows learn where they are read"
    assert all(now[name].shape[0] == len(MARKERS) for name in rows)
    expected = logits_of(adapted, batch)
    assert not torch.allclose(expected, before)

    folder = tmp_path / "saved"
    save_model(adapted, backbone.tokenizer, folder)
    assert not (folder / "README.md").exists() and not (folder / "model.safetensors").exists()
    again, tokenizer = load_fine_tuned(folder)
    assert torch.equal(logits_of(again, batch), expected)
    assert tokenizer.convert_tokens_to_ids(list(MARKERS)) == backbone.tokenizer.convert_tokens_to_ids(
        list(MARKERS)
    )
    base = AutoModelForSequenceClassification.from_pretrained(checkpoint(family), num_labels=3)
    base.resize_token_embeddings(len(tokenizer))
    base.config.pad_token_id = tokenizer.pad_token_id
    assert torch.equal(logits_of(PeftModel.from_pretrained(base, folder), batch), expected)


def test_a_fresh_process_with_peft_alone_gives_the_same_numbers(checkpoint, tmp_path):
    backbone = with_markers(checkpoint("xpt"))
    adapted = attach_adapters(
        backbone.load(AutoModelForSequenceClassification, num_labels=3), backbone, PLAIN, seed=3
    ).eval()
    batch = marked_batch(backbone)
    trained(adapted, batch)
    expected = logits_of(adapted, batch)
    save_model(adapted, backbone.tokenizer, tmp_path)
    save_file({**batch, "expected": expected.contiguous()}, tmp_path / "wanted.safetensors")
    code = """
import json, sys, torch, modeling_xpt
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder = sys.argv[1]
base = json.load(open(folder + "/adapter_config.json"))["base_model_name_or_path"]
model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
model.resize_token_embeddings(len(AutoTokenizer.from_pretrained(folder)))
model = PeftModel.from_pretrained(model, folder).eval()
for tensor in model.parameters():
    tensor.data = tensor.data.clone()  # as in tests/placed.py
batch = load_file(folder + "/wanted.safetensors")
expected = batch.pop("expected")
with torch.no_grad():
    assert torch.equal(model(**batch).logits, expected)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{REPO}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


# ---- heads of ours ---------------------------------------------------------------------------------------


class OddConfig(HeadedConfig):
    model_type = "klue-odd-test"


class Scorer(nn.Module):
    """A tensor beside a module."""

    def __init__(self, width):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3))
        self.each = nn.Linear(width, 3)

    def forward(self, vectors):
        return self.each(vectors) + self.bias


class OddHead(nn.Module):
    """A name within ends like the head itself."""

    def __init__(self, width):
        super().__init__()
        self.label_head = nn.Linear(width, width)
        self.scorer = Scorer(width)
        self.tags = nn.Embedding(2, 3)

    def forward(self, vectors):
        return self.scorer(self.label_head(vectors)) + self.tags.weight[1]


class OddModel(HeadedModel):
    """Reads the encoder's pooler, which a checkpoint of masked words lacks."""

    config_class = OddConfig

    def __init__(self, config, encoder=None):
        super().__init__(config, encoder)
        width = self.encoder.config.hidden_size
        self.reader = nn.LSTM(width, width, batch_first=True)
        self.head = OddHead(width)
        self.post_init()

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        read = self.encoder(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        states, _ = self.reader(read.last_hidden_state)
        pooled = getattr(read, "pooler_output", None)
        return SequenceClassifierOutput(logits=self.head(states[:, 0] + (0 if pooled is None else pooled)))


AutoConfig.register(OddConfig.model_type, OddConfig)
AutoModel.register(OddConfig, OddModel)


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("family", ["bert", "xpt", "trelm", "electra"])
def test_a_head_of_ours_loads_with_its_base(family, lora, checkpoint, tmp_path):
    backbone = with_markers(checkpoint(family))
    encoder = backbone.load_encoder()
    model = OddModel(OddConfig(encoder=backbone.config), encoder).eval()
    batch = marked_batch(backbone)
    before = logits_of(model, batch)
    if lora:
        model = attach_adapters(model, backbone, PLAIN, seed=1)
        assert torch.equal(logits_of(model, batch), before)
    gradients = trained(model, batch)
    if lora:
        assert all(grad is not None for grad in gradients.values())
        whole = {name.split(".modules_to_save.")[0].removeprefix("base_model.model.") for name in gradients}
        assert {"reader", "head.label_head", "head.scorer", "head.tags"} <= whole
        assert ("encoder.pooler.dense" in whole) == (family != "electra")
    expected = logits_of(model, batch)
    save_model(model, backbone.tokenizer, tmp_path / "saved")
    again, tokenizer = load_fine_tuned(tmp_path / "saved")
    assert torch.equal(logits_of(again, batch), expected)
    assert len(tokenizer) == len(backbone.tokenizer)


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_a_model_trained_as_a_whole_loads_too(family, checkpoint, tmp_path):
    backbone = with_markers(checkpoint(family))
    model = backbone.load(AutoModelForSequenceClassification, num_labels=3)
    batch = marked_batch(backbone)
    save_model(model, backbone.tokenizer, tmp_path)
    again, _ = load_fine_tuned(tmp_path)
    assert type(again) is type(model)
    assert torch.equal(logits_of(again, batch), logits_of(model, batch))


def test_a_folder_that_is_no_result_is_refused(tmp_path):
    with pytest.raises(XPTError, match="give the folder of a finished fine-tuning"):
        load_fine_tuned(tmp_path)


# ---- size and start --------------------------------------------------------------------------------------

BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
SIZES = {
    "bert": BertConfig(vocab_size=32_000, **BASE),
    "roberta": RobertaConfig(vocab_size=32_000, **BASE),
    "xpt": XPTRobertaConfig(vocab_size=32_000, **BASE),
    "electra": ElectraConfig(vocab_size=35_000, embedding_size=768, **BASE),
    "albert": AlbertConfig(vocab_size=30_000, embedding_size=128, **BASE),
    "gpt_neox": GPTNeoXConfig(vocab_size=30_000, **BASE),
    "t5": T5Config(vocab_size=64_000, d_model=768, d_kv=64, d_ff=2048, num_layers=12, num_heads=12),
}


@pytest.mark.parametrize("family", SIZES)
def test_adapters_are_a_fiftieth_of_a_base_model_at_most(family):
    config = SIZES[family]
    backbone = Backbone("base", None, config, Kind.ENCODER, tokenizer=make_tokenizer("bytes"))
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
        body = sum(tensor.numel() for tensor in AutoModel.from_config(config).parameters())
        adapted = attach_adapters(model, backbone, ModelArguments(lora=True), seed=0)
    count = adapter_parameters(adapted)
    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(config.model_type, ["query", "value"])
    ends = {
        name.split(".lora_")[0].rpartition(".")[2]
        for name, _ in adapted.named_parameters()
        if ".lora_" in name
    }
    assert ends == set(known)
    assert 0 < count < 0.02 * body


def test_adapters_start_by_seed_whatever_was_drawn_before(checkpoint):
    def starts(seed, drawn):
        torch.manual_seed(drawn)
        backbone = open_backbone(str(checkpoint("bert")))
        model = backbone.load(AutoModelForSequenceClassification, num_labels=3)
        state = torch.get_rng_state()
        adapted = attach_adapters(model, backbone, PLAIN, seed)
        assert torch.equal(torch.get_rng_state(), state)
        return {name: t for name, t in adapted.named_parameters() if ".lora_A." in name}

    one, same, other = starts(1, 5), starts(1, 6), starts(2, 5)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    values = list(one.values())
    assert not any(torch.equal(values[0], value) for value in values[1:])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lora_r": 0}, "--lora_r is 0; give at least 1"),
        ({"lora_alpha": 0}, "--lora_alpha is 0; give at least 1"),
        ({"lora_dropout": 1.0}, "--lora_dropout is 1.0; give a share"),
        ({"lora_target_modules": ["query", "nothing"]}, "ends in 'nothing'; its matrices are .*query"),
        ({"lora_target_modules": ["classifier"]}, "ends in 'classifier'"),
    ],
)
def test_what_makes_no_adapter_is_refused_in_one_line(changes, said, checkpoint):
    backbone = open_backbone(str(checkpoint("bert")))
    model = backbone.load(AutoModelForSequenceClassification, num_labels=3)
    with pytest.raises(XPTError, match=said) as caught:
        attach_adapters(model, backbone, ModelArguments(lora=True, **changes), seed=0)
    assert "\n" not in str(caught.value)


# ---- a whole run -----------------------------------------------------------------------------------------


def test_a_killed_run_ends_as_one_that_was_not(checkpoint, tmp_path, monkeypatch):
    lora = {"lora": "true", "lora_dropout": 0.3, "num_train_epochs": 3, "evaluations_per_epoch": 1}
    lora |= {"per_device_train_batch_size": 8}  # six steps
    assert fine_tune(checkpoint("bert"), tmp_path / "straight", **lora) == 0

    read, killed = ShuffledRows.__getitem__, []

    def kill_in_step_three(rows, row):
        if row == 20 and not killed:
            killed.append(os.kill(os.getpid(), signal.SIGTERM))
        return read(rows, row)

    monkeypatch.setattr(ShuffledRows, "__getitem__", kill_in_step_three)
    assert fine_tune(checkpoint("bert"), tmp_path / "killed", **lora) == 143
    assert not (tmp_path / "killed" / "adapter_model.safetensors").exists()
    assert fine_tune(checkpoint("bert"), tmp_path / "killed", **lora) == 0
    one, other = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("straight", "killed"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)

    folder = tmp_path / "killed"
    model = json.loads((folder / "results.json").read_text())["model"]
    stored = sum(tensor.numel() for tensor in one.values())
    assert model["trained_parameters"] == stored < model["parameters"]
    assert model["lora"]["r"] == 8 and model["lora"]["dropout"] == 0.3
    assert model["lora"]["adapter_parameters"] == sum(t.numel() for name, t in one.items() if "lora_" in name)
    again, _ = load_fine_tuned(folder)
    assert again.peft_config["default"].base_model_name_or_path == str(checkpoint("bert"))
    assert not {path.suffix for path in folder.rglob("*")} & {".bin", ".pt", ".pkl"}
