"""Whole tiny runs on a ModernBERT: the same program, recipes and guarantees as for RoBERTa's families."""

import json

import numpy as np
import pytest
import torch
from alone import WITHOUT_THE_PACKAGE, run_alone
from safetensors.torch import load_file, save_file
from tiny_modernberts import make_stock, make_xpt
from tiny_runs import assert_equal_runs, run, stop_after, weights

from modeling_xpt_modernbert import XPTModernBertForMaskedLM
from train_xpt import main
from xpt.finetune.saving import load_fine_tuned
from xpt.program.errors import XPTError
from xpt.recipe.command_line import read_recipe
from xpt.release.native import export_native
from xpt.release.staged_card import CardFacts
from xpt.release.staging import Kind, stage
from xpt.release.verification import same_outputs
from xpt.run.folder import Run
from xpt.run.post_training import PostTraining
from xpt.run.preparation import prepare_model, prepare_text
from xpt.text.packing import Row
from xpt.training.evaluation import predictions
from xpt.training.trainable import set_trainable, training_dropout
from xpt.transplant.parameter_groups import parameter_group
from xpt.transplant.source import open_source

RECIPE = "configs/methods/xpt_2021.yaml"
CODE = {f"{kind}_{stem}.py" for kind in ("configuration", "modeling") for stem in ("xpt", "xpt_modernbert")}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """With dropout, so that a lost state of a generator shows in what resumes."""
    folder = tmp_path_factory.mktemp("modernbert") / "source"
    make_stock(attention_dropout=0.1, mlp_dropout=0.1, embedding_dropout=0.1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def modernbert_options(source, options):
    """Give `modernbert_options(**changes)` the flags of a tiny run."""

    def make(recipe=(), **changes):
        return [*recipe, *options(**{"source_model_name_or_path": source, **changes})]

    return make


@pytest.fixture(scope="module")
def finished(modernbert_options, tmp_path_factory):
    return run(modernbert_options(packing="true"), tmp_path_factory.mktemp("runs") / "whole")


def test_phase_1_leaves_all_that_was_copied_as_it_was(finished, source):
    before, after = weights(source), weights(Run(finished).checkpoints.path("phase1", 4))
    start, learned = weights(finished / "checkpoints" / "initial"), set()
    for name, tensor in after.items():
        group = parameter_group(name).split(".")[0]
        if not torch.equal(tensor, start[name]):
            learned.add(group)
        if group not in ("word_embeddings", "itl", "lm_head_bias"):
            assert torch.equal(tensor, before[name]), name
    assert learned == {"word_embeddings", "itl", "lm_head_bias"}


def test_phase_2_trains_everything(finished):
    one, two = weights(Run(finished).checkpoints.path("phase1", 4)), weights(finished)
    assert one.keys() == two.keys()
    assert all(not torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_a_run_that_was_stopped_ends_as_one_that_was_not(modernbert_options, finished, tmp_path, monkeypatch):
    stop_after(monkeypatch, ("phase1", 3), ("phase2", 1))
    for code in (143, 143, 0):
        flags = modernbert_options(packing="true")
        assert main([*flags, "--output_dir", str(tmp_path / "run")]) == code
    assert_equal_runs(finished, tmp_path / "run")


def test_packed_texts_are_read_as_each_by_itself(modernbert_options, source, tmp_path):
    """Of a batch as training makes it: position, window and mask of each text, the padding's too."""
    losses = {}
    for packing in ("true", "false"):
        flags = modernbert_options(packing=packing, max_seq_length=128, output_dir=tmp_path / packing)
        recipe, opened = read_recipe(flags), open_source(source)
        text = prepare_text(recipe, opened)
        model, report = prepare_model(recipe, opened, text)
        with Run(tmp_path / packing) as folder:
            training = PostTraining(recipe, folder, model, report, text)
            texts = np.arange(3)
            rows = [Row(0, texts)] if packing == "true" else [Row(0, texts[[index]]) for index in texts]
            batch = training.phase_data(0).collator(rows)
        if packing == "true":
            assert batch["position_ids"].min() == 0 and batch["position_ids"].max() < 40
            assert (batch["position_ids"][:, 0] == 0).all()
        with torch.no_grad():
            logits, labels = predictions(model.eval(), batch, torch.device("cpu"))
            assert torch.allclose(model(**batch).loss, torch.nn.functional.cross_entropy(
                logits, labels, ignore_index=-100), atol=1e-5)  # fmt: skip
        asked = labels != -100
        losses[packing] = torch.nn.functional.cross_entropy(logits[asked], labels[asked], reduction="none")
    assert len(losses["true"]) == len(losses["false"]) > 3
    torch.testing.assert_close(losses["true"], losses["false"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_layers_that_do_not_learn_drop_nothing_of_their_attention_either(frozen):
    model = make_xpt(attention_dropout=0.3, mlp_dropout=0.2)
    set_trainable(model, ["itl"])
    usual = {name: one.attention_dropout for name, one in model.named_modules() if name.endswith(".attn")}
    with training_dropout(model, None, frozen):
        for name in usual:
            rate = 0.0 if ".layers." in name and not frozen else 0.3
            assert model.get_submodule(name).attention_dropout == rate
            assert model.get_submodule(name).out_drop.p == rate
    assert usual == {name: model.get_submodule(name).attention_dropout for name in usual}
    assert set(usual.values()) == {0.3}


def test_dropout_of_0_is_that_of_attention_too():
    model = make_xpt(attention_dropout=0.3, mlp_dropout=0.2).train()
    batch = {"input_ids": torch.arange(10, 26).reshape(2, 8)}
    with torch.no_grad():
        assert not torch.equal(model(**batch).logits, model(**batch).logits)
        with training_dropout(model, 0.0):
            assert torch.equal(model(**batch).logits, model(**batch).logits)
        assert not torch.equal(model(**batch).logits, model(**batch).logits)


ALONE = f"""{WITHOUT_THE_PACKAGE}
import json, sys
from safetensors.torch import save_file
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast
tokenizer = PreTrainedTokenizerFast.from_pretrained(sys.argv[1])
model = AutoModelForMaskedLM.from_pretrained(sys.argv[1], trust_remote_code=True).eval()
batch = tokenizer(["국회는 오늘 법을 <mask>.", "정부는"], padding=True, return_tensors="pt")
batch.pop("token_type_ids", None)
save_file(dict(logits=model(**batch).logits.detach()), sys.argv[2])
print(json.dumps([batch["input_ids"].tolist(), batch["attention_mask"].tolist(), type(model).__module__]))
"""


def test_the_result_gives_equal_logits_where_this_package_is_not(finished, tmp_path):
    (ids, mask, module), _ = run_alone(ALONE, tmp_path, finished, tmp_path / "logits.safetensors")
    model, _ = load_fine_tuned(finished)
    assert type(model) is XPTModernBertForMaskedLM and module.startswith("transformers_modules.")
    with torch.no_grad():
        expected = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
    assert torch.equal(load_file(tmp_path / "logits.safetensors")["logits"], expected)


def test_card_and_staging_are_of_its_own_code(finished, tmp_path):
    staged = stage(finished, tmp_path / "staged", CardFacts("someone/modern-ko"))
    assert staged.kind is Kind.POST_TRAINED
    assert {name for name in staged.files if name.endswith(".py")} == CODE
    card = (staged.folder / "README.md").read_text()
    assert "`modeling_xpt_modernbert.py`" in card and "pipeline_tag: fill-mask" in card
    assert "xpt native" not in card and "stands before the first and after the last" in card
    assert same_outputs(finished, staged.folder)
    phase = stage(Run(finished).checkpoints.path("phase1", 4), tmp_path / "phase", CardFacts("someone/one"))
    assert phase.kind is Kind.PHASE and phase.files.keys() >= CODE
    config = json.loads((finished / "config.json").read_text())
    changed = {name: tensor + 0.01 for name, tensor in load_file(finished / "model.safetensors").items()}
    assert config["model_type"] == "xpt-modernbert" and not config["sparse_prediction"]
    (staged.folder / "model.safetensors").unlink()  # it shares the bytes of the run's
    save_file(changed, staged.folder / "model.safetensors", {"format": "pt"})
    assert not same_outputs(finished, staged.folder)


def test_the_export_says_what_there_is_instead(finished, tmp_path):
    with pytest.raises(
        XPTError, match=r"only comes near it: xpt\.transplant\.modernbert_stock\.export_stock"
    ):
        export_native(finished, tmp_path / "native")
    assert not (tmp_path / "native").exists()


def test_a_run_goes_on_from_a_run(finished, options, tmp_path):
    flags = options(source_model_name_or_path=finished, phase1_steps=1, phase2_steps=1, vocab_size=None)
    results = json.loads((run(flags, tmp_path / "run") / "results.json").read_text())
    assert "ITLs copied" in results["transplant"]["notes"][0]
    first = json.loads((finished / "results.json").read_text())
    assert results["before"]["eval_loss"] == pytest.approx(first["phases"][-1]["eval_loss"], abs=1e-6)
    assert "post-trained so before" in (tmp_path / "run" / "README.md").read_text()


def test_the_recipe_of_the_method_serves_it(modernbert_options, tmp_path):
    """Without packing; ITLs that begin as identities; rows scaled by what the model makes of them."""
    changes = {"itl_init": "identity", "embedding_scale": "unigram", "phase1_steps": 1, "phase2_steps": 1}
    folder = run(modernbert_options((RECIPE,), **changes), tmp_path / "run")
    assert open_source(folder).is_xpt


def test_a_dry_run_speaks_for_the_run(modernbert_options, tmp_path, capsys):
    assert main([*modernbert_options(), "--dry_run", "true", "--output_dir", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().out
    assert "lm_head_transform" in told and "NOT ENOUGH" not in told and not (tmp_path / "run").exists()


LORA = '[{"name": "a", "train": "lora", "steps": 1, "lora": {"r": 2}}]'
CLM = '[{"name": "a", "train": "all", "steps": 1, "objective": "clm"}]'
REFUSED = {
    "dropout": ({"dropout": 0.1}, "--dropout above 0 is for RoBERTa's families"),
    "lora": ({"phases": LORA}, "lora is for RoBERTa's families"),
    "clm": ({"phases": CLM}, "objective clm is for decoders"),
    "trelm": ({"architecture": "trelm"}, "--architecture trelm stands on RoBERTa's positions"),
    "long": ({"max_seq_length": 257}, "exceeds the source's 256 positions"),
    "layers": ({"source_num_layers": 5}, "has 1 to 4"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_serve_it_is_refused_before_text_is_read(case, modernbert_options, tmp_path, capsys):
    changes, said = REFUSED[case]
    if "phases" in changes:
        changes = {**changes, "phase1_steps": None, "phase2_steps": None}
    flags = modernbert_options(**{**changes, "corpus": tmp_path / "nothing.txt"})
    assert main([*flags, "--output_dir", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and not (tmp_path / "run").exists()
