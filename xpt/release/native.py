"""An XPT checkpoint as a stock RoBERTa checkpoint, which needs no remote code, and back.

    xpt native output/xpt-ko output/xpt-ko-native
    xpt native output/xpt-ko-native output/xpt-ko-again --reverse true

What passes through: folders. LoRA adapters are added to the weights first; the tokenizer goes along. A native
config.json keeps nothing of ours, so on the way back the number of ITLs is told.
"""

import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel
from peft.utils import CONFIG_NAME as LORA_CONFIG
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerFast

from configuration_trelm import TreLMRobertaConfig
from xpt.cards.card import write_card
from xpt.finetune.saving import load_fine_tuned
from xpt.program.errors import XPTError
from xpt.program.files import check_writable, write_folder_atomically
from xpt.program.options import OptionParser, leading
from xpt.program.script import main_of
from xpt.program.settings import option
from xpt.text.tokenizer import load_tokenizer, save_tokenizer
from xpt.transplant.architectures import DECODERS, MODERNBERT
from xpt.transplant.families import OLD_NAMES
from xpt.transplant.native_model import STOCK_CLASSES, XPT_CLASSES, filled, from_native, to_native
from xpt.transplant.parameter_groups import ADAPTER_CONFIG, ADAPTER_FOLDER
from xpt.transplant.source_files import CONFIG, SourceFiles, one_line

INTRODUCTION = """\
Turn an XPT checkpoint into a stock RoBERTa checkpoint, which loads without remote code, or back.

  xpt native FOLDER OUTPUT
  xpt native FOLDER OUTPUT --reverse true

FOLDER is what train_xpt.py or finetune_klue.py leaves; LoRA adapters are added to the weights."""

RECORDS = (
    "results.json",
    "loss.png",
    "scores.png",
)  # what was measured holds of the export, as its card says


@dataclass
class NativeArguments:
    """Which way."""

    reverse: bool = option(False, "Make an XPT checkpoint of a stock one. Default: false, the other way.")
    num_itl_in: int = option(1, "Of a stock model's layers, how many of the first become ITLs. Default: 1.")
    num_itl_out: int = option(1, "Of a stock model's layers, how many of the last become ITLs. Default: 1.")


def export_native(folder: str | Path, output: str | Path) -> None:
    """Write the XPT checkpoint in `folder` as a stock RoBERTa checkpoint with the same outputs.

    Args:
        folder: an XPT model with any head that transformers has, whole or as LoRA adapters.
        output: a new or an empty folder, for model, configuration, tokenizer, results and plots.

    Raises:
        XPTError: `folder` is not that (a TreLM has no such twin), or `output` holds something.

    Example:
        >>> xpt.export_native("output/mine", "output/mine-native")
        >>> from transformers import AutoModelForMaskedLM
        >>> type(AutoModelForMaskedLM.from_pretrained("output/mine-native")).__name__
        'RobertaForMaskedLM'
    """
    folder, output = Path(folder), Path(output)
    config = _check_folders(folder, output)
    if config.model_type == TreLMRobertaConfig.model_type:
        raise XPTError(
            f"{folder}: is a TreLM, and no stock RoBERTa equals one: language and position are added again "
            "in its middle; load it with trust_remote_code=True, or without by import modeling_trelm"
        )
    if (folder / LORA_CONFIG).is_file():
        model: Any = load_fine_tuned(folder)[0]
        _check_class(folder, [type(model.get_base_model()).__name__], STOCK_CLASSES)
        model = model.merge_and_unload()
    else:
        model = _read_model(folder, config, STOCK_CLASSES)
    if (folder / ADAPTER_CONFIG).is_file():
        model = PeftModel.from_pretrained(model, str(folder / ADAPTER_FOLDER)).merge_and_unload()
    native = to_native(model)
    with _written(native, _tokenizer(folder, native.config), output) as staging:
        for name in RECORDS:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, staging / name)
        write_card(staging, output.name)


def import_native(
    folder: str | Path, output: str | Path, *, num_itl_in: int = 1, num_itl_out: int = 1
) -> None:
    """Write the stock RoBERTa checkpoint in `folder` as an XPT checkpoint, to be post-trained further.

    Args:
        folder: a RoBERTa with any head that XPT has.
        output: a new or an empty folder, for model, its code, configuration and tokenizer.
        num_itl_in: how many of the first layers become `itl_in`, 0 or more.
        num_itl_out: how many of the last layers become `itl_out`, 0 or more.

    Raises:
        XPTError: `folder` is not that, has too few layers, or `output` holds something.

    Example:
        >>> xpt.export_native("output/mine", "output/mine-native")
        >>> xpt.import_native("output/mine-native", "output/again")
        >>> source = xpt.open_source("output/again")
        >>> source.is_xpt, source.config.num_itl_in, source.config.num_hidden_layers
        (True, 1, 3)
    """
    folder, output = Path(folder), Path(output)
    config = _check_folders(folder, output)
    for name, count in (("num_itl_in", num_itl_in), ("num_itl_out", num_itl_out)):
        if count < 0:
            raise XPTError(f"--{name} is {count}; give 0 or more")
    stock = _read_model(folder, config, XPT_CLASSES)
    if config.num_hidden_layers <= num_itl_in + num_itl_out:
        raise XPTError(
            f"{folder} has {config.num_hidden_layers} layers, and --num_itl_in {num_itl_in} --num_itl_out "
            f"{num_itl_out} leave none between the ITLs; give smaller numbers"
        )
    with _written(from_native(stock, num_itl_in, num_itl_out), _tokenizer(folder, config), output):
        pass


