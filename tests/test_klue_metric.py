"""The KLUE metrics: equal to the official code, loaded without a network, and what they refuse.

The golden cases are what the KLUE baseline (scikit-learn 0.24.1, seqeval 1.2.2, scipy 1.10.1) gave for
hand-made input, NaN as null.
"""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from klue_rows import labels, relation, same, scores, sentence, states, tree

from xpt.finetune.klue.klue_metric.klue_metric import KlueMetric
from xpt.finetune.klue.klue_metric.labels import DEPRELS, NER_TAGS, RELATIONS, YNAT_LABELS
from xpt.finetune.klue.klue_metric.names import DESCRIPTIONS, OFFICIAL, VARIANTS

REPO = Path(__file__).resolve().parents[1]
ROOM = REPO / "xpt/finetune/klue/klue_metric"
GOLDEN = json.loads((REPO / "tests/fixtures/klue_golden.json").read_text(encoding="utf-8"))


def test_all_golden_cases_are_here():
    assert len(GOLDEN) == 72 and {case["task"] for case in GOLDEN} == set(OFFICIAL)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['task']}-{case['name']}")
def test_equals_the_official_code(case):
    got = KlueMetric(case["task"]).compute(predictions=case["predictions"], references=case["references"])
    assert tuple(got) == OFFICIAL[case["task"]] and set(got) == set(case["official"])
    tolerance = 1e-4 if case["task"] == "sts" else 1e-6  # 32-bit floats there
    for name, expected in case["official"].items():
        assert same(got[name], math.nan if expected is None else expected, tolerance), name


TITLE = relation("per:title")
BAD = [
    ("ynat", [], [], "predictions[0] is missing: there is nothing to score"),
    ("ynat", labels("정치"), labels("정치", "사회"), "predictions[1] is missing"),
    ("ynat", labels("정치", "사회"), labels("정치"), "references[1] is missing"),
    (
        "ynat",
        labels("정치", "정치 "),
        labels("정치", "정치"),
        """predictions[1]["label"]: '정치 ' is none of 정치, 경제""",
    ),
    ("ynat", labels("정치"), labels(0), """references[0]["label"]: 0 is none of"""),
    ("ynat", ["정치"], labels("정치"), "predictions[0] is no dict with label but '정치'"),
    ("ynat", None, labels("정치"), "predictions is no list of dicts but None"),
    (
        "nli",
        labels("neutral", "Neutral"),
        labels("neutral"),
        """predictions[1]["label"]: 'Neutral' is none of""",
    ),
    ("nli", [{"lable": "neutral"}], labels("neutral"), """predictions[0] has no "label\""""),
    ("sts", scores(math.nan), scores(1.0), """predictions[0]["score"]: nan is no finite number"""),
    ("sts", scores("3"), scores(1.0), """predictions[0]["score"]: '3' is no finite number"""),
    (
        "re",
        [relation("per:titel")],
        labels("per:title"),
        """predictions[0]["label"]: 'per:titel' is none of""",
    ),
    ("re", [TITLE], labels("title"), """references[0]["label"]: 'title' is none of"""),
    (
        "re",
        [TITLE, {**TITLE, "probs": [0.0] * 29}],
        labels("per:title"),
        """predictions[1]["probs"]: 29 values, not 30""",
    ),
    (
        "re",
        [relation("per:title", p3=math.inf)],
        labels("per:title"),
        """predictions[0]["probs"]: value 3: inf""",
    ),
    (
        "ner",
        [{"tags": ["O", "B-XX"]}],
        [sentence("가나", "O O")],
        """predictions[0]["tags"]: value 1: 'B-XX' is none""",
    ),
    (
        "ner",
        [{"tags": ["O"]}],
        [sentence("가나", "O O")],
        """predictions[0]["tags"]: 1 values, but the reference has 2""",
    ),
    (
        "ner",
        [{"tags": ["O"]}],
        [sentence("가", "O O")],
        """references[0]["tags"]: 2 values, but the reference has 1""",
    ),
    (
        "dp",
        [tree([0], "NP_XX")],
        [tree([0], "NP")],
        """predictions[0]["deprels"]: value 0: 'NP_XX' is none of""",
    ),
    (
        "dp",
        [tree([0], "NP NP")],
        [tree([0], "NP")],
        """predictions[0]["deprels"]: 2 values, but the reference has 1""",
    ),
    (
        "dp",
        [tree([2, 0], "NP NP")],
        [tree([0], "NP")],
        """predictions[0]["heads"]: 2 values, but the reference has 1""",
    ),
    (
        "dp",
        [tree([1.5], "NP")],
        [tree([0], "NP")],
        """predictions[0]["heads"]: value 0: 1.5 is no whole number""",
    ),
    ("dp", [tree([], "")], [tree([], "")], """references[0]["heads"] is empty"""),
    ("mrc", [{"text": None}], [{"answers": []}], """predictions[0]["text"]: None is no text"""),
    ("mrc", [{"text": ""}], [{"answers": "서울"}], """references[0]["answers"]: '서울' is no list"""),
    ("wos", states("가-나-1"), states(["가-나-1"]), """predictions[0]["state"]: '가-나-1' is no list"""),
    ("wos", states([1]), states(["가-나-1"]), """predictions[0]["state"]: value 0: 1 is no text"""),
]


