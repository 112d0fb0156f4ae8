"""`xpt finetune --benchmark kobest`: validation chooses, test is scored; stopping and going on; tables."""

import csv
import json
import signal

import klue_files
import kobest_files
import pytest
import torch
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_models import DECODERS, FAMILIES, PAIRS_OF_STACKS, checkpoint_maker
from safetensors.torch import load_file

import xpt.finetune.trainer
from xpt.cards.card import write_card
from xpt.command import main
from xpt.finetune.backbone import head_modules, open_backbone
from xpt.finetune.benchmarks import BENCHMARKS
from xpt.finetune.command import read_plan
from xpt.finetune.data import find_file, read_file
from xpt.finetune.kobest.tasks import KOBEST
from xpt.finetune.multiple_choice import Choice
from xpt.finetune.predict import answer
from xpt.finetune.saving import load_fine_tuned
from xpt.finetune.score import score
from xpt.finetune.scored import beside
from xpt.finetune.trainer import score as score_lines
from xpt.program.errors import XPTError
from xpt.release.staging import Kind, find_kind

COUNTS = {"train": 16, "validation": 7, "test": 12}
CHOICES = ("copa", "hellaswag")


@pytest.fixture
def words(xpt_checkpoint, tmp_path):
    """Give `words(task, **changes)` the command line of a tiny run on tables of `COUNTS`."""

    def make(task="copa", **changes):
        flags = {
            "benchmark": "kobest", "model_name_or_path": xpt_checkpoint, "task": task,
            "data_dir": kobest_files.write(tmp_path / "data", task, COUNTS), "output_dir": tmp_path / "run",
            "max_seq_length": 48, "per_device_train_batch_size": 4, "num_train_epochs": 2,
            "learning_rate": 1e-3, "bf16": "false", "logging_steps": 1, **changes,
        }  # fmt: skip
        return ["finetune", *(part for name, value in flags.items() for part in (f"--{name}", str(value)))]

    return make


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("task", ["copa", "sentineg"])
def test_the_test_split_is_scored_and_validation_chooses(task, words, tmp_path, capsys):
    assert main(words(task)) == 0
    shown, folder = " ".join(capsys.readouterr().out.split()), tmp_path / "run"
    results = results_of(folder)
    assert (results["kind"], results["task"], results["scored_on"]) == ("kobest", task, "test")
    assert {name: data["records"] for name, data in results["data"].items()} == COUNTS
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == COUNTS["test"]
    gold = tmp_path / "data" / kobest_files.FOLDERS[task] / "test.tsv"
    assert score(task, gold, folder / "predictions.jsonl", benchmark="kobest") == results["metrics"]
    # The curve by which the step was chosen has as many values as the validation split can give.
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    accuracies = [entry[f"eval_{task}/accuracy"] for entry in log if f"eval_{task}/accuracy" in entry]
    assert len(accuracies) == 8 and all(value * COUNTS["validation"] % 100 < 1e-6 for value in accuracies)
    scores = dict(map(tuple, results["scores"]))
    assert scores[results["best_step"]] == max(scores.values())
    for metric, (low, high) in results["intervals"].items():
        assert low <= results["metrics"][metric] <= high
        chance, constant = (results["baselines"][name][metric] for name in ("chance", "constant"))
        beside = f"(95 % {low:.2f} to {high:.2f}, chance {chance:.2f}, constant {constant:.2f})"
        assert f"{metric.split('/')[1]} {results['metrics'][metric]:.2f} {beside}" in shown
        assert beside[1:-1] in (folder / "report.html").read_text(encoding="utf-8")
    assert "12 of 1,000 of test" in shown or "12 of 397 of test" in shown
    assert "the best step by validation" in shown


def test_a_card_says_which_benchmark_and_which_split(words, tmp_path):
    assert main(words("copa", num_train_epochs=1)) == 0
    folder = tmp_path / "run"
    assert find_kind(folder) is Kind.FINE_TUNED
    results = results_of(folder)
    for split, data in results["data"].items():
        data |= {"whole": True, "official_records": COUNTS[split], "revision": "c" * 40}
        data["origin"] = f"skt/kobest_v1 copa {split}"
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    write_card(folder, "org/xpt-copa")
    card = ModelCard.load(folder / "README.md")
    assert "KoBEST's test set; the best step was chosen on its validation set" in card.text
    assert "arxiv.org/abs/2204.04541" in card.text and "KLUE" not in card.text
    assert beside(results, "copa/accuracy") in card.text
    assert (card.data.pipeline_tag, card.data.datasets) == ("multiple-choice", ["skt/kobest_v1"])
    scores = {(one.dataset_type, one.dataset_config, one.dataset_split) for one in card.data.eval_results}
    assert scores == {("skt/kobest_v1", "copa", "test")}
    assert "copa/accuracy, test" in (folder / ".eval_results" / "kobest-copa.yaml").read_text()


