"""`finetune_klue.py` from files to scores: what a folder holds, stopping and going on, what is refused."""

import json
import math
import shutil
import signal
import subprocess
import sys

import klue_files
import pytest
import torch
from places import REPO
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import xpt.finetune.trainer
from finetune_klue import main
from xpt.finetune.fine_tuning import FineTuning
from xpt.finetune.klue.tasks import make_task
from xpt.finetune.score import score
from xpt.finetune.summary import result_lines
from xpt.finetune.trainer import best_step, is_over
from xpt.program.formatting import short_size
from xpt.run.folder import Run


@pytest.fixture
def options(xpt_checkpoint, tmp_path):
    """Give `options(made, **changes)` the flags of a tiny run on files of 16 examples."""

    def make(made="nli", count=16, **changes):
        train = klue_files.write(tmp_path, made, count, split="train")
        validation = klue_files.write(tmp_path, made, count, split="dev")
        settings = {
            "model_name_or_path": xpt_checkpoint, "task": made, "train_file": train,
            "validation_file": validation, "max_seq_length": 48, "per_device_train_batch_size": 4,
            "num_train_epochs": 2, "learning_rate": 1e-3, "early_stopping_patience": 0, "bf16": "false",
            "logging_steps": 1, "output_dir": tmp_path / "run",
        }  # fmt: skip
        given = {**settings, **changes}
        return [token for name, value in given.items() if value is not None
                for token in (f"--{name}", str(value))]  # fmt: skip

    return make


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_a_folder_holds_model_predictions_and_scores_that_belong_together(options, tmp_path, capsys):
    assert main(options(learning_rate=5e-3, num_train_epochs=6)) == 0
    folder, results = tmp_path / "run", results_of(tmp_path / "run")
    shown = capsys.readouterr().out
    assert (
        "nli/accuracy" in results["metrics"] and f"accuracy {results['metrics']['nli/accuracy']:.2f}" in shown
    )
    assert "not the full set, 16 of 24,998" in shown and "on 16 of 3,000" in shown
    assert not (folder / "checkpoints").exists()
    assert (folder / "model.safetensors").stat().st_mode & 0o044 == 0o044
    # The predictions are scored the same by `score`, and are those of the model that stands there.
    task, gold = make_task("nli"), tmp_path / "nli_dev.json"
    assert score("nli", gold, folder / "predictions.jsonl") == results["metrics"]
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert [model.config.id2label[index] for index in range(3)] == list(task.labels)
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    for row, line in zip(json.loads(gold.read_text()), lines, strict=True):
        inputs = tokenizer(
            row["premise"], row["hypothesis"], return_tensors="pt", truncation=True, max_length=48
        )
        with torch.no_grad():
            label = int(model(**inputs).logits.argmax())
        assert (line["guid"], line["label"]) == (row["guid"], model.config.id2label[label])
    scores = dict(map(tuple, results["scores"]))
    assert list(scores) == list(range(1, 25)) and results["best_step"] == best_step(list(scores.items()))
    assert scores[results["best_step"]] == results["metrics"]["nli/accuracy"]
    assert results["last_metrics"] == {"nli/accuracy": scores[24]}


def test_the_last_steps_score_is_said_beside_the_best_ones():
    results = {
        "reported_as": "nli", "seed": 1, "metrics": {"nli/accuracy": 81.5}, "seconds": {"training": 60.0},
        "data": {"validation": {"whole": True}}, "best_step": 10, "steps": 20,
        "last_metrics": {"nli/accuracy": 79.25},
    }  # fmt: skip
    assert "accuracy 81.50 (last step 79.25)" in result_lines(results)
    assert "last step" not in result_lines({**results, "best_step": 20})


