"""XPT as stock RoBERTa and back: equal to the bit for every head and shape, nothing of ours left behind."""

import json

import pytest
import torch
import transformers
from alone import WITHOUT_THE_PACKAGE, run_alone
from card_results import POST_TRAINING
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_models import make_checkpoint
from peft import PeftModel
from placed import placed
from safetensors.torch import load, load_file, save_file
from tiny_models import HEADS, PAD, SHAPE, batch_for, ids, outputs, random_model
from transformers import AddedToken, RobertaConfig, RobertaForCausalLM, RobertaForMaskedLM

import modeling_xpt
from xpt.finetune.arguments import ModelArguments
from xpt.finetune.backbone import open_backbone
from xpt.finetune.klue.tasks import make_task
from xpt.finetune.lora import attach_adapters as attach_klue_adapters
from xpt.finetune.saving import save_model as save_fine_tuned
from xpt.release.hub import main as push_main
from xpt.release.native import export_native, import_native, main
from xpt.text.tokenizer import save_tokenizer
from xpt.training.adapters import LoraSettings, attach_adapters
from xpt.training.trainer import save_model
from xpt.transplant.native_model import from_native, to_native


def assert_equal_outputs(one, other, batch, **implementation):
    for model in (one, other):
        placed(model).set_attn_implementation(implementation.get("implementation", "eager"))
    first, second = outputs(one, batch), outputs(other, batch)
    assert len(first) == len(second) > 1
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def assert_equal_tensors(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# ---- in memory -------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(HEADS),
    itl_in=st.integers(0, 3),
    layers=st.integers(1, 3),
    itl_out=st.integers(0, 3),
    tied=st.booleans(),
    types=st.integers(1, 2),
    pad=st.integers(0, 3),
    act=st.sampled_from(["gelu", "relu", "gelu_new"]),
    implementation=st.sampled_from(["eager", "sdpa"]),
)
def test_both_ways_equal_to_the_bit(name, itl_in, layers, itl_out, tied, types, pad, act, implementation):
    ours = random_model(
        name,
        num_itl_in=itl_in,
        num_hidden_layers=layers,
        num_itl_out=itl_out,
        tie_word_embeddings=tied,
        type_vocab_size=types,
        pad_token_id=pad,
        hidden_act=act,
        classifier_dropout=0.3,
    )
    native = to_native(ours)
    assert type(native).__name__ == name.removeprefix("XPT")
    assert native.config.num_hidden_layers == itl_in + layers + itl_out
    batch = {key: value.clone() for key, value in batch_for(name).items()}
    padding = batch["attention_mask"] == 0
    batch["input_ids"][padding] = pad
    assert padding.any()
    assert_equal_outputs(ours, native, batch, implementation=implementation)
    again = from_native(native, itl_in, itl_out)
    assert type(again) is type(ours)
    assert_equal_tensors(again.state_dict(), ours.state_dict())
    kept = {"architectures": again.config.architectures}
    if name.endswith("QuestionAnswering"):  # has two outputs, so stock RoBERTa must have two labels
        kept |= {"id2label": again.config.id2label, "label2id": again.config.label2id}
    assert again.config.to_dict() == {**ours.config.to_dict(), **kept}
    if tied and name.endswith("MaskedLM"):
        assert native.lm_head.decoder.weight is native.roberta.embeddings.word_embeddings.weight


def test_a_native_model_has_the_layers_in_the_order_that_tokens_pass_them():
    ours = random_model(num_itl_in=2, num_hidden_layers=2, num_itl_out=1)
    layers = to_native(ours).roberta.encoder.layer
    body = ours.roberta
    for layer, own in zip(layers, [*body.itl_in, *body.encoder.layer, *body.itl_out], strict=True):
        assert torch.equal(layer.output.dense.weight, own.output.dense.weight)


@pytest.mark.parametrize("pooler", [True, False])
def test_a_bare_model_keeps_its_pooler_and_gets_none(pooler):
    torch.manual_seed(0)
    config = random_model().config
    ours = modeling_xpt.XPTRobertaModel(config, add_pooling_layer=pooler).eval()
    native = to_native(ours)
    assert (native.pooler is not None) == (from_native(native).pooler is not None) == pooler
    assert_equal_outputs(ours, native, batch_for("XPTRobertaModel"))


