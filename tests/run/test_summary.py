"""What a run says of itself: the verdict in words, and a summary that fits and names what matters."""

import ast
import json
import math
import os
import re
import shutil
import subprocess
import sys

import pytest
import wcwidth
from hypothesis import example, given
from hypothesis import strategies as st
from places import REPO
from tiny_runs import run as run_all
from transformers import AutoTokenizer

from xpt.cards.card import write_card
from xpt.release.staged_card import CardFacts, write_phase_card
from xpt.run.fills import print_fills
from xpt.run.folder import Run
from xpt.run.summary import shown_path, summarize, verdict

NATS = st.floats(0, 20)


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ((3.718, 7.144, 8.309), "reads its context: 3.4 nats below word frequencies"),
        ((7.10, 7.15, 7.11), "ignores its context: another sentence's serves it as well (on the un"),
        ((6.00, 7.15, 6.01), "(below the unigram plateau)"),
        ((8.00, 7.15, 8.01), "(above the unigram plateau)"),
        ((7.35, 7.15, 7.80), "reads its context, but is not below word frequencies yet (+0.2 nats)"),
        ((math.nan, 7.15, math.nan), "diverged: the loss is nan"),
        ((math.inf, 7.15, math.inf), "diverged: the loss is inf"),
    ],
)  # fmt: skip
def test_the_verdict_in_words(losses, words):
    assert words in verdict(*losses)


@given(NATS, NATS, NATS)
def test_only_a_model_that_needs_its_own_context_is_said_to_read_it(loss, unigram, shuffled):
    said = verdict(loss, unigram, shuffled)
    assert said.startswith("reads its context") == (shuffled - loss >= 0.1)
    assert ("nats below" in said) == (shuffled - loss >= 0.1 and unigram - loss >= 0.1)


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory):
    """A finished tiny run in a folder of the working folder, and what it printed of itself."""
    home = tmp_path_factory.mktemp("home")
    return run_all(options("roberta"), home / "output" / "mine")


def test_the_summary_fits_the_screen_and_shows_no_path_of_the_machine(finished, monkeypatch, tmp_path):
    monkeypatch.chdir(finished.parents[1])
    text = summarize(Run(finished))
    assert all(wcwidth.width(line) <= 100 for line in text.splitlines()), text
    assert str(finished.parents[1]) not in text and "output/mine" in text
    assert 'AutoModelForMaskedLM.from_pretrained("output/mine", trust_remote_code=True)' in text
    monkeypatch.chdir(tmp_path)
    assert str(finished) in summarize(Run(finished))


RUN_LINES = """
from transformers import AutoModel, AutoModelForMaskedLM, PreTrainedTokenizerFast
{lines}
assert model(**tokenizer("국회는 오늘", return_tensors="pt"))
print(type(tokenizer).__name__, tokenizer("국회는 오늘")["input_ids"])
"""


@pytest.mark.parametrize(
    "where",
    [
        "summary",
        *(
            pytest.param(where, marks=pytest.mark.slow)
            for where in ("card", "phase card", "README.md", "docs/publishing.md")
        ),
    ],
)
def test_the_lines_that_are_shown_load_without_a_question(finished, tmp_path, where):
    """In a process without the package, standard input closed; nothing is asked, nothing is warned of."""
    folder = tmp_path / ("output/demo" if where == "README.md" else "org/xpt-ko")
    shutil.copytree(finished, folder)
    if where == "phase card":
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        write_phase_card(folder, CardFacts("org/xpt-ko"), config)
    else:
        write_card(folder, "org/xpt-ko")
    if where == "summary":
        lines = [line.strip() for line in summarize(Run(folder)).splitlines() if "from_pretrained(" in line]
    else:
        text = (
            (folder if "card" in where else REPO)
            .joinpath("README.md" if "card" in where else where)
            .read_text("utf-8")
        )
        blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        lines = next(block for block in blocks if "Tokenizer" in block).splitlines()
        lines = [line.replace(', revision="v1.0"', "") for line in lines]  # a folder has none
        lines = [
            re.sub('^text = ".*"$', 'text = "국회는 <mask> 한다."', line) for line in lines
        ]  # 40 positions
    assert len([line for line in lines if "from_pretrained(" in line]) >= 2
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", RUN_LINES.format(lines="\n".join(lines))],
        cwd=tmp_path,
        env={**environment, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    ids = AutoTokenizer.from_pretrained(folder)("국회는 오늘")["input_ids"]  # registered in this process
    *printed, last = done.stdout.splitlines() or [""]
    assert (done.returncode, last) == (0, f"TokenizersBackend {ids}"), done.stderr
    if where == "README.md":  # five fills, in the form that the comment below the line shows
        shown = [ast.literal_eval(line.removeprefix("# ")) for line in [*printed, lines[-1]]]
        assert [[(type(piece), type(score)) for piece, score in fills] for fills in shown] == [
            [(str, float)] * 5
        ] * 2
    else:
        assert not printed
    assert not re.search("custom code|model of type|y/N|Error", done.stderr), done.stderr


def test_the_summary_holds_what_was_measured(finished, monkeypatch):
    monkeypatch.chdir(finished.parents[1])
    results, text = json.loads((finished / "results.json").read_text()), summarize(Run(finished))
    loss, unigram = results["test"]["loss"], results["unigram_loss"]
    context = results["shuffled_context_loss"]
    assert f"{loss:.3f} nats" in text and f"{unigram:.3f} ({unigram - loss:+.3f})" in text
    assert f"{context:.3f} ({context - loss:+.3f})" in text
    assert f"roberta-True -> Korean: {verdict(loss, unigram, context)}" in " ".join(text.split())
    assert "korean.txt" in text
    for phase in results["phases"]:
        line = next(line for line in text.splitlines() if line.strip().startswith(phase["name"]))
        assert f"4 steps, {phase['tokens']} tokens" in line and f"loss {phase['eval_loss']:.3f}" in line
        assert re.search(r"[\d.]+K? tokens/s", line)
    for one in results["fills"]:
        assert one["sentence"] in " ".join(text.split()) and f"masked word: {one['answer']}" in text
    values = [re.match(r"  (\w[\w ]{0,13})  +(\S)", line) for line in text.splitlines()]
    assert len({found.start(2) for found in values if found and found[1].strip() in ("text", "phase1")}) == 1


@example("국회는 <mask> " * 20, "국회" * 20)
@given(
    st.text(alphabet="국회는 <mask>ab", min_size=1, max_size=300), st.text("국회ab#", min_size=1, max_size=40)
)
def test_fills_of_any_length_fit_the_screen(sentence, piece):
    shown = [(piece, 0.1234)] * 5
    text = print_fills([{"sentence": sentence, "answer": piece, "before": shown, "after": shown}])
    assert all(wcwidth.width(line) <= 100 for line in text.splitlines())
    assert "".join(text.split()).count("12.3%") == 10


def test_a_path_is_shown_as_one_would_type_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "a" / "b") == "a/b" == shown_path(tmp_path / "x" / ".." / "a" / "b")
    assert shown_path(tmp_path.parent / "c") == str(tmp_path.parent / "c")
