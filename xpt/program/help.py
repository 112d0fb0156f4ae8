"""`--help`: what one reads first, a group of options for each dataclass of ours, the inherited rest by name.

A group holds what its class declares, under the first line of the class's docstring, so that a new option or
dataclass appears without being listed here.
"""

import argparse
import inspect
from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any

from transformers import TrainingArguments
from transformers.hf_argparser import string_to_bool

from xpt.program.formatting import wrap

OTHERS_TITLE = "Others, of transformers"
OTHERS_NOTE = (
    "Accepted with their stock defaults; https://huggingface.co/docs/transformers/main_classes/trainer "
    "explains them:"
)
LONGEST_CHOICE = 50  # columns; more choices stand in the text
KINDS: dict[Any, str] = {int: "INT", float: "NUMBER", str: "TEXT", string_to_bool: "true|false"}


def help_text(
    parser: argparse.ArgumentParser,
    dataclass_types: Iterable[Any],
    introduction: str,
    hidden: Collection[str],
) -> str:
    """The whole help, after `introduction`; options in `hidden` are left out."""
    actions = {action.dest: action for action in reversed(parser._actions)}  # not `no_...`, the second of two
    groups, others = grouped_options(dataclass_types)
    parts = [introduction]
    for title, names in groups.items():
        options = [_option(actions[name]) for name in names if name not in hidden]
        parts.append("\n".join([f"{title}:", *options]))
    if rest := ", ".join(f"--{name}" for name in others if name not in hidden):
        parts.append(f"{OTHERS_TITLE}:\n{wrap(OTHERS_NOTE, '  ')}\n{wrap(rest, '  ')}")
    return "\n\n".join(parts) + "\n"


def grouped_options(dataclass_types: Iterable[Any]) -> tuple[dict[str, list[str]], list[str]]:
    """Names of our options by the title of their group, as declared, and those of the inherited ones."""
    groups: dict[str, list[str]] = {}
    others: list[str] = []
    for kind in dataclass_types:
        seen: set[str] = set()
        declared, known = [], {entry.name for entry in fields(kind)}
        for owner in inspect.getmro(kind):  # what a class declares anew is its own, not its parent's
            names = [name for name in inspect.get_annotations(owner) if name in known]
            declared.append((owner, [name for name in names if name not in seen]))
            seen |= set(names)
        for owner, names in reversed(declared):
            if issubclass(TrainingArguments, owner):
                others += names
            else:
                groups.setdefault(_title(owner), []).extend(names)
    return groups, others


def _title(kind: type) -> str:
    return (kind.__doc__ or kind.__name__).splitlines()[0].rstrip(".")


def _option(action: argparse.Action) -> str:
    text = (action.help or "") % vars(action)
    choices = [str(choice) for choice in action.choices or ()]
    value = "|".join(choices)
    if not choices:
        value = KINDS.get(action.type, "TEXT") + (" ..." if action.nargs == "+" else "")
    elif len(value) > LONGEST_CHOICE:
        value = "NAME"
        text += f" One of {', '.join(choices)}."
    if "Default: " not in text:
        text += f" Default: {_shown(action.default)}."
    return f"  --{action.dest} {value}\n{wrap(text, ' ' * 8)}"


def _shown(default: Any) -> str:
    """A default as one would type it."""
    if isinstance(default, bool) or default is None:
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