@pytest.mark.parametrize("task, predictions, references, problem", BAD)
def test_what_cannot_be_scored_is_named_in_one_line(task, predictions, references, problem):
    metric = KlueMetric(task)
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        metric.compute(predictions=predictions, references=references)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["sst", None])
def test_a_task_that_klue_has_not_is_refused(name):
    with pytest.raises(ValueError, match="name one of ynat, sts, nli, ner, re, dp, mrc, wos"):
        KlueMetric(name)


def test_refused_rows_leave_nothing_behind():
    metric = KlueMetric("nli")
    with pytest.raises(ValueError):
        metric.compute(predictions=labels("neutral", "?"), references=labels("neutral", "neutral"))
    assert metric.compute(predictions=labels("neutral"), references=labels("neutral")) == {
        "nli/accuracy": 100.0
    }


def test_every_metric_has_its_line_and_stands_in_the_card():
    names = [name for table in (OFFICIAL, VARIANTS) for task in table.values() for name in task]
    assert sorted(names) == sorted(DESCRIPTIONS)
    card = (ROOM / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` | {line} |" in card for name, line in DESCRIPTIONS.items())


def test_inventories_have_the_official_sizes():
    assert [len(names) for names in (YNAT_LABELS, NER_TAGS, RELATIONS, DEPRELS)] == [7, 13, 30, 38]
    assert all(len(set(names)) == len(names) for names in (YNAT_LABELS, NER_TAGS, RELATIONS, DEPRELS))


OFFLINE = """
import os, pathlib, socket, sys
def unreachable(*where, **how): raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = unreachable
home = pathlib.Path(os.environ["HF_HOME"])

import evaluate
for task in "ynat sts nli ner re dp mrc wos".split():
    assert evaluate.load("./xpt/finetune/klue/klue_metric", task).config_name == task
exec(pathlib.Path("xpt/klue/klue_metric/README.md").read_text("utf-8").split("```python")[1].split("```")[0])
assert not any(name.split(".")[0] == "xpt" for name in sys.modules), "the module leans on xpt"
# evaluate's copy of the code, and no folder for data.
assert [path.name for path in home.iterdir()] == ["modules"], sorted(home.rglob("*"))

loaded = sorted(home.rglob("*"))
from xpt.finetune.klue.klue_metric.klue_metric import KlueMetric
assert KlueMetric("nli").compute(predictions=[{"label": "neutral"}], references=[{"label": "neutral"}])
assert sorted(home.rglob("*")) == loaded
"""


def test_loads_through_evaluate_without_a_network_and_the_example_of_the_card_is_true(tmp_path):
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    for name in ("HF_MODULES_CACHE", "HF_EVALUATE_CACHE", "HF_METRICS_CACHE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        cwd=REPO,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    card = (ROOM / "README.md").read_text(encoding="utf-8")
    assert done.stdout == card.split("```text\n")[1].split("```")[0]
