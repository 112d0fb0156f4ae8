"""A fine-tuned model on disk, as another machine loads it: safetensors, configuration, code, tokenizer.

With LoRA a folder holds what was trained, and its base is named: peft's adapter_config.json and
adapter_model.safetensors, beside the configuration that the base is opened with.

    model, tokenizer = load_fine_tuned(folder)     any task, adapters or not
"""

import json
from pathlib import Path
from typing import Any

import transformers
from peft import PeftModel
from peft.utils import CONFIG_NAME
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

import modeling_trelm
import modeling_xpt
import modeling_xpt_modernbert
from xpt.finetune.backbone import open_backbone
from xpt.finetune.heads import (  # noqa: F401 (registered with the Auto classes)
    choice_scorer,
    linear_classifier,
    parser,
    span_reader,
    state_generator,
    token_tagger,
)
from xpt.finetune.heads.headed import HeadedConfig, HeadedModel
from xpt.program.errors import XPTError

# Where classes of models are looked for.
MODEL_CODE = (modeling_xpt, modeling_trelm, modeling_xpt_modernbert, transformers)


def save_model(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a model and its tokenizer into `folder`; of one with adapters, what was trained."""
    if isinstance(model, PeftModel):
        base = model.get_base_model()
        base.config.architectures = [type(base).__name__]
        # peft's own test whether the vocabulary grew would ask the Hub; rows of new tokens are stored anyway.
        model.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # peft's, an empty form
        base.config.save_pretrained(folder)
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_fine_tuned(folder: str | Path) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerFast]:
    """The model that `save_model` wrote, of any task, in evaluation mode, and its tokenizer.

    With adapters the base is read from where it was for the training: a folder, or the Hub.

    Raises:
        XPTError: it is not there, or its base is not.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise XPTError(f"{folder}: no config.json; give the folder of a finished fine-tuning")
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model_class = _model_class(folder, config)
    if not (folder / CONFIG_NAME).is_file():
        return model_class.from_pretrained(folder, dtype="float32").eval(), tokenizer
    adapter = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    backbone = open_backbone(adapter["base_model_name_or_path"], adapter.get("revision"))
    backbone.tokenizer = tokenizer
    if issubclass(model_class, HeadedModel):
        base = model_class(config, backbone.load_encoder())
    else:
        config.vocab_size = backbone.config.vocab_size  # as large as the base still is
        backbone.config = config
        base = backbone.load_as(model_class)
    return PeftModel.from_pretrained(base, folder).eval(), tokenizer


def _model_class(folder: Path, config: Any) -> Any:
    if isinstance(config, HeadedConfig):
        return AutoModel._model_mapping[type(config)]
    name = (config.architectures or [""])[0]
    named = [getattr(module, name) for module in MODEL_CODE if hasattr(module, name)]
    if not named:
        raise XPTError(f"{folder}: its config.json names no class of transformers' models, but {name!r}")
    return named[0]
