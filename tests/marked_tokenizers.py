"""Tokenizers of every kind that know the markers of entities."""

from klue_tokenizers import KINDS, make_tokenizer
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from xpt.finetune.klue.re import RE


def copied(kind, change=None, task=None):
    """A tokenizer of the kind that knows the markers, and for which `change` was done to the Rust part."""
    backend = Tokenizer.from_str(make_tokenizer(kind).backend_tokenizer.to_str())
    if change:
        change(backend)
    named = {
        name: make_tokenizer(kind).special_tokens_map[name]
        for name in make_tokenizer(kind).special_tokens_map
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **named)
    (task or RE()).prepare(tokenizer)
    return tokenizer


def _prefixed(backend):  # RoBERTa's option, as some models have it
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    ends = [(token, backend.token_to_id(token)) for token in ("</s>", "<s>")]
    backend.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=True)


def _always(backend):  # XLM-R and T5: a span behind a special token gets a mark too
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")


def _unsplit(backend):  # Llama: marks are normalization, and the whole text is one word
    mark = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    backend.normalizer = normalizers.Sequence([backend.normalizer, *mark])
    backend.pre_tokenizer = None


TOKENIZERS = {kind: copied(kind) for kind in KINDS}


TOKENIZERS |= {
    "bytes, blank in front": copied("bytes", _prefixed),
    "metaspace, always": copied("metaspace", _always),
    "metaspace, no words": copied("metaspace", _unsplit),
}
