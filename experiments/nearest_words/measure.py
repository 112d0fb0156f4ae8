"""Does a token's state after `itl_in` lie near the English word it means?

    python experiments/nearest_words/measure.py SOURCE CHECKPOINT [CHECKPOINT ...]

SOURCE is the English encoder (BERT-like), a CHECKPOINT a model made from it. For Korean nouns that are one
piece, English words are ranked by the cosine of their embedding, as the source's first layer reads it, to the
state after `itl_in`; both are centered. By chance the translation's median rank is half of all words.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from xpt.program.environment import describe_command, describe_hardware, describe_versions

RESULT = Path(__file__).with_name("result.json")
# Frequent nouns with one plain translation, written down before anything was ranked.
PAIRS = dict(
    pair.split("=")
    for pair in """
    국회=congress 법률=law 정부=government 국민=people 교육=education 학교=school 학생=student 경제=economy
    사회=society 회사=company 시장=market 환경=environment 정보=information 문화=culture 지역=region
    병원=hospital 의료=medical 여성=women 아동=child 세계=world 역사=history 국가=nation 대통령=president
    위원회=committee 경찰=police 범죄=crime 주택=housing 농업=agriculture 산업=industry 기술=technology
    과학=science 안전=safety 자동차=car 가족=family 건강=health 예산=budget 금융=finance 은행=bank
    기업=business 노동=labor 도시=city 언어=language 시간=time 문제=problem 책임=responsibility
    """.split()
)


def english_words(folder: str) -> tuple[list[str], Tensor]:
    """Whole English words of the source, and what its first layer reads for each: (words, hidden)."""
    vocabulary = AutoTokenizer.from_pretrained(folder, trust_remote_code=False).get_vocab()
    words = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2)
    embeddings = AutoModel.from_pretrained(folder, trust_remote_code=False, use_safetensors=True).embeddings
    with torch.inference_mode():
        states = embeddings(torch.tensor([[vocabulary[word]] for word in words]).repeat(1, 2))[:, 1]
    return words, states


def states_after_itl_in(folder: str) -> tuple[list[str], Tensor, Tensor]:
    """The nouns that are one piece, their states, and the mean state of the vocabulary."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True, use_safetensors=True).eval()
    nouns = [noun for noun in PAIRS if len(tokenizer(noun)["input_ids"]) == 3]
    first, last = tokenizer.bos_token_id, tokenizer.eos_token_id

    def after(ids: list[int]) -> Tensor:
        with torch.inference_mode():
            inputs = torch.tensor([[first, number, last] for number in ids])
            states = model(input_ids=inputs, output_hidden_states=True).hidden_states
        return states[model.config.num_itl_in][:, 1]

    asked = after([tokenizer(noun)["input_ids"][1] for noun in nouns])
    return nouns, asked, after(list(range(300, len(tokenizer), 8))).mean(0)


def rank(folder: str, words: list[str], english: Tensor) -> dict[str, Any]:
    """The rank of each noun's translation, from 1, and the three nearest words."""
    nouns, states, mean = states_after_itl_in(folder)
    unit = torch.nn.functional.normalize
    likeness = unit(states - mean, dim=-1) @ unit(english - english.mean(0), dim=-1).T  # (nouns, words)
    found = {}
    for noun, row in zip(nouns, likeness, strict=True):
        place = int((row > row[words.index(PAIRS[noun])]).sum()) + 1
        found[noun] = {"rank": place, "nearest": [words[i] for i in row.topk(3).indices.tolist()]}
    ranks = [one["rank"] for one in found.values()]
    return {
        "nouns": len(ranks),
        "median_rank": statistics.median(ranks),
        "in_first_ten": sum(place <= 10 for place in ranks),
        "found": found,
    }


def main() -> None:
    source, *checkpoints = sys.argv[1:]
    words, english = english_words(source)
    result = {
        "command": describe_command(__file__, [Path(path).name for path in sys.argv[1:]]),
        "versions": describe_versions(),
        "hardware": describe_hardware(),
        "words": len(words),
        "checkpoints": {Path(path).name: rank(path, words, english) for path in checkpoints},
    }
    RESULT.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for name, one in result["checkpoints"].items():
        print(name, {key: value for key, value in one.items() if key != "found"}, "of", len(words))


if __name__ == "__main__":
    main()
