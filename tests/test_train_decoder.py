"""Whole tiny runs on decoders: the same program, recipes and guarantees as for encoders."""

import json

import pytest
import torch
from alone import WITHOUT_THE_PACKAGE, run_alone
from tiny_decoders import COMMON, KINDS, decoder_source, random_decoder, some_ids
from tiny_runs import assert_equal_runs, run, stop_after, weights

from train_xpt import main
from xpt.recipe.command_line import read_recipe
from xpt.run.folder import Run
from xpt.run.preparation import prepare_text
from xpt.run.summary import summarize
from xpt.training.trainable import training_dropout
from xpt.transplant.parameter_groups import parameter_group
from xpt.transplant.source_checkpoint import open_source

RECIPE = "configs/methods/xpt_2021.yaml"
SHAPE = {"vocab_size": 600, "per_device_train_batch_size": 4}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """An untied one whose class names its output matrix otherwise than its files, and a tied one."""
    folder = tmp_path_factory.mktemp("decoders")
    return {
        "gpt_neox": decoder_source(folder / "neox", "gpt_neox", tied=False, hidden_dropout=0.1),
        "llama": decoder_source(folder / "llama", "llama"),
    }


@pytest.fixture(scope="module")
def decoder_options(sources, options):
    """Give `decoder_options(kind, **changes)` the flags of a tiny run."""

    def make(kind="gpt_neox", recipe=(), **changes):
        return [*recipe, *options(source_model_name_or_path=sources[kind], **SHAPE, **changes)]

    return make


@pytest.fixture(scope="module")
def finished(decoder_options, tmp_path_factory):
    return run(decoder_options(), tmp_path_factory.mktemp("runs") / "whole")


def test_phase_1_leaves_all_that_was_copied_as_it_was(finished, sources):
    folder = Run(finished).checkpoints.path("phase1", 4)
    config = type(open_source(sources["gpt_neox"]).config).from_pretrained(finished)
    before, after = weights(finished / "checkpoints" / "initial"), weights(folder)
    learned = set()
    for name, tensor in before.items():
        group = parameter_group(name, config)
        if not torch.equal(tensor, after[name]):
            learned.add(group)
    assert learned == {"word_embeddings", "output_embeddings", "itl.in", "itl.out"}
    source = open_source(sources["gpt_neox"]).body
    for layer in range(COMMON["num_hidden_layers"]):
        old, new = f"gpt_neox.layers.{layer}.", f"gpt_neox.layers.{layer + 1}."
        for name in (name for name in source if name.startswith(old)):
            assert torch.equal(source[name], after[name.replace(old, new)])


