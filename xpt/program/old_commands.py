"""The names that commands had (`python -m xpt.hub`, ...) work for one more release, and name the new one.

So does the one import that cards of fine-tuned models tell.
"""

import sys
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Module -> what follows `xpt` now; None where it only holds others.
OLD_COMMANDS = {
    "xpt.hub": "push",
    "xpt.klue": None,
    "xpt.klue.compare": "compare",
    "xpt.klue.saving": None,
    "xpt.klue.score": "score",
    "xpt.native": "native",
    "xpt.shards": None,
    "xpt.shards.prepare": "shards",
}
IMPORTED = {"xpt.klue.saving": "from xpt.finetune.saving import load_fine_tuned  # noqa: F401\n"}


class OldCommands(MetaPathFinder, InspectLoader):
    """Finds the modules of `OLD_COMMANDS` for `python -m`; nothing else is found by it."""

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in OLD_COMMANDS:
            return None
        return ModuleSpec(name, self, is_package=self.is_package(name))

    def is_package(self, name: str) -> bool:
        return OLD_COMMANDS[name] is None and name not in IMPORTED

    def get_source(self, name: str) -> str:
        if OLD_COMMANDS[name] is None:
            return IMPORTED.get(name, "")
        return f"from xpt.program.old_commands import run\nif __name__ == '__main__':\n    run({name!r})\n"


def run(module: str) -> None:
    """Say what `module` is called now, run that, and exit."""
    import importlib

    command, given = OLD_COMMANDS[module], sys.argv[1:]
    print(f"note: python -m {module} is now: xpt {command}", file=sys.stderr)
    if module == "xpt.hub" and given[:1] == ["push"]:  # it said what it does, which is the command's name now
        del given[0]
    sys.exit(importlib.import_module("xpt.command").main([str(command), *given]))