def test_finished_it_is_shown_again_and_other_settings_are_refused(options, tmp_path, capsys):
    assert main(options(num_train_epochs=1)) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    first = capsys.readouterr().out.rstrip().splitlines()
    assert main(options(num_train_epochs=1)) == 0
    shown = capsys.readouterr().out.rstrip().splitlines()
    assert shown == first[-len(shown) :] and "seed 42: accuracy" in shown[0]
    memory = json.loads((tmp_path / "run" / "results.json").read_text())["peak_memory_mib"]["cpu"]
    assert f"peak memory {short_size(memory * 2**20)} cpu)" in " ".join(" ".join(shown).split())
    assert main(options(num_train_epochs=1, learning_rate=2e-3)) == 2
    assert "learning_rate (0.001 -> 0.002)" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}


class Killed(BaseException):
    """What no handler catches, as SIGKILL would leave things."""


@pytest.mark.parametrize(
    "moment", ["saving", *(pytest.param(other, marks=pytest.mark.slow) for other in ("scoring", "best"))]
)
def test_killed_and_started_again_it_ends_bit_equal(options, tmp_path, monkeypatch, moment):
    assert main(options(output_dir=tmp_path / "straight")) == 0
    tuner = xpt.finetune.trainer.FineTuner
    method = {"saving": "_write_checkpoint", "scoring": "measure", "best": "write_model"}[moment]
    genuine, calls = getattr(tuner, method), []

    def dies(self, *args, **kwargs):
        calls.append(self.state.global_step)
        if len(calls) == 4:
            raise Killed
        return genuine(self, *args, **kwargs)

    monkeypatch.setattr(tuner, method, dies)
    with pytest.raises(Killed):
        main(options())
    monkeypatch.setattr(tuner, method, genuine)
    assert not (tmp_path / "run" / "results.json").exists() and calls[-1] >= 3
    assert main(options()) == 0
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "run"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    straight, resumed = (results_of(tmp_path / name) for name in ("straight", "run"))
    for key in ("metrics", "variants", "scores", "best_step", "eval_loss", "data"):
        assert straight[key] == resumed[key], key
    lines = [(tmp_path / name / "predictions.jsonl").read_text() for name in ("straight", "run")]
    assert lines[0] == lines[1]


def test_a_signal_saves_and_the_same_command_goes_on(options, tmp_path, monkeypatch, capsys):
    genuine, calls = xpt.finetune.trainer.FineTuner.training_step, []

    def interrupted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return genuine(self, *args, **kwargs)

    monkeypatch.setattr(xpt.finetune.trainer.FineTuner, "training_step", interrupted)
    assert main(options()) == 143
    assert "after step 3 of fine-tuning, saved in" in capsys.readouterr().err
    assert main(options()) == 0 and len(calls) == 8
    assert results_of(tmp_path / "run")["metrics"]


def test_training_stops_when_nothing_gets_better_and_the_best_weights_are_the_result(options, tmp_path):
    """With a learning rate of 0 the first evaluation stays the best, and two more are waited for."""
    assert main(options(learning_rate=0, early_stopping_patience=2)) == 0
    results = results_of(tmp_path / "run")
    assert [step for step, _ in results["scores"]] == [1, 2, 3] and results["best_step"] == 1


@pytest.mark.parametrize(
    ("values", "best", "over"),
    [
        ([50.0], 1, False),
        ([50.0, 50.0, 50.0], 1, True),
        ([50.0, 60.0, 55.0], 2, False),
        ([math.nan, 0.0, math.nan], 2, False),
        ([math.nan, math.nan, math.nan], 3, False),
        ([70.0, 60.0, 71.0, 70.0, 71.0], 3, True),
    ],
)
def test_which_evaluation_is_best_and_when_patience_ends(values, best, over):
    scores = list(enumerate(values, start=1))
    assert best_step(scores) == best
    assert is_over(scores, 2) is over and not is_over(scores, 0)


