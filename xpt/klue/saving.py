"""A fine-tuned model on disk, as another machine loads it: safetensors, configuration, code, tokenizer."""

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a model and its tokenizer into `folder`."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
