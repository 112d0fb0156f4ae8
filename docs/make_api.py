"""Write what `xpt` exports down, from its docstrings: by the step of the work that it is for.

python docs/make_api.py      writes docs/api.md; a test fails when that is stale
"""

import math
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import griffe
from griffe import DocstringSection, DocstringSectionKind

import xpt
from xpt.program.help import grouped_options

PAGE = Path(__file__).parent / "api.md"
REPO = Path(__file__).resolve().parents[1]
SCRIPTS = ("train_xpt", "finetune_klue")
WIDE = 100  # columns of a signature on one line

INTRODUCTION = """\
# The Python API

<!-- written by docs/make_api.py from the docstrings -->

Everything that the commands do can be called from Python, as in a notebook:

```python
import xpt

recipe = xpt.Recipe(
    source=xpt.SourceArguments("FacebookAI/roberta-base"),
    corpus=xpt.CorpusArguments("my_text/", language="ko"),
    training=xpt.XPTTrainingArguments(output_dir="output/mine"),
)
run = xpt.post_train(recipe)
print(xpt.summarize(run))
```

What the command line refuses is refused here too: by an `XPTError` that says in one line what is wrong and
what to do instead; options are named as on the command line (`--max_seq_length`).

The examples below run as tests, in a folder with a tiny random RoBERTa (`tiny-roberta`), a Korean text
(`wiki.txt`), a recipe of both (`tiny.yaml`), what was trained by it (`output/mine`), files of two tasks as
the benchmark has them (`klue-v1.1`), and a fine-tuned model (`output/nli`). What training prints is left out.
"""

# What stands under which step, and what of a class is told beside its fields.
STEPS = {
    "Say what is wanted": "Recipe SourceArguments CorpusArguments TokenizerArguments PhaseArguments "
    "XPTTrainingArguments read_recipe XPTError",
    "Open a source": "open_source Source",
    "Prepare text": "prepare_text PreparedText",
    "Transplant": "prepare_model",
    "Train": "post_train dry_run summarize Run PostTraining",
    "Evaluate": "evaluate_mlm MLMEvaluation",
    "Fine-tune on KLUE": "Plan ModelArguments TaskArguments FineTuningArguments read_plan fine_tune",
    "Score and compare": "score compare Comparison",
    "Publish": "export_native import_native push PushOptions",
}
MEMBERS = {
    "Recipe": "planned_phases settings",
    "Source": "is_xpt word_embeddings used_positions describe",
    "PreparedText": "log_probs fingerprints",
    "Run": "finished results read_log progress start close",
    "PostTraining": "start run_phase finish",
    "MLMEvaluation": "perplexity",
    "Plan": "task splits",
    "Comparison": "as_csv draw save",
}


def page() -> str:
    """The Markdown."""
    loader = griffe.GriffeLoader(search_paths=[REPO])
    for name in ("xpt", *SCRIPTS):
        loader.load(name)
    loader.resolve_aliases(implicit=True)
    parts = [INTRODUCTION, "\n".join(f"- {step}: {links(names.split())}" for step, names in STEPS.items())]
    for step, names in STEPS.items():
        parts.append(f"## {step}")
        for name in names.split():
            parts += describe(name, loader.modules_collection[f"xpt.{name}"])
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def links(names: Iterable[str]) -> str:
    """Names that lead to their headings."""
    return ", ".join(f"[`{name}`](#{name.lower()})" for name in names)


def describe(name: str, thing: Any) -> Iterator[str]:
    """Heading, signature, and the sections of the docstring in their order."""
    yield f"### `{name}`"
    options = our_options(name)
    if not options and not is_error(name):
        yield f"```python\n{signature(name, thing)}\n```"
    for section in thing.docstring.parse("google"):
        yield from show(section)
        if section.kind is DocstringSectionKind.text and options:
            yield table(options)
    if name in MEMBERS:
        yield "**Methods and properties**"
        yield "\n".join(member(each, thing.members[each]) for each in MEMBERS[name].split())


def is_error(name: str) -> bool:
    value = getattr(xpt, name)
    return isinstance(value, type) and issubclass(value, Exception)


def signature(name: str, thing: Any, width: float = WIDE) -> str:
    """How it is called, a line a parameter where one line would be too wide."""
    shown, starred = [], False
    for parameter in thing.parameters:
        if parameter.name == "self":
            continue
        if parameter.kind is griffe.ParameterKind.keyword_only and not starred:
            shown.append("*")
            starred = True
        default = "" if parameter.default is None else f" = {parameter.default}"
        shown.append(f"{parameter.name}: {parameter.annotation}{default}")
    returned = getattr(thing, "returns", None)
    result = f" -> {returned}" if returned is not None else ""
    line = f"{name}({', '.join(shown)}){result}"
    if len(line) <= width:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in shown) + f"){result}"


def show(section: DocstringSection) -> Iterator[str]:
    """A section of a docstring as Markdown."""
    value: Any = section.value
    if section.kind is DocstringSectionKind.text:
        yield value
    elif section.kind is DocstringSectionKind.parameters:
        yield "**Parameters**"
        yield "\n".join(f"- `{one.name}`: {joined(one.description)}" for one in value)
    elif section.kind is DocstringSectionKind.returns:
        yield f"**Returns**: {joined(' '.join(one.description for one in value))}"
    elif section.kind is DocstringSectionKind.raises:
        yield "\n\n".join(f"**Raises** `{one.annotation}`: {joined(one.description)}" for one in value)
    elif section.kind is DocstringSectionKind.admonition and value.kind == "example":
        yield "**Example**"
        yield f"```pycon\n{textwrap.dedent(value.description)}\n```"
    else:
        raise ValueError(f"a section of the kind {section.kind.value} has no form here")


def member(name: str, thing: Any) -> str:
    """A method or property in a line: how it is called, and the first paragraph of what it says."""
    called = name if thing.is_attribute else signature(name, thing, math.inf)
    text = thing.docstring.value.split("\n\n")[0] if thing.docstring else ""
    return f"- `.{called}`" + (f": {joined(text)}" if text else "")


def our_options(name: str) -> dict[str, Any]:
    """The fields with a help text that a class of options has from us, by name; no other class has any."""
    kind = getattr(xpt, name)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return {}
    ours = [each for names in grouped_options((kind,))[0].values() for each in names]
    found = {entry.name: entry for entry in fields(kind) if entry.name in ours and "help" in entry.metadata}
    refused = getattr(kind, "refused", ())
    return {each: found[each] for each in ours if each in found and each not in refused}


def table(options: dict[str, Any]) -> str:
    """Options, their defaults and what they mean."""
    lines = ["| | default | |", "|-|-|-|"]
    for name, entry in options.items():
        default = entry.default if entry.default_factory is MISSING else entry.default_factory()
        said = joined(entry.metadata["help"]).replace("%%", "%").replace("|", "\\|").replace("*", "\\*")
        lines.append(f"| `{name}` | `{getattr(default, 'value', default)!r}` | {said} |")
    return "\n".join(lines)


def joined(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
