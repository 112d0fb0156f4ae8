"""The table over results: seeds together, unlike things apart or refused, published figures by themselves."""

import csv
import json
import statistics

import pytest

from xpt.finetune.compare import main
from xpt.finetune.klue.klue_metric.names import OFFICIAL
from xpt.finetune.klue.published import read_published


def result(folder, name="a", task="nli", seed=1, value=80.0, whole=True, data="d", changed=None, lora=False):
    split = {"sha256": data, "whole": whole, "records": 3000 if whole else 20, "official_records": 3000}
    metrics = {"nli": {"nli/accuracy": value}, "sts": {"sts/pearsonr": value, "sts/f1": None}}[task]
    results = {
        "kind": "klue", "task": task, "reported_as": task, "seed": seed, "metrics": metrics,
        "model": {"name": name, "sha256": name * 3, "lora": lora},
        "data": {"train": split, "validation": split}, "changed": changed or {},
    }  # fmt: skip
    place = folder / f"{len(list(folder.rglob('results.json')))}"
    place.mkdir(parents=True)
    (place / "results.json").write_text(json.dumps(results), encoding="utf-8")


def table_of(capsys, *arguments):
    assert main([*map(str, arguments), "--published", "false"]) == 0
    lines = [line.strip("| ").split("|") for line in capsys.readouterr().out.strip().splitlines()]
    return [[cell.strip() for cell in line] for line in lines if not line[0].startswith("-")]


def test_seeds_are_one_number_with_its_spread_and_the_best_is_bold(tmp_path, capsys):
    for seed, value in enumerate((80.0, 82.0, 87.0)):
        result(tmp_path, "a", seed=seed, value=value)
    result(tmp_path, "b", seed=0, value=84.5)
    result(tmp_path, "b", task="sts", seed=0, value=70.0)
    head, *rows = table_of(capsys, tmp_path)
    assert head == ["a", "b"]
    spread = statistics.stdev((80.0, 82.0, 87.0))
    assert rows == [
        ["sts pearsonr", "", "70.00"],
        ["nli accuracy", f"83.00 ± {spread:.2f}", "**84.50**"],
    ]


@pytest.mark.parametrize(
    "change", [{"data": "other"}, {"whole": False}, {"changed": {"learning_rate": 1e-3}}, {"lora": True}]
)
def test_what_was_learned_otherwise_never_shares_a_cell(change, tmp_path, capsys):
    result(tmp_path, seed=1, value=80.0)
    result(tmp_path, seed=2, value=40.0, **change)
    head, *rows = table_of(capsys, tmp_path, "--separate", "true")
    cells = [cell for row in rows for cell in row if cell.replace("*", "") in ("80.00", "40.00")]
    assert len(cells) == 2 and "60.00" not in str(rows)
    text = " ".join([*head, *(row[0] for row in rows)])
    if change == {"whole": False}:
        assert "learned 20 of 3,000, scored 20 of 3,000" in text
    if "changed" in change:
        assert "a (learning_rate 0.001)" in text
    if "lora" in change:
        assert "a (LoRA)" in text


@pytest.mark.parametrize("split", ["train", "validation"])
def test_numbers_of_different_data_are_refused_by_their_hashes(split, tmp_path, capsys):
    result(tmp_path, "a", data="d" * 64)
    result(tmp_path, "b", data="d" * 64)
    assert main([str(tmp_path)]) == 0
    file = sorted(tmp_path.rglob("results.json"))[-1]
    results = json.loads(file.read_text(encoding="utf-8"))
    results["data"][split] = {**results["data"][split], "sha256": "e" * 64}
    file.write_text(json.dumps(results), encoding="utf-8")
    capsys.readouterr()
    out = tmp_path / "out"
    assert main([str(tmp_path), "--output_dir", str(out)]) == 2
    said = capsys.readouterr()
    (line,) = said.err.strip().splitlines()
    for named in ("nli/accuracy", f"the {split} data", "d" * 12, "e" * 12, "--separate true"):
        assert named in line
    assert not said.out and not out.exists()


def test_tasks_and_their_options_may_be_of_different_data(tmp_path, capsys):
    result(tmp_path, "a", data="d")
    result(tmp_path, "a", task="sts", data="e")
    assert len(table_of(capsys, tmp_path)) == 3


def test_the_csv_holds_every_cell_unrounded_with_its_hashes(tmp_path, capsys):
    for seed, value in enumerate((80.0, 100 / 3)):
        result(tmp_path / "in", "a, b", seed=seed, value=value, data="d")
    result(tmp_path / "in", "c", task="sts", value=70.0, data="e")
    assert main([str(tmp_path / "in"), "--output_dir", str(tmp_path / "out")]) == 0
    with open(tmp_path / "out" / "compare.csv", encoding="utf-8", newline="") as file:
        nli, sts = csv.DictReader(file)
    assert (nli["model"], nli["metric"], nli["runs"]) == ("a, b", "nli/accuracy", "2")
    assert float(nli["mean"]) == statistics.fmean((80.0, 100 / 3))
    assert float(nli["standard_deviation"]) == statistics.stdev((80.0, 100 / 3))
    assert (nli["train_sha256"], nli["validation_sha256"], sts["train_sha256"]) == ("d", "d", "e")
    assert (sts["model"], sts["mean"], sts["standard_deviation"]) == ("c", "70.0", "")


def test_published_figures_stand_by_themselves_for_the_tasks_at_hand(tmp_path, capsys):
    result(tmp_path, "mine", value=12.34)
    assert main([str(tmp_path)]) == 0
    ours, published = capsys.readouterr().out.split("Published, on the hidden test set")
    assert "12.34" in ours and "KLUE-BERT-base" not in ours
    assert "12.34" not in published and "mine" not in published and "2021-11-03" in published
    lines = [line.strip("| ").split(" | ") for line in published.splitlines() if line.startswith("|")]
    (accuracy,) = [line for line in lines if line[0] == "nli accuracy"]
    assert len(lines) == 3 and dict(zip(lines[0], accuracy[1:], strict=True))["KLUE-RoBERTa-large"] == "89.17"


def test_published_figures_are_of_the_benchmarks_metrics():
    published = read_published()
    assert set(published) < {metric for metrics in OFFICIAL.values() for metric in metrics}
    assert all(len(figures) == 9 for figures in published.values()) and len(published) == 14
    assert all(0 < float(figure) < 100 for figures in published.values() for figure in figures.values())


def test_table_and_picture_are_written_and_other_results_left_out(tmp_path, capsys):
    result(tmp_path / "x", value=80.0)
    (tmp_path / "x" / "other").mkdir()
    (tmp_path / "x" / "other" / "results.json").write_text('{"test": {"loss": 3}}', encoding="utf-8")
    shown = table_of(capsys, tmp_path / "x", "--output_dir", tmp_path / "out")
    assert "80.00" in (tmp_path / "out" / "compare.md").read_text(encoding="utf-8") and len(shown) == 2
    assert (tmp_path / "out" / "compare.png").read_bytes()[1:4] == b"PNG"
    assert main([str(tmp_path / "x" / "other")]) == 2 and main([str(tmp_path / "none")]) == 2
    assert main([]) == 2
    (tmp_path / "x" / "other" / "results.json").write_text("{", encoding="utf-8")
    assert main([str(tmp_path / "x")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    expected = ["no results", "no such folder", "name folders", "cannot be read"]
    assert all(each in line for each, line in zip(expected, said, strict=True)), said
