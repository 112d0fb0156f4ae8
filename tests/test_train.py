"""The whole way, as a user goes it: `train_xpt.py` on tiny sources and text, here and in a new process."""

import json
import random
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from conftest import korean_sentences
from places import REPO
from tiny_runs import comparable_results, losses, run, weights

from train_xpt import main
from xpt.cards.card import render_card
from xpt.program.files import read_record, write_record
from xpt.run.folder import Run
from xpt.run.progress import PhaseProgress
from xpt.transplant import source_checkpoint
from xpt.transplant.parameter_groups import parameter_group


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Finished tiny runs by source, made once."""
    made: dict[tuple, Path] = {}

    def make(options, family, head=True):
        if (family, head) not in made:
            made[family, head] = run(
                options(family, head), tmp_path_factory.mktemp("runs") / f"{family}-{head}"
            )
        return made[family, head]

    return make


def test_an_option_that_came_after_the_run_began_is_refused(options, tmp_path, capsys):
    """A run of older code has no word of it in its record, and went by the default."""
    record = run(options(), tmp_path / "run") / "run.json"
    stored = read_record(record)
    del stored["settings"]["whole_word_masking"]
    write_record(record, stored)
    run(options(), tmp_path / "run")
    assert main([*options(whole_word_masking="true"), "--output_dir", str(tmp_path / "run")]) == 2
    assert "other settings: whole_word_masking (default -> True)" in capsys.readouterr().err


@pytest.mark.parametrize(("family", "head"), [("roberta", True), ("bert", True), ("bert", False)])
def test_phase_one_moves_what_is_new_only_and_phase_two_everything(options, finished, family, head):
    folder = finished(options, family, head)
    start = weights(folder / "checkpoints" / "initial")
    first = weights(folder / "checkpoints" / "phase1" / "checkpoint-4")
    second = weights(folder)
    new = {"word_embeddings", "itl", "lm_head_bias"} | (set() if head else {"lm_head_transform"})
    for name in start:
        moves = parameter_group(name).split(".")[0] in new
        if name.endswith("attention.self.key.bias"):
            assert moves or torch.equal(start[name], first[name]), name
            continue
        assert torch.equal(start[name], first[name]) != moves, name
        assert not torch.equal(first[name], second[name]), name


def test_the_run_folder_explains_itself(options, finished):
    folder = finished(options, "roberta")
    names = {file.name for file in folder.iterdir()}
    assert names >= {
        "model.safetensors",
        "config.json",
        "modeling_xpt.py",
        "configuration_xpt.py",
        "README.md",
    }
    assert names >= {"tokenizer.json", "tokenizer_config.json", "results.json", "loss.png", "log.jsonl"}
    results = json.loads((folder / "results.json").read_text())
    assert "3 of 3 layers kept" in (folder / "README.md").read_text()
    assert results["command"].startswith("python train_xpt.py --source_model_name_or_path")
    assert set(results) >= {
        "command",
        "seed",
        "versions",
        "hardware",
        "source",
        "corpus",
        "parameters",
        "phases",
    }
    assert [phase["name"] for phase in results["phases"]] == ["phase1", "phase2"]
    for phase in results["phases"]:
        assert phase["steps"] == 4 and 0 < phase["tokens"] <= 4 * 4 * 32 and phase["tokens_per_second"] > 0
    assert results["test"]["masked_tokens"] > 20 and results["unigram_loss"] > 0
    assert sum(results["parameters"].values()) == sum(tensor.numel() for tensor in weights(folder).values())
    counts = results["corpus"]["splits"]
    assert sum(counts[split]["sentences"] for split in ("train", "validation", "test")) == 1500
    logged = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [(e["phase"], e["step"]) for e in logged] == [(p, s) for p in ("phase1", "phase2") for s in (2, 4)]
    assert not [file for file in folder.rglob("*") if file.suffix in {".bin", ".pt", ".pth", ".pkl"}]


def test_the_card_holds_the_measured_numbers(options, finished):
    folder = finished(options, "roberta")
    card, results = (folder / "README.md").read_text(), json.loads((folder / "results.json").read_text())
    assert f"{results['test']['loss']:.3f}" in card and f"{results['unigram_loss']:.3f}" in card
    assert "pipeline_tag: fill-mask" in card and "{{" not in card
    assert "| Text | `korean.txt` |\n| Letters | 100.0 % Hangul |\n| Sentences | " in card
    assert "# roberta-True\n\nA Korean encoder made by" in card and "language: ko\n" in card


def test_the_card_of_a_mixture_says_what_each_entry_gave(options, finished):
    results = json.loads((finished(options, "roberta") / "results.json").read_text())
    (entry,) = results["corpus"]["entries"]
    other = {**entry, "name": "news", "weight": 0.25}
    other["splits"] = {"train": {"sentences": 1234}}
    results["corpus"]["entries"] = [{**entry, "weight": 0.75}, other]
    results["corpus"]["inputs"] = [{"file": f"{number}.txt"} for number in range(12)]
    results["settings"]["language"] = "sr-Latn"
    card = render_card(results, "mixed")
    count = f"{entry['splits']['train']['sentences']:,}"
    row = f"{count} sentences of `korean.txt` (weight 0.75), 1,234 sentences of `news` (weight 0.25) |"
    assert f"`9.txt` and 2 more |\n| Training text | {row}\n" in card
    assert "A Serbian (Latin) encoder made by" in card and "language: sr\n" in card


def test_a_run_starts_by_saying_what_each_entry_gave(options, tmp_path, capsys):
    lines = korean_sentences(900)
    names = [str(tmp_path / name) for name in ("news.txt", "wiki.txt")]
    for name, part in zip(names, (lines[:600], lines[600:]), strict=True):
        Path(name).write_text("\n".join(part), encoding="utf-8")
    flags = ["--corpus", *names, "--corpus_weights", "3", "1", "--train_sentences", "400"]
    folder = run([*options(corpus=None, phase1_steps=1, phase2_steps=0), *flags], tmp_path / "run")
    said = capsys.readouterr().out
    entries = json.loads((folder / "results.json").read_text())["corpus"]["entries"]
    assert [entry["splits"]["train"]["sentences"] for entry in entries] == [300, 100]
    for entry, weight in zip(entries, (3, 1), strict=True):
        train = entry["splits"]["train"]
        assert (
            f"  {entry['name']}, weight {weight}: {train['sentences']} of {train['available']} training "
            f"sentences, {train['characters']:,} characters\n    letters: 100.0% Hangul; dropped: nothing\n"
        ) in said
    assert not [line for line in said.splitlines() if "weight" in line and len(line) > 100]


def test_the_result_loads_in_a_process_without_the_package(options, finished, tmp_path):
    folder = finished(options, "bert")
    code = f"""
