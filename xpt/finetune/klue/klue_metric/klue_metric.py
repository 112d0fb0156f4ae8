"""The KLUE metrics as an `evaluate` module, one configuration a task.

`evaluate.load("./xpt/finetune/klue/klue_metric", "re")` or `KlueMetric("re")`; then
`compute(predictions=[dict, ...], references=[dict, ...])` pairs them by position and returns percents,
unrounded, by metric name. The official definitions of the benchmark are kept with all their defects;
`variants=True` adds cleaner ones.
"""

import os
from typing import Any

import datasets
import evaluate

# evaluate copies the files that are named here, and only those, beside this one: all of them must be.
from .answers import mrc_scores, mrc_variants
from .checks import checked
from .dependencies import dp_scores, dp_variants
from .entities import ner_scores, ner_variants
from .labels import RELATIONS
from .names import DESCRIPTIONS, OFFICIAL, VARIANTS
from .sentences import (
    nli_scores,
    nli_variants,
    re_scores,
    re_variants,
    sts_scores,
    sts_variants,
    ynat_scores,
    ynat_variants,
)
from .states import wos_scores, wos_variants

_SCORES = {
    "ynat": (ynat_scores, ynat_variants),
    "sts": (sts_scores, sts_variants),
    "nli": (nli_scores, nli_variants),
    "ner": (ner_scores, ner_variants),
    "re": (re_scores, re_variants),
    "dp": (dp_scores, dp_variants),
    "mrc": (mrc_scores, mrc_variants),
    "wos": (wos_scores, wos_variants),
}

_TEXT, _TEXTS = datasets.Value("string"), datasets.Sequence(datasets.Value("string"))
_NUMBER = datasets.Value("float64")
_LABEL, _STATE = {"label": _TEXT}, {"state": _TEXTS}
_TREE = {"heads": datasets.Sequence(datasets.Value("int64")), "deprels": _TEXTS}
# Task -> prediction, reference.
_FEATURES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ynat": (_LABEL, _LABEL),
    "sts": ({"score": _NUMBER}, {"score": _NUMBER}),
    "nli": (_LABEL, _LABEL),
    "ner": ({"tags": _TEXTS}, {"characters": _TEXTS, "tags": _TEXTS}),
    "re": ({"label": _TEXT, "probs": datasets.Sequence(_NUMBER, length=len(RELATIONS))}, _LABEL),
    "dp": (_TREE, _TREE),
    "mrc": ({"text": _TEXT}, {"answers": _TEXTS}),
    "wos": (_STATE, _STATE),
}

_DESCRIPTION = (
    "The metrics of KLUE, the Korean Language Understanding Evaluation, as its own code computes them."
)

_CITATION = """\
@inproceedings{park2021klue,
  title={{KLUE}: Korean Language Understanding Evaluation},
  author={Park, Sungjoon and Moon, Jihyung and Kim, Sungdong and Cho, Won Ik and Han, Jiyoon and Park, Jangwon
    and Song, Chisung and Kim, Junseong and Song, Yongsook and Oh, Taehwan and Lee, Joohong and Oh, Juhyun
    and Lyu, Sungwon and Jeong, Younghoon and Lee, Inkwon and Seo, Sangwoo and Lee, Dongjun and Kim, Hyunwoo
    and Lee, Myeonghwa and Jang, Seongbo and Do, Seungwon and Kim, Sunkyoung and Lim, Kyungtae
    and Lee, Jongwon and Park, Kyumin and Shin, Jamin and Kim, Seonghyun and Park, Lucy and Oh, Alice
    and Ha, Jung-Woo and Cho, Kyunghyun},
  booktitle={Thirty-fifth Conference on Neural Information Processing Systems Datasets and Benchmarks Track},
  year={2021},
  url={https://arxiv.org/abs/2105.09680}
}
"""


class KlueMetric(evaluate.Metric):
    """The metrics of one KLUE task. One process keeps all in memory and writes no file."""

    def __init__(self, config_name: str | None = None, **settings: Any) -> None:
        """`config_name`: ynat, sts, nli, ner, re, dp, mrc or wos; `settings`: those of `evaluate.Metric`.

        `keep_in_memory` follows from `num_process`: only several processes, of one metric, meet in files.
        Raises ValueError for a configuration that does not exist.
        """
        settings["keep_in_memory"] = settings.get("num_process", 1) == 1
        super().__init__(config_name=config_name, **settings)

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Check rows and keep them for `compute`. Raises ValueError, one line that names the index."""
        predictions, references = checked(self.config_name, predictions, references)
        super().add_batch(predictions=predictions, references=references, **kwargs)

    def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: Any) -> None:
        """Check one row and keep it for `compute`. Raises ValueError, one line."""
        (prediction,), (reference,) = checked(self.config_name, [prediction], [reference])
        super().add(prediction=prediction, reference=reference, **kwargs)

    def _build_data_dir(self) -> str:
        """The folder of evaluate's files, which it makes at once; not made where no file will be written."""
        if self.keep_in_memory:
            return os.path.join(self._data_dir_root, self.name, self.config_name)
        return super()._build_data_dir()

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in _SCORES:
            raise ValueError(f"no KLUE task {self.config_name!r}: name one of {', '.join(_SCORES)}")
        prediction, reference = _FEATURES[self.config_name]
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_inputs(self.config_name),
            features=datasets.Features({"predictions": prediction, "references": reference}),
            homepage="https://klue-benchmark.com",
            codebase_urls=["https://github.com/KLUE-benchmark/KLUE-baseline"],
            reference_urls=["https://arxiv.org/abs/2105.09680"],
        )

    def _compute(
        self, *, predictions: list[dict[str, Any]], references: list[dict[str, Any]], variants: bool = False
    ) -> dict[str, float]:
        official, clean = _SCORES[self.config_name]
        fractions = official(predictions, references)
        if variants:
            fractions |= clean(predictions, references)
        return {name: 100.0 * float(fraction) for name, fraction in fractions.items()}


def _inputs(task: str) -> str:
    prediction, reference = _FEATURES[task]
    lines = [f"{name}: {DESCRIPTIONS[name]}" for name in (*OFFICIAL[task], *VARIANTS[task])]
    return "\n".join(
        [
            f"\nArgs:\n    predictions: dicts with {', '.join(prediction)}",
            f"    references: dicts with {', '.join(reference)}",
            f"    variants: whether to return {', '.join(VARIANTS[task]) or 'more (there are none)'} too",
            "Returns: percents by name",
            *(f"    {line}" for line in lines),
        ]
    )
