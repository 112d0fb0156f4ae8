"""Figures in documents are those of the stored results."""

import importlib.util
import json
import statistics
from pathlib import Path

import pytest
from places import REPO


def loaded(script: str):
    specification = importlib.util.spec_from_file_location(Path(script).stem, REPO / script)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_readme_shows_the_stored_results():
    render = loaded("docs/render.py")
    text = (REPO / "README.md").read_text(encoding="utf-8")
    assert render.rendered(text) == text, "run python docs/render.py"
    stale = text.replace(render.END, f"| 1.00 |\n{render.END}")
    assert render.rendered(stale) == text


def test_the_picture_of_the_layout_is_that_of_the_imports():
    draw = loaded("docs/draw_layout.py")
    assert draw.PICTURE.read_text(encoding="utf-8") == draw.picture(), "run python docs/draw_layout.py"
    order = draw.layers()
    assert {path.name for path in (REPO / "xpt").iterdir() if (path / "__init__.py").exists()} < set(order)
    assert all(order.index(one) < order.index(other) for one, other in draw.imports())


def test_the_page_on_the_api_is_that_of_the_docstrings():
    make = loaded("docs/make_api.py")
    assert make.PAGE.read_text(encoding="utf-8") == make.page(), "run python docs/make_api.py"
    shown = [name for names in make.STEPS.values() for name in names.split()]
    assert sorted(shown) == sorted(make.xpt.__all__), "each name has one place"
    score = make.page().partition("### `score`\n")[2].partition("### ")[0]
    assert "- `gold`: an official file, plain or .xz." in score and ">>> metrics = xpt.score(" in score


def test_the_sizing_table_shows_stored_rates_and_says_what_is_not_measured():
    table = loaded("docs/scale_table.py")
    text = (REPO / "docs" / "scale.md").read_text(encoding="utf-8")
    assert table.rendered(text) == text, "run python docs/render.py"
    assert table.rendered(text.replace(table.END, f"| 1.00 |\n{table.END}")) == text
    one = {"model": "base", "device": "gpu", "devices": 1}
    rates = [
        {**one, "phase": "phase1", "tokens_per_second": 800_000.4},
        {**one, "phase": "phase2", "tokens_per_second": 500_000},
    ]
    rows = [line.strip("| ").split(" | ") for line in table.sizing(rates).splitlines()]
    shown = {(row[0], row[1]): row[3:6] for row in rows if len(row) >= 7}
    assert shown["1 GPU", "base"] == ["800,000", "500,000", "0.6"]  # 10^9 / 500,000 / 3,600 hours
    assert shown["8 GPUs", "base"] == ["*not measured*"] * 3
    # 14 layers of 768 and their embeddings, 32,000 pieces: all learn in phase 2
    parameters = 32_000 * 768 + (514 + 1 + 2) * 768 + 14 * 7_087_872 + (768 * 768 + 3 * 768) + 32_000
    assert abs(table.state_bytes("base", "phase2") / (16 * parameters) - 1) < 0.001


def test_the_page_on_performance_shows_stored_results():
    tables = loaded("docs/performance_tables.py")
    text = (REPO / "docs" / "performance.md").read_text(encoding="utf-8")
    assert tables.rendered(text) == text, "run python docs/render.py"
    assert tables.rendered(text.replace("<!-- end of ", "| 1.00 |\n<!-- end of ")) == text
    stored = tables.load("throughput-mini")
    if stored:  # a cell of the page, worked out here
        ours = stored["results"]["ours, phase 2"]
        windows = [one["tokens"] / one["seconds"] for one in stored["windows"]["ours, phase 2"]]
        assert f"| ours, phase 2 | {statistics.median(windows):,.0f} |" in text
        assert f"{ours['mfu']:.0%}" in text


