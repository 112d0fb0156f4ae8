"""Shell completion of `xpt`: a script that a shell reads once, as the options take seconds to import."""

import argparse
from collections.abc import Mapping

SHELLS = ("bash", "zsh", "tcsh")


def completion_script(shell: str, parsers: Mapping[str, tuple[argparse.ArgumentParser, str]]) -> str:
    """What `shell` (one of `SHELLS`) reads to complete commands, their options and their choices.

    Args:
        parsers: of each command its options, and what it does in a line.
    """
    import shtab

    root = argparse.ArgumentParser("xpt")
    commands = root.add_subparsers()
    for name, (parser, summary) in parsers.items():
        commands.add_parser(name, parents=[parser], add_help=False, help=summary)
    return shtab.complete(root, shell)
