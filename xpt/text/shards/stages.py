"""The stages of a preparation, in their order."""

from xpt.text.shards.clean import Clean
from xpt.text.shards.deduplicate import Deduplicate
from xpt.text.shards.encode import Encode
from xpt.text.shards.finish import Finish
from xpt.text.shards.held_out import HoldOut
from xpt.text.shards.job import Job, Stage


def stages_of(job: Job, tasks: int) -> list[Stage]:
    """What has to be done: `tasks` share the reading, a partition is a task of what follows."""
    return [
        Stage("1-clean", Clean(job), tasks),
        Stage("2-deduplicate", Deduplicate(job), job.partitions),
        Stage("3-hold-out", HoldOut(job), 1),
        Stage("4-encode", Encode(job), job.partitions),
        Stage("5-finish", Finish(job), 1),
    ]
