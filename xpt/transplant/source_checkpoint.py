"""Opening a source checkpoint and making sure that it is whole.

What passes through: `config.json` and safetensors, nothing else; no code of the source is run and no pickle
opened. What comes out, a `Source`, speaks RoBERTa's words whatever its family, so the transplant need not
know families; a decoder and a ModernBERT speak their own class's.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from configuration_xpt import XPTRobertaConfig
from xpt.program.errors import XPTError
from xpt.transplant.architectures import (
    ARCHITECTURES,
    CLM,
    DECODERS,
    IN_OWN_WORDS,
    MLM,
    MODERNBERT,
    find_architecture,
)
from xpt.transplant.decoder_source import DecoderNames, read_decoder_config
from xpt.transplant.families import FAMILIES, POST_TRAINED
from xpt.transplant.modernbert_source import ModernBertShapes, read_modernbert_config, rename
from xpt.transplant.parameter_groups import ADAPTER_CONFIG
from xpt.transplant.source_config import SUPPORTED, SourceConfig, read_config
from xpt.transplant.source_files import CONFIG, SourceFiles, one_line
from xpt.transplant.source_tensors import check_tensors, printable

WORDS, POSITIONS, TOKEN_TYPES = (
    f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")
)
ITLS = ("itl_in.", "itl_out.")
TRI, LANGUAGES = "tri.", "language_embeddings.weight"  # of a TreLM
BODY = ("embeddings.", "encoder.", *ITLS, TRI, LANGUAGES)
HEAD = "lm_head."
HEAD_TENSORS = tuple(
    f"{HEAD}{part}.{kind}" for part in ("dense", "layer_norm") for kind in ("weight", "bias")
)
OUTPUT_BIAS = f"{HEAD}bias"  # belongs to a vocabulary: kept with that, or mixed
FIRST_OF_MANY = (".layer.0.", "itl_in.0.", "itl_out.0.")
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True, eq=False)
class Source:
    """An opened, verified checkpoint; all tensors are float32.

    Args:
        name: the folder or the Hub id.
        family: transformers' `model_type`.
        config: in our words; a decoder's is its own, without its ITLs' layers, and so is a ModernBERT's.
        body: embeddings and layers (those that post-training added too) under RoBERTa's names without prefix;
            of a decoder all there is, of a ModernBERT the backbone, under its own names.
        head: the LM-head transform under `dense.*` and `layer_norm.*`, a ModernBERT's `norm.*`, or None.
        output_bias: of the LM head, (vocabulary,), or None.
        first_position: the row of the position table that the first token reads.
        lm_head_activation: what the LM head computes, by transformers' name.
        sha256: of names and bytes of all tensors.
        commit: of the Hub; None for a folder.
        output_name: of a decoder's output matrix, where that is not tied to the word embeddings.

    Example:
        >>> source = xpt.open_source("tiny-roberta")
        >>> source.family, source.config.num_hidden_layers, source.is_xpt
        ('roberta', 3, False)
        >>> tuple(source.word_embeddings.shape)  # (source vocabulary, hidden)
        (120, 32)
    """

    name: str
    family: str  # a key of FAMILIES or IN_OWN_WORDS
    config: Any
    body: dict[str, Tensor]
    head: dict[str, Tensor] | None
    output_bias: Tensor | None
    first_position: int
    lm_head_activation: str
    sha256: str
    commit: str | None = None
    output_name: str | None = None

    @property
    def objective(self) -> str:
        """How it predicts: masked tokens (mlm), or each token from those before it (clm)."""
        return CLM if self.family in DECODERS else MLM

    @property
    def is_xpt(self) -> bool:
        """Whether it is post-trained already: what was new then and its vocabulary can be kept."""
        own = self.family in IN_OWN_WORDS and hasattr(self.config, "num_itl_in")
        return own or self.family in POST_TRAINED

    @property
    def word_embeddings(self) -> Tensor:
        """(source vocabulary, hidden)."""
        own = IN_OWN_WORDS.get(self.family)
        return self.body[own.layout.words if own else WORDS]

    @property
    def output_embeddings(self) -> Tensor | None:
        """The output matrix, (source vocabulary, hidden), where it is not tied to the word embeddings.

        A decoder that was stored without its head has the word embeddings' there.
        """
        return None if self.output_name is None else self.body.get(self.output_name, self.word_embeddings)

    @property
    def used_positions(self) -> Tensor:
        """The rows that the source's tokens use, first position first: (positions, hidden)."""
        return self.body[POSITIONS][self.first_position :]

    @property
    def positions(self) -> int:
        """How many tokens it reads at once."""
        known = self.family in IN_OWN_WORDS
        return int(self.config.max_position_embeddings) if known else len(self.used_positions)

    def describe(self) -> dict[str, Any]:
        """For records. A folder is named by its last part: the path is the machine's own."""
        return {
            "name": self.name if self.commit else Path(self.name).name,
            "family": self.family,
            "revision": self.commit,
            "sha256": self.sha256,
            "layers": self.config.num_hidden_layers,
            "hidden_size": self.config.hidden_size,
            "has_lm_head": self.head is not None,
        }


