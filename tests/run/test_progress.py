"""What is seen of training: lines that fit and hold everything, honest speed, no bar in a log file."""

import io
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import wcwidth
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_examples import make_examples
from tiny_runs import run as run_all

from xpt.run.folder import Run
from xpt.run.progress import Moment, PhaseProgress
from xpt.text.packing import RowStream

NUMBERS = st.one_of(st.none(), st.floats())
POSITIVE = st.one_of(st.none(), st.floats(min_value=0), st.just(math.nan))
# The widest numbers of each kind at once.
WIDEST = Moment("국회", 9_999_999, 9_999_999, -1e4, -1e4, 1e300, 95_000_000, 8.6e6, 8.6e6, -1e4, -1e4)
MOMENTS = st.builds(
    Moment,
    phase=st.text("abc-_0국회ÄЖ", min_size=1, max_size=120),
    step=st.integers(0, 10**12),
    steps=st.integers(1, 10**12),
    loss=NUMBERS,
    evaluated=NUMBERS,
    tokens_per_second=POSITIVE,
    resident_mib=st.none() | st.integers(0, 10**8),
    seconds_left=POSITIVE,
    run_seconds_left=POSITIVE,
    learning_rate=NUMBERS,
    grad_norm=NUMBERS,
)
NUMBER = r"(-?[\d.]+(e[+-]\d+)?|-?inf|nan|\?)"
COUNT = rf"{NUMBER}[KMBT]?"
TIME = r"(\d+[smhd](\d\d[smh])?|>999d|\?)"
LINE = re.compile(
    rf"(?P<phase>\S+)  step +(?P<step>{COUNT})/(?P<steps>{COUNT})  loss (?P<loss>{NUMBER})"
    rf"(  eval (?P<eval>{NUMBER}))?(  lr (?P<lr>{NUMBER}))?(  grad (?P<grad>{NUMBER}))?"
    rf"  (?P<speed>{COUNT}) tokens/s(  (?P<memory>[\d.]+ [KMGTP]iB|0 B|\?))?"
    rf"  (?P<left>{TIME}) left \(run (?P<run>{TIME})\)"
)


@given(MOMENTS)
@example(WIDEST)
def test_every_line_fits_and_holds_all_parts(moment):
    line = moment.line()
    found = LINE.fullmatch(line)
    assert wcwidth.width(line) <= 100 and found, line
    assert (found["eval"] is None) == (moment.evaluated is None)
    assert found["phase"] == moment.phase or moment.phase.startswith(found["phase"].removesuffix("…"))
    for value in (moment.loss, moment.evaluated):
        if value is not None and not math.isfinite(value):
            assert f" {value}" in line


@given(MOMENTS)
def test_rate_and_gradient_are_shown_where_they_fit_and_the_rest_stays_where_it_is(moment):
    bare = replace(moment, learning_rate=None, grad_norm=None).line()
    assert re.sub(r"  (lr|grad) \S+", "", moment.line()) == bare


@given(MOMENTS, st.none() | st.floats(min_value=0))
def test_a_usual_line_shows_the_rate_whatever_the_time_left(moment, rate):
    usual = Moment(
        "phase1", 7, 60_000, 4.123, None, 12_345.6, 2355, moment.seconds_left, moment.run_seconds_left, rate
    )
    found = LINE.fullmatch(usual.line())
    assert (found["lr"] is None) == (rate is None) and found["memory"] == "2.3 GiB"


def test_a_usual_line_reads_like_this():
    moment = Moment("phase1", 1500, 30_000, 4.1234, None, 12_345.6, 2355, 3900, 12_000, 9.8e-5, 1.234)
    assert moment.line() == (
        "phase1  step  1500/30000  loss 4.123  lr 9.8e-05  12.3K tokens/s  2.3 GiB  1h05m left (run 3h20m)"
    )
    short = replace(moment, phase="a", step=40, steps=440, seconds_left=60, run_seconds_left=360)
    assert short.line() == (
        "a  step  40/440  loss 4.123  lr 9.8e-05  grad 1.234  12.3K tokens/s  2.3 GiB  1m00s left (run 6m00s)"
    )


class Clock:
    """`time` as the tests want it."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class State:
    is_world_process_zero, max_steps, global_step = True, 10, 0

    def __init__(self):
        self.log_history = []


class Arguments:
    disable_tqdm = False


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("xpt.run.progress.time", clock)
    return clock


def progress_of(tmp_path, steps=10, later_steps=0):
    stream = RowStream(make_examples(60).lengths, 64, True, seed=1)

    def tokens_of(step):
        return stream.tokens(5 + 4 * (step - 1), 5 + 4 * step)

    return PhaseProgress(Run(tmp_path), "a", steps, tokens_of, later_steps), stream


def test_speed_is_real_tokens_over_the_steps_own_time_and_only_of_this_process(tmp_path, clock):
    progress, stream = progress_of(tmp_path, later_steps=20)
    state = State()
    state.global_step, state.log_history = 6, [{"loss": 3.5, "step": 6}, {"eval_loss": 3.0}]
    progress.on_train_begin(Arguments, state, None)
    assert progress.tokens_per_second is None
    first = LINE.fullmatch(progress.moment(6, {"eval_loss": 3.0}).line())
    assert (first["loss"], first["speed"], first["left"], first["run"]) == ("3.500", "?", "?", "?")
    for step, (seconds, between) in enumerate([(100, "on_evaluate"), (10, "on_save"), (0, "on_save")], 7):
        clock.now += 2
        state.global_step = step
        progress.on_step_end(Arguments, state, None)
        clock.now += seconds
        getattr(progress, between)(Arguments, state, None)
    tokens = sum(int(stream.lengths[stream[row].examples].sum()) for row in range(5 + 24, 5 + 36))
    assert progress.tokens_per_second == pytest.approx(tokens / 6)
    # The time left is what one waits: one step here, then twenty, saving and evaluation included.
    moment, pace = progress.moment(9, {}), (3 * 2 + 110) / 3
    assert moment.seconds_left == pytest.approx(pace) and moment.run_seconds_left == pytest.approx(21 * pace)
    progress.close()


def test_a_log_file_gets_lines_and_no_bar(options, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    flags = options("roberta", logging_steps=1, eval_strategy="steps", eval_steps=2)
    capfd.readouterr()  # of making the source
    folder = run_all(flags, Path("run"))
    out, err = capfd.readouterr()
    assert "\r" not in out + err and "it/s" not in err
    lines = [line for line in out.splitlines() if " tokens/s  " in line]
    assert all(LINE.fullmatch(line) and len(line) <= 100 for line in lines)
    logged = Run(folder).read_log()
    assert len(lines) == len(logged) == 12
    for line, entry in zip(lines, logged, strict=True):
        found = LINE.fullmatch(line)
        assert (found["phase"], int(found["step"])) == (entry["phase"], entry["step"])
        key = "eval" if "eval_loss" in entry else "loss"
        assert float(found[key]) == pytest.approx(entry["eval_loss" if key == "eval" else "loss"], abs=6e-4)
    assert all(wcwidth.width(line) <= 100 for line in out.splitlines()), out


def test_a_terminal_gets_the_bar_unless_it_is_not_wanted(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for wanted in (True, False):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        progress, _ = progress_of(tmp_path / str(wanted))
        arguments = Arguments()
        arguments.disable_tqdm = not wanted
        progress.on_train_begin(arguments, State(), None)
        progress.close()
        assert ("0/10" in terminal.getvalue()) is wanted


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_shown_as_such(loss):
    assert f"loss {loss}" in Moment("a", 3, 8, loss=loss).line()
