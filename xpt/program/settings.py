"""Fields of settings: each says what it means once, where it is used, and command lines borrow that.

Settings made in Python are checked as the parser checks a command line's.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import MISSING, Field, field, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from xpt.program.errors import XPTError

NUMBERS = {int, float, bool}  # types that no text is of


def option(default: Any, help: str, **metadata: Any) -> Any:
    """A dataclass field with its help text; without a default where that is `MISSING`."""
    return field(default=default, metadata={"help": help, **metadata})


def option_of(settings: Any, name: str, default: Any = MISSING) -> Any:
    """The field of a command line that is the field `name` of `settings`: its help, and its default."""
    entry = settings.__dataclass_fields__[name]
    return field(default=entry.default if default is MISSING else default, metadata=entry.metadata)


def changed_values(settings: Any) -> dict[str, Any]:
    """What is not as it is by default, by name."""
    values = {entry.name: getattr(settings, entry.name) for entry in fields(settings) if entry.init}
    return {name: value for name, value in values.items() if value != _default(settings, name)}


def _default(settings: Any, name: str) -> Any:
    entry: Field = settings.__dataclass_fields__[name]
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def check_values(settings: Any) -> None:
    """Give settings that were made in Python the types that a command line's have.

    A path becomes text, what stands alone where a list is wanted a list of one, and a list of one where one
    value or several are wanted what stands in it. Raises `XPTError` for what is none of the choices, and for
    text where a number or a truth value is wanted ("false" is true).
    """
    hints = get_type_hints(type(settings))
    for entry in fields(settings):
        if not entry.init or (value := getattr(settings, entry.name)) is None:
            continue
        kinds = _kinds(hints[entry.name])
        if one_or_several(hints[entry.name]) is not None:
            kinds -= {list}
            value = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
        elif list in kinds and str not in kinds:
            value = [value] if isinstance(value, str | os.PathLike | int | float) else value
            value = [os.fspath(one) if isinstance(one, os.PathLike) else one for one in value]
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        _check(entry, value, hints[entry.name], kinds)
        object.__setattr__(settings, entry.name, value)


def one_or_several(hint: Any) -> Any:
    """The type of `float | list[float]`: one value or several. None for any other type."""
    kinds = get_args(hint)
    return kinds[0] if len(kinds) == 2 and get_args(kinds[1]) == kinds[:1] else None


def _kinds(hint: Any) -> set[Any]:
    """The types of a union without their parameters, None left out."""
    alternatives = [hint] if get_origin(hint) is Literal or not get_args(hint) else get_args(hint)
    if get_origin(hint) is list:
        return {list}
    return {get_origin(kind) or kind for kind in alternatives} - {NoneType}


def _check(entry: Field, value: Any, hint: Any, kinds: Collection[Any]) -> None:
    choices = entry.metadata.get("choices") or _choices(hint)
    if choices and value not in choices:
        raise XPTError(f"--{entry.name} is {value!r}; give one of {', '.join(map(str, choices))}")
    if isinstance(value, str) and NUMBERS.issuperset(kinds):
        wanted = "True or False" if bool in kinds else "a number"
        raise XPTError(f"--{entry.name} is the text {value!r}; give {wanted}")


def _choices(hint: Any) -> list[Any]:
    parts: Iterable[Any] = [hint] if get_origin(hint) is Literal else get_args(hint)
    return [choice for part in parts if get_origin(part) is Literal for choice in get_args(part)]