def _check_folders(folder: Path, output: Path) -> Any:
    """The configuration in `folder`. Raises `XPTError` where one of both folders cannot be used."""
    if not (folder / CONFIG).is_file():
        raise XPTError(f"{folder}: no {CONFIG}; give the folder of a model")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise XPTError(f"{output} is not empty; give a new folder")
    check_writable(output, "OUTPUT")
    try:
        config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a config may hold anything, and its class has its own ways to refuse it
        raise XPTError(f"{folder}: its {CONFIG} cannot be read: {one_line(error)}") from error
    if getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False):
        raise XPTError(f"{folder}: is a decoder (is_decoder or add_cross_attention), and XPT is an encoder")
    return config


def _read_model(folder: Path, config: Any, classes: Collection[type[PreTrainedModel]]) -> PreTrainedModel:
    """The model in `folder`, of one of `classes`, with exactly the tensors that are stored."""
    kind = _check_class(folder, config.architectures or [config.model_type], classes)
    tensors: dict[str, Tensor] = {}
    for path in SourceFiles(str(folder)).weights():
        try:
            tensors |= {_plain(name): tensor for name, tensor in load_file(path).items()}
        except Exception as error:  # a damaged header makes the library raise errors of many kinds
            raise XPTError(
                f"{folder}: {path.name} is no whole safetensors file ({one_line(error)}); get it anew"
            ) from error
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("_ids")}  # old buffers
    try:
        return filled(kind, config, tensors)
    except XPTError as error:
        raise XPTError(f"{folder}: {error}") from error


def _plain(name: str) -> str:
    """A tensor's name today: TensorFlow's are in old files, and in what transformers 5.4 loads and saves."""
    for pattern, replacement in OLD_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _check_class(
    folder: Path, named: Sequence[str], classes: Collection[type[PreTrainedModel]]
) -> type[PreTrainedModel]:
    """The class that a checkpoint names. Raises `XPTError` where it is none that has an export."""
    by_name = {kind.__name__: kind for kind in classes}
    if named[0] in by_name:
        return by_name[named[0]]
    if classes is XPT_CLASSES:
        hint = "other encoders become XPT models by train_xpt.py --source_model_name_or_path"
    elif named[0] in {kind.__name__ for kind in XPT_CLASSES}:
        hint = "it is a stock RoBERTa already; --reverse true makes an XPT model of it"
    elif named[0] in {one.model.__name__ for one in DECODERS.values()}:
        hint = "a decoder is a stock model already, and loads without remote code as it is"
    elif named[0] == MODERNBERT.model.__name__:
        hint = (
            "a stock ModernBERT only comes near it: xpt.transplant.modernbert_stock.export_stock says by how "
            "much, on text that you give it, and writes it"
        )
    else:
        hint = "what is not named loads with this package alone"
    raise XPTError(f"{folder}: is a {ascii(named[0])[1:-1]:.60}, not one of {', '.join(by_name)}; {hint}")


def _tokenizer(folder: Path, config: Any) -> PreTrainedTokenizerFast:
    """The tokenizer in `folder`, cutting texts where tokens have no position any more."""
    tokenizer = load_tokenizer(folder)
    # Of the position table the first rows are never used: tools that count them all would read too far.
    limit = config.max_position_embeddings - config.pad_token_id - 1
    tokenizer.model_max_length = min(tokenizer.model_max_length, limit)
    return tokenizer


@contextmanager
def _written(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, output: Path) -> Iterator[Path]:
    """Yield a folder with model and tokenizer, to which more may be added; it then becomes `output`."""
    with write_folder_atomically(output) as staging:
        model.save_pretrained(staging)
        save_tokenizer(tokenizer, staging)
        yield staging


# ---- the command -----------------------------------------------------------------------------------------


def make_parser() -> OptionParser:
    """The parser behind `xpt native --help`."""
    return OptionParser((NativeArguments,), "xpt native", INTRODUCTION)


def _convert(arguments: Sequence[str]) -> str:
    folders = leading(arguments)
    (given,) = make_parser().read(arguments[len(folders) :], Path).parts
    if len(folders) != 2:
        raise XPTError(f"give two folders, FOLDER and OUTPUT, not {len(folders)} (see --help)")
    folder, output = map(Path, folders)
    if given.reverse:
        import_native(folder, output, num_itl_in=given.num_itl_in, num_itl_out=given.num_itl_out)
        return f"{output}: an XPT model with {given.num_itl_in} + {given.num_itl_out} ITLs"
    export_native(folder, output)
    return f"{output}: a stock RoBERTa, which loads without remote code"


main = main_of(_convert)
