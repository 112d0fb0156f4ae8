"""The tokenizer of a pre-trained model, as it was meant: what its files leave open is settled here.

What passes through: a name or folder and a configuration -> a fast tokenizer that reads text, with a padding
token, and for an encoder-decoder with the end of sequence that its classification heads pool on.
"""

from pathlib import Path
from typing import Any

import transformers
from tokenizers import processors
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerFast
from transformers.utils import cached_file

from xpt.program.errors import XPTError
from xpt.survey.names import Opening

PROBE = "한국어 문장과 English words, 12."
TOKENIZER_FILE = "tokenizer.json"


def open_tokenizer(
    name: str, revision: str | None, config: PretrainedConfig, reads_back: bool, opening: Opening
) -> PreTrainedTokenizerFast:
    """The tokenizer of a model.

    Args:
        name: folder or Hub id.
        config: the model's; it says which tokens are special where the tokenizer's files do not.
        reads_back: whether all tokens are seen by all, as in an encoder: no end of sequence is needed then.
        opening: what its files leave open or say wrongly, of a model that is known for it.

    Raises:
        XPTError: there is none, or one that cannot serve.
        OSError, ValueError: what transformers says of files that it cannot read.
    """
    tokenizer = _read(name, revision, opening)
    if not getattr(tokenizer, "is_fast", False):
        raise XPTError(
            f"--model_name_or_path {name}: its {type(tokenizer).__name__} cannot say where its tokens stand "
            f"in the text; save the tokenizer as a fast one ({TOKENIZER_FILE}) beside the model"
        )
    if opening.tokenizer_class is None:
        tokenizer = _as_written(name, revision, tokenizer, opening)
    if not _reads(tokenizer):
        raise XPTError(
            f"--model_name_or_path {name}: has no tokenizer, or one that knows no words; put "
            f"{TOKENIZER_FILE} beside the model"
        )
    _name_special_tokens(tokenizer, config, reads_back)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.sep_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise XPTError(
            f"--model_name_or_path {name}: neither the tokenizer nor the configuration has a padding token; "
            "name one (pad_token) in tokenizer_config.json"
        )
    if opening.positions is not None:
        tokenizer.model_max_length = min(tokenizer.model_max_length, opening.positions)
    return tokenizer


def end_sequences(tokenizer: PreTrainedTokenizerFast, name: str, end: int | None) -> int:
    """The token that texts end in, on which an encoder-decoder's heads pool.

    The one that the tokenizer puts there; where it puts none (KoBART), `end`, which is written into the
    tokenizer, so that it is saved. The same token spelled out in a text is text, as transformers refuses a
    batch whose rows hold different numbers of ends.

    Raises:
        XPTError: the model has no such token.
    """
    tokenizer.split_special_tokens = True
    probe: Any = tokenizer(PROBE, return_special_tokens_mask=True)
    if probe["special_tokens_mask"][-1]:
        return int(probe["input_ids"][-1])
    if end is None:
        raise XPTError(
            f"--model_name_or_path {name}: has no end of sequence (eos_token_id), on which a model of two "
            "stacks is pooled; name it in config.json"
        )
    token = tokenizer.convert_ids_to_tokens(end)
    framed = processors.TemplateProcessing(
        single=f"$A {token}", pair=f"$A {token} $B:1 {token}:1", special_tokens=[(token, end)]
    )
    backend = tokenizer.backend_tokenizer
    before = backend.post_processor
    backend.post_processor = framed if before is None else processors.Sequence([before, framed])
    return end


def _read(name: str, revision: str | None, opening: Opening) -> PreTrainedTokenizerFast:
    """By transformers' class for it, or by the one that its files should have named."""
    named = opening.tokenizer_class
    kind: Any = AutoTokenizer if named is None else getattr(transformers, named)
    return kind.from_pretrained(name, revision=revision, trust_remote_code=False, **opening.tokenizer_options)


def _as_written(
    name: str, revision: str | None, tokenizer: PreTrainedTokenizerFast, opening: Opening
) -> PreTrainedTokenizerFast:
    """The tokenizer as its file has it, where the class for this kind of model would read text differently.

    A family's class builds its own pipeline from the file's vocabulary. KoGPT2 is a GPT-2 whose vocabulary is
    not of bytes: through GPT-2's class no Korean text has a token.
    """
    file = cached_file(
        name,
        TOKENIZER_FILE,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if file is None or not Path(file).is_file():
        return tokenizer
    written = PreTrainedTokenizerFast.from_pretrained(name, revision=revision, **opening.tokenizer_options)
    same = _ids(written) == _ids(tokenizer) and len(written) == len(tokenizer)
    return tokenizer if same else written


def _ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    return list(tokenizer(PROBE, add_special_tokens=False)["input_ids"])


def _reads(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether text has tokens: without any file transformers makes a tokenizer of special tokens alone."""
    return len(set(_ids(tokenizer)) - {tokenizer.unk_token_id}) > 1


def _name_special_tokens(
    tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig, reads_back: bool
) -> None:
    """Give a tokenizer the special tokens that only the configuration names (KoGPT2)."""
    for kind in ("pad",) if reads_back else ("pad", "bos", "eos"):
        number: Any = getattr(config, f"{kind}_token_id", None)
        known = isinstance(number, int) and 0 <= number < len(tokenizer)
        if known and getattr(tokenizer, f"{kind}_token") is None:
            setattr(tokenizer, f"{kind}_token", tokenizer.convert_ids_to_tokens(number))
