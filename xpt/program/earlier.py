"""The names that commands had (`python -m xpt.hub`, ...) work for one more release, and name the new one."""

import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Module -> what follows `xpt` now; None where it only holds others.
EARLIER = {
    "xpt.hub": "push",
    "xpt.klue": None,
    "xpt.klue.compare": "compare",
    "xpt.klue.score": "score",
    "xpt.native": "native",
    "xpt.shards": None,
    "xpt.shards.prepare": "shards",
}


class EarlierCommands(MetaPathFinder, InspectLoader):
    """Finds the modules of `EARLIER` for `python -m`; nothing else is found by it."""

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in EARLIER:
            return None
        return ModuleSpec(name, self, is_package=self.is_package(name))

    def is_package(self, name: str) -> bool:
        return EARLIER[name] is None

    def get_source(self, name: str) -> str:
        if EARLIER[name] is None:
            return ""
        return f"from xpt.program.earlier import run\nif __name__ == '__main__':\n    run({name!r})\n"


def run(module: str) -> None:
    """Say what `module` is called now, run that, and exit."""
    import importlib

    command, given = EARLIER[module], sys.argv[1:]
    print(f"note: python -m {module} is now: xpt {command}", file=sys.stderr)
    sys.exit(importlib.import_module("xpt.command").main([str(command), *_without_verb(str(command), given)]))


def _without_verb(command: str, given: Sequence[str]) -> Sequence[str]:
    """`python -m xpt.hub push FOLDER NAME` said twice what it does."""
    return given[1:] if given[:1] == [command] else given