def test_stopped_and_started_again_it_ends_bit_equal(words, tmp_path, monkeypatch):
    assert main(words(output_dir=tmp_path / "straight")) == 0
    genuine, calls = xpt.finetune.trainer.FineTuner.training_step, []

    def interrupted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return genuine(self, *args, **kwargs)

    monkeypatch.setattr(xpt.finetune.trainer.FineTuner, "training_step", interrupted)
    assert main(words()) == 143 and main(words()) == 0 and len(calls) == 8
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "run"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    straight, resumed = (results_of(tmp_path / name) for name in ("straight", "run"))
    for key in ("metrics", "scores", "best_step", "intervals", "baselines", "eval_loss"):
        assert straight[key] == resumed[key], key


def test_one_table_has_both_benchmarks_and_what_needs_no_model(words, xpt_checkpoint, tmp_path, capsys):
    for seed in (1, 2):
        assert main(words(seed=seed, num_train_epochs=1, output_dir=tmp_path / "runs" / str(seed))) == 0
    nli = klue_files.write(tmp_path, "nli", 8)
    files = {"train_file": nli, "validation_file": nli, "benchmark": "klue", "num_train_epochs": 1}
    given = words(**files, output_dir=tmp_path / "runs" / "nli")
    given[given.index("--task") + 1] = "nli"
    assert main(given) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "runs"), "--output_dir", str(tmp_path / "table")]) == 0
    ours, published = capsys.readouterr().out.split("Published")
    lines = [line.strip("|").split("|") for line in ours.strip().splitlines()]
    head, _, *rows = [[cell.strip() for cell in line] for line in lines]
    assert head[1:3] == ["chance", "constant"] and "nli accuracy" in published
    runs = [results_of(tmp_path / "runs" / str(seed)) for seed in (1, 2)]
    cells = {row[0].split(" (")[0]: row[1:] for row in rows}
    assert cells["nli accuracy"][:2] == ["", ""] and "[" not in cells["nli accuracy"][2]
    for name in ("accuracy", "macro_f1"):
        metric = f"copa/{name}"
        low, high = (sum(run["intervals"][metric][side] for run in runs) / 2 for side in (0, 1))
        chance, constant, own = cells[f"copa {name}"]
        assert own.endswith(f" [{low:.2f}, {high:.2f}]") and " ± " in own
        assert (float(chance), float(constant)) == tuple(
            round(runs[0]["baselines"][name][metric], 2) for name in ("chance", "constant")
        )
    with open(tmp_path / "table" / "compare.csv", encoding="utf-8", newline="") as file:
        lines = {line["metric"]: line for line in csv.DictReader(file)}
    assert lines["copa/accuracy"]["test_sha256"] == runs[0]["data"]["test"]["sha256"]
    assert float(lines["copa/accuracy"]["constant"]) == runs[0]["baselines"]["constant"]["copa/accuracy"]
    assert lines["nli/accuracy"]["chance"] in (None, "")


