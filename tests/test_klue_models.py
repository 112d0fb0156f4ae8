"""Any model: every family reads, is pooled, learns or is refused as it should be."""

import inspect
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_models import (
    DECODERS,
    ENCODERS,
    FAMILIES,
    PAIRS_OF_STACKS,
    POSITIONS,
    change_config,
    family_tokenizer,
    make_checkpoint,
)
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    CLIPConfig,
    PreTrainedTokenizerFast,
    modeling_utils,
)
from transformers.utils import logging

from finetune_klue import main
from xpt.errors import XPTError
from xpt.klue.backbone import Kind, check_task, open_backbone
from xpt.klue.batches import pad_batch
from xpt.klue.task import Task
from xpt.klue.tasks import TASKS, make_task
from xpt.klue.weight_files import find_weights

HEADS = {
    "sequence": (AutoModelForSequenceClassification, 3),
    "token": (AutoModelForTokenClassification, 5),
    "span": (AutoModelForQuestionAnswering, 2),
}
PREMISES = ["국회는 오늘 법을 검토하였다.", "학생은 어제 책을 빠르게 읽었다.", "회사는 새로 기관을 만들었다."]
HYPOTHESES = {
    "entailment": "그것은 참이다.",
    "contradiction": "아무도 없었다.",
    "neutral": "서울에서 열렸다.",
}
WORDS = st.lists(
    st.sampled_from("국회는 오늘 법을 학생은 2021년 Kim 읽었다. </s> [SEP]".split()), min_size=1, max_size=6
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Give `checkpoint(family)` the folder of a tiny model; nothing may be written there."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = make_checkpoint(family, tmp_path_factory.mktemp("models") / family)
        return made[family]

    return make


@pytest.fixture
def own_checkpoint(tmp_path):
    """Give `own_checkpoint(family)` a folder that may be changed."""
    return lambda family: make_checkpoint(family, tmp_path / family)


def loaded(folder, head="sequence"):
    auto_class, labels = HEADS[head]
    backbone = open_backbone(str(folder))
    return backbone, backbone.load(auto_class, num_labels=labels).eval()


def rows_of(backbone, texts, length=POSITIONS):
    """Singles and pairs alike, as tasks make them."""
    encoder = backbone.encoder_for(length)
    first, second = (encoder.pieces([pair[side] for pair in texts]) for side in (0, 1))
    return [
        encoder.pair(*encoder.cut_pair(one.ids, two.ids)) for one, two in zip(first, second, strict=True)
    ], encoder


def outputs(model, rows, encoder):
    with torch.no_grad():
        output = model(**pad_batch(rows, encoder.padding))
    names = [name for name in ("logits", "start_logits", "end_logits") if name in output]
    return [torch.stack([output[name][row] for name in names]) for row in range(len(rows))]


# ---- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_row_is_batched_with_changes_nothing_about_it(family, head, checkpoint):
    if (family, head) == ("bart", "token"):
        with pytest.raises(XPTError, match="no AutoModelForTokenClassification for bart; take"):
            loaded(checkpoint(family), head)
        return
    backbone, model = loaded(checkpoint(family), head)

    @settings(max_examples=4, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.tuples(WORDS, WORDS), min_size=2, max_size=3))
    def check(pairs):
        rows, encoder = rows_of(backbone, [(" ".join(one), " ".join(two)) for one, two in pairs])
        rows.append(rows_of(backbone, [("국회는 오늘 법을 " * 4, "법을")])[0][0])
        for row, together in zip(rows, outputs(model, rows, encoder), strict=True):
            (alone,) = outputs(model, [row], encoder)
            if head != "sequence":
                together = together[:, : len(row["input_ids"])]
            torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)

    check()


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_cut_to_what_the_model_can_read_and_not_a_token_shorter(family, checkpoint):
    backbone, model = loaded(checkpoint(family))
    assert backbone.max_positions == (None if family == "t5" else POSITIONS)
    (row,), encoder = rows_of(backbone, [("국회는 오늘 법을 검토하였다 " * 9, "학생은 읽었다 " * 9)], 10_000)
    if family == "t5":
        assert len(row["input_ids"]) > POSITIONS
    else:
        assert len(row["input_ids"]) == POSITIONS
    assert torch.stack(outputs(model, [row], encoder)).isfinite().all()
    if family not in ("t5", "gpt_neox", "deberta-v2"):  # those have no table of absolute positions that ends
        longer = {name: values[:1] + values[1:2] + values[1:] for name, values in row.items()}
        with pytest.raises((IndexError, ValueError, RuntimeError)):
            outputs(model, [longer], encoder)


