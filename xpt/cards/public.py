"""What may be published of a result: no place on a machine, no user's name in a path, no token.

Commands and settings hold paths as somebody typed them. Of one that leaves the working folder the last part
is kept; a relative one is as it was.
"""

import ast
import re
import shlex
from pathlib import PureWindowsPath
from typing import Any

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")
_URL = re.compile(r"((?!file:)\b[a-z][a-z0-9+.-]*://\S+)", re.IGNORECASE)
_PATH = re.compile(r"[^\s'\"`,;:|<>()\[\]{}=]*[/\\][^\s'\"`,;:|<>()\[\]{}=]*|(?<!\w)~[A-Za-z_][\w-]*")
_HOMES = ("home", "users")
# Settings that name places of a machine, or the upload itself; results do not follow from them.
_PRIVATE_SETTINGS = re.compile(r".*_dir|run_name|push_to_hub|hub_.*|.*_token")


def publishable(value: Any, key: str = "") -> Any:
    """A copy of a result, or of a part of it, with nothing in its strings that tells of a machine.

    Args:
        value: JSON types.
        key: what it is called there; a `command` is read as a shell would, `settings` lose folders.
    """
    if isinstance(value, dict):
        kept = [name for name in value if key != "settings" or not _PRIVATE_SETTINGS.fullmatch(name)]
        return {name: publishable(value[name], name) for name in kept}
    if isinstance(value, list | tuple):
        return [publishable(one, key) for one in value]
    if not isinstance(value, str):
        return value
    return shown_command(value) if key == "command" else shown_text(value)


def shown_command(command: str) -> str:
    """A command line, or a call of ours in Python, whose paths are relative, or the last part of them."""
    if command.startswith("xpt.") and "(" in command:
        return _shown_call(command)
    try:
        words = shlex.split(command)
    except ValueError:
        return shown_text(command)
    return shlex.join(map(_word, words))


def _shown_call(call: str) -> str:
    try:
        tree = ast.parse(call, mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        return shown_text(call)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = shown_text(node.value)
    return ast.unparse(tree)


def _word(word: str) -> str:
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{flag}{equals}{shown_text(value)}"


def shown_text(text: str) -> str:
    """The same for running text; what is a path as a whole may have spaces in it."""
    text = _LOGIN.sub("", _TOKEN.sub("***", text))
    if _leaves_the_folder(text) and "://" not in text and "\n" not in text:
        return _last_part(text)
    parts = _URL.split(text)
    return "".join(part if _URL.fullmatch(part) else _PATH.sub(_replaced, part) for part in parts)


def _replaced(match: re.Match) -> str:
    return _last_part(match[0]) if _leaves_the_folder(match[0]) else match[0]


def _leaves_the_folder(path: str) -> bool:
    """Whether it begins at a root or a home, or goes up; Windows' separators count too."""
    parts = re.split(r"[/\\]", path)
    if not any(part.strip("~") for part in parts):
        return False
    goes_up = ".." in parts and len(parts) > 1
    return path.startswith(("/", "\\", "~")) or goes_up or bool(re.match(r"[A-Za-z]:[/\\]", path))


def _last_part(path: str) -> str:
    """The name of a file or folder; of a home folder, which is called after its user, `~`."""
    parts = [part for part in PureWindowsPath(path).parts if part.strip("/\\")]
    homes = any(part.lower() in _HOMES for part in parts[-2:-1])
    return "~" if not parts or homes or parts[-1].startswith("~") or parts[-1] == ".." else parts[-1]
