"""Every task of KoBEST learns: a tiny XPT model comes to know 16 examples by heart, from tables to scores."""

import json

import kobest_files
import pytest
from tiny_readers import make_reader

from finetune_klue import main
from xpt.finetune.kobest.tasks import KOBEST

COUNT = 16
QUICK = ("copa", "sentineg")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    texts = [make(COUNT, "train") for make in kobest_files.MAKERS.values()]
    return make_reader(tmp_path_factory.mktemp("reader"), [*texts, "왜냐하면그래서"])


@pytest.mark.learned
@pytest.mark.parametrize(
    "task",
    [pytest.param(task, marks=() if task in QUICK else pytest.mark.slow) for task in KOBEST.tasks],
)
def test_a_tiny_model_overfits_sixteen_examples(task, reader, tmp_path):
    """It trains until nothing has got better for 20 validations, however long that takes."""
    data = kobest_files.write(tmp_path, task, {"train": COUNT}) / kobest_files.FOLDERS[task] / "train.tsv"
    flags = {
        "benchmark": "kobest", "model_name_or_path": reader, "task": task, "train_file": data,
        "validation_file": data, "test_file": data, "output_dir": tmp_path / "run", "num_train_epochs": 400,
        "learning_rate": 2e-3, "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 20,
        "per_device_train_batch_size": 8, "evaluations_per_epoch": 0.2, "early_stopping_patience": 20,
        "max_seq_length": 64, "bf16": "false", "length_grouping": "false",
    }  # fmt: skip
    assert main([token for name, value in flags.items() for token in (f"--{name}", str(value))]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert min(results["metrics"].values()) > 95, (results["metrics"], results["scores"])