from transformers import AutoModel, AutoTokenizer, pipeline
tokenizer = AutoTokenizer.from_pretrained({str(folder)!r}, trust_remote_code=False)
model = AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=True)
assert model(**tokenizer("국회는 오늘", return_tensors="pt")).last_hidden_state.isfinite().all()
fill = pipeline("fill-mask", model={str(folder)!r}, trust_remote_code=True)
print(len(fill("국회는 <mask> 읽었다.")))
"""
    environment = {"HF_MODULES_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.strip() == "5", done.stderr


def test_a_finished_run_prints_its_result_and_changes_nothing(options, finished, capsys):
    folder = finished(options, "roberta")
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert main([*options("roberta"), "--output_dir", str(folder), "--logging_steps", "1"]) == 0
    assert "test loss" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("accumulation", "packing"),
    [
        ("3", "true"),
        *(
            pytest.param(*other, marks=pytest.mark.slow)
            for other in (("1", "true"), ("1", "false"), ("3", "false"))
        ),
    ],
)
def test_interrupted_at_five_random_points_the_run_ends_bit_equal(
    options, tmp_path, monkeypatch, packing, accumulation
):
    flags = options(packing=packing, gradient_accumulation_steps=accumulation)
    whole = run(flags, tmp_path / "whole")
    stopped = tmp_path / "stopped"
    chooser = random.Random(f"{packing} {accumulation}")
    points = {(name, step) for name in ("phase1", "phase2") for step in chooser.sample(range(1, 5), 2)}
    points.add("phase change")
    step_end, record = PhaseProgress.on_step_end, Run.record

    def interrupt(point):
        if point in points:
            points.remove(point)
            raise KeyboardInterrupt

    def on_step_end(self, args, state, control, **kwargs):
        step_end(self, args, state, control, **kwargs)
        interrupt((self.phase, state.global_step))

    def record_stage(self, stage, result):
        if stage == "phase1":
            interrupt("phase change")
        record(self, stage, result)

    monkeypatch.setattr(PhaseProgress, "on_step_end", on_step_end)
    monkeypatch.setattr(Run, "record", record_stage)
    codes = []
    while not codes or codes[-1] == 130:
        codes.append(main([*flags, "--output_dir", str(stopped)]))
    assert codes == [130] * 5 + [0]

    assert all(torch.equal(tensor, weights(stopped)[name]) for name, tensor in weights(whole).items())
    assert comparable_results(whole) == comparable_results(stopped)
    assert losses(whole) == losses(stopped)


def test_the_source_is_not_held_while_training(options, tmp_path, monkeypatch):
    """Its weights beside the model's would be a second model in memory."""
    opened, held = [], []

    def open_source(*given):
        source = source_checkpoint.open_source(*given)
        opened.append(weakref.ref(source))
        return source

    def on_step_end(self, *given, **kwargs):
        held.append(opened[0]() is not None)
        step_end(self, *given, **kwargs)

    step_end = PhaseProgress.on_step_end
    monkeypatch.setattr("train_xpt.open_source", open_source)
    monkeypatch.setattr(PhaseProgress, "on_step_end", on_step_end)
    run(options(), tmp_path / "run")
    assert set(held) == {False}


