"""The benchmark: its five tasks by name, in its order, and what else it is."""

from xpt.finetune.benchmark import Benchmark
from xpt.finetune.kobest.boolq import BoolQ
from xpt.finetune.kobest.copa import COPA
from xpt.finetune.kobest.hellaswag import HellaSwag
from xpt.finetune.kobest.sentineg import SentiNeg
from xpt.finetune.kobest.wic import WiC

_KINDS = (BoolQ, COPA, HellaSwag, SentiNeg, WiC)

KOBEST = Benchmark(
    name="kobest",
    title="KoBEST",
    tasks={kind.name: kind for kind in _KINDS},
    dataset="skt/kobest_v1",
    metrics={kind.name: (f"{kind.name}/accuracy", f"{kind.name}/macro_f1") for kind in _KINDS},
    descriptions={
        **{f"{kind.name}/accuracy": "share of examples with the right label" for kind in _KINDS},
        **{f"{kind.name}/macro_f1": "mean F1 of the labels in gold or prediction" for kind in _KINDS},
    },
    citation="Jang, M. et al. *KoBEST: Korean Balanced Evaluation of Significant Tasks*. 2022,\n"
    "[arXiv:2204.04541](https://arxiv.org/abs/2204.04541).",
)