def open_source(name_or_path: str | None, revision: str | None = None) -> Source:
    """Open and verify a checkpoint: the English model that post-training starts from (Lee et al. 2021).

    Args:
        name_or_path: a folder with `config.json` and safetensors, or a Hub id; a post-trained one too.
        revision: branch, tag or commit on the Hub.

    Returns:
        The checkpoint, an encoder in RoBERTa's words whatever its family; all tensors float32.

    Raises:
        XPTError: it is not there, not whole, or not of a supported family.

    Example:
        >>> source = xpt.open_source("tiny-roberta")
        >>> source.describe()["name"], source.describe()["layers"]
        ('tiny-roberta', 3)
    """
    if not name_or_path:
        raise XPTError("no source: give --source_model_name_or_path, an English encoder's Hub id or folder")
    files = SourceFiles(str(name_or_path), revision)
    raw = files.read_json(CONFIG)
    if isinstance(raw.get("model_type"), str) and raw["model_type"] in IN_OWN_WORDS:
        return _open_decoder(files, raw) if raw["model_type"] in DECODERS else _open_modernbert(files, raw)
    described = read_config(raw, files.name)
    if described.family in POST_TRAINED:
        _refuse_adapters(files)
    expected = _expected_shapes(described, files.name)  # before any large file is fetched
    tensors = _read_tensors(files.weights(), _encoder_names(described.family), files.name)
    bias = _foreign_bias(tensors, described)
    _check_tensors(tensors, expected, described.config, files.name)
    _fold_tables(tensors, described)
    body = {key: tensor for key, tensor in tensors.items() if key.startswith(BODY)}
    head = {key.removeprefix(HEAD): tensors[key] for key in HEAD_TENSORS if key in tensors}
    return Source(
        files.name,
        described.family,
        described.config,
        body,
        head or None,
        tensors.get(OUTPUT_BIAS, bias),
        described.first_position,
        described.head_activation,
        # Without another family's bias: runs that began before it was read find their source unchanged.
        _sha256({**body, **head}, tensors.get(OUTPUT_BIAS)),
        files.commit,
    )


def _open_decoder(files: SourceFiles, raw: dict[str, Any]) -> Source:
    _refuse_adapters(files)
    config = read_decoder_config(raw, files.name)
    names = DecoderNames(config, files.name)  # before any large file is fetched
    body = _read_tensors(files.weights(), names.rename, files.name)
    names.check(body, files.name)
    return Source(
        files.name, raw["model_type"], config, body, None, None, 0, "", _sha256(body, None), files.commit,
        names.head,
    )  # fmt: skip


def _open_modernbert(files: SourceFiles, raw: dict[str, Any]) -> Source:
    _refuse_adapters(files)
    config, layout = read_modernbert_config(raw, files.name), MODERNBERT.layout
    expected = ModernBertShapes(config, files.name)  # before any large file is fetched
    tensors = _read_tensors(files.weights(), rename, files.name)
    expected.check(tensors, files.name)
    sha256, bias = _sha256(tensors, None), tensors.pop(layout.output_bias, None)
    stored_head = [name for name in tensors if name.startswith(layout.head)]
    head = {name.removeprefix(layout.head): tensors.pop(name) for name in stored_head}
    return Source(
        files.name, raw["model_type"], config, tensors, head or None, bias, 0, config.classifier_activation,
        sha256, files.commit,
    )  # fmt: skip


def _refuse_adapters(files: SourceFiles) -> None:
    if files.find(ADAPTER_CONFIG):
        raise XPTError(
            f"source {files.name!r} keeps LoRA adapters beside its weights, and they would be lost; "
            "add them to the weights first (peft: merge_and_unload)"
        )


