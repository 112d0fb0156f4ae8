"""Examples for a card: sentences with a mask, and what the model fills in, as the Hub's widget shows it."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoTokenizer, FillMaskPipeline, PreTrainedModel, RobertaForMaskedLM

from xpt.run.fills import shown_piece
from xpt.transplant.architectures import ARCHITECTURES

# Written for this purpose; by language, as only who reads it can write a sentence that tells something.
SENTENCES = {
    "ko": (
        "대한민국의 수도는 {mask}이다.",
        "아이들은 학교에서 {mask} 배운다.",
        "이 법은 국민의 {mask} 보호하기 위한 것이다.",
    )
}
TOP = 5
CLASSES: dict[str, type[PreTrainedModel]] = {
    kind.__name__: kind for kind in (RobertaForMaskedLM, *(one.model for one in ARCHITECTURES.values()))
}


def widget_examples(
    folder: Path, architecture: str, language: str, adapter: str | None
) -> list[dict[str, Any]]:
    """Text and likeliest fills with their probabilities, rounded to four digits; none in other languages.

    Args:
        folder: of a model that fills masks, and its tokenizer. Its code is ours, not the folder's.
        architecture: the class that its config.json names.
        language: code of the model's language.
        adapter: name of the folder in it that holds adapters beside the weights.
    """
    if language not in SENTENCES or architecture not in CLASSES:
        return []
    model: Any = CLASSES[architecture].from_pretrained(folder, use_safetensors=True).eval()
    if adapter:
        model = PeftModel.from_pretrained(model, folder / adapter).merge_and_unload()
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    pipe = FillMaskPipeline(model=model, tokenizer=tokenizer, device=torch.device("cpu"), top_k=TOP)
    return [_example(pipe, sentence.format(mask=tokenizer.mask_token)) for sentence in SENTENCES[language]]


def _example(pipe: FillMaskPipeline, text: str) -> dict[str, Any]:
    fills = [
        {"label": shown_piece(pipe.tokenizer, fill["token"]), "score": round(fill["score"], 4)}
        for fill in pipe(text)
    ]
    return {"text": text, "output": fills}
