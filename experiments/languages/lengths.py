"""How many characters scripts need for the same words: the translations of Django's interface, per language.

    pip download --no-deps Django==5.2.19
    python experiments/languages/lengths.py django-5.2.19-py3-none-any.whl > lengths.json

For each language the characters of all its translated messages over those of their English originals.
"""

import argparse
import gettext
import io
import json
import re
import zipfile
from hashlib import sha256
from pathlib import Path

from langcodes import Language

CATALOG = re.compile(r"django/(?:conf|contrib/\w+)/locale/(?P<language>\w+)/LC_MESSAGES/django\.mo")
# Fewer characters of English than this are translated: too little to compare.
ENOUGH = 5000


def read_lengths(wheel: Path) -> dict[str, list[int]]:
    """Per language its characters, those of the English originals, and the number of messages."""
    lengths: dict[str, list[int]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not (match := CATALOG.fullmatch(name)):
                continue
            messages = gettext.GNUTranslations(io.BytesIO(archive.read(name)))._catalog
            total = lengths.setdefault(match["language"], [0, 0, 0])
            for english, translated in messages.items():
                # Plural forms (tuples) have several translations each; a message without one is not there.
                if isinstance(english, str) and english and translated != english:
                    total[0] += len(translated)
                    total[1] += len(english)
                    total[2] += 1
    return lengths


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path, help="Django's wheel, from a package index.")
    wheel = parser.parse_args().wheel
    rows = []
    for language, (characters, english, messages) in sorted(read_lengths(wheel).items()):
        if english >= ENOUGH:
            script = Language.get(language.replace("_", "-")).maximize().script
            ratio = round(characters / english, 3)
            rows.append({"language": language, "script": script, "messages": messages, "of_english": ratio})
    korean = next(row["of_english"] for row in rows if row["language"] == "ko")
    for row in rows:
        row["of_korean"] = round(row["of_english"] / korean, 2)
    digest = sha256(wheel.read_bytes()).hexdigest()
    print(json.dumps({"wheel": wheel.name, "sha256": digest, "languages": rows}, indent=1))


if __name__ == "__main__":
    main()
