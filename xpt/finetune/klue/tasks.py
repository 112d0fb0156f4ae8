"""The benchmark: its eight tasks by name, in its order, and what else it is."""

from xpt.finetune.benchmark import Benchmark
from xpt.finetune.klue.dp import DP
from xpt.finetune.klue.klue_metric.names import DESCRIPTIONS, OFFICIAL
from xpt.finetune.klue.mrc import MRC
from xpt.finetune.klue.ner import NER
from xpt.finetune.klue.nli import NLI
from xpt.finetune.klue.published import published_figures
from xpt.finetune.klue.re import RE
from xpt.finetune.klue.sts import STS
from xpt.finetune.klue.wos import WoS
from xpt.finetune.klue.ynat import YNAT

KLUE = Benchmark(
    name="klue",
    title="KLUE",
    tasks={kind.name: kind for kind in (YNAT, STS, NLI, NER, RE, DP, MRC, WoS)},
    dataset="klue/klue",
    metrics=OFFICIAL,
    descriptions=DESCRIPTIONS,
    citation="Park, S. et al. *KLUE: Korean Language Understanding Evaluation*. 2021,\n"
    "[arXiv:2105.09680](https://arxiv.org/abs/2105.09680).",
    published=published_figures,
)
TASKS, make_task = KLUE.tasks, KLUE.make_task