# ---- what is asked for -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--task", "copa"], "copa is a task of KoBEST: give --benchmark kobest"),
        (["--benchmark", "kobest", "--task", "nli"], "nli is a task of KLUE: give --benchmark klue"),
        (["--benchmark", "kobest", "--task", "no"], "unknown task 'no'; there are boolq, copa"),
        (["--benchmark", "other", "--task", "copa"], "--benchmark"),
        (["--task", "nli", "--test_file", "x"], "KLUE has no public test set"),
        (["--task", "nli", "--max_test_examples", "3"], "KLUE has no public test set"),
        (["--benchmark", "kobest", "--task", "copa", "--max_test_examples", "0"], "are counts, not 0"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(flags, said):
    with pytest.raises(XPTError) as error:
        read_plan(["--model_name_or_path", "m", *flags])
    assert said in str(error.value) and "\n" not in str(error.value)


def test_results_go_to_a_folder_of_the_benchmark_unless_one_is_named():
    def folders(*flags):
        return [job.folder.as_posix() for job in read_plan(["--model_name_or_path", "m", *flags]).jobs]

    assert folders("--task", "nli") == ["output/klue"]
    copa = ("--benchmark", "kobest", "--task", "copa")
    assert folders(*copa) == ["output/kobest"]
    assert folders(*copa, "--output_dir", "output/klue") == ["output/klue"]
    every = folders(*copa[:3], "all", "--seeds", "1")
    assert every == [f"output/kobest/{task}/seed-1" for task in KOBEST.tasks]


def test_benchmarks_have_official_metrics_that_their_tasks_give():
    for benchmark in BENCHMARKS.values():
        assert benchmark.metrics.keys() == benchmark.tasks.keys()
        for name, kind in benchmark.tasks.items():
            assert kind.name == name and kind.benchmark == benchmark.name
            assert kind.selected_on in benchmark.metrics[name] and kind.scored_on in kind.sizes
            assert set(benchmark.metrics[name]) <= benchmark.descriptions.keys()
    for task in map(KOBEST.make_task, KOBEST.tasks):
        example = type("Labelled", (), {"label": task.labels[0]})
        line = {"label": task.labels[0]}
        assert tuple(score_lines(task, [example], [line])) == KOBEST.metrics[task.name]


# ---- multiple choice -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Give `checkpoint(family)` the folder of a tiny model; nothing may be written there."""
    return checkpoint_maker(tmp_path_factory.mktemp("models"))


TEXTS = st.text("국회는 오늘 법을 읽었다.", min_size=1, max_size=60)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_choice_scores_the_same_whatever_stands_beside_it(family, checkpoint):
    """Alone and in a batch of other lengths, first and last: a choice has one score, by its own text."""
    backbone = open_backbone(str(checkpoint(family)))
    task = KOBEST.make_task("copa")
    model, encoder = task.build(backbone).eval(), backbone.encoder_for(40)
    torch.manual_seed(3)
    for name in head_modules(model):  # a new head hardly tells texts apart
        for parameter in getattr(model, name).parameters():
            torch.nn.init.normal_(parameter)

    def logits(examples):
        features = task.features(examples, encoder, training=False)
        with torch.no_grad():
            return model(**task.collate(features, encoder)).logits

    @settings(max_examples=5, database=None, derandomize=True)
    @given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=2, max_size=3))
    def check(rows):
        examples = [
            Choice(str(n), text, tuple(choices), task.labels[0]) for n, (text, *choices) in enumerate(rows)
        ]
        turned = [Choice(each.guid, each.context, each.choices[::-1], each.label) for each in examples]
        together = logits(examples)
        torch.testing.assert_close(logits(turned).flip(1), together, rtol=0, atol=1e-4)
        for row, example in zip(together, examples, strict=True):
            torch.testing.assert_close(logits([example])[0], row, rtol=0, atol=1e-4)

    check()
    scores = logits([Choice("a", "국회는 오늘", ("법을 읽었다.", "읽었다 국회는."), task.labels[0])])[0]
    assert (scores[0] - scores[1]).abs() > 1e-2  # what a decoder's first token gives is the same for all


@pytest.mark.parametrize("task", CHOICES)
def test_a_long_context_loses_its_beginning_and_the_choice_nothing(task, checkpoint):
    backbone = open_backbone(str(checkpoint("bert")))
    made, encoder = KOBEST.make_task(task), backbone.encoder_for(24)
    choices = tuple(f"{n} 읽었다." for n in range(len(made.labels)))
    context = " ".join(str(n) for n in range(60))
    (feature,) = made.features([Choice("a", context, choices, made.labels[1])], encoder, training=True)
    assert feature.lengths == [24] * len(choices) and feature.inputs["labels"] == 1
    (whole,) = encoder.pieces([context])
    for ids, choice in zip(feature.inputs["input_ids"], choices, strict=True):
        (own,) = encoder.pieces([choice])
        kept = encoder.pair_capacity - len(own)
        assert ids == encoder.pair(whole.ids[-kept:], own.ids)["input_ids"]


@pytest.mark.parametrize("lora", ["false", "true"])
@pytest.mark.parametrize("family", ["bert", DECODERS[0], PAIRS_OF_STACKS[0]])
def test_a_fine_tuned_model_is_loaded_again_and_answers_the_same(family, lora, checkpoint, words, tmp_path):
    given = words(model_name_or_path=checkpoint(family), max_seq_length=40, num_train_epochs=1, lora=lora)
    assert main(given) == 0
    model, _ = load_fine_tuned(tmp_path / "run")
    task, encoder = KOBEST.make_task("copa"), open_backbone(str(checkpoint(family))).encoder_for(40)
    path = find_file(task, tmp_path / "data", "test")
    examples = read_file(task, path, "test").examples
    features = task.features(examples, encoder, training=False)
    answers = answer(model, task, features, encoder, 8)
    lines = (tmp_path / "run" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert task.predictions(examples, features, answers.outputs) == [json.loads(line) for line in lines]
