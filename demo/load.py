"""Load a run as somebody else would, by the Auto classes in a new process: `python demo/load.py RUN`."""

import sys

from transformers import AutoModel, AutoTokenizer, pipeline
from transformers.utils.logging import disable_progress_bar, set_verbosity_error


def main() -> None:
    folder = sys.argv[1]
    disable_progress_bar()
    set_verbosity_error()  # the report of loading: the LM head goes unused, a pooler was never trained
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    hidden = model(**tokenizer("국회는 국민의 대표 기관이다.", return_tensors="pt")).last_hidden_state
    print(f"AutoModel.from_pretrained({folder!r}, trust_remote_code=True): {type(model).__name__}")
    print(f"hidden states of one sentence: {tuple(hidden.shape)}, finite: {bool(hidden.isfinite().all())}")
    fill = pipeline("fill-mask", model=folder, trust_remote_code=True)
    prompt = "이 법은 공포한 날부터 <mask>."
    print(f"{prompt}  ->  " + "  ".join(f"{one['token_str']} {one['score']:.2f}" for one in fill(prompt)))


if __name__ == "__main__":
    main()
