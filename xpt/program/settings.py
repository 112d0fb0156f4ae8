"""Fields of settings: each says what it means once, where it is used, and command lines borrow that."""

from dataclasses import MISSING, field
from typing import Any


def option(default: Any, help: str, **metadata: Any) -> Any:
    """A dataclass field with its help text; without a default where that is `MISSING`."""
    return field(default=default, metadata={"help": help, **metadata})


def option_of(settings: Any, name: str, default: Any = MISSING) -> Any:
    """The field of a command line that is the field `name` of `settings`: its help, and its default."""
    entry = settings.__dataclass_fields__[name]
    return field(default=entry.default if default is MISSING else default, metadata=entry.metadata)