# ---- folders ---------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path, tiny_tokenizer):
    """Give `saved(model)` a folder with a model and a tokenizer."""

    def save(model, name="xpt"):
        folder = tmp_path / name
        model.save_pretrained(folder)
        save_tokenizer(tiny_tokenizer, folder)
        return folder

    return save


@pytest.mark.parametrize("name", HEADS)
def test_every_heads_folder_there_and_back(name, saved, tmp_path):
    folder, native = saved(random_model(name, num_itl_in=2)), tmp_path / "native"
    assert main([str(folder), str(native)]) == 0
    stock = getattr(transformers, name.removeprefix("XPT")).from_pretrained(native)
    ours = getattr(modeling_xpt, name).from_pretrained(folder)
    assert_equal_outputs(ours, stock, batch_for(name))
    assert_equal_outputs(ours, stock, batch_for(name), implementation="sdpa")
    back = ["--reverse", "true", "--num_itl_in", "2", "--num_itl_out", "1"]
    assert main([str(native), str(tmp_path / "again"), *back]) == 0
    same = ["model.safetensors", "tokenizer.json", "modeling_xpt.py"]
    for file in same + ["config.json"] * (not name.endswith("QuestionAnswering")):
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes(), file


def test_nothing_of_ours_is_left_in_a_native_folder(saved, tmp_path):
    folder = saved(random_model(sparse_prediction=True))
    # Of a language without example sentences: the tokenizer of these tests has more pieces than the model.
    results = {**POST_TRAINING, "settings": {**POST_TRAINING["settings"], "language": "cy"}}
    (folder / "results.json").write_text(json.dumps(results))
    export_native(folder, tmp_path / "native")
    files = {path.name for path in (tmp_path / "native").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= files
    assert not any(name.endswith(".py") for name in files)
    assert json.loads((tmp_path / "native" / "results.json").read_text()) == results
    card = (tmp_path / "native" / "README.md").read_text(encoding="utf-8")
    assert "trust_remote_code=True" not in card and "4.062" in card
    config = json.loads((tmp_path / "native" / "config.json").read_text())
    stock = {*RobertaConfig().to_dict(), "dtype"} - {"auto_map"}
    assert config["model_type"] == "roberta" and config["architectures"] == ["RobertaForMaskedLM"]
    assert set(config) <= stock and not any("xpt" in str(value).lower() for value in config.values())
    tokenizer = json.loads((tmp_path / "native" / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert tokenizer["model_max_length"] == SHAPE["max_position_embeddings"] - PAD - 1


def test_old_names_and_buffers_in_a_file_are_understood(saved, tmp_path):
    folder = saved(random_model())
    tensors = load((folder / "model.safetensors").read_bytes())
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in tensors.items()
    }
    assert len(old.keys() - tensors.keys()) == 2 * (1 + 2 * 4)
    old["roberta.embeddings.position_ids"] = torch.arange(40)[None]
    save_file(old, folder / "model.safetensors", metadata={"format": "pt"})
    export_native(folder, tmp_path / "native")
    import_native(tmp_path / "native", tmp_path / "again")
    assert_equal_tensors(load_file(tmp_path / "again" / "model.safetensors"), tensors)


def test_adapters_of_post_training_are_added_to_the_weights(tmp_path, tiny_tokenizer):
    model = random_model(num_hidden_layers=3)
    attach_adapters(model, LoraSettings(r=3, lora_alpha=9), 0, "phase2")
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if ".lora_" in name:
                tensor.add_(torch.randn_like(tensor) * 0.1)
    save_model(model, tiny_tokenizer, tmp_path / "xpt")
    export_native(tmp_path / "xpt", tmp_path / "native")
    native = RobertaForMaskedLM.from_pretrained(tmp_path / "native").eval()
    batch = batch_for("XPTRobertaForMaskedLM")
    base = modeling_xpt.XPTRobertaForMaskedLM.from_pretrained(tmp_path / "xpt").eval()
    merged = PeftModel.from_pretrained(base, tmp_path / "xpt" / "adapter").merge_and_unload()
    assert_equal_outputs(merged, native, batch)
    torch.testing.assert_close(outputs(model, batch)[1], outputs(native, batch)[1], rtol=1e-4, atol=1e-4)
    without = modeling_xpt.XPTRobertaForMaskedLM.from_pretrained(tmp_path / "xpt").eval()
    assert not torch.allclose(outputs(without, batch)[1], outputs(native, batch)[1], rtol=1e-2, atol=1e-2)


def fine_tuned(task, base, folder, lora):
    """A fine-tuned model's folder, every trained tensor away from its start."""
    backbone = open_backbone(str(base))
    if task == "re":  # whose markers are new rows of the word embeddings
        markers = [AddedToken(f"<m{number}>", special=True, normalized=False) for number in range(4)]
        backbone.tokenizer.add_tokens(markers, special_tokens=True)
    model = make_task(task).build(backbone)
    if lora:
        model = attach_klue_adapters(model, backbone, ModelArguments(lora=True, lora_dropout=0.0), 0)
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    save_fine_tuned(model, backbone.tokenizer, folder)
    return model.eval()


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("task", ["nli", "re", "ner", "mrc"])
def test_fine_tuned_models_of_klue_and_their_adapters(task, lora, tmp_path):
    base = make_checkpoint("xpt", tmp_path / "base")
    model = fine_tuned(task, base, tmp_path / "tuned", lora)
    export_native(tmp_path / "tuned", tmp_path / "native")
    auto = {"ner": "TokenClassification", "mrc": "QuestionAnswering"}.get(task, "SequenceClassification")
    native, report = getattr(transformers, f"RobertaFor{auto}").from_pretrained(
        tmp_path / "native", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    batch = {"input_ids": ids(2, 9)}
    batch["input_ids"][1, -3:] = PAD
    batch["attention_mask"] = batch["input_ids"].ne(PAD).long()
    batch["input_ids"][0, 3] = native.config.vocab_size - 1  # a marker, where there are some
    merged = model.merge_and_unload() if lora else model
    assert_equal_outputs(merged, native, batch)
    assert native.config.id2label == merged.config.id2label


# ---- what cannot be ------------------------------------------------------------------------------------


def refused(capsys, *arguments):
    """The one line that a command ends with."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    return message


def test_heads_that_transformers_lacks_are_refused_by_name(tmp_path, capsys):
    base = make_checkpoint("xpt", tmp_path / "base")
    fine_tuned("dp", base, tmp_path / "dp", lora=False)
    fine_tuned("dp", base, tmp_path / "lora", lora=True)
    for name in ("dp", "lora"):
        message = refused(capsys, tmp_path / name, tmp_path / "native")
        assert "is a DependencyParser, not one of XPTRobertaModel, XPTRobertaForMaskedLM" in message
        assert "loads with this package alone" in message and str(tmp_path / name) in message
        assert not (tmp_path / "native").exists()


@pytest.mark.parametrize("push", [False, True])
def test_a_trelm_has_no_native_twin(trelm_checkpoint, tmp_path, capsys, push):
    if push:
        there = [str(trelm_checkpoint), "org/trelm", "--native_model_id", "org/native", "--dry_run", "true"]
        assert push_main(there) == 2
        message = capsys.readouterr().err.strip()
    else:
        message = refused(capsys, trelm_checkpoint, tmp_path / "native")
    assert message.startswith(f"error: {trelm_checkpoint}: is a TreLM, and no stock RoBERTa equals one")
    assert "position" in message and "in its middle" in message and "\n" not in message
    assert not (tmp_path / "native").exists()


def test_what_cannot_be_converted_is_refused_in_one_line_and_nothing_written(saved, tmp_path, capsys):
    folder = saved(random_model(num_hidden_layers=1))
    new = tmp_path / "new"
    native = tmp_path / "native"
    export_native(folder, native)
    assert "no config.json" in refused(capsys, tmp_path / "nowhere", new)
    assert "is not empty; give a new folder" in refused(capsys, folder, native)
    assert "is not empty; give a new folder" in refused(capsys, folder, folder)
    assert "--reverse true makes an XPT model of it" in refused(capsys, native, new)
    assert "train_xpt.py" in refused(capsys, folder, new, "--reverse", "true")
    few = refused(capsys, native, new, "--reverse", "true", "--num_itl_out", "2")
    assert "has 3 layers, and --num_itl_in 1 --num_itl_out 2 leave none" in few
    assert "--num_itl_in is -1" in refused(capsys, native, new, "--reverse", "true", "--num_itl_in", "-1")
    assert "give two folders" in refused(capsys, folder)
    RobertaForCausalLM(RobertaConfig(**SHAPE, is_decoder=True)).save_pretrained(tmp_path / "decoder")
    assert "is a decoder" in refused(capsys, tmp_path / "decoder", new, "--reverse", "true")
    bare = tmp_path / "bare"
    random_model().save_pretrained(bare)
    assert "no tokenizer.json" in refused(capsys, bare, new)
    assert not new.exists() and not list(tmp_path.glob(".new*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("drop", "lacks roberta.encoder.layer.0.output.dense.weight (1 of "),
        ("add", "more.weight (3,) is not in a XPTRobertaForMaskedLM"),
        ("shape", "lm_head.dense.bias (31,) is not in a"),
        ("untie", "lm_head.decoder.bias differs from lm_head.bias, to which it is tied"),
        ("cut", "model.safetensors is no whole safetensors file"),
    ],
)
def test_damaged_weights_are_refused(change, message, saved, tmp_path, capsys):
    folder = saved(random_model())
    path = folder / "model.safetensors"
    tensors = load(path.read_bytes())
    if change == "drop":
        del tensors["roberta.encoder.layer.0.output.dense.weight"]
    elif change == "add":
        tensors["more.weight"] = torch.zeros(3)
    elif change == "shape":
        tensors["lm_head.dense.bias"] = tensors["lm_head.dense.bias"][:-1].clone()
    elif change == "untie":
        tensors["lm_head.decoder.bias"] = tensors["lm_head.bias"] + 1
    save_file(tensors, path, metadata={"format": "pt"})
    if change == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    assert message in refused(capsys, folder, tmp_path / "native")
    assert not (tmp_path / "native").exists()


# ---- without the package ---------------------------------------------------------------------------------

LOAD_STOCK = """
import json, torch
from pathlib import Path
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer
import transformers
folder = Path(sys.argv[1])
report = {}
for name in sys.argv[2:]:
    place = folder / name
    auto = "AutoModel" + (f"For{name.partition('For')[2]}" if "For" in name else "")
    model, info = getattr(transformers, auto).from_pretrained(place, output_loading_info=True)
    given = load_file(folder / f"{name}.safetensors")
    expected = given.pop("expected")
    with torch.no_grad():
        output = model.eval()(**given)[0]
    close = bool((output - expected).abs().max() < 1e-5)  # other places in memory, other kernels
    report[name] = [type(model).__name__, type(model).__module__, close,
                    sorted(info["missing_keys"]), sorted(info["unexpected_keys"])]
tokenizer = AutoTokenizer.from_pretrained(place)
print(json.dumps([report, tokenizer("한국어 문장과 English", return_tensors=None)["input_ids"]]))
"""


@pytest.mark.slow
def test_native_folders_load_where_only_transformers_is(tmp_path, tiny_tokenizer):
    place = tmp_path / "native"
    place.mkdir()
    for name in HEADS:
        model = random_model(name, vocab_size=len(tiny_tokenizer), num_itl_in=2)
        model.save_pretrained(tmp_path / name)
        save_tokenizer(tiny_tokenizer, tmp_path / name)
        export_native(tmp_path / name, place / name)
        model.set_attn_implementation("sdpa")
        batch = {key: batch_for(name)[key] for key in ("input_ids", "attention_mask")}
        expected = outputs(model, batch)[0]
        save_file({**batch, "expected": expected}, place / f"{name}.safetensors")
    (report, tokens), _ = run_alone(WITHOUT_THE_PACKAGE + LOAD_STOCK, tmp_path, place, *HEADS)
    stock = "transformers.models.roberta.modeling_roberta"
    assert report == {name: [name.removeprefix("XPT"), stock, True, [], []] for name in HEADS}
    assert tokens == tiny_tokenizer("한국어 문장과 English")["input_ids"]
