"""Every task learns: a tiny XPT model comes to know 16 examples by heart, from file to official score."""

import copy
import json

import klue_files
import pytest
import torch
from klue_tokenizers import make_tokenizer
from transformers import set_seed

from configuration_xpt import XPTRobertaConfig
from finetune_klue import main
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.finetune.klue.dialogue import SLOTS
from xpt.finetune.klue.klue_metric.names import OFFICIAL
from xpt.finetune.klue.tasks import TASKS

EPOCHS = {"wos": 150, "dp": 60}  # 100 for the others
DIALOGUES = 8  # of two turns each


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A tiny model that reads letter by letter, so that nothing is lost inside a token, and knows all."""
    tokenizer = copy.deepcopy(make_tokenizer("character"))
    letters = {*"".join(SLOTS), *"".join(make(16) for make in klue_files.MAKERS.values())}
    new = {letter for letter in letters - set(tokenizer.get_vocab()) if not letter.isspace()}
    tokenizer.add_tokens([*sorted(new), "none", "yes"])
    set_seed(5)
    config = XPTRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=80, pad_token_id=tokenizer.pad_token_id,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2,
    )  # fmt: skip
    model = XPTRobertaForMaskedLM(config)
    # Far apart from the start, as those of a trained model are.
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    torch.nn.init.normal_(model.roberta.embeddings.position_embeddings.weight)
    folder = tmp_path_factory.mktemp("reader")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


QUICK = ("nli", "mrc")


@pytest.mark.learned
@pytest.mark.parametrize(
    "task",
    [pytest.param(task, marks=() if task in QUICK else pytest.mark.slow) for task in TASKS],
)
def test_a_tiny_model_overfits_sixteen_examples(task, reader, tmp_path):
    file = klue_files.write(tmp_path, task, DIALOGUES if task == "wos" else 16)
    flags = {
        "model_name_or_path": reader, "task": task, "train_file": file, "validation_file": file,
        "output_dir": tmp_path / "run", "num_train_epochs": EPOCHS.get(task, 100), "learning_rate": 2e-3,
        "per_device_train_batch_size": 8, "evaluations_per_epoch": 0.1, "early_stopping_patience": 0,
        "max_seq_length": 64, "weight_decay": 0, "warmup_steps": 0.1, "bf16": "false",
        "length_grouping": "false",  # lengths tell a dialogue's turns: a batch would have one kind of them
    }  # fmt: skip
    assert main([token for name, value in flags.items() for token in (f"--{name}", str(value))]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert results["metrics"][OFFICIAL[task][0]] > 95, (results["metrics"], results["scores"])
