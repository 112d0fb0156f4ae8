"""One phase under the Trainer: what moves, exact resume, accumulation, checkpoints without pickle."""

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_examples import make_examples
from tiny_models import make_model
from transformers import TrainerCallback

from xpt.program.errors import XPTError
from xpt.program.interrupts import StopRequest
from xpt.recipe.training import XPTTrainingArguments
from xpt.text.masking import MLMCollator
from xpt.text.packing import RowStream
from xpt.text.reading import Reading
from xpt.training import training_state
from xpt.training.checkpoints import Checkpoints
from xpt.training.parts import NEW_GROUPS
from xpt.training.phases import Phase
from xpt.training.trainable import set_trainable
from xpt.training.trainer import PhaseData, load_weights, phase_arguments, train_phase

STEPS = 8


def tiny_model(dropout: float = 0.1):
    torch.manual_seed(0)
    return make_model(
        vocab_size=500,
        max_position_embeddings=70,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )


def training_arguments(folder, **changes) -> XPTTrainingArguments:
    base = {
        "per_device_train_batch_size": 2,
        "save_steps": 3,
        "logging_steps": 2,
        "use_cpu": True,
        "bf16": False,
    }
    return XPTTrainingArguments(output_dir=str(folder), **{**base, **changes})


class Stop(TrainerCallback):
    """Ends the process, as far as the Trainer can tell, after a step."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def checkpoints_in(folder) -> Checkpoints:
    return Checkpoints(Path(folder), {"settings": "s", "fingerprints": {"corpus": "c"}})


def run(folder, tokenizer, packing=True, train=("all",), callbacks=(), model=None, steps=STEPS, **changes):
    """Train one phase from step 0 or its newest checkpoint; give back the model."""
    examples = make_examples(60)
    model = model if model is not None else tiny_model()
    phase = Phase("phase", tuple(train), steps, learning_rate=1e-3)
    set_trainable(model, phase.train)
    rows = RowStream(examples.lengths, 64, packing, seed=1)
    with StopRequest().installed() as stop:
        train_phase(
            model,
            phase,
            phase_arguments(training_arguments(folder, **changes), phase, 0, Path(folder) / "phase"),
            PhaseData(
                Reading.of(rows, 5),
                MLMCollator(examples, 0.15, 1, packing),
                tokenizer,
                changes.get("validation"),
            ),
            checkpoints_in(folder),
            stop,
            list(callbacks),
        )
    return model


def equal(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(
    ("accumulation", "packing"),
    [
        (3, True),
        *(pytest.param(*other, marks=pytest.mark.slow) for other in ((1, True), (1, False), (3, False))),
    ],
)
def test_interrupted_anywhere_training_ends_bit_equal(tmp_path, tiny_tokenizer, packing, accumulation):
    options = {"packing": packing, "gradient_accumulation_steps": accumulation}
    undisturbed = run(tmp_path / "whole", tiny_tokenizer, **options)
    for step in (2, 3, 5, 7):
        folder = tmp_path / f"stopped-{step}"
        with pytest.raises(KeyboardInterrupt):
            run(folder, tiny_tokenizer, callbacks=[Stop(step)], **options)
        assert equal(run(folder, tiny_tokenizer, **options), undisturbed), step


def test_loader_workers_change_no_bit(tmp_path, tiny_tokenizer):
    alone = run(tmp_path / "0", tiny_tokenizer, dataloader_num_workers=0)
    for workers, prefetch in ((1, 4), (2, 1), (3, 2)):
        loading = {"dataloader_num_workers": workers, "dataloader_prefetch_factor": prefetch}
        helped = run(
            tmp_path / str(workers), tiny_tokenizer, dataloader_persistent_workers=workers > 1, **loading
        )
        assert equal(helped, alone), workers


def test_the_logged_loss_counts_the_steps_before_an_interruption(tmp_path, tiny_tokenizer):
    class Keep(TrainerCallback):
        def __init__(self):
            self.losses = {}

        def on_log(self, args, state, control, logs, **kwargs):
            if "loss" in logs:
                self.losses[state.global_step] = logs["loss"]

    whole, resumed = Keep(), Keep()
    run(tmp_path / "whole", tiny_tokenizer, callbacks=[whole])
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", tiny_tokenizer, callbacks=[Stop(5)])
    run(tmp_path / "stopped", tiny_tokenizer, callbacks=[resumed])
    assert resumed.losses == {step: loss for step, loss in whole.losses.items() if step > 3}


@pytest.mark.parametrize("train", [NEW_GROUPS, ("itl.in", "encoder.1")])
def test_frozen_tensors_stay_bit_identical_under_weight_decay_and_trained_ones_move(
    tmp_path, tiny_tokenizer, train
):
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    run(tmp_path, tiny_tokenizer, train=train, model=model, weight_decay=0.5)
    trained = set(set_trainable(model, train))
    for name, parameter in model.named_parameters():
        if name.endswith("attention.self.key.bias"):
            continue  # softmax is the same for every key bias: its gradient is rounding noise
        assert torch.equal(parameter, before[name]) != (name in trained), name


def gradients(model, tokenizer, folder, batch_size, accumulation):
    """Gradients that reach the optimizer at the first step, and the loss the Trainer logs."""
    seen = {}

    class Look(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
            seen["gradients"] = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

        def on_log(self, args, state, control, logs, **kwargs):
            seen.setdefault("loss", logs.get("loss"))

    run(
        folder,
        tokenizer,
        packing=False,
        callbacks=[Look()],
        model=model,
        steps=1,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        max_grad_norm=0.0,
        logging_steps=1,
    )
    return seen


@pytest.mark.parametrize("sparse", [False, True])
def test_accumulation_changes_neither_loss_nor_gradients(tmp_path, tiny_tokenizer, sparse):
    seen = []
    for batch_size, accumulation in ((8, 1), (2, 4)):
        model = tiny_model(dropout=0.0).double()
        model.config.sparse_prediction = sparse
        seen.append(gradients(model, tiny_tokenizer, tmp_path / str(accumulation), batch_size, accumulation))
    assert seen[0]["loss"] == pytest.approx(seen[1]["loss"], rel=1e-6)
    for name, gradient in seen[0]["gradients"].items():
        scale = gradient.abs().max().item()
        assert (gradient - seen[1]["gradients"][name]).abs().max().item() <= 1e-6 * scale + 1e-15, name


def test_a_checkpoint_is_whole_holds_no_pickle_and_old_ones_go(tmp_path, tiny_tokenizer):
    run(tmp_path, tiny_tokenizer, save_steps=2, save_total_limit=2)
    assert {path.name for path in (tmp_path / "phase").iterdir()} == {"checkpoint-6", "checkpoint-8"}
    newest = tmp_path / "phase" / "checkpoint-8"
    files = {file.name for file in newest.iterdir()}
    assert {"optimizer.safetensors", "scheduler.json", "rng-0.safetensors", "trainer_state.json"} <= files
    assert {"modeling_xpt.py", "configuration_xpt.py", "tokenizer.json", "config.json"} <= files
    for file in newest.iterdir():
        start = file.read_bytes()[:4]
        assert start[:2] != b"\x80\x04" and start != b"PK\x03\x04", f"{file.name} looks like a pickle"
    assert json.loads((newest / "config.json").read_text())["sparse_prediction"] is False


def test_optimizer_state_is_matched_by_name(tmp_path):
    model = tiny_model()
    set_trainable(model, ("itl.in",))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    training_state.save_optimizer(optimizer, model, tmp_path)
    same = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1.0)
    training_state.load_optimizer(same, model, tmp_path)
    before, after = optimizer.state_dict(), same.state_dict()
    assert json.dumps(before["param_groups"]) == json.dumps(after["param_groups"])
    for index, values in before["state"].items():
        assert all(torch.equal(value, after["state"][index][key]) for key, value in values.items())
    # The other ITL has tensors of the very same shapes; a match by position would take its moments.
    set_trainable(model, ("itl.out",))
    other = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with pytest.raises(XPTError, match="trained other parameters"):
        training_state.load_optimizer(other, model, tmp_path)


def test_generators_come_back(tmp_path):
    import random

    import numpy as np

    random.gauss(0, 1), np.random.normal(), torch.rand(3)
    training_state.save_rng_state(tmp_path, 0)
    drawn = random.gauss(0, 1), np.random.normal(), torch.rand(3)
    training_state.load_rng_state(tmp_path, 0)
    again = random.gauss(0, 1), np.random.normal(), torch.rand(3)
    assert drawn[:2] == again[:2] and drawn[2].equal(again[2])


def test_weights_of_another_shape_are_refused(tmp_path, tiny_tokenizer):
    run(tmp_path, tiny_tokenizer, steps=1)
    checkpoint = tmp_path / "phase" / "checkpoint-1"
    assert load_file(checkpoint / "model.safetensors")
    with pytest.raises(ValueError, match="does not fit this model"):
        load_weights(make_model(num_hidden_layers=2, vocab_size=500, max_position_embeddings=70), checkpoint)
