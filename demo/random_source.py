"""A source of the same shape that has never read anything: `python demo/random_source.py SOURCE FOLDER`.

It is the control of the demo: what it lacks is exactly what the English pre-training gave.
"""

import sys
from pathlib import Path

from transformers import AutoConfig, AutoModel, set_seed


def main() -> None:
    source, folder = sys.argv[1:3]
    if Path(folder, "model.safetensors").exists():
        return
    set_seed(0)
    AutoModel.from_config(AutoConfig.from_pretrained(source)).save_pretrained(folder)


if __name__ == "__main__":
    main()