def test_losses_stand_beside_the_one_that_trains_as_ours_does(tmp_path, monkeypatch):
    def row(loss, difference, verdict):
        facts = {
            "eval_loss": loss,
            "lowest": loss - 0.1,
            "highest": loss + 0.2,
            "nats_under_unigram": 7 - loss,
        }
        return {**facts, "difference": difference, "verdict": verdict, "tokens": 2000.0, "steps": 20}

    result = {
        "command": "c",
        "seed": 0,
        "hardware": {"threads": 2, "cpu": "C", "gpus": []},
        "versions": {"torch": "2", "transformers": "5"},
        "ratio_to": "stock",
        "noise": 0.3,
        "results": {"stock": row(5.0, 0.0, "same"), "ours": row(5.5, 0.5, "higher")},
        "scores": {"stock": [{}, {}, {}], "ours": [{}, {}, {}]},
    }
    tables = loaded("docs/performance_tables.py")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert tables.losses("equal") == tables.NOT_MEASURED
    (tmp_path / "equal.json").write_text(json.dumps(result), encoding="utf-8")
    lines = [line.strip("|").split("|") for line in tables.losses("equal").splitlines()[:4]]
    shown = [[cell.strip() for cell in line] for line in lines]
    assert shown[0][3:] == ["held-out loss (3 seeds)", "under unigram", "to stock", "beyond 0.300"]
    assert shown[2] == ["stock", "2,000", "20", "5.000 (4.900-5.200)", "2.00", "+0.000", ""]
    assert shown[3] == ["ours", "2,000", "20", "5.500 (5.400-5.700)", "1.50", "+0.500", "higher"]


def test_the_record_board_tells_what_was_not_reached_from_what_was_not_tried(tmp_path, monkeypatch):
    def keep(name, seed, target, *scores):
        contestant = name.split("_")[0]
        facts = {"contestant": contestant, "name": name, "idea": "i", "command": "c", "seed": seed}
        scores = [{"seconds": 60.0 * at, "nats_under_unigram": nats} for at, nats in scores]
        result = {**facts, "target": target, "scores": scores, "hardware": {"threads": 2, "cpu": "C"}}
        (tmp_path / f"quality-{name}-{seed}.json").write_text(json.dumps(result), encoding="utf-8")

    tables = loaded("docs/performance_tables.py")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert tables.record_board("quality") == tables.NOT_MEASURED
    keep("stock", 1, 2.0, (7.0, 1.5), (9.0, 2.5))
    keep("stock", 2, 3.0, (8.0, 2.0), (12.0, 2.1))  # of 3 nats this seed alone tells
    keep("stock_slow", 1, 2.0, (12.0, 2.0))  # to be compared with is the quickest
    for seed, two, three in ((1, 1.0, 2.9), (2, 2.0, 3.0), (3, 4.0, 3.1)):
        keep("ours", seed, 3.0, (two, 2.0), (10.0, three))
    board = [line.strip("| ").split(" | ") for line in tables.record_board("quality").splitlines()[2:5]]
    assert board[0][1:6] == ["2.00 (1.00-4.00)", "4.0", "not in 10", "-", "1, 2, 3"]
    assert board[1][1:6] == ["8.00 (8.00-8.00)", "1.0", "not in 12", "-", "1, 2"]
    assert board[2][1:5] == ["12.00", "0.7", "*not measured*", "-"]


def test_the_headline_is_the_quotient_of_two_lines_of_the_board():
    tables = loaded("docs/performance_tables.py")

    def minutes(name):
        files = tables.RESULTS.glob(f"quality-{name}-*.json")
        return tables.minutes([json.loads(file.read_text("utf-8")) for file in files], 2.0)

    text = " ".join(tables.PERFORMANCE.read_text(encoding="utf-8").split())
    stock, ours = minutes("stock_15"), minutes("quick_15")
    same, better = (
        tables.middle(theirs) / tables.middle(own)
        for theirs, own in ((stock, ours), (minutes("stock_30"), minutes("quick")))
    )
    assert f"*stock_15* takes {same:.1f} times as long as *quick_15*" in text
    assert f"it is {stock[0] / ours[-1]:.1f} to {stock[-1] / ours[0]:.1f} times" in text
    assert f"{better:.1f} times, *stock_30* (one seed) over *quick*" in text


