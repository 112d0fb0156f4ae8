"""The oldest transformers that setup.cfg allows: model, heads, trainer and exact resume work there too."""

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
ROOMS = (
    *("test_modeling.py", "test_autoclasses.py", "test_trainer.py", "test_train.py"),
    *("test_adapters.py", "test_methods.py"),
    *("test_klue_models.py", "test_klue_families.py", "test_klue_lora.py", "test_klue_refused.py"),
    *("test_klue_overfit.py", "test_klue_finetune.py", "test_klue_encoding.py"),
)


def floor_of(package: str) -> str:
    """The oldest version that setup.cfg admits."""
    setup = configparser.ConfigParser()
    setup.read(REPO / "setup.cfg")
    required = setup["options"]["install_requires"].split()
    return next(line.split(">=")[1] for line in required if line.startswith(f"{package}>="))


@pytest.mark.slow
def test_everything_that_touches_transformers_works_with_the_oldest_one_allowed(tmp_path):
    floor = f"{floor_of('transformers')}.0"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run(
        [*pip, "--target", str(tmp_path / "site"), f"transformers=={floor}"], capture_output=True, text=True
    )
    assert installed.returncode == 0, installed.stderr
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "site"),
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
    }
    asked = [sys.executable, "-c", "import transformers; print(transformers.__version__)"]
    version = subprocess.run(asked, env=environment, capture_output=True, text=True)
    assert version.stdout.strip() == floor, version.stderr
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "-m", "not slow"]
    done = subprocess.run(
        [*pytest_, *(f"tests/{room}" for room in ROOMS)],
        cwd=REPO,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
