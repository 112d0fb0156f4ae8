"""Every task learns: a tiny XPT model comes to know 16 examples by heart, from file to official score."""

import json

import klue_files
import pytest
from tiny_readers import make_reader

from finetune_klue import main
from xpt.finetune.klue.dialogue import SLOTS
from xpt.finetune.klue.klue_metric.names import OFFICIAL
from xpt.finetune.klue.tasks import TASKS

EPOCHS = {"wos": 150, "dp": 60}  # 100 for the others
DIALOGUES = 8  # of two turns each


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A tiny model that reads letter by letter, so that nothing is lost inside a token, and knows all."""
    texts = [*SLOTS, *(make(16) for make in klue_files.MAKERS.values())]
    return make_reader(tmp_path_factory.mktemp("reader"), texts, ("none", "yes"))


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
