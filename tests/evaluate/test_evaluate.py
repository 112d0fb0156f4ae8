"""`xpt evaluate`: scores by brute force, prompts to the blank, going on, tables, and what is refused."""

import json
from types import SimpleNamespace

import kobest_files
import pytest
import torch
from klue_models import change_config, checkpoint_maker
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from xpt.command import main
from xpt.evaluate.items import ASKED, draw_shots
from xpt.evaluate.prompts import FAMILIES, ask
from xpt.evaluate.published import read_published
from xpt.evaluate.table import markdown
from xpt.finetune.data import find_file, read_file

METRICS = ("accuracy", "macro_f1", "acc_norm")
COUNTS = {"train": 12, "validation": 4, "test": 6}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return checkpoint_maker(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def decoder(checkpoint):
    """Rotary positions: as many as wanted, so that shots fit."""
    folder = checkpoint("gpt_neox")
    change_config(folder, max_position_embeddings=600)
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for task in kobest_files.MAKERS:
        kobest_files.write(folder, task, COUNTS)
    return folder


@pytest.fixture
def run(tables, tmp_path):
    """Give `run(model, **options)` the exit code of a command line on the small tables."""

    def call(model, **changes):
        flags = {"data_dir": tables, "output_dir": tmp_path / "out", "device": "cpu", **changes}
        words = ["evaluate", *(["--model_name_or_path", str(model)] if model else [])]
        for name, value in flags.items():
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
        return main(words)

    return call


def results(folder):
    return json.loads((folder / "results.json").read_text("utf-8"))["results"]


def predictions(folder, entry):
    return [json.loads(line) for line in (folder / entry["predictions"]).read_text("utf-8").splitlines()]


def asked(tables, task, family, shots, seed=1234):
    made = ASKED[task]()
    test, train = (read_file(made, find_file(made, tables, split), split) for split in ("test", "train"))
    drawn = draw_shots(train.examples, len(test.examples), shots, seed)
    return ask(FAMILIES[family][task], made.labels, test.examples, drawn)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", ["copa", "wic"])
def test_a_decoder_gives_the_sum_of_what_it_says_of_each_token_of_an_answer(
    task, family, decoder, tables, run, tmp_path
):
    """One answer at a time, no padding, no batch."""
    assert run(decoder, task=task, num_fewshot=[0, 2], prompts=family, batch_size=5) == 0
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(decoder).eval(),
        AutoTokenizer.from_pretrained(decoder),
    )
    for entry in results(tmp_path / "out"):
        assert entry["method"] == "log-likelihood" and entry["cut"] == 0
        items = asked(tables, task, family, entry["num_fewshot"])
        for item, line in zip(items, predictions(tmp_path / "out", entry), strict=True):
            for continuation, score in zip(item.continuations, line["log_likelihoods"], strict=True):
                head = len(tokenizer(item.context.rstrip())["input_ids"])
                ids = tokenizer(item.context + continuation, return_tensors="pt")["input_ids"]
                with torch.no_grad():
                    logs = model(ids).logits[0].double().log_softmax(-1)
                told = sum(logs[place - 1, ids[0, place]].item() for place in range(head, ids.shape[1]))
                assert score == pytest.approx(told, abs=1e-3)


