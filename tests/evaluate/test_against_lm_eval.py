"""Item by item, our log-likelihoods are those of lm-evaluation-harness, which runs its own code."""

import importlib.util

import kobest_files
import pytest
from klue_models import change_config, make_checkpoint
from places import REPO

pytest.importorskip("lm_eval")

pytestmark = pytest.mark.slow
SCRIPT = REPO / "experiments" / "evaluate" / "against_lm_eval.py"
COUNTS = {"train": 30, "validation": 4, "test": 22}
ITEMS = 20


@pytest.fixture(scope="module")
def script():
    found = importlib.util.spec_from_file_location("against_lm_eval", SCRIPT)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("shots", [0, 3])
def test_every_log_likelihood_and_score_is_the_harness_s(shots, script, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    model = make_checkpoint("gpt_neox", tmp_path / "model")
    change_config(model, max_position_embeddings=800)  # so that no shot is cut
    for task in kobest_files.MAKERS:
        kobest_files.write(tmp_path / "data", task, COUNTS)
    rows = script.compare(model, tmp_path / "data", list(kobest_files.MAKERS), shots, ITEMS)
    assert [row["items"] for row in rows] == [ITEMS] * 5
    for row in rows:
        assert row["largest_difference_nats"] < 1e-4, row
        assert row["xpt"] == pytest.approx(row["lm_eval"], abs=1e-6), row
    (swag,) = (row for row in rows if row["task"] == "hellaswag")
    assert "acc_norm" in swag["lm_eval"]
