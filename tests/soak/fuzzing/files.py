"""Cases of damaged files: text, tokenizers, sources, what an interrupted or finished run left, the cache."""

import json
import random
import signal
from pathlib import Path

from conftest import korean_sentences

from soak.fuzzing.base import FORMATS, PACKING, copy_folder
from soak.fuzzing.case import Case
from soak.fuzzing.mutations import mutate_bytes, mutate_file, mutate_json
from xpt.program.files import read_record, write_record
from xpt.program.manifest import MANIFEST, write_manifest

PICKLE = b"cposix\nsystem\n(S'touch opened-a-pickle'\ntR."


def fuzz_corpus(case: Case) -> None:
    """One or two files of any format: odd text in them, or damage before or after they were packed."""
    chooser = case.chooser
    for number in range(chooser.choice((1, 1, 2))):
        name, packing = chooser.choice(list(FORMATS)), chooser.choice(["", "", *PACKING])
        sentences = korean_sentences(200, seed=chooser.randrange(5))
        odd = chooser.choice((0.0, 0.02))
        data = FORMATS[name]([_odd_text(chooser) if chooser.random() < odd else one for one in sentences])
        damage = chooser.choice(("none", "none", "before", "before", "after"))
        data = PACKING[packing](mutate_bytes(data, chooser) if damage == "before" else data)
        folder = case.inputs / f"text{number}"
        folder.mkdir()
        (folder / (name + packing)).write_bytes(mutate_bytes(data, chooser) if damage == "after" else data)
    case.options["corpus"] = chooser.choice((case.inputs, case.inputs / "text0", f"{case.inputs}/**/*"))
    case.options["language"] = "ko" if chooser.random() < 0.8 else chooser.choice(("en", "zh", "xx", ""))
    case.options["split_by"] = chooser.choice(("sentence", "sentence", "document"))
    if chooser.random() < 0.3:
        case.options |= {
            "tokenizer_name_or_path": None,
            "vocab_size": chooser.choice((6, 60, 200, 300, 5000)),
        }


def _odd_text(chooser: random.Random) -> str:
    pieces = "가 A \u0000 \u202e \u200d \ud7ff \U0010ffff 🇰🇷 \u0301 \u1100\u1161 ?! < &amp; １".split(" ")
    pieces += [
        "나라 ",
        "\ufeff",
        "\ufffd",
        "\r",
        "\u2028",
        "\t",
        ". ",
        '"',
        "https://a.kr ",
        "\x1f",
        "\u00ad",
    ]
    return "".join(chooser.choices(pieces, k=chooser.choice((1, 10, 100, 20_000))))


def _damage(folder: Path, chooser: random.Random, names: list[str] | None = None) -> str:
    """Damage one to three files of a folder; says which."""
    files = sorted(
        file for file in folder.rglob("*") if file.is_file() and (names is None or file.name in names)
    )
    said = []
    for file in chooser.sample(files, min(len(files), chooser.choice((1, 1, 1, 2, 3)))):
        said.append(str(file.relative_to(folder)))
        match chooser.randrange(14):
            case 0:
                file.unlink()
            case 1:
                file.unlink()
                file.mkdir()
            case 2:
                file.write_bytes(
                    chooser.choice(files).read_bytes() if chooser.choice(files).is_file() else b""
                )
            case _:
                file.write_bytes(mutate_file(file.name, file.read_bytes(), chooser))
    return ", ".join(said)


def _plant_pickles(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).write_bytes(PICKLE)


def fuzz_tokenizer(case: Case) -> None:
    """A tokenizer's files, damaged."""
    folder = copy_folder(case.base.tokenizer, case.inputs / "tokenizer")
    (folder / "special_tokens_map.json").write_text('{"mask_token": "<mask>", "pad_token": "<pad>"}')
    case.what = _damage(folder, case.chooser)
    case.options["tokenizer_name_or_path"] = folder


def fuzz_source(case: Case) -> None:
    """A source's config and weights, damaged; code and pickles lie beside them."""
    chooser = case.chooser
    folder = copy_folder(case.base.source(chooser.choice(("roberta", "bert"))), case.inputs / "source")
    if chooser.random() < 0.3:
        (folder / "code.py").write_text("raise RuntimeError('code of the source was run')\n")
        config = json.loads((folder / "config.json").read_text())
        config["auto_map"] = {"AutoConfig": "code.C", "AutoModelForMaskedLM": "code.M"}
        (folder / "config.json").write_text(json.dumps(config))
        _plant_pickles(folder, ("pytorch_model.bin",))
    case.what = _damage(folder, chooser, ["config.json", "model.safetensors"])
    case.options["source_model_name_or_path"] = folder


# ---- what a run left -------------------------------------------------------------------------------------


def fuzz_run_folder(case: Case) -> None:
    """Files of an interrupted run, damaged: it says so, or ends with the weights of the undisturbed one."""
    copy_folder(case.base.stopped, case.output)
    for checkpoint in case.output.glob("checkpoints/*/checkpoint-*"):
        _plant_pickles(checkpoint, ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"))
    case.what = _damage(case.output, case.chooser)
    case.options, case.same_weights = case.base.options(), True


def fuzz_sealed_checkpoint(case: Case) -> None:
    """Files of a checkpoint that are senseless although every hash is right."""
    chooser = case.chooser
    copy_folder(case.base.stopped, case.output)
    pointer = case.output / "checkpoints" / "latest.json"
    listed = read_record(pointer)
    folder = case.output / "checkpoints" / listed[-1]["phase"] / f"checkpoint-{listed[-1]['step']}"
    facts = json.loads((folder / MANIFEST).read_text())
    names = [file.name for file in folder.iterdir() if file.name != MANIFEST]
    case.what = _damage(folder, chooser, names)
    for made in folder.iterdir():
        if made.is_dir():
            made.rmdir()
    listed[-1]["manifest_sha256"] = write_manifest(
        folder, {key: value for key, value in facts.items() if key not in ("files", "format")}
    )
    write_record(pointer, listed)


def fuzz_sealed_record(case: Case) -> None:
    """run.json, progress.json or the pointer with senseless content and the right hash; any log lines."""
    chooser = case.chooser
    copy_folder(case.base.stopped, case.output)
    name = chooser.choice(("run.json", "progress.json", "checkpoints/latest.json", "log.jsonl"))
    path = case.output / name
    if name == "log.jsonl":
        path.write_bytes(mutate_file(name, path.read_bytes(), chooser))
    else:
        write_record(path, json.loads(mutate_json(json.dumps(read_record(path)), chooser)))
    case.what = name


def fuzz_finished(case: Case) -> None:
    """Files of a finished run, damaged, and its command again."""
    copy_folder(case.base.whole, case.output)
    case.what = _damage(case.output, case.chooser, ["results.json", "run.json", "progress.json", "log.jsonl"])


def fuzz_cache(case: Case) -> None:
    """Prepared text, damaged."""
    case.what = _damage(case.cache, case.chooser)


def fuzz_signal(case: Case) -> None:
    """SIGTERM or Ctrl-C at any time of a run that is in order."""
    number = case.chooser.choice((signal.SIGTERM, signal.SIGINT))
    case.stop = number, case.chooser.uniform(0.02, 2.5)
    case.what = f"{number.name} after {case.stop[1]:.2f} s"
