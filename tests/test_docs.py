"""Figures in documents are those of the stored results."""

import importlib.util
import json
import re
import statistics
import sys
from pathlib import Path

import pytest
from places import REPO

import xpt
from xpt.command import COMMANDS, COMPLETION
from xpt.recipe.command_line import read_recipe
from xpt.study.measures import Reached, Record
from xpt.study.measures import store as store_study


def loaded(script: str):
    """A script as a module; those of docs/ find each other."""
    if str(REPO / "docs") not in sys.path:
        sys.path.append(str(REPO / "docs"))
    specification = importlib.util.spec_from_file_location(Path(script).stem, REPO / script)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def stored(name: str) -> dict:
    return json.loads((REPO / "docs" / "results" / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_readmes_show_the_stored_results(language):
    tables = loaded("docs/readme_tables.py")
    text = tables.READMES[language].read_text(encoding="utf-8")
    assert tables.rendered(text, language) == text, "run python docs/render.py"
    assert tables.rendered(text.replace("<!-- end of ", "| 1.00 |\n<!-- end of "), language) == text
    assert set(tables.PART.findall(text)) == set(tables.PARTS)
    # Cells of both pages, worked out here.
    english, random = (stored(name) for name in ("demo", "demo-control"))
    losses = [one["test"]["loss"] for one in (english, random)]
    for baseline in ("unigram_loss", "shuffled_context_loss"):
        gaps = [one[baseline] - loss for one, loss in zip((english, random), losses, strict=True)]
        assert f" | {gaps[0]:.2f} | {gaps[1]:.2f} |" in text
    assert f"**{losses[1] - losses[0]:.2f} nat" in text
    klue = {
        line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")
        for line in text.splitlines()
        if line.startswith("| ")
    }
    published = (REPO / "xpt" / "finetune" / "klue" / "published.csv").read_text("utf-8").splitlines()
    nli = published[0].split(",").index("nli/accuracy")
    for line in published[1:]:
        shown = [cells for name, cells in klue.items() if name.startswith(f"{line.split(',')[0]} (")]
        assert all(cells[3] == line.split(",")[nli] for cells in shown)
    nli_of_ours = json.loads((REPO / "experiments/klue/results/xpt-demo-nli.json").read_text("utf-8"))
    assert f" | {nli_of_ours['metrics']['nli/accuracy']:.2f} | " in text


def test_the_page_of_the_demo_shows_the_stored_results():
    tables = loaded("docs/readme_tables.py")
    text = tables.DEMO.read_text(encoding="utf-8")
    assert tables.demo_page(text) == text, "run python docs/render.py"
    assert tables.demo_page(text.replace("<!-- end of ", "| 1.00 |\n<!-- end of ")) == text
    assert f"{stored('demo')['phases'][0]['eval_loss']:.2f} |" in text


def test_a_korean_word_without_a_gloss_stands_alone_and_what_is_not_stored_was_not_measured(
    tmp_path, monkeypatch
):
    tables = loaded("docs/readme_tables.py")
    fill = {
        "sentence": "<mask> 간다",
        "answer": "나는",
        "before": [["현행", 0.5]],
        "after": [["없는말", 0.5]],
    }
    shown = tables.fills({"fills": [fill]}, "en").splitlines()[2]
    assert shown == "| **`<mask>`** 간다 | `나는` | `현행` (current) | `없는말` |"
    assert "(current)" not in tables.fills({"fills": [fill]}, "ko")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    for language, words in (("en", "*not measured*"), ("ko", "*측정하지 않음*")):
        assert tables.state(language) == tables.demo(language) == words


def blocks_of(text: str) -> list[tuple[str, list[str]]]:
    """Language and lines of each block of code, without comments and the blanks that align them."""
    found = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    return [
        (kind, [line.split("  #")[0].split(" #")[0].rstrip() for line in body.splitlines()])
        for kind, body in found
    ]


def test_both_readmes_have_the_same_sections_commands_and_tables():
    english, korean = ((REPO / name).read_text("utf-8") for name in ("README.md", "README.ko.md"))
    assert blocks_of(english) == blocks_of(korean) and len(blocks_of(english)) >= 7
    english, korean = (re.sub(r"```.*?```", "", text, flags=re.DOTALL) for text in (english, korean))
    for part in (r"^#+ ", r"^\|", r"^!\[", r"^<!-- "):
        counts = [len(re.findall(part, text, re.MULTILINE)) for text in (english, korean)]
        assert counts[0] == counts[1] > 0, part
    assert "(README.ko.md)" in english.split("##")[0] and "(README.md)" in korean.split("##")[0]
    assert re.findall(r"^#+ .*[가-힣]", english, re.MULTILINE) == []
    links = [set(re.findall(r"\]\(([\w./-]+)", text)) for text in (english, korean)]
    assert links[0] - {"README.ko.md"} == links[1] - {"README.md"}


DOCUMENTS = sorted(
    path
    for path in REPO.rglob("*.md")
    if not {".venv", "output", "downloads", "cards", "build"} & set(path.relative_to(REPO).parts)
    and not any(part.startswith(".") for part in path.relative_to(REPO).parts)
    and path != REPO / "model_card.md"  # a template
)
WITH_THE_PYTHON_API = {"docs/api.md", "notebooks/quickstart.ipynb"}  # they come with it


def anchors(text: str) -> set[str]:
    """Those that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        if target in WITH_THE_PYTHON_API and not hasattr(xpt, "post_train"):
            continue
        file = document.parent / target if target else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text("utf-8")), f"{target}#{anchor}"


def known_options() -> set[str]:
    """Of every command of xpt, and what scripts of the repository spell out."""
    parsers = [command.make_parser() for command in COMMANDS.values()]
    found = {name for parser in parsers for action in parser._actions for name in action.option_strings}
    for folder in ("benchmarks", "demo", "docs", "experiments", "space", "tests/soak", "tokenizer"):
        for script in (REPO / folder).rglob("*.py"):
            text = script.read_text("utf-8")
            found |= set(re.findall(r"--[a-z]\w+", text))
            found |= {f"--{name}" for name in re.findall(r"^    (\w+): ", text, re.MULTILINE)}
    return found


ELSEWHERE = {  # of torchrun, accelerate, Slurm, pip, ruff, WikiExtractor, run_mlm.py
    *("--nproc-per-node", "--nnodes", "--rdzv-backend", "--rdzv-endpoint", "--rdzv-id", "--config_file"),
    *("--machine_rank", "--main_process_ip", "--job-name", "--nodes", "--ntasks-per-node", "--gpus-per-node"),
    *("--cpus-per-task", "--time", "--requeue", "--signal", "--no-deps", "--no-binary", "--json", "--check"),
    *("--line_by_line", "--parallel_decoding", "--truncate", "--version"),
}


def test_every_option_that_documents_name_exists():
    known = known_options() | ELSEWHERE
    for document in DOCUMENTS:
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", document.read_text("utf-8")))
        assert named <= known, f"{document.relative_to(REPO)}: {sorted(named - known)}"


def test_every_command_of_xpt_that_documents_name_exists():
    for document in DOCUMENTS:
        lines = re.findall(r"(?:^|`)xpt ([a-z]\w+)", document.read_text("utf-8"), re.MULTILINE)
        assert set(lines) <= {*COMMANDS, COMPLETION}, document.relative_to(REPO)


GONE = (
    r"\b(house|room|shell|mend(s|ed|ing)?|one voice|rows a step|passing folder|native twin|shares? out|"
    r"shared out|to the bit|front door|otherwise than there)\b"
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_documents_use_the_words_of_the_field(document):
    found = re.search(GONE, document.read_text(encoding="utf-8"), re.IGNORECASE)
    assert not found, found


def test_the_recipes_in_documents_are_recipes(tmp_path):
    for name in ("README.md", "docs/training.md"):
        blocks = re.findall(r"```yaml\n(.*?)```", (REPO / name).read_text("utf-8"), re.DOTALL)
        assert blocks
        for body in blocks:
            (tmp_path / "mine.yaml").write_text(body, encoding="utf-8")
            recipe = read_recipe([str(tmp_path / "mine.yaml")])
            assert len(recipe.planned_phases()) >= 2


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


def test_the_page_of_evidence_shows_every_stored_study(tmp_path):
    page = loaded("docs/evidence_page.py")
    text = page.EVIDENCE.read_text(encoding="utf-8")
    assert page.rendered(text) == text, "run python docs/render.py"
    for file in page.stored():
        assert file.with_suffix(".png").exists(), "run python docs/render.py"
    assert page.NOTHING in page.rendered(text, tmp_path / "none")

    figures = {"loss/token": 4.0, "loss/character": 2.0, "loss/byte": 1.0}
    runs = [
        Record(
            labels={"method": method}, seed=seed, key=f"{method}{seed}", command="xpt train x",
            figures={**figures, "loss/token": loss + seed / 10}, tokens=1000, seconds=1800.0,
            curve=[(1000, loss)], versions={"xpt": "0.1.0", "torch": "2.6.0", "python": "3.11"},
            hardware={"cpu": "A processor", "threads": 2},
        )
        for method, loss in (("plain", 4.0), ("ours", 3.5)) for seed in (1, 2)
    ]  # fmt: skip
    study = Reached(
        "tiny", {"method": ["plain", "ours"]}, {"method": "plain"}, 4, runs,
        question="Is ours better?", command="xpt study run studies/tiny.yaml",
    )  # fmt: skip
    store_study(study, tmp_path / "tiny.json")
    shown = page.rendered(text, tmp_path)
    page.draw(tmp_path)
    for part in (
        "## Is ours better?\n",
        "**tiny**: 4 of 4 runs are finished.",
        "| loss/token | ours | 2 | 1.00K | 3.650 | 0.071 |",
        f"({(tmp_path / 'tiny.png').as_posix()})",
        "`xpt study run studies/tiny.yaml`: 4 runs, 2 hours in all without fine-tuning, on A processor",
        "xpt 0.1.0, torch 2.6.0.",
    ):
        assert part in shown, part
    assert (tmp_path / "tiny.png").read_bytes().startswith(b"\x89PNG") and page.rendered(shown) == text


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
    quick, without = tables.middle(minutes("quick")), tables.middle(minutes("no_itl"))
    assert f"take {quick:.2f} minutes, the stock script {minutes('stock_30')[0]:.2f}" in text
    assert without < quick and f"without ITLs it is {without:.2f} minutes" in text
    equal = tables.load("equal_tokens-mini")["results"]["ours, phase 2"]
    assert equal["verdict"] == "same" and "within the noise of seeds" in text
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
    assert table["gap below unigram frequencies"] == f"{results['unigram_loss'] - loss:.3f}"
    context = table["gap below the shuffled-context baseline"]
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
    entity, exact = (
        shown["tokenizer"][rows[0].index(name) - 1] for name in ("ner/entity_macro_f1", "mrc/em")
    )
    assert f"{entity} entity F1 on NER or {exact} exact match on MRC" in " ".join(text.split())


@pytest.mark.parametrize("name", ["morphemes", "starts"])
def test_the_table_of_an_experiment_shows_the_stored_results(name):
    readme, render = REPO / "experiments" / name / "README.md", loaded(f"experiments/{name}/render.py")
    text = readme.read_text("utf-8")
    assert render.rendered(text) == text
    assert render.rendered(text.replace(render.END, f"| 1.00 |\n{render.END}")) == text


def test_the_runs_on_klue_are_the_stored_ones():
    render = loaded("experiments/klue/render.py")
    text = render.README.read_text(encoding="utf-8")
    assert render.rendered(text) == text, "run python experiments/klue/render.py"
    assert len(render.table().splitlines()) == 2 + len(list(render.RESULTS.glob("*.json")))
    assert render.rendered(text.replace(render.END, f"| 1.00 |\n{render.END}")) == text
