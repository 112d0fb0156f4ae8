"""Options of any command: dataclasses read from YAML files and flags alike; the later one wins.

YAML entries are read as if they were flags, so both are checked by the same parser and mean the same:
`language: no` is `--language no`.
"""

import difflib
import json
from argparse import ArgumentParser
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import Field, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser
from transformers.integrations import get_reporting_integration_callbacks

from xpt.program.errors import XPTError
from xpt.program.help import help_text
from xpt.program.settings import one_or_several
from xpt.program.yaml_text import read_entries


@dataclass(frozen=True)
class Given:
    """What a command line says: one object for each dataclass, and what was named in files or flags."""

    parts: tuple[Any, ...]
    names: Collection[str]


class OptionParser(HfArgumentParser):
    """Says what is wrong in one line instead of printing the usage.

    Args:
        dataclass_types: the options, a group of the help each.
        prog: the command, as one types it.
        introduction: what the help begins with.
        refused: options of transformers that cannot be meant here, and why or what instead.
        as_json: options whose YAML value becomes JSON text, even an empty list.
    """

    def __init__(
        self,
        dataclass_types: Sequence[Any],
        prog: str,
        introduction: str,
        refused: Mapping[str, str] | None = None,
        as_json: Collection[str] = (),
    ) -> None:
        super().__init__(tuple(dataclass_types), prog=prog, allow_abbrev=False)
        self.introduction, self.refused, self.as_json = introduction, refused or {}, as_json

    @staticmethod
    def _parse_dataclass_field(parser: ArgumentParser, field: Field) -> None:
        # One value or several of a kind: transformers' parser has no word for that.
        kind = one_or_several(field.type)
        if kind is not None:
            field = copy(field)
            field.type, field.metadata = kind, MappingProxyType({**field.metadata, "nargs": "+"})
        HfArgumentParser._parse_dataclass_field(parser, field)

    def error(self, message: str) -> NoReturn:
        raise XPTError(f"{message} (see --help)")

    def format_help(self) -> str:
        return help_text(self, self.dataclass_types, self.introduction, hidden=self.refused)

    def read(
        self, arguments: Sequence[str], find: Callable[[str], Path], default_output: str | None = None
    ) -> Given:
        """Parse a command line.

        Args:
            arguments: YAML files, then flags.
            find: the file of what was named before the flags.
            default_output: what `--output_dir` is where nobody gives it; "{}" in it is the last file's name.

        Raises:
            XPTError: in one line, for anything that cannot be used.
        """
        files = leading(arguments)
        from_files = [(path, self.load(find(path))) for path in files]
        flags = list(arguments[len(files) :])
        options: dict[str, list[str]] = {}
        for path, entries in from_files:
            self.take(entries, path, options)
        tokens = [token for option in options.values() for token in option] + flags
        self._refuse(tokens)
        if default_output and "output_dir" not in {_name(token) for token in tokens}:
            tokens += ["--output_dir", default_output.format(Path(files[-1]).stem if files else "xpt")]
        try:
            *parts, rest = self.parse_args_into_dataclasses(
                args=tokens, look_for_args_file=False, return_remaining_strings=True
            )
        except (ValueError, ImportError) as error:
            raise XPTError(" ".join(str(error).split())) from error
        if rest:
            raise self._unknown(rest[0])
        return Given(tuple(parts), {*options, *map(_name, flags)})

    def _unknown(self, token: str) -> XPTError:
        """What to say of an option that does not exist."""
        if not token.startswith("-"):
            return XPTError(f"{token} stands behind the options; name recipes first")
        flag = token.split("=")[0]
        near = difflib.get_close_matches(flag, list(self._option_string_actions), n=1)
        return XPTError(f"unknown option {flag}{f'; did you mean {near[0]}?' if near else ''} (see --help)")

    def take(self, entries: dict[str, Any], origin: str, options: dict[str, list[str]]) -> None:
        """Write `entries` into `options` as flags; a later one replaces an earlier, null takes it back.

        Raises `XPTError` for an unknown one; `origin` says where it stands.
        """
        known = {action.dest for action in self._actions}
        for name, value in entries.items():
            if name not in known:
                near = difflib.get_close_matches(str(name), sorted(known), n=1)
                raise XPTError(
                    f"{origin}: unknown option {name!r}{f'; did you mean {near[0]!r}?' if near else ''}"
                )
            options.pop(name, None)
            if isinstance(value, dict) or (name in self.as_json and value is not None):
                options[name] = [f"--{name}", json.dumps(value)]
            elif isinstance(value, list):
                options[name] = [f"--{name}", *map(str, value)]
            elif value is not None:
                options[name] = [f"--{name}", str(value)]

    def load(self, path: Path) -> dict[str, Any]:
        """The entries of a YAML file. Raises `XPTError` for what is none."""
        try:
            entries = read_entries(path.read_text(encoding="utf-8"), self.as_json)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise XPTError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
        if entries is None:
            raise XPTError(f"{path}: a recipe is a list of `name: value`")
        return entries

    def _refuse(self, tokens: Sequence[str]) -> None:
        for token in tokens:
            if _name(token) in self.refused:
                raise XPTError(f"--{_name(token)} {self.refused[_name(token)]}")


def leading(arguments: Sequence[str]) -> list[str]:
    """What stands before the first flag."""
    files = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        files.append(argument)
    return files


def _name(token: str) -> str:
    return token[2:].split("=")[0].replace("-", "_") if token.startswith("--") else ""


def check_trackers(training: Any) -> None:
    """Find a missing tracker before the first step, not after the text is prepared."""
    try:
        for callback in get_reporting_integration_callbacks(training.report_to):
            callback()
    except (ValueError, RuntimeError, ImportError) as error:
        raise XPTError(f"--report_to: {' '.join(str(error).split())}") from error
