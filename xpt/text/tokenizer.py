"""A fast tokenizer is saved, loaded and checked.

The folder that `save_tokenizer` writes loads with `AutoTokenizer` without remote code, and holds the
SentencePiece model too, so that the agreement can be checked at any time.
"""

import hashlib
import json
from pathlib import Path

import sentencepiece
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import LARGE_INTEGER

from xpt.program.errors import XPTError
from xpt.text.special_tokens import ensure_frame, ensure_opening, id_count
from xpt.text.tokenizer_convert import MODEL_ATTRIBUTE

# Not one of the names by which transformers looks for a SentencePiece model to convert by its own rules.
SENTENCEPIECE_FILE = "sentencepiece.model"
_CONFIG_FILE = "tokenizer_config.json"
_PROBE = "a \ue000 가"  # a character of private use, which no vocabulary has


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: str | Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and, where it is known, the SentencePiece model.

    The config names the class `PreTrainedTokenizerFast`, which takes `tokenizer.json` as it is: the classes
    of single models rebuild it by rules of their own, and `TokenizersBackend`, which transformers 5 would
    write, is unknown to transformers 4.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # The last call's truncation and padding are part of the backend's state, and would be saved with it.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:  # the Rust library knows no other kind, whatever the system said
        raise error if isinstance(error, OSError) else OSError(str(error)) from error
    path = folder / _CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config["model_input_names"] = list(tokenizer.model_input_names)
    if config.get("model_max_length", 0) > LARGE_INTEGER:
        del config["model_max_length"]  # 1e30 stands for no limit
    for passing in (
        "is_local",
        "name_or_path",
        "local_files_only",
        "backend",
    ):  # of this load, not of the file
        config.pop(passing, None)
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    model = getattr(tokenizer, MODEL_ATTRIBUTE, None)
    if model is not None:
        (folder / SENTENCEPIECE_FILE).write_bytes(model)


def load_tokenizer(
    name_or_path: str | Path,
    revision: str | None = None,
    *,
    causal: bool = False,
    roles: tuple[str, ...] | None = None,
) -> PreTrainedTokenizerFast:
    """Load a fast tokenizer from a folder or the Hub, never with its code, and check that XPT can use it.

    Args:
        name_or_path: a folder or a Hub id.
        revision: branch, tag or commit on the Hub.
        causal: for a model that goes on with a text, so that nothing is put behind one and no mask is needed.
        roles: tokens that it must have; a mask and a padding token, or the latter, where it is not said.

    Raises:
        XPTError: nothing there, not a fast tokenizer, no mask or padding token, nothing to put around a text,
            or ids that embeddings cannot have as rows.
    """
    folder = Path(name_or_path)
    if folder.is_dir() and not (folder / "tokenizer.json").is_file():
        # From other files the libraries would build one by guess, with other ids and no word.
        raise XPTError(f"no tokenizer.json in {folder}: give the folder of a fast tokenizer, or train one")
    if not folder.is_dir() and (folder.exists() or folder.is_absolute() or len(folder.parts) > 2):
        raise XPTError(f"no tokenizer folder {folder}: check the path, or give none to train one")
    try:
        # Left out, trust_remote_code is asked for on the terminal where a config.json has an auto_map.
        loaded = AutoTokenizer.from_pretrained(str(name_or_path), revision=revision, trust_remote_code=False)
    except Exception as error:  # the libraries below raise OSError, ValueError and bare Exceptions alike
        reason = str(error).strip().split("\n")[0]
        raise XPTError(f"cannot load a tokenizer from {name_or_path}: {reason}") from error
    if roles is None:
        roles = ("pad",) if causal else ("mask", "pad")
    tokenizer = _check_usable(loaded, str(name_or_path), causal, roles)
    if (folder / SENTENCEPIECE_FILE).is_file():
        setattr(tokenizer, MODEL_ATTRIBUTE, (folder / SENTENCEPIECE_FILE).read_bytes())
    return tokenizer


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """SHA-256 of what decides the ids of a text and the meaning of the special ones.

    Truncation and padding (set by each call), the decoder and the maximal length are left out.
    """
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    parts = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model")
    roles = {
        role: str(token) for role, token in tokenizer.special_tokens_map.items() if isinstance(token, str)
    }
    content = {**{part: backend[part] for part in parts}, "roles": roles}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()


def sentencepiece_processor(tokenizer: PreTrainedTokenizerFast) -> sentencepiece.SentencePieceProcessor:
    """The SentencePiece model that the tokenizer was made from; it expects what `sentencepiece_text` gives.

    Raises:
        XPTError: the tokenizer came without one.
    """
    model = getattr(tokenizer, MODEL_ATTRIBUTE, None)
    if model is None:
        raise XPTError(
            f"the tokenizer has no {SENTENCEPIECE_FILE} beside it: only tokenizers made by xpt keep one"
        )
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def _check_usable(
    tokenizer: object, name: str, causal: bool, roles: tuple[str, ...]
) -> PreTrainedTokenizerFast:
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise XPTError(
            f"the tokenizer {name} is not a fast one ({type(tokenizer).__name__}): give a tokenizer.json"
        )
    try:
        tokenizer.backend_tokenizer.encode(_PROBE)
    except Exception as error:  # the Rust library knows no other kind
        raise XPTError(
            f"the tokenizer {name} cannot read every text ({' '.join(str(error).split())}): "
            "give it an unk_token"
        ) from error
    for role in roles:
        if getattr(tokenizer, f"{role}_token_id") is None:
            raise XPTError(
                f"the tokenizer {name} has no {role} token, which XPT needs: name one as {role}_token in its "
                f"{_CONFIG_FILE}, or train a new tokenizer"
            )
    if causal:
        _check_causal(tokenizer, name, roles)
    elif not ensure_frame(tokenizer):
        raise XPTError(
            f"the tokenizer {name} has no two tokens to put around a text: name them in its "
            f"{_CONFIG_FILE}, as bos_token and eos_token or as cls_token and sep_token"
        )
    _check_ids(tokenizer, name)
    # Token type 0 everywhere, as in our own: of the types of a source's model there may be but one.
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def _check_causal(tokenizer: PreTrainedTokenizerFast, name: str, roles: tuple[str, ...]) -> None:
    if not ensure_opening(tokenizer):
        raise XPTError(
            f"the tokenizer {name} has no token that ends a text: name one as eos_token in its {_CONFIG_FILE}"
        )
    if "pad" in roles and tokenizer.pad_token_id in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        raise XPTError(
            f"the tokenizer {name} pads with a token that texts have ({tokenizer.pad_token}), whose row "
            f"would be zero: name another as pad_token in its {_CONFIG_FILE}, or train a new tokenizer"
        )


def _check_ids(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    vocabulary, rows = tokenizer.get_vocab(), id_count(tokenizer)
    if len(set(vocabulary.values())) < len(vocabulary):
        by_id: dict[int, list[str]] = {}
        for piece, index in vocabulary.items():
            by_id.setdefault(index, []).append(piece)
        index, pieces = next((index, pieces) for index, pieces in by_id.items() if len(pieces) > 1)
        raise XPTError(
            f"the tokenizer {name} has {' and '.join(sorted(pieces))} at one id, {index}: number them anew"
        )
    if rows > 2 * len(vocabulary):
        raise XPTError(
            f"the tokenizer {name} has {len(vocabulary):,} pieces and ids up to {rows - 1:,}, so that most "
            "rows of the embeddings would belong to none: number them anew"
        )
