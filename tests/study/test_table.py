"""The table, the figure and the stored file, from runs written by hand."""

import csv
import json
from dataclasses import replace

import matplotlib.image
import pytest

from studies import study
from xpt.program.errors import XPTError
from xpt.study.figures import draw
from xpt.study.measures import LOSSES, START, Reached, Record, load, store
from xpt.study.table import as_csv, factors_of, lines_of, markdown

NLI = "nli/accuracy"


def record(labels, seed, loss, score=None, characters=2.0):
    figures = {"loss/token": loss, "loss/character": loss / characters, "loss/byte": loss / 6}
    figures |= {} if score is None else {NLI: score}
    return Record(
        labels=labels, seed=seed, key=f"{labels}-{seed}", command="xpt train", figures=figures, tokens=1000,
        seconds=5.0, curve=[(500, 5.0), (1000, loss)], evaluated=[(0, 6.0), (1000, loss)],
        versions={"xpt": "0"}, hardware={"cpu": "c"},
    )  # fmt: skip


@pytest.fixture
def methods():
    """Three arms: the second is better by 0.2 with a noise of 0.01 in pairs, the third by noise alone."""
    shifts = {"stock": (0.0, 0.0, 0.0), "better": (-0.19, -0.2, -0.21), "same": (0.1, -0.1, 0.01)}
    records = [
        record({"method": name, "dropout": "0"}, seed, 4.0 + 0.5 * seed + shift[seed])
        for name, shift in shifts.items()
        for seed in range(3)
    ]
    axes = {"method": list(shifts), "dropout": ["0"]}
    return Reached("starts", axes, {"method": "stock", "dropout": "0"}, 9, records)


@pytest.fixture
def growth():
    """The arm scores with 1,000 sentences what the control does with 4,000; both gain 10 per factor of 4."""
    sizes, records = ["1000", "4000", "16000"], []
    for place, size in enumerate(sizes):
        for seed in (1, 2, 3):
            wobble = 0.1 * seed
            labels = {"method": "control", "train_sentences": size}
            records.append(record(labels, seed, 5.0 - place, 40.0 + 10 * place + wobble))
            labels = {"method": "ours", "train_sentences": size}
            records.append(record(labels, seed, 4.0 - place, 50.0 + 10 * place + wobble))
    axes = {"method": ["control", "ours"], "train_sentences": sizes}
    return Reached("data", axes, {"method": "control"}, 18, records)


def cells(reached, measure="loss/token"):
    rows = [line.strip("| ").split(" | ") for line in markdown(reached).splitlines() if line.startswith("|")]
    return {row[1]: row[2:] for row in rows if row[0] == measure}


def test_differences_are_paired_by_seed_and_called_only_beyond_noise(methods):
    shown = cells(methods)
    assert list(shown) == ["stock", "better", "same"]
    assert shown["stock"][:4] == ["3", "1.00K", "4.500", "0.500"]
    # 2 degrees of freedom: 4.303 x 0.01 / sqrt(3) = 0.025, and 4.303 x 0.5 / sqrt(3) = 1.242
    assert shown["stock"][4] == "3.258 to 5.742" and shown["stock"][5] == "first"
    assert shown["better"][5:] == ["-0.200", "-0.225 to -0.175", "lower"]
    assert shown["same"][7] == "no"


def test_one_seed_says_so(methods):
    one = Reached(methods.name, methods.axes, methods.first, 3, [r for r in methods.records if r.seed == 1])
    assert cells(one)["better"][2:] == [
        "4.300", "-", "one seed: no interval", "-0.200", "one seed: no interval", "one seed: no interval",
    ]  # fmt: skip
    assert "3 of 3 runs are finished" in markdown(one)


def test_what_is_not_there_is_not_made_up(methods):
    """A result of before has no characters; a row without finished runs has no line."""
    old = [r for r in methods.records if r.labels["method"] != "same"]
    for one in old[:3]:
        one.figures.update({"loss/character": None, "loss/byte": None})
    part = Reached(methods.name, methods.axes, methods.first, 9, old)
    shown = cells(part, "loss/character")
    assert shown["stock"][:5] == ["0", "1.00K", "-", "-", "-"]
    assert shown["better"][5:] == ["-", "", "no seed has both"] and "same" not in shown
    nothing = Reached(methods.name, methods.axes, methods.first, 9, [])
    assert markdown(nothing) == "**starts**: 0 of 9 runs are finished."


