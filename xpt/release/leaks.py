"""What must not leave this machine with a model: paths, tokens, pickles; every byte of a file is looked at.

`xpt.cards.public` takes them out of what is written anew.
"""

import mmap
import re
import tempfile
from collections.abc import Collection
from pathlib import Path

from huggingface_hub import get_token

_USUAL_ROOTS = "home|Users|root|mnt|tmp|private|scratch|workspace|work|data|opt|srv|var|media|content"
_USUAL_PATH = re.compile(rb"(?<![\w.:/>-])/(?:%s)/[\w.@+-]+" % _USUAL_ROOTS.encode())
_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{20,}")
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")
_TEXTS = (".json", ".md", ".yaml", ".py", ".gitattributes")
_ZIP, _PICKLES = b"PK\x03\x04", tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


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
