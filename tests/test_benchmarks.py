"""What benchmarks count, against other people's counting; and that a small one runs."""

import json
import os
import subprocess
import sys

import pytest
import torch
from places import REPO
from torch.utils.flop_counter import FlopCounterMode

from configuration_xpt import XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.training.trainable import set_trainable

sys.path.insert(0, str(REPO / "benchmarks"))
from crossing import minutes_to
from equal_tokens import compare_losses, seed_noise
from flops import Shape
from memory import summary as memory_summary
from turns import compare

LAYERS, HIDDEN, VOCABULARY, LENGTH, ROWS = 3, 64, 500, 32, 4


@pytest.mark.parametrize(("phase", "frozen"), [(1, LAYERS), (2, 0)])
def test_flops_of_a_step_are_those_that_torch_counts(phase, frozen):
    config = XPTRobertaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=LENGTH + 2,
        sparse_prediction=True,
        attn_implementation="eager",  # its products are counted one by one
    )
    model = XPTRobertaForMaskedLM(config).train()
    new = ["word_embeddings", "itl", "lm_head_bias", "lm_head_transform"]
    set_trainable(model, ["all"] if phase == 2 else new)
    ids = torch.randint(5, VOCABULARY, (ROWS, LENGTH))
    labels = torch.full_like(ids, -100)
    labels[:, : LENGTH // 4] = ids[:, : LENGTH // 4]
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=labels).loss.backward()
    shape = Shape(LAYERS + 2, HIDDEN, VOCABULARY, LENGTH, masked=0.25, frozen=frozen)
    assert ROWS * LENGTH * shape.flops_per_token() == pytest.approx(counter.get_total_flops(), rel=1e-9)


def test_ratios_are_taken_within_a_round():
    def window(tokens, seconds):
        return {"tokens": tokens, "seconds": seconds, "waited": 0.1, "peak_mib": 5.0}

    reports = {
        "stock": [window(10, 1.0), window(10, 2.0), window(10, 10.0)],  # the machine gets busy
        "ours": [window(30, 1.0), window(40, 2.0), window(20, 10.0)],
    }
    row = compare(reports, "stock")["ours"]
    assert (row["ratio"], row["ratio_slowest"], row["ratio_fastest"]) == (3.0, 2.0, 4.0)
    assert row["tokens_per_second"] == 20.0
    assert row["waited"] == pytest.approx(0.3 / 13)


def test_a_loss_differs_where_seeds_do_not_explain_it():
    def scored(*losses):
        told = {"unigram_loss": 7.0, "tokens": 1000, "steps": 10}
        return [{"seed": seed, "eval_loss": loss, **told} for seed, loss in enumerate(losses)]

    reports = {
        "stock": scored(5.0, 5.1, 5.4),
        "wide": scored(5.6, 5.1, 5.5),  # 0.5 over its seeds: the noise
        "worse": scored(5.7, 5.7, 5.6),
        "better": scored(4.5, 4.5, 4.5),
    }
    rows = compare_losses(reports, "stock")
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "stock": "same",
        "wide": "same",
        "worse": "higher",
        "better": "lower",
    }
    assert seed_noise(reports) == pytest.approx(0.5)
    assert rows["wide"]["difference"] == pytest.approx(0.4)
    assert rows["worse"]["nats_under_unigram"] == pytest.approx(1.3)


def test_a_quality_is_reached_between_the_scores_around_it():
    scores = [(60.0, 1.6), (120.0, 2.0), (180.0, 1.9), (240.0, 2.5)]
    told = [{"seconds": seconds, "nats_under_unigram": nats} for seconds, nats in scores]
    assert minutes_to(told, 1.5) == 1.0  # at the first score, or before it
    assert minutes_to(told, 1.7) == pytest.approx(1.25)
    assert minutes_to(told, 2.0) == pytest.approx(2.0)
    assert minutes_to(told, 2.2) == pytest.approx(3.5)
    assert minutes_to(told, 3.0) is None and minutes_to([], 3.0) is None