def test_what_is_said_of_text_prepared_in_stages_is_stored():
    stored = json.loads((REPO / "experiments" / "scale" / "prepare.json").read_text("utf-8"))
    assert stored["reports_equal"] and stored["sorted_sha256"]["alone"] == stored["sorted_sha256"]["staged"]
    text = " ".join((REPO / "docs" / "scale.md").read_text("utf-8").split())
    alone, staged = stored["alone"], stored["staged"]
    assert f"took {staged['peak_mib_of_largest_process']:,.0f} MiB with four partitions" in text
    assert f"Of {sum(stored['sentences'].values()):,} sentences the corpus alone took" in text
    assert f"{alone['cpu_seconds']:.0f} seconds of a processor" in text
    assert f"in shards, {staged['cpu_seconds']:.0f} (" in text


@pytest.mark.parametrize(("language", "column"), [("welsh", 0), ("ukrainian", 1)])
def test_the_experiment_with_languages_quotes_its_results(language, column):
    folder = REPO / "experiments" / "languages"
    results = json.loads((folder / f"{language}.json").read_text("utf-8"))
    rows = [line.strip("|").split("|") for line in (folder / "README.md").read_text("utf-8").splitlines()]
    table = {row[0].strip(): row[1 + column].strip() for row in rows if len(row) == 3}
    corpus, phases, loss = results["corpus"], results["phases"], results["test"]["loss"]
    counts = [f"{split['sentences']:,}" for split in corpus["splits"].values()]
    assert table["sentences: training, validation, test"] == ", ".join(counts)
    sizes = corpus["splits"]["train"]["characters"], results["tokenizer"]["train_tokens"]
    assert table["characters and tokens of training text"] == "{:,}, {:,}".format(*sizes)
    read = sum(phase["tokens"] for phase in phases)
    assert table["steps, tokens read"] == f"{phases[0]['steps']} + {phases[1]['steps']}, {read:,}"
    losses = [results["before"]["eval_loss"], *(phase["eval_loss"] for phase in phases)]
    said = table["validation loss: before, after phase 1, after phase 2"]
    assert said == ", ".join(f"{value:.3f}" for value in losses)
    assert table["test loss (masked tokens)"] == f"{loss:.3f} ({results['test']['masked_tokens']:,})"
    assert table["below unigram frequencies"] == f"{results['unigram_loss'] - loss:.3f}"
    context = table["below its own loss on another sentence's context"]
    assert context == f"{results['shuffled_context_loss'] - loss:.3f}"


def test_the_table_of_ceilings_shows_the_stored_ones():
    stored = json.loads((REPO / "experiments" / "klue" / "ceilings.json").read_text("utf-8"))["tokenizers"]
    text = (REPO / "docs" / "klue.md").read_text("utf-8")
    section = text.split("<!-- ceilings: experiments/klue/ceilings.json -->")[1].split("<!-- end of")[0]
    rows = [line.strip("| ").split(" | ") for line in section.strip().splitlines()]
    shown = {row[0]: row[1:] for row in rows[2:]}
    assert set(shown) == set(stored)
    for name, tasks in stored.items():
        scores = {metric: value for task in tasks.values() for metric, value in task["scores"].items()}
        assert shown[name] == [f"{scores[metric]:.2f}" for metric in rows[0][1:]], name


def test_the_runs_on_klue_are_the_stored_ones():
    render = loaded("experiments/klue/render.py")
    text = render.README.read_text(encoding="utf-8")
    assert render.rendered(text) == text, "run python experiments/klue/render.py"
    assert len(render.table().splitlines()) == 2 + len(list(render.RESULTS.glob("*.json")))
    assert render.rendered(text.replace(render.END, f"| 1.00 |\n{render.END}")) == text