def test_the_loss_before_training_is_a_loss_after_no_token(methods, growth):
    def with_start(reached):
        records = [replace(r, figures={**r.figures, START: 9.0 + r.seed}) for r in reached.records]
        return replace(reached, records=records)

    assert cells(with_start(methods), START)["stock"][:4] == ["3", "0", "10.000", "1.000"]
    assert [one.measure for one in factors_of(with_start(growth))] == [
        one.measure for one in factors_of(growth)
    ]


def test_the_csv_has_every_seed_unrounded(methods):
    lines = list(csv.DictReader(as_csv(methods).splitlines()))
    assert len(lines) == len(LOSSES) * 3
    better = lines[1]
    assert (better["row"], better["compared_with"], better["pairs"]) == ("better", "stock", "3")
    values = dict(pair.split(":") for pair in better["values"].split())
    assert {seed: float(value) for seed, value in values.items()} == {"0": 3.81, "1": 4.3, "2": 4.79}


def test_a_row_is_compared_at_its_own_number_of_sentences(growth):
    pairs = {line.row: line.reference for line in lines_of(growth) if line.measure == NLI}
    assert pairs["method ours, train_sentences 4000"] == "method control, train_sentences 4000"
    assert pairs["method control, train_sentences 4000"] is None


def test_the_data_factor_of_each_size(growth):
    found = {one.row: one.factor for one in factors_of(growth) if one.measure == NLI}
    for size in ("1000", "4000"):
        assert found[f"method ours, train_sentences {size}"].factor == pytest.approx(4.0, rel=1e-3)
    assert str(found["method ours, train_sentences 16000"]) == "not reached (more than 1)"
    losses = {one.row: one.factor for one in factors_of(growth) if one.measure == "loss/token"}
    assert losses["method ours, train_sentences 1000"].factor == pytest.approx(4.0, rel=1e-3)
    assert (
        f"| {NLI} | method ours, train_sentences 1000 | method control, train_sentences 1000 | 4 (4 to 4) |"
        in (markdown(growth))
    )


def test_what_is_stored_shows_the_same(growth, tmp_path, capsys):
    path = tmp_path / "results" / "data.json"
    store(growth, path)
    assert len(path.read_text("utf-8").splitlines()) == 18 + 2
    assert study("show", path, "--output_dir", tmp_path / "shown") == 0
    assert capsys.readouterr().out == f"{markdown(growth)}\n"
    assert (tmp_path / "shown" / "table.csv").read_text("utf-8") == as_csv(growth)
    assert (tmp_path / "shown" / "table.md").read_text("utf-8") == f"{markdown(growth)}\n"
    assert (tmp_path / "shown" / "figure.png").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: "[]",
        lambda text: text.replace('"format": 1', '"format": 2'),
        lambda text: text.replace('"key"', '"kay"', 1),
        lambda text: text.replace('"method": "ours"', '"mode": "ours"', 1),
    ],
)
def test_another_file_is_refused_in_one_line(growth, tmp_path, damage):
    path = tmp_path / "data.json"
    store(growth, path)
    path.write_text(damage(path.read_text("utf-8")), encoding="utf-8")
    with pytest.raises(XPTError, match="not what `xpt study show --store` writes"):
        load(path)


def test_the_picture_is_drawn_with_one_seed_and_with_sentences(methods, growth, tmp_path):
    one = Reached(methods.name, methods.axes, methods.first, 3, [r for r in methods.records if r.seed == 1])
    heights = []
    for reached in (one, methods, growth):
        draw(reached, tmp_path / "figure.png")
        heights.append(matplotlib.image.imread(tmp_path / "figure.png").shape[0])
    assert all(height > 300 for height in heights)


def test_a_loss_per_character_is_that_of_its_text(tiny_source, corpus_file, tmp_path):
    """Counted again from the file: tokens by the run's own tokenizer, characters and bytes by hand."""
    import train_xpt
    import xpt

    flags = (
        f"--source_model_name_or_path {tiny_source()} --corpus {corpus_file} --vocab_size 300 --bf16 false "
    )
    flags += f"--max_seq_length 16 --phase1_steps 1 --phase2_steps 0 --cache_dir {tmp_path / 'cache'} "
    flags += f"--num_fills 0 --output_dir {tmp_path / 'run'}"
    recipe = xpt.read_recipe(flags.split())
    results = train_xpt.post_train(recipe).results()
    text = xpt.prepare_text(recipe)
    sentences = list(text.corpus.split("test"))
    assert results["test_text"] == {
        "tokens": sum(len(text.tokenizer(s, add_special_tokens=False)["input_ids"]) for s in sentences),
        "characters": len("".join(sentences)),
        "bytes": len("".join(sentences).encode("utf-8")),
    }
    assert json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))["test_text"]["tokens"] > 100
