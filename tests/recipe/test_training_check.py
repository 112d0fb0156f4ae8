"""Numbers that cannot train are found before the text is read; a run that diverges ends with a line."""

import pytest
from tiny_runs import run

from train_xpt import main

BAD = {
    "learning_rate": ("nan", "learning_rate is nan"),
    "adam_beta1": ("-2", "phase1: the optimizer adamw_torch_fused or the schedule linear cannot be used ("),
    "adam_epsilon": ("-1e30", "cannot be used (Invalid epsilon value"),
    "optim": ("galore_adamw", "phase1: the optimizer galore_adamw or the schedule linear cannot be used ("),
    "lr_scheduler_kwargs": ('{"no_such": 1}', "or the schedule linear cannot be used ("),
    "seed": ("-1", "--seed is -1; give a number from 0 to"),
    "gradient_accumulation_steps": ("-1", "--gradient_accumulation_steps is -1; give a number from 1 to"),
    "per_device_train_batch_size": ("0", "--per_device_train_batch_size is 0; give a number from 1 to"),
    "per_device_eval_batch_size": ("0", "--per_device_eval_batch_size is 0; give a number from 1 to"),
    "max_grad_norm": ("nan", "--max_grad_norm is nan; give a number from 0 to 1e+30"),
    "weight_decay": ("-1", "--weight_decay is -1"),
    "neftune_noise_alpha": ("-inf", "--neftune_noise_alpha is -inf"),
    "dataloader_num_workers": ("-2", "--dataloader_num_workers is -2"),
    "use_liger_kernel": ("true", "--use_liger_kernel needs a package that is not there: pip install liger-"),
    "preprocessing_num_workers": ("0", "--preprocessing_num_workers is 0; give a number from 1 to"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_number_that_cannot_train_is_refused_before_the_text_is_read(
    options, tmp_path, capsys, monkeypatch, name
):
    value, message = BAD[name]
    monkeypatch.setattr("train_xpt.open_source", lambda *args: pytest.fail("went on"))
    monkeypatch.setattr("xpt.training.arguments.is_liger_kernel_available", lambda: False)
    flags = [*options(**{name: None}), f"--{name}={value}", "--output_dir", str(tmp_path / "run")]
    assert main(flags) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ") and message in said, said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("logging_steps", [1, 100])
def test_a_run_that_diverges_ends_with_a_line_and_keeps_no_such_weights(
    options, tmp_path, capsys, logging_steps
):
    flags = options(phase1_learning_rate=1e30, save_steps=1, logging_steps=logging_steps)
    assert main([*flags, "--output_dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: diverged at ") and "of phase1: the loss is " in said
    assert said.endswith("give a lower learning rate and another --output_dir")
    for file in (tmp_path / "run").rglob("*.json*"):
        assert "NaN" not in file.read_text(encoding="utf-8"), file


def test_a_schedule_that_can_train_does(options, tmp_path):
    flags = options(lr_scheduler_type="cosine_with_restarts", lr_scheduler_kwargs='{"num_cycles": 2}')
    assert (run(flags, tmp_path / "run") / "results.json").exists()