def test_evaluation_during_training_works_and_changes_no_weight(options, finished, tmp_path):
    flags = options("roberta", eval_strategy="steps", eval_steps=2)
    folder = run(flags, tmp_path / "evaluated")
    plain = finished(options, "roberta")
    assert all(torch.equal(tensor, weights(folder)[name]) for name, tensor in weights(plain).items())
    evaluated = [e for e in Run(folder).read_log() if "eval_loss" in e]
    assert [(e["phase"], e["step"]) for e in evaluated] == [
        (p, s) for p in ("phase1", "phase2") for s in (2, 4)
    ]


def test_changed_settings_are_refused_and_nothing_is_touched(options, finished, capsys):
    folder = finished(options, "roberta")
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert main([*options("roberta", learning_rate=5e-4), "--output_dir", str(folder)]) == 2
    assert "learning_rate (0.001 -> 0.0005)" in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def bad_inputs(tmp_path, tiny_source):
    """(changed options, what the error says), by name."""
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes("국회는 오늘 책을 읽었다.\n".encode("cp949"))
    (tmp_path / "table.csv").write_text("title,body\n제목,국회는 오늘 책을 읽었다.\n", encoding="utf-8")
    (tmp_path / "few.txt").write_text("\n".join(korean_sentences(40)), encoding="utf-8")
    (tmp_path / "three.txt").write_text("\n".join(korean_sentences(3)), encoding="utf-8")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_source("roberta").iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    half = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(half[: len(half) // 2])
    decoder = tmp_path / "decoder"
    decoder.mkdir()
    (decoder / "config.json").write_text('{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}')
    return {
        "no corpus file": ({"corpus": tmp_path / "missing.txt"}, "missing.txt"),
        "empty corpus": ({"corpus": tmp_path / "empty.txt"}, "no usable sentence"),
        "not UTF-8": ({"corpus": tmp_path / "latin.txt"}, "latin.txt"),
        "missing column": ({"corpus": tmp_path / "table.csv", "corpus_column": "text"}, "title"),
        "vocabulary too large": (
            {"corpus": tmp_path / "few.txt", "vocab_size": 30000},
            "more than the text allows",
        ),
        "decoder": ({"source_model_name_or_path": decoder}, "gpt2"),
        "truncated source": ({"source_model_name_or_path": broken}, "broken"),
        "missing source": ({"source_model_name_or_path": tmp_path / "nowhere"}, "nowhere"),
        "missing tokenizer": ({"tokenizer_name_or_path": tmp_path / "notok"}, "notok"),
        "no text": ({"corpus": None}, "no text: give --corpus with files, folders or a Hub data set"),
        "too short rows": ({"max_seq_length": 4}, "--max_seq_length is 4; give at least 8 tokens"),
        "nothing held out": (
            {"corpus": tmp_path / "three.txt", "tokenizer_name_or_path": REPO / "tokenizer"},
            "sentence; give more text",
        ),
        "too long": ({"max_seq_length": 4096}, "max_seq_length 4096"),
        "too many layers": ({"source_num_layers": 9}, "9"),
        "unknown group": (
            {
                "phases": '[{"name": "a", "train": "encoder.9", "steps": 1}]',
                "phase1_steps": None,
                "phase2_steps": None,
            },
            "encoder.9",
        ),
    }


BAD_INPUTS = (
    *("no corpus file", "empty corpus", "not UTF-8", "missing column", "vocabulary too large", "decoder"),
    *(
        "no text",
        "too short rows",
        "nothing held out",
        "truncated source",
        "missing source",
        "missing tokenizer",
        "too long",
        "too many layers",
        "unknown group",
    ),
)


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_is_one_line_and_nothing_is_written(options, tiny_source, tmp_path, capsys, name):
    changes, message = bad_inputs(tmp_path, tiny_source)[name]
    folder = tmp_path / "run"
    code = main([*options(**changes), "--output_dir", str(folder)])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and error.startswith("error: ") and message in error, error
    assert "Traceback" not in error and not folder.exists()
