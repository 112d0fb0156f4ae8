"""The table of architectures: what is built around copied layers, a row each, and where its parts stand.

A row says which class the result is, how its text is predicted, where embeddings, layers, final norm and
output matrix stand, what a new layer is, and how such a layer becomes an identity. Sources of RoBERTa's
families (`families`) all become the first row's, a ModernBERT a model of a row of its own; a decoder becomes
a stock model of its own class, in which Implicit Translation Layers are ordinary layers that the
configuration counts.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import transformers
from transformers import PreTrainedConfig, PreTrainedModel

from configuration_trelm import TreLMRobertaConfig
from configuration_xpt import XPTRobertaConfig
from configuration_xpt_modernbert import XPTModernBertConfig
from modeling_trelm import TreLMRobertaForMaskedLM
from modeling_xpt import XPTRobertaForMaskedLM
from modeling_xpt_modernbert import XPTModernBertForMaskedLM

ArchitectureName = Literal["xpt", "trelm"]
MLM, CLM = "mlm", "clm"  # masked, or each token from those before it
ITL_COUNTS = ("num_itl_in", "num_itl_out")


@dataclass(frozen=True)
class Layout:
    """Where the parts of a model stand, by the names of its tensors.

    Args:
        words: the word embeddings.
        layers: what stands before a layer's number.
        outputs: in a layer, the matrices by which it adds to its input: with zeros there it adds nothing.
        is_pre_norm: whether a layer that adds nothing is an exact identity; RoBERTa's still normalizes.
        norm_start: the weight of a norm that scales nothing.
        old_head: what files call the output matrix beside the class's own name for it.
        head: of a masked language model, what stands before the tensors of its LM-head transform.
        output_bias: of a masked language model.
        is_rotary: whether positions are turns from 0 on; RoBERTa's are rows of a table, behind the padding's.
    """

    words: str
    layers: str
    outputs: tuple[str, ...]
    is_pre_norm: bool = True
    norm_start: float = 1.0
    old_head: str = "lm_head.weight"
    head: str = "lm_head."
    output_bias: str = "lm_head.bias"
    is_rotary: bool = True


@dataclass(frozen=True)
class Architecture:
    """One of them.

    Args:
        name: in a recipe.
        config, model: the classes of its configuration and of its language model.
        default_itls: at each end, where a recipe does not say.
        modules: names of the modules that travel with a checkpoint; none for a stock class.
        layout: where its parts stand.
        objective: how it predicts.
    """

    name: ArchitectureName
    config: type[Any]
    model: type[PreTrainedModel]
    default_itls: int
    modules: tuple[str, ...]
    layout: Layout
    objective: str = MLM

    @property
    def model_type(self) -> str:
        """By which a `config.json` names it."""
        return str(self.config.model_type)

    @property
    def auto_map(self) -> dict[str, str]:
        """Which class of its code serves which Auto class; none where the class is stock."""
        return dict(self.config.code) if self.modules else {}

    @property
    def code_files(self) -> tuple[Path, ...]:
        """The files of its modules, as this package has them."""
        return tuple(Path(str(sys.modules[name].__file__)) for name in self.modules)


_ROBERTA = Layout(
    "roberta.embeddings.word_embeddings.weight",
    "roberta.encoder.layer.",
    ("attention.output.dense.", "output.dense."),
    is_pre_norm=False,
    is_rotary=False,
)
_MODERNBERT = Layout(
    "model.embeddings.tok_embeddings.weight",
    "model.layers.",
    ("attn.Wo.", "mlp.Wo."),
    head="head.",
    output_bias="decoder.bias",
)
_LLAMA = Layout("model.embed_tokens.weight", "model.layers.", ("self_attn.o_proj.", "mlp.down_proj."))
_GEMMA = replace(_LLAMA, norm_start=0.0)  # its norms multiply by 1 + weight
# Attention and feed-forward read the same input and are added together (parallel residual).
_NEOX = Layout(
    "gpt_neox.embed_in.weight",
    "gpt_neox.layers.",
    ("attention.dense.", "mlp.dense_4h_to_h."),
    old_head="embed_out.weight",
)

_XPT_CODE = ("configuration_xpt", "modeling_xpt")
_TRELM_CODE = ("configuration_trelm", "modeling_trelm", *_XPT_CODE)  # stands on XPT's
_ALL = (
    Architecture("xpt", XPTRobertaConfig, XPTRobertaForMaskedLM, 1, _XPT_CODE, _ROBERTA),  # Lee et al. 2021
    Architecture("trelm", TreLMRobertaConfig, TreLMRobertaForMaskedLM, 0, _TRELM_CODE, _ROBERTA),  # Li et al.
)
ARCHITECTURES: dict[str, Architecture] = {one.name: one for one in _ALL}
# Around a ModernBERT: the source's own class with layers before the norm of its embeddings.
MODERNBERT = Architecture(
    "xpt",
    XPTModernBertConfig,
    XPTModernBertForMaskedLM,
    1,
    ("configuration_xpt_modernbert", "modeling_xpt_modernbert", *_XPT_CODE),
    _MODERNBERT,
)
_WITH_CODE = (*_ALL, MODERNBERT)


def _decoder(stem: str, layout: Layout) -> Architecture:
    config: type[PreTrainedConfig] = getattr(transformers, f"{stem.replace('Gemma3', 'Gemma3Text')}Config")
    return Architecture("xpt", config, getattr(transformers, f"{stem}ForCausalLM"), 1, (), layout, CLM)


# Decoders by model type: a source becomes a stock model of its own class.
DECODERS: dict[str, Architecture] = {
    one.model_type: one
    for one in (
        _decoder("Llama", _LLAMA),
        _decoder("Mistral", _LLAMA),
        _decoder("Qwen2", _LLAMA),
        _decoder("Qwen3", _LLAMA),
        _decoder("Gemma2", _GEMMA),
        _decoder("Gemma3", _GEMMA),
        _decoder("GPTNeoX", _NEOX),
    )
}
# Sources that are not said in RoBERTa's words but in their own, by model type.
IN_OWN_WORDS = DECODERS | dict.fromkeys(("modernbert", MODERNBERT.model_type), MODERNBERT)


def find_architecture(model_type: Any) -> Architecture | None:
    """That of a checkpoint that has code of ours, by what its config gives as `model_type`; else None."""
    return next((one for one in _WITH_CODE if one.model_type == model_type), None)


def find_post_trained(config: Mapping[str, Any]) -> Architecture | None:
    """That of a post-trained model, by its `config.json`: a decoder's counts its ITLs. None for another's."""
    model_type = config.get("model_type")
    own = find_architecture(model_type)
    return DECODERS.get(str(model_type)) if own is None and ITL_COUNTS[0] in config else own


def architecture_of(model_type: str) -> Architecture:
    """That of a model, by its config's `model_type`. Raises `KeyError` for one that is none of ours."""
    return ({one.model_type: one for one in _WITH_CODE} | DECODERS)[model_type]


def architecture_around(family: Any, name: ArchitectureName) -> Architecture:
    """What is built around the layers of a source of a family, where the recipe says `name`."""
    return IN_OWN_WORDS.get(family, ARCHITECTURES[name])


def architecture_of_results(results: Mapping[str, Any]) -> Architecture:
    """That of a run of post-training, by its results; those of earlier releases do not say, and knew one."""
    name = results["transplant"].get("architecture", "xpt")
    return architecture_around(results.get("source", {}).get("family"), name)


def is_causal(config: Any) -> bool:
    """Whether a model of this configuration predicts each token from those before it."""
    return config.model_type in DECODERS
