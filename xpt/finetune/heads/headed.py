"""Heads that transformers lacks, around any encoder: what they share, so that they save and load like others.

folder = model.save_pretrained(...)            config.json holds the encoder's configuration too
DependencyParser.from_pretrained(folder)       (or AutoModel, once this package is imported)
"""

from typing import Any

from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel


class HeadedConfig(PretrainedConfig):
    """The configuration of an encoder with a head of ours; a head's own fields are added by its class.

    Args:
        encoder: the encoder's configuration, or the dictionary that a file holds of it.
    """

    model_type = "klue-headed"
    encoder: Any = None

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if isinstance(self.encoder, dict):
            fields = dict(self.encoder)
            self.encoder = AutoConfig.for_model(fields.pop("model_type"), **fields)


class HeadedModel(PreTrainedModel):
    """An encoder and a head. `encoder` is given where it is loaded already, and new from `config` else."""

    config_class = HeadedConfig
    base_model_prefix = "encoder"

    def __init__(self, config: HeadedConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.encoder = encoder if encoder is not None else _new_encoder(config.encoder)
        if encoder is not None:
            for module in encoder.modules():
                module._is_hf_initialized = True  # post_init draws new weights for all that is not marked

    def get_input_embeddings(self) -> Any:
        return self.encoder.get_input_embeddings()


def _new_encoder(config: PretrainedConfig) -> PreTrainedModel:
    model = AutoModel.from_config(config)
    return model.get_encoder() if config.is_encoder_decoder else model
