"""`xpt evaluate`: score models without training them, or look for test items in a training text."""

import sys
from collections.abc import Sequence
from pathlib import Path

from xpt.evaluate.arguments import ItemArguments, OverlapArguments, ScoredModels, ScoringArguments
from xpt.program.environment import describe_command
from xpt.program.errors import XPTError
from xpt.program.files import check_writable, write_text_atomically
from xpt.program.lock import FolderLock
from xpt.program.options import OptionParser
from xpt.program.script import run_program

INTRODUCTION = """\
Score models on KoBEST without training: the answer that a decoder finds likeliest (log-likelihood, n examples
shown before), or a masked model (pseudo-log-likelihood, on copa and hellaswag).

  xpt evaluate --model_name_or_path MODEL ... --task copa hellaswag --num_fewshot 0 5

  xpt evaluate --model_name_or_path output/demo --task copa hellaswag
  xpt evaluate --model_name_or_path EleutherAI/polyglot-ko-1.3b --task all --num_fewshot 0 5 10 50
  xpt evaluate --check_overlap ko_wikipedia/ --task all       which test items stand in a training text?

Options may stand in YAML files before the flags. The same command again goes on where it stopped."""
FOUND = 1  # the exit code where test items stand in the text


def make_parser() -> OptionParser:
    """The parser behind `xpt evaluate --help`."""
    return OptionParser(
        (ScoredModels, ItemArguments, ScoringArguments, OverlapArguments), "xpt evaluate", INTRODUCTION
    )


def _file(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise XPTError(f"{name}: no such file; options may stand in YAML files before the flags")
    return path


def _work(words: Sequence[str], found: list[int]) -> str:
    given = make_parser().read(words, _file)
    models, items, scoring, overlap = given.parts
    if overlap.check_overlap:
        from xpt.evaluate.overlap import report_overlap

        if models.model_name_or_path:
            raise XPTError("--check_overlap reads no model; leave out --model_name_or_path")
        text, count = report_overlap(items, overlap, Path(scoring.output_dir))
        found.append(count)
        return text
    overlap.refuse_alone(given.names)
    names = [name for name, _ in models.named()]
    items.asked()  # mistakes are told before seconds of imports
    if scoring.dry_run:
        from xpt.evaluate.dry_run import planned

        return planned(names, items, scoring)
    from xpt.evaluate.evaluation import evaluate
    from xpt.evaluate.table import markdown

    folder = Path(scoring.output_dir)
    check_writable(folder, "--output_dir")
    lock = FolderLock(folder)
    lock.acquire()
    try:
        results = evaluate(models, items, scoring, describe_command("xpt evaluate", words))
        table = markdown(results, scoring.prompts)
        write_text_atomically(folder / "table.md", f"{table}\n")
    finally:
        lock.release()
    return f"{table}\n\n{folder / 'results.json'} has it all"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 where test items stand in a text, else the usual one."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    found: list[int] = []
    code = run_program(lambda stop: _work(words, found))
    return FOUND if code == 0 and any(found) else code