def test_several_tasks_and_seeds_have_a_folder_each_and_a_table(xpt_checkpoint, tmp_path, capsys):
    data = tmp_path / "data"
    for task in ("ynat", "nli"):
        kind = make_task(task)
        (data / kind.folder).mkdir(parents=True)
        for split in ("train", "dev"):
            made = klue_files.write(tmp_path, task, 8, split=split)
            shutil.move(made, data / kind.folder / f"{kind.folder}_{split}.json")
    flags = (
        f"--model_name_or_path {xpt_checkpoint} --task ynat nli --seeds 1 2 --data_dir {data} --bf16 false"
    )
    short = "--num_train_epochs 1 --evaluations_per_epoch 1 --max_seq_length 40"
    assert main([*flags.split(), *short.split(), "--output_dir", str(tmp_path / "all")]) == 0
    found = {
        path.parent.relative_to(tmp_path / "all").as_posix() for path in tmp_path.glob("all/*/*/results.json")
    }
    assert found == {f"{task}/seed-{seed}" for task in ("ynat", "nli") for seed in (1, 2)}
    lines = capsys.readouterr().out.strip().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert lines[-len(table) :] == table and len(table) == 4 and " ± " in table[-1]
    assert sum("seed 1: " in line or "seed 2: " in line for line in lines) == 4
    first, second = (load_file(tmp_path / f"all/nli/seed-{seed}" / "model.safetensors") for seed in (1, 2))
    assert not torch.equal(first["classifier.out_proj.weight"], second["classifier.out_proj.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "nil"}, "unknown task 'nil'; there are ynat"),
        ({"task": None}, "no task: give --task"),
        ({"model_name_or_path": None}, "no model: give --model_name_or_path"),
        ({"model_name_or_path": "/nowhere/model"}, "--model_name_or_path /nowhere/model"),
        ({"validation_file": "/nowhere/dev.json"}, "/nowhere/dev.json: cannot be read"),
        ({"num_train_epochs": 0}, "--num_train_epochs is 0"),
        ({"max_train_examples": 0}, "are counts, not 0"),
        ({"max_steps": 5}, "--max_steps is not used: give --num_train_epochs"),
        ({"learning_rte": 5}, "unknown option --learning_rte; did you mean --learning_rate"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line_and_writes_nothing(
    options, tmp_path, capsys, changes, message
):
    assert main(options(**changes)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1] and said[-1].startswith("error: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_train_and_score_as_one(options, xpt_checkpoint, tmp_path):
    still = tmp_path / "still"
    shutil.copytree(xpt_checkpoint, still)
    config = json.loads((still / "config.json").read_text())
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (still / "config.json").write_text(json.dumps({**config, **dropout}))
    shared = {"model_name_or_path": still, "logging_steps": 1, "num_train_epochs": 4}
    assert main(options(**shared, per_device_train_batch_size=8, output_dir=tmp_path / "one")) == 0
    flags = options(**shared, per_device_train_batch_size=4, output_dir=tmp_path / "two")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = REPO / "finetune_klue.py"
    done = subprocess.run([*launcher, str(script), *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (Run(tmp_path / name).read_log() for name in ("one", "two"))
    assert len(one) == len(two) == 8 + 8  # a line and an evaluation a step
    for first, second in zip(one, two, strict=True):
        for key in {"loss", "eval_loss", "eval_nli/accuracy"} & set(first):
            assert first[key] == pytest.approx(second[key], abs=1e-4), (key, first["step"])
    assert results_of(tmp_path / "one")["metrics"] == results_of(tmp_path / "two")["metrics"]
    lines = [(tmp_path / name / "predictions.jsonl").read_text() for name in ("one", "two")]
    assert lines[0] == lines[1] and done.stdout.count("accuracy") == 1


def test_what_stopped_early_does_not_train_on_when_it_is_started_again(options, tmp_path, monkeypatch):
    genuine, steps = xpt.finetune.trainer.FineTuner.training_step, []

    def counted(self, *args, **kwargs):
        steps.append(self.state.global_step)
        return genuine(self, *args, **kwargs)

    def dies(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(xpt.finetune.trainer.FineTuner, "training_step", counted)
    flags = options(learning_rate=0, early_stopping_patience=2)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(FineTuning, "finish", dies)
        main(flags)
    assert len(steps) == 3
    assert main(flags) == 0 and len(steps) == 3
    assert results_of(tmp_path / "run")["best_step"] == 1
