"""What belongs in a model repository, laid out in a folder of its own: those files and no others.

    weights         model.safetensors, or its shards and their index; adapter_model.safetensors
    configuration   config.json with the whole auto_map; adapter_config.json; generation_config.json
    code            configuration_xpt.py and modeling_xpt.py as this package has them, for XPT models;
                    with configuration_trelm.py and modeling_trelm.py for a TreLM, with
                    configuration_xpt_modernbert.py and modeling_xpt_modernbert.py around a ModernBERT; none
                    for a decoder
    tokenizer       tokenizer.json and what lies beside it
    README.md       the card, and .eval_results/
    results         results.json without this machine's folders; loss.png, scores.png
    .gitattributes

Anything else in a folder (optimizer, random states, pickles, logs, predictions) stays where it is. Links,
what would run other code than ours, and whatever `leaks` finds are refused.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from peft.utils import CONFIG_NAME as ADAPTER_CONFIG
from peft.utils import SAFETENSORS_WEIGHTS_NAME as ADAPTER_WEIGHTS
from safetensors import SafetensorError, safe_open
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from configuration_xpt import AUTO_MAP
from xpt.cards.public import publishable
from xpt.finetune.benchmarks import benchmark_of
from xpt.program.errors import XPTError
from xpt.program.formatting import short_size
from xpt.program.manifest import file_sha256
from xpt.release.leaks import find_leak, own_places
from xpt.release.staged_card import CardFacts, write_phase_card, write_result_card
from xpt.transplant.architectures import CLM, find_post_trained
from xpt.transplant.parameter_groups import ADAPTER_FOLDER

TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt"),
    *("sentencepiece.model", "sentencepiece.bpe.model", "spiece.model", "spm.model"),
)
PICTURES = ("loss.png", "scores.png")
RESULTS, GENERATION = "results.json", "generation_config.json"
GIT_ATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in ("*.safetensors", "*.model", "*.png")
)
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_ONLY_HERE = ("_name_or_path", "name_or_path", "is_local", "local_files_only")


class Kind(StrEnum):
    """What a folder holds."""

    POST_TRAINED = "post-trained model"
    PHASE = "checkpoint of one phase"
    FINE_TUNED = "fine-tuned model"
    ADAPTER = "LoRA adapter"
    NATIVE = "stock RoBERTa model"


@dataclass(frozen=True)
class File:
    """One file to upload: bytes and SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Base:
    """The model that an adapter belongs to, on the Hub, and its commit."""

    model_id: str
    revision: str | None = None


@dataclass(frozen=True)
class Staged:
    """A folder that holds exactly what is uploaded, by path."""

    folder: Path
    kind: Kind
    files: dict[str, File]

    def listing(self) -> str:
        """Names and sizes, one a line."""
        width = max(map(len, self.files))
        lines = [f"  {name:{width}}  {short_size(file.size):>8}" for name, file in self.files.items()]
        total = short_size(sum(file.size for file in self.files.values()))
        return "\n".join([*lines, f"  {'in all':{width}}  {total:>8}"])


def find_kind(folder: Path) -> Kind:
    """What a folder holds. Raises `XPTError` where that is nothing to publish."""
    if not (folder / "config.json").is_file():
        if (folder / "run.json").is_file():
            raise XPTError(f"{folder}: the run is not finished; start its command again")
        raise XPTError(f"{folder}: no config.json; give the folder of a finished run or of a model")
    if (folder / ADAPTER_CONFIG).is_file():
        return Kind.ADAPTER
    config = _read_json(folder / "config.json")
    model_type = config.get("model_type")
    results = _read_json(folder / RESULTS) if (folder / RESULTS).is_file() else None
    if benchmark_of(results) is not None:
        return Kind.FINE_TUNED
    if find_post_trained(config):
        return Kind.PHASE if results is None else Kind.POST_TRAINED
    if model_type == "roberta":
        return Kind.NATIVE
    raise XPTError(
        f"{folder}: a {model_type} model without results; give an XPT or TreLM checkpoint, a RoBERTa export, "
        "or the folder of a finished fine-tuning"
    )


def stage(folder: Path, into: Path, card: CardFacts, base: Base | None = None) -> Staged:
    """Lay out in `into`, a new folder, what of `folder` belongs in a model repository.

    Args:
        base: of an adapter, where its base is on the Hub; None takes the one that it names.

    Raises:
        XPTError: something is missing, or may not go out; the message names the file.
    """
    kind = find_kind(folder)
    into.mkdir()
    config = _staged_config(folder)
    _write_json(into / "config.json", config)
    architecture = find_post_trained(config)
    for file in architecture.code_files if architecture else ():
        shutil.copyfile(file, into / file.name)
    if kind is Kind.ADAPTER:
        _stage_adapter(folder, into, base)
    else:
        _stage_weights(folder, into)
        if architecture and architecture.objective == CLM:
            _take(folder, GENERATION, into)
        if (folder / ADAPTER_FOLDER).is_dir():
            _real(folder / ADAPTER_FOLDER)
            (into / ADAPTER_FOLDER).mkdir()
            _stage_adapter(folder / ADAPTER_FOLDER, into / ADAPTER_FOLDER, Base(card.model_id))
    _stage_tokenizer(folder, into)
    for name in PICTURES:
        _take(folder, name, into)
    if (folder / RESULTS).exists():
        _write_json(into / RESULTS, publishable(_read_json(_real(folder / RESULTS))))
    (into / ".gitattributes").write_text(GIT_ATTRIBUTES, encoding="utf-8")
    checked = _checked_files(into, folder)  # before the card's module opens any of them
    if kind is Kind.PHASE:
        write_phase_card(into, card, config)
    else:
        write_result_card(into, card)
    return Staged(into, kind, _checked_files(into, folder, checked))


