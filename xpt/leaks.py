"""What must not leave this machine with a model: paths, tokens, pickles.

`cleaned` takes paths out of what is written anew; `find_leak` looks through every byte of a file.
"""

import mmap
import re
import shlex
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from huggingface_hub import get_token

# Settings that name places of this machine, or the upload itself; results do not follow from them.
PRIVATE_SETTINGS = re.compile(r"(?:.*_dir|run_name|push_to_hub|hub_.*|.*_token)")
# In running text: a home, or two names or more from the root on. What follows a host name is no path.
_PATH = re.compile(r"(?<![\w.:/>-])(?:~|/[\w.@+-]+|[A-Za-z]:\\)(?:[/\\][\w.@+-]+)+")
_PLACES = ("/", "~", "../", "file:")
_USUAL_ROOTS = "home|Users|root|mnt|tmp|private|scratch|workspace|work|data|opt|srv|var|media|content"
_USUAL_PATH = re.compile(rb"(?<![\w.:/>-])/(?:%s)/[\w.@+-]+" % _USUAL_ROOTS.encode())
_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{20,}")
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")
_TEXTS = (".json", ".md", ".yaml", ".py", ".gitattributes")
_ZIP, _PICKLES = b"PK\x03\x04", tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def cleaned(value: Any) -> Any:
    """JSON with every path of this machine cut to its last name."""
    if isinstance(value, dict):
        return {cleaned(key): cleaned(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [cleaned(entry) for entry in value]
    return _cleaned_text(value) if isinstance(value, str) else value


def cleaned_results(results: dict[str, Any]) -> dict[str, Any]:
    """A run's results as others may read them: without what tells only of this machine's folders."""
    results = dict(results)
    if isinstance(results.get("settings"), dict):
        settings = results["settings"].items()
        results["settings"] = {
            name: value for name, value in settings if not PRIVATE_SETTINGS.fullmatch(name)
        }
    if isinstance(results.get("command"), str):
        results["command"] = _cleaned_command(results["command"])
    return cleaned(results)


def _cleaned_text(text: str) -> str:
    if not re.search(r"\s", text) and text.startswith(_PLACES):
        return Path(text).name
    return _PATH.sub(lambda found: re.split(r"[/\\]", found[0])[-1], text)


def _cleaned_command(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:  # written by hand
        return command
    cut = []
    for word in words:
        flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        cut.append(f"{flag}{equals}{Path(value).name if value.startswith(_PLACES) else value}")
    return shlex.join(cut)


def own_places(folder: Path) -> list[bytes]:
    """Paths that tell of this machine: home, working folder, those of the model and of passing files."""
    places = (Path.home(), Path.cwd(), folder.resolve(), folder.resolve().parent, Path(tempfile.gettempdir()))
    return sorted({f"{place}/".encode() for place in places if len(place.parts) > 1})


def find_leak(path: Path, name: str, places: Collection[bytes]) -> str | None:
    """What of a file must not go out, in words; None where all may.

    Args:
        path: the file.
        name: its name in the repository, which says what is expected in it.
        places: from `own_places`.
    """
    if path.stat().st_size == 0:
        return None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:2] in _PICKLES or content[:4] == _ZIP:
            return "a pickle or an archive, which can run code when it is opened"
        own = get_token()
        if _TOKEN.search(content) or (own and content.find(own.encode()) >= 0):
            return "an access token"
        vocabulary = Path(name).name in _VOCABULARIES
        if vocabulary:  # pieces of other people's text may well be `/tmp/` or `/root/`
            places = [place for place in places if place.count(b"/") > 2]
        found = next((place for place in places if content.find(place) >= 0), None)
        if found is None and name.endswith(_TEXTS) and not vocabulary:
            usual = _USUAL_PATH.search(content)
            found = usual[0] if usual else None
        return f"a path of this machine, {found.decode(errors='replace')}" if found else None
