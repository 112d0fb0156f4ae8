"""The folder in which the examples of the API run: tiny things under the names that examples give them."""

import doctest
from pathlib import Path

import klue_files
from conftest import korean_sentences

import xpt

RECIPE = """\
source_model_name_or_path: tiny-roberta
corpus: wiki.txt
language: ko
vocab_size: 300
max_seq_length: 32
per_device_train_batch_size: 4
phase1_steps: 2
phase2_steps: 2
logging_steps: 1
"""
KLUE = {"nli": "klue-nli-v1.1", "sts": "klue-sts-v1.1"}


def fill(folder: Path, source: Path) -> None:
    """Text, a recipe, data, the `source` and what was trained of them; the working folder is `folder`."""
    (folder / "tiny-roberta").symlink_to(source, target_is_directory=True)
    (folder / "wiki.txt").write_text("\n".join(korean_sentences(600)) + "\n", encoding="utf-8")
    (folder / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    for task, name in KLUE.items():
        place = folder / "klue-v1.1" / name
        place.mkdir(parents=True)
        for split in ("train", "dev"):
            text = klue_files.MAKERS[task](16)
            (place / f"{name}_{split}.json").write_text(text, encoding="utf-8")
    xpt.post_train(xpt.read_recipe(["tiny.yaml", "--output_dir", "output/mine"]))
    nli = xpt.TaskArguments("nli", data_dir="klue-v1.1")
    training = xpt.FineTuningArguments(output_dir="output/nli", num_train_epochs=1)
    xpt.fine_tune(xpt.Plan(xpt.ModelArguments("output/mine"), nli, training))


class Checker(doctest.OutputChecker):
    """Lines that show no result may print what they like, as training does."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


def run_examples(name: str) -> tuple[int, str]:
    """Run the examples in the docstring of `xpt.NAME`; how many there are, and what went wrong."""
    finder, report = doctest.DocTestFinder(recurse=False), []
    runner, tried = doctest.DocTestRunner(Checker(), verbose=False), 0
    for example in finder.find(getattr(xpt, name), name, globs={"xpt": xpt}):
        tried += runner.run(example, out=report.append).attempted
    return tried, "".join(report)
