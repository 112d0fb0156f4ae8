"""The front door: what it lists, where it sends, what it says of a mistake, what shells make of it."""

import importlib
import json
import os
import subprocess
import sys

import pytest
from places import REPO

from xpt.command import COMMANDS, main
from xpt.finetune import saving
from xpt.program import help_cache, old_commands
from xpt.program.old_commands import OLD_COMMANDS


def run(*words, **options):
    return subprocess.run(
        [sys.executable, *words], cwd=REPO, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300, **options,
    )  # fmt: skip


@pytest.mark.parametrize("asked", [[], ["--help"], ["help"]])
def test_help_fits_a_screen_and_lists_every_command(asked, capsys):
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 110
    for name, command in COMMANDS.items():
        assert f"  {name:<12}{command.summary}" in lines


def test_help_imports_nothing_slow():
    told = run("-X", "importtime", "-m", "xpt.command", "--help")
    assert told.returncode == 0
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in told.stderr.splitlines()}
    assert "xpt" in imported
    assert not imported & {"torch", "transformers", "numpy", "pyarrow", "datasets", "shtab"}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_own_help(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XPT_CACHE", str(tmp_path))
    assert main([name, "--help"]) == 0
    told = capsys.readouterr().out
    with pytest.raises(SystemExit) as left:  # as the script itself says it
        importlib.import_module(COMMANDS[name].module).main(["--help"])
    assert left.value.code == 0 and capsys.readouterr().out == told
    assert f"xpt {name} " in told or f"python {COMMANDS[name].module}.py" in told


def test_help_that_was_made_once_comes_at_once(tmp_path):
    asked = ("-X", "importtime", "-m", "xpt.command", "train", "--help")
    first, again = (run(*asked, env={**os.environ, "XPT_CACHE": str(tmp_path)}) for _ in range(2))
    assert "--itl_init" in first.stdout and first.stdout == again.stdout
    slow = [any(line.endswith(" torch") for line in told.stderr.splitlines()) for told in (first, again)]
    assert slow == [True, False]


def test_help_is_made_anew_where_what_decides_about_it_has_changed_or_nothing_can_be_kept(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XPT_CACHE", str(tmp_path))
    monkeypatch.setattr(help_cache, "PACKAGE", tmp_path / "package")
    module = tmp_path / "package" / "training" / "options.py"
    module.parent.mkdir(parents=True)
    module.write_text("a")
    assert help_cache.cached_help("train", lambda: "한 1\n2") == "한 1\n2"
    assert help_cache.cached_help("train", lambda: "new") == "한 1\n2"
    assert help_cache.cached_help("score", lambda: "other") == "other"
    module.write_text("ab")
    assert help_cache.cached_help("train", lambda: "new") == "new"
    (tmp_path / "help" / "train.txt").write_bytes(b"\xff")
    assert help_cache.cached_help("train", lambda: "newer") == "newer"
    monkeypatch.setenv("XPT_CACHE", str(module))  # a file: nothing can be kept in it
    assert help_cache.cached_help("train", lambda: "1") == "1"
    assert help_cache.cached_help("train", lambda: "2") == "2"


def test_arguments_are_handed_on_and_the_exit_code_back(capsys):
    assert main(["score", "--task", "nli"]) == 2
    assert capsys.readouterr().err == "error: no --gold given (see --help)\n"


def test_results_note_what_was_typed(options, tmp_path):
    arguments = [*options("roberta"), "--phase1_steps", "1", "--phase2_steps", "0", "--num_fills", "0"]
    assert main(["train", *arguments, "--output_dir", str(tmp_path / "run")]) == 0
    typed = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))["command"]
    assert typed.startswith("xpt train --") and f"--output_dir {tmp_path / 'run'}" in typed


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["trian"], "error: no command 'trian'; did you mean train? (see xpt --help)"),
        (["--source", "x"], "error: no command '--source' (see xpt --help)"),
        (["completion"], "error: name one shell: xpt completion bash|zsh|tcsh"),
        (["completion", "fish"], "error: name one shell: xpt completion bash|zsh|tcsh"),
    ],
)
def test_a_mistake_is_said_in_one_line(asked, said, capsys):
    assert main(asked) == 2
    assert capsys.readouterr().err == f"{said}\n"


def completed(script, *words):
    """What bash offers for the last of `words`."""
    line = " ".join(words)
    asked = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _shtab_xpt; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(
        ["bash", "-c", f"source {script}; {asked}"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completes_commands_options_and_choices(tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "xpt"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    assert completed(script, "xpt", "tr") == ["train"]
    assert set(COMMANDS) <= set(completed(script, "xpt", '""'))
    assert "--num_itl_in" in completed(script, "xpt", "train", "--num_itl")
    assert completed(script, "xpt", "train", "--split_by", "sen") == ["sentence"]


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(module, marks=() if command == "score" else pytest.mark.slow)
        for module, command in OLD_COMMANDS.items()
        if command
    ],
)
def test_the_names_that_commands_had_go_on_working_and_name_the_new_one(module):
    command = OLD_COMMANDS[module]
    verb = ["push", "a", "b/c"] if command == "push" else []
    told = run("-m", module, *verb, "--no_such_option", "1")
    note, error = told.stderr.splitlines()
    assert told.returncode == 2 and note == f"note: python -m {module} is now: xpt {command}"
    assert error.startswith("error: unknown option --no_such_option")


@pytest.mark.parametrize("module", ["xpt.native", "xpt.klue.compare", "xpt.hub"])
def test_old_names_hand_on_every_argument(module, monkeypatch):
    """A folder may be called as the command is; only `push` behind `xpt.hub` was no argument."""
    handed, verb = [], ["push"] if module == "xpt.hub" else []
    monkeypatch.setattr("xpt.command.main", lambda arguments: handed.append(arguments) or 0)
    monkeypatch.setattr("sys.argv", ["python", *verb, OLD_COMMANDS[module], "other"])
    with pytest.raises(SystemExit):
        old_commands.run(module)
    assert handed == [[OLD_COMMANDS[module], OLD_COMMANDS[module], "other"]]


def test_what_cards_of_before_import_is_there():
    from xpt.klue.saving import load_fine_tuned

    assert load_fine_tuned is saving.load_fine_tuned


def test_nothing_else_is_found_by_an_old_name():
    told = run("-c", "import xpt, xpt.klue\nimport xpt.klue.data")
    assert told.returncode == 1 and "No module named 'xpt.klue.data'" in told.stderr