def test_phase_2_trains_everything(finished):
    results = json.loads((finished / "results.json").read_text())
    assert [phase["objective"] for phase in results["phases"]] == ["clm", "clm"]
    assert all("mlm_probability" not in phase for phase in results["phases"])
    one = weights(Run(finished).checkpoints.path("phase1", 4))
    two = weights(finished)
    assert all(not torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_a_run_that_was_stopped_ends_as_one_that_was_not(decoder_options, finished, tmp_path, monkeypatch):
    stop_after(monkeypatch, ("phase1", 3), ("phase2", 1))
    for code in (143, 143, 0):
        assert main([*decoder_options(), "--output_dir", str(tmp_path / "run")]) == code
    assert_equal_runs(finished, tmp_path / "run")


def test_losses_by_token_character_and_byte_are_of_the_same_sum(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["test"]["masked_tokens"] == results["test_text"]["tokens"]
    total = results["test"]["loss"] * results["test"]["masked_tokens"]
    lines = summarize(Run(finished))
    assert f"{total / results['test_text']['bytes']:.3f} nats per byte" in lines
    assert "masked" not in lines and "AutoModelForCausalLM" in lines and "trust_remote_code" not in lines
    assert "text goes on:" in lines


def test_word_frequencies_know_how_often_texts_end(decoder_options, sources, tmp_path):
    """As many `</s>` are asked for as texts: a baseline that has never seen one would be a bad one."""
    recipe = read_recipe([*decoder_options(), "--output_dir", str(tmp_path)])
    text = prepare_text(recipe, open_source(sources["gpt_neox"]))
    ends, others = len(text.train), int(text.counts.sum())
    share = (ends + 1) / (ends + others + SHAPE["vocab_size"])  # add-one smoothed
    assert float(text.log_probs[text.special.eos].exp()) == pytest.approx(share, rel=1e-4)
    assert text.counts[text.special.eos] == 0


def test_the_card_is_of_a_decoder(finished):
    text = (finished / "README.md").read_text()
    assert "pipeline_tag: text-generation" in text and "task_name" not in text.split("---")[0]
    assert "AutoModelForCausalLM" in text and "trust_remote_code" not in text and "mask" not in text.lower()
    assert "As the model does" in text and "stock `GPTNeoXForCausalLM`" in text


ALONE = f"""{WITHOUT_THE_PACKAGE}
import json, sys
from transformers import pipeline
write = pipeline("text-generation", model=sys.argv[1])
text = write("국회는 오늘", max_new_tokens=8, do_sample=False)[0]["generated_text"]
ids = write.tokenizer("국회는 오늘").input_ids
print(json.dumps([text, ids, type(write.model).__module__, write.model.config.use_cache]))
"""


def test_the_result_writes_text_where_this_package_is_not(finished, tmp_path):
    (text, ids, module, cache), _ = run_alone(ALONE, tmp_path, finished)
    assert text.startswith("국회는 오늘") and len(text) > len("국회는 오늘")
    assert ids[0] == 0 and 2 not in ids and cache
    assert module == "transformers.models.gpt_neox.modeling_gpt_neox"


def test_the_recipe_of_the_method_serves_a_decoder(decoder_options, tmp_path):
    """Tied, without packing; random embeddings; ITLs that begin as identities."""
    changes = {"itl_init": "identity", "phase1_steps": 1, "phase2_steps": 1}
    folder = run(decoder_options("llama", (RECIPE,), **changes), tmp_path / "run")
    assert open_source(folder).is_xpt


def test_a_decoder_goes_on_from_a_decoder(finished, options, tmp_path):
    folder = run(
        options(source_model_name_or_path=finished, phase1_steps=1, phase2_steps=1, vocab_size=None),
        tmp_path / "run",
    )
    results = json.loads((folder / "results.json").read_text())
    assert "ITLs copied" in results["transplant"]["notes"][0]
    first = json.loads((finished / "results.json").read_text())
    assert results["before"]["eval_loss"] == pytest.approx(first["phases"][-1]["eval_loss"], abs=1e-6)


REFUSED = {
    "whole_word_masking": ({"whole_word_masking": "true"}, "--whole_word_masking masks"),
    "dropout": ({"dropout": 0.1}, "--dropout above 0 is for encoders"),
    "mlm": ({"phases": '[{"name": "a", "train": "all", "steps": 1, "objective": "mlm"}]'}, "give clm"),
    "lora": (
        {"phases": '[{"name": "a", "train": "lora", "steps": 1, "lora": {"r": 2}}]'},
        "lora is for encoders as yet",
    ),
    "trelm": ({"architecture": "trelm"}, "--architecture trelm is for encoders"),
    "long": ({"max_seq_length": 65}, "exceeds the source's 64 positions"),
    "mixed": ({"output_bias_init": "mixed", "embedding_init": "focus"}, "--embedding_init focus compares"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_serve_a_decoder_is_refused_before_text_is_read(
    case, decoder_options, tmp_path, capsys
):
    changes, said = REFUSED[case]
    if "phases" in changes:
        changes = {**changes, "phase1_steps": None, "phase2_steps": None}
    flags = decoder_options("llama", **{**changes, "corpus": tmp_path / "nothing.txt"})
    assert main([*flags, "--output_dir", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert said in told and not (tmp_path / "run").exists()


def test_an_encoder_has_no_causal_phase(options, tmp_path, capsys):
    phases = '[{"name": "a", "train": "all", "steps": 1, "objective": "clm"}]'
    flags = options(phases=phases, phase1_steps=None, phase2_steps=None)
    assert main([*flags, "--output_dir", str(tmp_path / "run")]) == 2
    assert "objective clm is for decoders" in capsys.readouterr().err


def test_a_dry_run_speaks_for_the_run(decoder_options, tmp_path, capsys):
    assert main([*decoder_options(), "--dry_run", "true", "--output_dir", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().out
    assert "output_embeddings" in told and "final_norm" in told and "NOT ENOUGH" not in told


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_of_0_is_that_of_attention_too(kind):
    model = random_decoder(kind, attention_dropout=0.5).train()
    ids = some_ids(2, 12)
    with torch.no_grad():
        assert not torch.equal(model(ids).logits, model(ids).logits)
        with training_dropout(model, 0.0):
            assert torch.equal(model(ids).logits, model(ids).logits)
