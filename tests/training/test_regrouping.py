"""The same global batch in other processes go on; other rows are refused."""

import pytest
import torch

from xpt.program.errors import XPTError
from xpt.run.folder import Run
from xpt.training.regrouping import regrouped, rows_per_step
from xpt.training.training_state import has_rng_state, save_rng_state, seed_newcomer

TWO = {
    "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "world_size": 2, "n_gpu": 0, "seed": 1
}  # fmt: skip
PRINTS = {"corpus": "c", "tokenizer": "t", "source": "s"}
FOUR = {"per_device_train_batch_size": 2, "world_size": 4}


@pytest.mark.parametrize(
    ("changes", "rows"),
    [({}, 16), ({"world_size": 4}, 32), ({"n_gpu": 1}, 16), ({"world_size": 1, "n_gpu": 3}, 24)],
)
def test_rows_of_a_step_are_those_of_all_devices_and_micro_batches(changes, rows):
    assert rows_per_step({**TWO, **changes}) == rows


def test_settings_that_do_not_tell_are_no_regrouping():
    assert rows_per_step({"seed": 1}) is None
    assert regrouped({"seed": 1}, {"seed": 1}) is None
    assert regrouped(TWO, TWO) is None


def test_a_run_goes_on_in_another_grouping_and_says_so(tmp_path, capsys):
    run = Run(tmp_path / "run", regroups=True)
    run.start(TWO, PRINTS)
    run.check_settings(TWO)
    assert capsys.readouterr().out == ""
    for changes in (FOUR, {"gradient_accumulation_steps": 4, "world_size": 1}, {"n_gpu": 1}):
        run.check_settings({**TWO, **changes})
    said = " ".join(capsys.readouterr().out.split())
    assert "goes on with 4 processes x 2 rows x 2 micro-batches" in said
    assert "goes on with 1 process x 4 rows x 4 micro-batches" in said
    assert (
        said.count("before with 2 processes x 4 rows x 2 micro-batches: the same global batch of 16 rows")
        == 3
    )


def test_other_rows_a_step_or_other_settings_are_refused(tmp_path):
    run = Run(tmp_path / "run", regroups=True)
    run.start(TWO, PRINTS)
    with pytest.raises(XPTError, match=r"world_size \(2 -> 4\)"):
        run.check_settings({**TWO, "world_size": 4})
    with pytest.raises(XPTError, match=r"seed \(1 -> 2\)"):
        run.check_settings({**TWO, **FOUR, "seed": 2})
    # Fine-tuning averages each micro-batch by itself: its heads would weigh examples otherwise.
    with pytest.raises(XPTError, match=r"per_device_train_batch_size \(4 -> 2\), world_size \(2 -> 4\)"):
        Run(tmp_path / "run").check_settings({**TWO, **FOUR})


def test_a_finished_run_is_shown_whatever_the_grouping(tmp_path, capsys):
    run = Run(tmp_path / "run", regroups=True)
    run.start(TWO, PRINTS)
    run.finish({"test": {}})
    run.check_settings({**TWO, **FOUR})
    run.check_settings({**TWO, "world_size": 1})
    assert capsys.readouterr().out == ""


def test_a_new_process_is_seeded_by_seed_step_and_rank(tmp_path):
    def drawn(*place: int) -> tuple:
        seed_newcomer(*place)
        return tuple(torch.rand(4).tolist())

    places = [(1, 6, 2), (1, 6, 3), (1, 7, 2), (2, 6, 2), (16, 2, 2), (1, 62, 2)]
    assert len({drawn(*place) for place in places}) == len(places)
    assert drawn(1, 6, 2) == drawn(1, 6, 2)
    save_rng_state(tmp_path, 1)
    assert has_rng_state(tmp_path, 1) and not has_rng_state(tmp_path, 2)