def _expected_shapes(described: SourceConfig, name: str) -> dict[str, torch.Size]:
    """Shapes of all tensors a source must have, by RoBERTa's names; the first stand for all layers."""
    kind = find_architecture(described.family) or ARCHITECTURES["xpt"]
    config = kind.config(**described.config.to_dict())
    # A config may claim billions; a TreLM has two halves.
    for count, most in (("num_hidden_layers", 2), ("num_itl_in", 1), ("num_itl_out", 1)):
        setattr(config, count, min(getattr(config, count), most))
    try:
        with torch.device("meta"):
            model = kind.model(config)
    except Exception as error:  # a config may hold any number, and torch any complaint about it
        raise XPTError(f"source {name!r}: its {CONFIG} describes no model: {one_line(error)}") from error
    shapes = {key.removeprefix("roberta."): tensor.shape for key, tensor in model.named_parameters()}
    if not FAMILIES[described.family].has_token_types:
        del shapes[TOKEN_TYPES]
    return shapes | {
        table: torch.Size([rows, config.hidden_size]) for table, rows in described.added_tables.items()
    }


def _encoder_names(family: str) -> Callable[[str], str | None]:
    """From a stored name to RoBERTa's, of backbone and LM-head transform; None for anything else."""

    def rename(stored: str) -> str | None:
        key, head = FAMILIES[family].rename(stored), (*HEAD_TENSORS, OUTPUT_BIAS)
        # Left out are buffers that older releases stored, poolers, other heads.
        if key is None or key.endswith("_ids") or not (key.startswith(BODY) or key in head):
            return None
        return key

    return rename


def _read_tensors(paths: list[Path], rename: Callable[[str], str | None], name: str) -> dict[str, Tensor]:
    """All tensors that the files hold and `rename` has a name for, by that name, float32."""
    tensors: dict[str, Tensor] = {}
    for path in paths:
        try:
            stored = load_file(path)
        except Exception as error:  # a damaged header makes the library raise errors of many kinds
            raise XPTError(
                f"source {name!r}: {path.name} is no whole safetensors file ({one_line(error)}); get it anew"
            ) from error
        for stored_name, tensor in stored.items():
            key = rename(stored_name)
            if key is None:
                continue
            if tensor.dtype not in FLOATS:
                raise XPTError(
                    f"source {name!r}: {printable(stored_name)} is {tensor.dtype}; "
                    "give one that is not quantized"
                )
            if key in tensors and not torch.equal(tensors[key], tensor.to(torch.float32)):  # else a tied one
                raise XPTError(f"source {name!r} holds {printable(key)} twice; get the checkpoint again")
            tensors[key] = tensor.to(torch.float32, copy=True)  # not the file's memory, which may yet change
    return tensors


def _foreign_bias(tensors: dict[str, Tensor], described: SourceConfig) -> Tensor | None:
    """Take out the output bias of another family, which no more than mixing needs; an odd one is none."""
    bias = None if described.family in POST_TRAINED else tensors.pop(OUTPUT_BIAS, None)
    fits = bias is not None and bias.shape == (described.config.vocab_size,) and bias.isfinite().all()
    return bias if fits else None


def _check_tensors(
    tensors: dict[str, Tensor], expected: dict[str, torch.Size], config: XPTRobertaConfig, name: str
) -> None:
    """Raise `XPTError` unless `tensors` are what `config` describes: all, no other, of the right shape."""
    shapes = {key: shape for key, shape in expected.items() if key.startswith(BODY)}
    counts = (config.num_hidden_layers, config.num_itl_in, config.num_itl_out)
    for first, count in zip(FIRST_OF_MANY, counts, strict=True):
        for key in [key for key in shapes if first in key]:
            for layer in range(min(count, len(tensors))):  # as above: one more than there are is enough
                shapes[key.replace(first, first.replace("0", str(layer)))] = shapes[key]
    if any(key in tensors for key in HEAD_TENSORS):
        shapes |= {key: expected[key] for key in HEAD_TENSORS}
    if OUTPUT_BIAS in tensors:
        shapes[OUTPUT_BIAS] = expected[OUTPUT_BIAS]
    check_tensors(tensors, shapes, name, SUPPORTED)


def _fold_tables(tensors: dict[str, Tensor], described: SourceConfig) -> None:
    """Give the source the token types that RoBERTa expects, with what every token gets beside them."""
    if not FAMILIES[described.family].has_token_types:
        tensors[TOKEN_TYPES] = torch.zeros(1, described.config.hidden_size)
    for table in described.added_tables:
        tensors[TOKEN_TYPES] = tensors[TOKEN_TYPES] + tensors.pop(table)[0]


def _sha256(tensors: dict[str, Tensor], output_bias: Tensor | None) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted({**tensors, **({} if output_bias is None else {"bias": output_bias})}.items()):
        digest.update(key.encode(errors="backslashreplace"))
        digest.update(tensor.numpy())
    return digest.hexdigest()