def run_throughput(tmp_path, sentences, *flags):
    """Lines that `benchmarks/throughput.py` prints about each contestant, by name."""
    corpus = tmp_path / "text.txt"
    corpus.write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    command = [sys.executable, str(REPO / "benchmarks" / "throughput.py"), "--model", "tiny"]
    command += ["--corpus", str(corpus), "--rows", "2", *flags]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    names = ("stock, line by line", "stock, best flags", "ours, phase 1", "ours, phase 2")
    lines = done.stdout.splitlines()
    return {name: next(line for line in lines if line.startswith(name)) for name in names}


@pytest.mark.slow
def test_a_small_benchmark_runs(tmp_path, tiny_sentences):
    lines = run_throughput(tmp_path, tiny_sentences, "--rounds", "1", "--steps", "1")
    rates = [float(line.removeprefix(name).split()[0].replace(",", "")) for name, line in lines.items()]
    assert min(rates) > 0, lines


@pytest.mark.slow
def test_contestants_begin_with_the_same_weights_and_read_as_many_tokens(tmp_path, tiny_sentences):
    # At a rate of 1e-12 nothing is learned: the loss is that of the weights they begin with.
    flags = ("--equal_tokens", "6400", "--seeds", "1", "--learning_rate", "1e-12")
    lines = run_throughput(tmp_path, tiny_sentences, *flags)
    figures = {name: line.removeprefix(name).split() for name, line in lines.items()}
    assert len({row[0] for row in figures.values()}) == 1, figures
    tokens = [int(row[-2].replace(",", "")) for row in figures.values()]
    assert all(abs(found / 6400 - 1) < 0.1 for found in tokens), figures


@pytest.mark.slow
def test_the_gpu_benchmark_measures_all_its_parts_on_a_cpu_too(tmp_path):
    """Tiny: it shows that every part runs, and that what is stopped goes on to the same weights."""
    flags = ("--models", "tiny", "--rows", "4", "--rounds", "1", "--steps", "2", "--minutes", "30")
    done = subprocess.run(
        ["bash", str(REPO / "benchmarks" / "gpu.sh"), *flags, "--results_dir", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "gpu.json").read_text("utf-8"))["parts"]
    assert list(parts) == ["speed, tiny", "resume", "FSDP2, one process", "demo"]
    assert not any("failed" in one for one in parts.values()), parts
    assert parts["resume"]["largest_difference"] == 0
    whole, sharded = parts["FSDP2, one process"]["test_loss"].values()
    assert sharded == pytest.approx(whole, abs=0.05)  # sums are rounded in another order
    assert min(row["tokens_per_second"] for row in parts["speed, tiny"]["results"].values()) > 0


@pytest.mark.parametrize("flags", [("--models", "base", "huge"), ("--", "--dropout")])
def test_the_gpu_benchmark_refuses_what_it_cannot_measure(flags):
    command = [sys.executable, str(REPO / "benchmarks" / "gpu.py"), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert flags[-1] in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--equal_tokens", "500"),
        pytest.param(("--seeds", "0"), marks=pytest.mark.slow),
        pytest.param(("--contestants", "matrices"), marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_compared_is_refused(flags):
    command = [sys.executable, str(REPO / "benchmarks" / "throughput.py"), "--equal_tokens", "100000", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert flags[0] in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_stored_results_say_how_they_were_made():
    for file in (REPO / "benchmarks" / "results").glob("*.json"):
        text = file.read_text(encoding="utf-8")
        stored = json.loads(text)
        for result in (stored,) if "command" in stored else stored.values():
            assert {"command", "versions", "hardware"} <= result.keys(), file
        assert "/tmp/" not in text and "/home/" not in text and "/root/" not in text, file


def test_memory_is_compared_between_the_first_and_the_last_third():
    resident = [100] * 100 + [150] * 100 + [110] * 100
    row = memory_summary({"resident_mib": resident, "peak_mib": 160, "dry_run_mib": 120})
    assert (row["first_mib"], row["last_mib"], row["ratio"], row["steps"]) == (100, 110, 1.1, 300)
    assert row["resident_mib"] == {"5": 100, "100": 100, "200": 150, "300": 110}
    assert row["dry_run_ratio"] == 0.75
    assert "dry_run_ratio" not in memory_summary({"resident_mib": resident, "peak_mib": 160})
