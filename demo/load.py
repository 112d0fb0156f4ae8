"""Load a run as somebody else would, by transformers alone in a new process: `python demo/load.py RUN`."""

import sys

from transformers import AutoModel, PreTrainedTokenizerFast, pipeline
from transformers.utils.logging import disable_progress_bar, set_verbosity_error


def main() -> None:
    folder = sys.argv[1]
    disable_progress_bar()
    set_verbosity_error()  # the report of loading: the LM head goes unused, a pooler was never trained
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    hidden = model(**tokenizer("국회는 국민의 대표 기관이다.", return_tensors="pt")).last_hidden_state
    print(f"AutoModel.from_pretrained({folder!r}, trust_remote_code=True): {type(model).__name__}")
    print(f"hidden states of one sentence: {tuple(hidden.shape)}, finite: {bool(hidden.isfinite().all())}")
    fill = pipeline("fill-mask", model=folder, tokenizer=tokenizer, trust_remote_code=True)
    prompt = f"이 법은 공포한 날부터 {tokenizer.mask_token}."
    fills = "  ".join(f"{shown(tokenizer, one['token'])} {one['score']:.2f}" for one in fill(prompt))
    print(f"{prompt}  ->  {fills}")


def shown(tokenizer: PreTrainedTokenizerFast, index: int) -> str:
    """A piece of our tokenizer; one that continues the word before it has `##` in front, as in a summary."""
    piece = tokenizer.convert_ids_to_tokens(index)
    return piece.removeprefix("▁") or "(space)" if piece.startswith("▁") else f"##{piece}"


if __name__ == "__main__":
    main()
