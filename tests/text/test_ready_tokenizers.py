"""A ready tokenizer of another kind: trained on, kept, exported, tuned; or refused before text is read."""

import json

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from klue_files import write
from ready_tokenizers import leave_a_hole, saved, wordpiece
from tiny_runs import run, weights
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast, RobertaForMaskedLM

import finetune_klue
from train_xpt import main
from xpt.release.native import export_native
from xpt.release.staged_card import CardFacts, write_phase_card
from xpt.text.encoding import EncodedSentences


@pytest.fixture(scope="module")
def trained(options, corpus_file, tmp_path_factory):
    """A run with a tokenizer of BERT's kind whose ids have a hole, on text that spells special tokens."""
    place = tmp_path_factory.mktemp("bert-like")
    lines = corpus_file.read_text(encoding="utf-8").splitlines()
    spelled = [
        f"{line} 그리고 [MASK] 와 [SEP] 를 쓴다." if number % 3 else line for number, line in enumerate(lines)
    ]
    (place / "text.txt").write_text("\n".join(spelled), encoding="utf-8")
    given = options(
        corpus=place / "text.txt",
        tokenizer_name_or_path=saved(wordpiece(change=leave_a_hole), place / "tokenizer"),
        cache_dir=place / "cache",
        splitter="lines",
    )
    return run(given, place / "run"), place / "cache"


def test_it_is_trained_between_cls_and_sep(trained):
    folder, cache = trained
    config = json.loads((folder / "config.json").read_text())
    assert {name: config[f"{name}_token_id"] for name in ("bos", "eos", "pad")} == {
        "bos": 2,
        "eos": 3,
        "pad": 0,
    }
    assert config["vocab_size"] == 301
    assert weights(folder)["roberta.embeddings.word_embeddings.weight"].shape == (301, 32)
    kept = PreTrainedTokenizerFast.from_pretrained(folder)
    assert kept.convert_ids_to_tokens(kept("국회는")["input_ids"])[
        :: len(kept("국회는")["input_ids"]) - 1
    ] == ["[CLS]", "[SEP]"]
    for ids in (cache / "ids").glob("*/ids.npy"):
        used = set(np.unique(EncodedSentences.load(ids.parent).ids).tolist())
        assert (
            used and not used & {0, 2, 3, 4, 20} and max(used) <= 300
        )  # special ones but [UNK], and the hole
    results = json.loads((folder / "results.json").read_text())
    assert len(results["fills"]) == 3 and all(
        one["sentence"].count("[MASK]") >= 1 for one in results["fills"]
    )
    assert results["test"]["masked_tokens"] > 0 and np.isfinite(results["unigram_loss"])
    assert "mask_token: '[MASK]'" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_of_a_phase_names_its_mask(trained, tmp_path):
    folder, _ = trained
    (tmp_path / "tokenizer_config.json").write_bytes((folder / "tokenizer_config.json").read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_phase_card(tmp_path, CardFacts("org/x"), config)
    assert ModelCard((tmp_path / "README.md").read_text(encoding="utf-8")).data.mask_token == "[MASK]"


def test_its_native_twin_gives_the_same(trained, tmp_path):
    folder, _ = trained
    export_native(folder, tmp_path / "native")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "native")
    inputs = tokenizer(
        ["국회는 오늘 [MASK]", "정부는 어제 사업의 문화를 읽었다."], padding=True, return_tensors="pt"
    )
    ours = AutoModelForMaskedLM.from_pretrained(folder).eval()
    stock = RobertaForMaskedLM.from_pretrained(tmp_path / "native").eval()
    with torch.no_grad():
        assert torch.equal(ours(**inputs).logits, stock(**inputs).logits)


def test_it_is_trained_further_with_its_own_words(trained, options, tmp_path):
    folder, _ = trained
    again = run(options(source_model_name_or_path=folder, phase1_steps=0, phase2_steps=1), tmp_path / "again")
    assert json.loads((again / "config.json").read_text())["vocab_size"] == 301


@pytest.mark.parametrize(
    ("task", "code", "message"),
    [("nli", 0, ""), ("re", 2, "take --entity_markers none, or number its pieces")],
)
def test_it_is_fine_tuned(trained, tmp_path, capsys, task, code, message):
    folder, _ = trained
    train, dev = (write(tmp_path, task, 12, split=split) for split in ("train", "dev"))
    flags = {"model_name_or_path": folder, "task": task, "train_file": train, "validation_file": dev}
    flags |= {"output_dir": tmp_path / "out", "num_train_epochs": 1, "max_seq_length": 24, "bf16": "false"}
    given = [token for name, value in flags.items() for token in (f"--{name}", str(value))]
    assert finetune_klue.main(given) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"mask": None}, "has no mask token"),
        ({"pad": None}, "has no pad token"),
        ({"framed": False, "cls": None, "sep": None}, "has no two tokens to put around a text"),
        ({"framed": False, "cls": None, "sep": None, "eos": "[SEP]"}, "has no two tokens"),
    ],
)
def test_one_that_cannot_serve_is_refused_before_text_is_read(options, tmp_path, capfd, choices, message):
    tokenizer = saved(wordpiece(**choices), tmp_path / "tokenizer")
    given = options(tokenizer_name_or_path=tokenizer, cache_dir=tmp_path / "cache")
    capfd.readouterr()
    assert main([*given, "--output_dir", str(tmp_path / "run")]) == 2
    said = capfd.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and message in said.err
    assert not (tmp_path / "cache").exists() and not (tmp_path / "run").exists()