def test_an_encoder_counts_positions_from_the_padding_it_was_trained_with(own_checkpoint, tmp_path):
    folder = own_checkpoint("roberta")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.pad_token = "<mask>"  # another row than the configuration's
    tokenizer.save_pretrained(folder)
    backbone, model = loaded(folder)
    model.save_pretrained(tmp_path / "saved")
    change_config(tmp_path / "saved", pad_token_id=1)
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    rows, encoder = rows_of(backbone, [("국회는 오늘", "법을"), ("학생은", "책을 어제 빠르게 읽었다.")])
    assert encoder.padding["input_ids"] == tokenizer.pad_token_id != 1
    for row, got in zip(rows, outputs(model, rows, encoder), strict=True):
        with torch.no_grad():
            expected = stock(input_ids=torch.tensor([row["input_ids"]])).logits
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_is_pooled_on_the_last_token_that_is_no_padding(family, checkpoint):
    backbone, model = loaded(checkpoint(family))
    pad = backbone.tokenizer.pad_token_id
    assert model.config.pad_token_id == pad
    assert (pad == backbone.tokenizer.eos_token_id) == (family == "gpt_neox")
    for text in ("국회는 오늘", "국회는 오늘 법을 검토하였다."):
        encoder = backbone.encoder_for(POSITIONS)
        ids = encoder.pieces([text])[0].ids
        ended = torch.tensor(
            [[*ids, pad, pad]]
        )  # an end of its own, where that is what pads, counts as padding
        with torch.no_grad():
            states = model.base_model(input_ids=torch.tensor([ids])).last_hidden_state
            got = model(input_ids=ended, attention_mask=ended.ne(pad).long()).logits
            torch.testing.assert_close(got[0], model.score(states)[0, -1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", PAIRS_OF_STACKS)
def test_an_encoder_decoder_gets_one_end_a_text_and_keeps_it_when_saved(family, checkpoint, tmp_path):
    backbone, model = loaded(checkpoint(family))
    end = model.config.eos_token_id
    rows, encoder = rows_of(backbone, [("국회는 </s> 오늘", "법을"), ("학생은", "</s></s>")])
    assert [row["input_ids"].count(end) for row in rows] == [2, 2]
    assert {row["input_ids"][-1] for row in rows} == {end}
    single = encoder.sequence(encoder.pieces(["국회는 오늘"])[0].ids)
    assert single["input_ids"].count(end) == 1 and single["input_ids"][-1] == end
    backbone.tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("국회는 오늘")["input_ids"] == single["input_ids"]
    (pair,), _ = rows_of(backbone, [("국회는 오늘", "법을")])
    assert again("국회는 오늘", "법을")["input_ids"] == pair["input_ids"]


def test_a_tokenizer_is_read_as_its_file_says_not_as_its_family_would(checkpoint):
    folder, written = checkpoint("gpt2"), family_tokenizer("gpt2")
    text = "국회는 오늘 법을 검토하였다."
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] != written(text)["input_ids"]
    backbone = open_backbone(str(folder))
    assert backbone.tokenizer(text)["input_ids"] == written(text)["input_ids"]
    assert (backbone.tokenizer.pad_token, backbone.tokenizer.eos_token) == ("<pad>", "</s>")
    assert loaded(folder)[1].get_input_embeddings().num_embeddings == len(written)


# ---- learning --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ("ynat", "sts", "nli"))
@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_finite_and_reaches_the_embeddings(family, name, checkpoint):
    if name not in TASKS:
        pytest.skip("not a task yet")
    records = {
        "ynat": {"guid": "a", "title": "국회는 오늘 법을", "label": "정치"},
        "sts": {"guid": "a", "sentence1": "국회는", "sentence2": "법을 오늘", "labels": {"real-label": 3.7}},
        "nli": {"guid": "a", "premise": "국회는", "hypothesis": "법을 오늘", "gold_label": "neutral"},
    }
    task, backbone = make_task(name), open_backbone(str(checkpoint(family)))
    model = task.build(backbone)
    (record,) = task.records(json.dumps([records[name]], ensure_ascii=False), "f.json")
    encoder = backbone.encoder_for(POSITIONS)
    features = task.features(list(task.examples(record)), encoder, training=True)
    loss = model(**task.collate(features, encoder)).loss
    loss.backward()
    assert loss.isfinite()
    gradient = model.get_input_embeddings().weight.grad
    read = features[0].inputs["input_ids"]
    assert gradient.isfinite().all()
    assert gradient[read[len(read) // 2]].abs().sum() > 0


def nli_file(path: Path, count: int = 16) -> Path:
    labels = list(HYPOTHESES)
    rows = [
        {
            "guid": f"klue-nli-v1_{index:05d}",
            "premise": f"{PREMISES[index % len(PREMISES)]} {index}번",
            "hypothesis": HYPOTHESES[labels[index % 3]],
            "gold_label": labels[index % 3],
        }
        for index in range(count)
    ]
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def fine_tune(folder: Path, output: Path, **changes) -> int:
    data = nli_file(output.parent / "klue-nli-v1.1_train.json")
    flags = {
        "model_name_or_path": folder,
        "task": "nli",
        "output_dir": output,
        "train_file": data,
        "validation_file": data,
        "learning_rate": 4e-3,
        "per_device_train_batch_size": 8,
        "num_train_epochs": 25,
        "evaluations_per_epoch": 0,  # one, at the end
        "early_stopping_patience": 0,
        "warmup_steps": 5,
        "max_seq_length": 32,
        "bf16": "false",
        "length_grouping": "false",  # lengths tell labels here: a batch would have one of them
        "use_cpu": "true",
        "report_to": "none",
        **changes,
    }
    return main([part for name, value in flags.items() for part in (f"--{name}", str(value))])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_a_few_examples_by_heart(family, checkpoint, tmp_path, capfd):
    assert fine_tune(checkpoint(family), tmp_path / "out") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["metrics"]["nli/accuracy"] > 95
    said = capfd.readouterr()
    assert "LOAD REPORT" not in said.out + said.err and "newly initialized" not in said.out + said.err


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
    tensors = change(load_file(folder / "model.safetensors"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_body_with_a_missing_or_misshapen_tensor_is_refused(family, bare, own_checkpoint):
    folder = own_checkpoint(family)
    whole = load_file(folder / "model.safetensors")
    names = [
        name for name in whole if whole[name].dim() == 2 and any(n in name for n in (".1.", "layer_groups"))
    ]
    name = names[len(names) // 2]

    def load():
        backbone = open_backbone(str(folder))
        return (
            backbone.load_encoder()
            if bare
            else backbone.load(AutoModelForSequenceClassification, num_labels=3)
        )

    load()
    rewrite(folder, lambda tensors: {key: value for key, value in tensors.items() if key != name})
    with pytest.raises(XPTError, match=r"is missing.*would be random"):
        load()
    save_file({**whole, name: torch.zeros(3, 5)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(XPTError, match=r"is \(3, 5\) where the configuration says"):
        load()


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
