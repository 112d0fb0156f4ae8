"""`pip install .` into an empty environment: the command works from another folder, without the checkout."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from klue_runs import nli_file
from places import REPO

PACKAGED = (
    *("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "model_card.md", "xpt", "configs"),
    *("configuration_xpt.py", "modeling_xpt.py", "configuration_trelm.py", "modeling_trelm.py"),
    *("configuration_xpt_modernbert.py", "modeling_xpt_modernbert.py"),
    *("train_xpt.py", "finetune_klue.py"),
)
TRAINED = {
    "vocab_size": 200, "max_seq_length": 32, "per_device_train_batch_size": 4, "phase1_steps": 2,
    "phase2_steps": 2, "gradient_accumulation_steps": 1, "num_fills": 0, "use_cpu": "true",
}  # fmt: skip
TUNED = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "max_seq_length": 32, "use_cpu": "true"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The `bin` of an environment that holds the package and what it asks for, and nothing else."""
    base = tmp_path_factory.mktemp("install")
    for name in PACKAGED:  # a build leaves files beside its sources
        source, copy = REPO / name, base / "sources" / name
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, copy)
    subprocess.run([sys.executable, "-m", "venv", base / "venv"], check=True)
    binaries = base / "venv" / "bin"
    pip = [binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constrained = [*pip, "-c", REPO / "constraints.txt", base / "sources"]
    done = subprocess.run(constrained, capture_output=True, text=True, cwd=base)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(base / "sources")
    return binaries


@pytest.mark.slow
def test_a_fresh_install_trains_fine_tunes_and_exports_from_another_folder(
    installed, tiny_source, tiny_sentences, tmp_path
):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"XPT_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def run(program, *words, **options):
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        done = subprocess.run(
            [installed / program, *map(str, words), *flags],
            cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("xpt", "--version").startswith("xpt ")
    assert "klue/bert-base" in run("xpt", "models", "klue-bert")
    (tmp_path / "text.txt").write_text("\n".join(tiny_sentences), encoding="utf-8")
    data = nli_file(tmp_path / "klue-nli-v1.1_train.json")
    # A method by its name: its file was installed, too.
    source = {"source_model_name_or_path": tiny_source("roberta"), "corpus": "text.txt"}
    assert "test loss" in run("xpt", "train", "xpt_2021", **source, **TRAINED, output_dir="model")
    files = {"train_file": data, "validation_file": data}
    model = {"model_name_or_path": "model", "task": "nli"}
    assert "accuracy" in run("xpt", "finetune", **model, **files, **TUNED, output_dir="nli")
    assert "nli" in run("xpt", "compare", "nli")
    assert "without remote code" in run("xpt", "native", "model", "stock")
    assert json.loads((tmp_path / "stock" / "config.json").read_text())["model_type"] == "roberta"
    assert tiny_sentences[0] in run("xpt", "text", "text.txt").splitlines()
    assert (tmp_path / "nli" / "report.html").is_file()
    where = run("python", "-c", "import xpt, train_xpt; print(xpt.__file__, train_xpt.__file__)").split()
    assert all(Path(file).is_relative_to(installed.parent) for file in where), where