# ---- parts -----------------------------------------------------------------------------------------------


def _staged_config(folder: Path) -> dict[str, Any]:
    config = _without_local(_read_json(_real(folder / "config.json")))
    architecture = find_post_trained(config)
    ours, given = architecture.auto_map if architecture else AUTO_MAP, config.get("auto_map") or {}
    foreign = [code for name, code in given.items() if ours.get(name) != code]
    if foreign:
        place = folder / "config.json"
        raise XPTError(f"{place}: its auto_map runs {foreign[0]}, code that is not ours; take that out")
    if architecture and ours:
        config["auto_map"] = ours
    return config


def _stage_weights(folder: Path, into: Path) -> None:
    if _take(folder, SAFE_WEIGHTS_NAME, into):
        return
    if not (folder / SAFE_WEIGHTS_INDEX_NAME).exists():
        raise XPTError(f"{folder}: no {SAFE_WEIGHTS_NAME}; weights are published as safetensors only")
    index = _read_json(_real(folder / SAFE_WEIGHTS_INDEX_NAME))
    for shard in sorted(set(map(str, index.get("weight_map", {}).values()))):
        if not _SHARD.fullmatch(shard) or not _take(folder, shard, into):
            raise XPTError(f"{folder / SAFE_WEIGHTS_INDEX_NAME}: {shard!r} is no shard that lies beside it")
    _write_json(into / SAFE_WEIGHTS_INDEX_NAME, index)


def _stage_adapter(folder: Path, into: Path, base: Base | None) -> None:
    """Its weights, and a configuration that names a base on the Hub, with its commit."""
    if not _take(folder, ADAPTER_WEIGHTS, into):
        raise XPTError(f"{folder}: no {ADAPTER_WEIGHTS}; adapters are published as safetensors only")
    config = _read_json(_real(folder / ADAPTER_CONFIG))
    named = config.get("base_model_name_or_path")
    if base is not None:
        config |= {"base_model_name_or_path": base.model_id, "revision": base.revision}
    elif named is None or is_folder(named):
        raise XPTError(
            f"{folder}: its base is {named or 'not named'}, which nobody else has; publish that first, "
            "and name it: --base_model_id OWNER/NAME"
        )
    _write_json(into / ADAPTER_CONFIG, config)


def _stage_tokenizer(folder: Path, into: Path) -> None:
    for name in TOKENIZER:
        _take(folder, name, into)
    path = into / "tokenizer_config.json"
    if path.exists():
        config = _without_local(_read_json(path))
        if config.pop("auto_map", None):
            raise XPTError(f"{folder / path.name}: its auto_map runs code of its own; take that out")
        path.unlink()  # it may be another name of the file it was taken from
        _write_json(path, config)


# ---- files -----------------------------------------------------------------------------------------------


def is_folder(name: str) -> bool:
    """Whether a model's name is a place on this machine, or looks like one, and no id of the Hub."""
    return Path(name).exists() or not re.fullmatch(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)?", name)


def _take(folder: Path, name: str, into: Path) -> bool:
    """Copy one file, where it is there; large ones are shared with it, not doubled, where the disk can."""
    source = folder / name
    if not os.path.lexists(source):
        return False
    _real(source)
    if source.suffix == ".safetensors":
        _check_safetensors(source)
        try:
            os.link(source, into / name)
            return True
        except OSError:  # another disk
            pass
    shutil.copyfile(source, into / name)
    return True


def _real(path: Path) -> Path:
    """`path`, which must be a file or folder itself. Raises `XPTError` for a link or a device."""
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        raise XPTError(f"{path}: a link or no regular file; put the file itself there")
    return path


def _check_safetensors(path: Path) -> None:
    try:
        with safe_open(path, framework="pt"):
            pass
    except SafetensorError as error:
        raise XPTError(f"{path}: not readable as safetensors ({error})") from error


def _checked_files(folder: Path, source: Path, known: Mapping[str, File] | None = None) -> dict[str, File]:
    """Every file with size and hash, `known` ones as they were. Raises `XPTError` for one that may not go."""
    places, files = own_places(source), {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not _real(path).is_file():
            continue
        if known and name in known:
            files[name] = known[name]
            continue
        leak = find_leak(path, name, places)
        if leak:
            raise XPTError(f"{source}: {name} holds {leak}; take that out and start again")
        files[name] = File(path.stat().st_size, file_sha256(path))
    return files


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise XPTError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(value, dict):
        raise XPTError(f"{path}: holds no JSON object")
    return value


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _without_local(value: Any) -> Any:
    """JSON of a configuration without the entries that tell how it was loaded here."""
    if isinstance(value, dict):
        return {
            name: _without_local(entry)
            for name, entry in value.items()
            if not (name in _ONLY_HERE or name.startswith("_attn_implementation"))
        }
    return [_without_local(entry) for entry in value] if isinstance(value, list) else value