@pytest.mark.parametrize("family", ["xpt", "trelm", "bert"])
def test_a_masked_model_is_asked_for_one_token_at_a_time(family, checkpoint, tables, run, tmp_path):
    folder = checkpoint(family)
    assert run(folder, task="copa", batch_size=7) == 0
    (entry,) = results(tmp_path / "out")
    assert entry["method"] == "pseudo-log-likelihood"
    model, tokenizer = (
        AutoModelForMaskedLM.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    scored = 0
    for item, line in zip(
        asked(tables, "copa", "harness", 0), predictions(tmp_path / "out", entry), strict=True
    ):
        for continuation, score in zip(item.continuations, line["log_likelihoods"], strict=True):
            encoded = tokenizer(item.context + continuation, return_offsets_mapping=True)
            ids = torch.tensor([encoded["input_ids"]])
            if ids.shape[1] > 40:
                continue  # cut from the left: another test
            told = 0.0
            for place, (_, end) in enumerate(encoded["offset_mapping"]):
                if end > len(item.context) + 1:
                    masked = ids.clone()
                    masked[0, place] = tokenizer.mask_token_id
                    with torch.no_grad():
                        told += model(masked).logits[0, place].double().log_softmax(-1)[ids[0, place]].item()
            assert score == pytest.approx(told, abs=1e-3)
            scored += 1
    assert scored > 4


WORD = {"first": "가 [말]", "second": "나 [말]", "word": "말"}
PAIR = {"first": "첫 글", "second": "둘째 글"}
CHOICE = {"context": "비가 왔다. 그래서", "choices": ("길이 젖었다.", "해가 떴다.")}
PROMPTS = """\
harness    boolq     첫 글 질문: 둘째 글 답변: | 예| 아니오
harness    copa      비가 왔다.  그래서| 해가 떴다.| 길이 젖었다.
harness    hellaswag 문장: 비가 왔다. 그래서| 해가 떴다.| 길이 젖었다.
harness    sentineg  문장: 첫 글 긍부정:| 긍정| 부정
harness    wic       문장1: 가 [말] 문장2: 나 [말] 두 문장에서 말가 같은 뜻으로 쓰였나?| 예| 아니오
ko_harness boolq     내용: 첫 글/질문: 다음 문장이 내용에 있는 사실과 일치하는가?/\
문장: 둘째 글/응답: | 예| 아니오
ko_harness copa      비가 왔다. 그래서|해가 떴다.| 길이 젖었다.
ko_harness hellaswag 비가 왔다. 그래서| 해가 떴다.| 길이 젖었다.
ko_harness sentineg  첫 글| (긍정)| (부정)
ko_harness wic       문장1: 가 [말]/문장2: 나 [말]/\
질문: 문장1과 문장2에서 쓰인 단어 [말]가 같은 뜻으로 쓰였나?/응답: |예|아니오
"""


@pytest.mark.parametrize("line", PROMPTS.splitlines(), ids=lambda line: "-".join(line.split()[:2]))
def test_prompts_are_those_of_their_families_to_the_blank(line):
    """Text, the second answer as it is scored, the first as it is shown; a stroke is the end of a line."""
    family, task, told = line[:10].strip(), line[11:20].strip(), line[21:].replace("/", "\n")
    text, scored, shown = told.split("|")
    fields = {"wic": WORD, "boolq": PAIR, "sentineg": PAIR}.get(task, CHOICE)
    question = FAMILIES[family][task](SimpleNamespace(**fields))
    assert question.text == text and question.joint + question.answers[1] == scored
    assert question.shown(0) == f"{text}{shown}\n\n"


def test_shots_come_from_training_and_are_the_same_however_many_items_there_are(tables):
    some, more = (draw_shots(list(range(50)), items, 5, seed=3) for items in (4, 9))
    assert more[:4] == some and all(len(set(one)) == 5 for one in more)
    assert draw_shots(list(range(50)), 4, 5, seed=4) != some
    train = read_file(ASKED["copa"](), find_file(ASKED["copa"](), tables, "train"), "train")
    shown = asked(tables, "copa", "ko_harness", 3)
    for item in shown:
        parts = item.context.split("\n\n")
        right = {f"{one.context} {one.choices[one.label == 'alternative_2']}" for one in train.examples}
        assert len(parts) == 4 and set(parts[:3]) <= right and parts[3] not in right


def test_it_goes_on_where_it_was_killed(decoder, run, tmp_path):
    """Half a file and a torn line; a kept score is believed, so that it is seen to be kept."""
    assert run(decoder, task="hellaswag", batch_size=3) == 0
    (first,) = results(tmp_path / "out")
    (file,) = (tmp_path / "out" / "scores").glob("*.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) > 3
    kept = json.loads(lines[0])
    told = {**kept, "scores": [-1e6, *kept["scores"][1:]]}
    file.write_text(json.dumps(told) + "\n" + lines[1] + lines[2][:9])
    assert run(decoder, task="hellaswag", batch_size=3) == 0
    (again,) = results(tmp_path / "out")
    values = [line["log_likelihoods"] for line in predictions(tmp_path / "out", again)]
    assert sum(value == -1e6 for line in values for value in line) == 1
    assert sorted(file.read_text().splitlines()[1:]) == sorted(line.strip() for line in lines[1:])
    file.write_text("".join(lines[:2]) + lines[2][:9])
    assert run(decoder, task="hellaswag", batch_size=3) == 0
    (resumed,) = results(tmp_path / "out")
    assert {**resumed, "seconds": 0} == {**first, "seconds": 0}


def test_text_that_is_too_long_loses_its_beginning_and_the_result_says_so(checkpoint, run, tmp_path, capsys):
    assert run(checkpoint("gpt2"), task="boolq") == 0
    (entry,) = results(tmp_path / "out")
    assert entry["cut"] > 0 and entry["max_length"] == 40
    assert f"{entry['cut']} items have more than 40 tokens" in capsys.readouterr().out


def test_the_table_has_chance_constant_interval_and_never_two_families(decoder, run, tmp_path, capsys):
    assert run(decoder, task=["copa", "wic"], num_fewshot=[0, 1]) == 0
    shown, found = capsys.readouterr().out, results(tmp_path / "out")
    assert {(one["task"], one["num_fewshot"]) for one in found} == {
        (t, n) for t in ("copa", "wic") for n in (0, 1)
    }
    for one in found:
        assert set(one["metrics"]) == {
            f"{one['task']}/{name}" for name in ("accuracy", "macro_f1", "acc_norm")
        }
        assert one["baselines"]["chance"][f"{one['task']}/accuracy"] == 50
        for metric, (low, high) in one["intervals"].items():
            assert low <= one["metrics"][metric] <= high
            assert f"{one['metrics'][metric]:.2f} [{low:.2f}, {high:.2f}]" in shown
    assert (
        "Prompts: harness (lm-evaluation-harness" in shown and "wic accuracy (printed as F1) | 48.9" in shown
    )
    with pytest.raises(ValueError, match="share no table"):
        markdown([*found, {**found[0], "prompts": "ko_harness"}], "harness")


def test_published_figures_stand_under_the_metric_that_they_are():
    """The same model and prompts, scored by all metrics, tell which one a printed "F1" is near to."""
    lines = read_published()
    model = "EleutherAI/polyglot-ko-1.3b"
    scored = {(one.task, one.metric): float(one.values[0]) for one in lines if one.source == "pull"}
    printed = [one for one in lines if one.model == model and one.printed_as == "F1" and 0 in one.values]
    assert {one.task for one in printed} == {"copa", "hellaswag", "wic"}
    for one in printed:
        gaps = {
            metric: abs(float(one.values[0]) - value)
            for (task, metric), value in scored.items()
            if task == one.task
        }
        if one.task != "copa":  # there, accuracy and macro F1 are the same but for a tenth
            assert min(gaps, key=gaps.get) == one.metric
    assert all(one.metric != "macro_f1" for one in lines if one.task == "wic" and one.printed_as == "F1")


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        ("bart", {"task": "copa"}, "there is no rule for scoring it untrained"),
        ("xpt", {"task": ["copa", "boolq"]}, "leave out boolq"),
        ("xpt", {"task": "copa", "num_fewshot": 5}, "a masked model is shown no examples"),
        ("gpt2", {"task": "copa", "num_fewshot": 13}, "--num_fewshot 13: copa has 12 training examples"),
        ("gpt2", {"task": "copa", "num_fewshot": -1}, "--num_fewshot is a count, not -1"),
        ("gpt2", {"task": "nli"}, "nli is a task of KLUE, which has no prompts here"),
        ("gpt2", {"task": "xnli"}, "unknown task 'xnli'"),
        ("gpt2", {"task": "copa", "device": "tpu9"}, "--device tpu9: is no device"),
        ("gpt2", {"task": "copa", "data_dir": "/nowhere"}, "--data_dir /nowhere: is no folder"),
        ("gpt2", {"task": "copa", "corpus_column": "text"}, "--corpus_column is for --check_overlap"),
        ("gpt2", {"task": "copa", "batch_size": 0}, "--batch_size is 0; give at least 1"),
        (None, {"task": "copa"}, "no model: give --model_name_or_path"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_line_and_nothing_is_scored(
    family, options, said, checkpoint, run, tmp_path, capsys
):
    folder = family and checkpoint(family)
    capsys.readouterr()
    assert run(folder, **options) == 2
    told = capsys.readouterr().err
    assert said in told and told.startswith("error: ") and told.count("\n") == 1
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_checkpoint_without_its_language_model_head_is_refused(checkpoint, run, tmp_path, capsys):
    from transformers import AutoModel

    folder = tmp_path / "bare"
    AutoModel.from_pretrained(checkpoint("bert")).save_pretrained(folder)
    AutoTokenizer.from_pretrained(checkpoint("bert")).save_pretrained(folder)
    assert run(folder, task="copa") == 2
    assert "no language-model head" in capsys.readouterr().err


def test_a_dry_run_opens_no_model(run, tmp_path, capsys):
    assert run("no/such-model", task="all", num_fewshot=[0, 5], dry_run="true") == 0
    shown = capsys.readouterr().out
    assert shown.count("*not measured*") == 10 and "printed as F1" in shown
    assert not (tmp_path / "out").exists()
