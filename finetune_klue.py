"""Fine-tune any model on KLUE, the Korean benchmark, and score it as the benchmark does.

    python finetune_klue.py --model_name_or_path output/demo --task nli --output_dir output/nli
    python finetune_klue.py --model_name_or_path klue/bert-base --task all --seeds 1 2 3
    python finetune_klue.py --model_name_or_path MODEL --task re --data_dir klue-v1.1 --lora true

Each run leaves a folder: model, predictions.jsonl, results.json, scores.png, report.html. Started again
with the same options, it goes on where it stopped. `--help` lists every option.
"""

import sys
from collections.abc import Sequence
from typing import Any

from xpt.finetune.backbone import check_task, open_backbone
from xpt.finetune.command import read_plan
from xpt.finetune.fine_tuning import FineTuning
from xpt.finetune.plan import Job, Plan
from xpt.finetune.saving import save_model
from xpt.finetune.split import Split
from xpt.finetune.summary import announcement, result_lines
from xpt.finetune.table import markdown, tabulate
from xpt.finetune.weight_files import find_weights
from xpt.program.environment import describe_call, describe_command
from xpt.program.interrupts import StopRequest
from xpt.program.launcher import is_first
from xpt.program.script import run_program, working
from xpt.release.publishing import Publisher
from xpt.run.folder import Run


def fine_tune(
    plan: Plan, command: str | None = None, stop: StopRequest | None = None
) -> list[dict[str, Any]]:
    """The benchmark (KLUE, Park et al. 2021), task by task; each score is printed when it is there.

    Called again with an equal plan, it goes on where it stopped; what is finished is given back.

    Args:
        plan: which model on which tasks.
        command: what results say was typed; without, the call with all that is not the default's.
        stop: who listens to signals; without, this function does until it ends, in the main thread.

    Returns:
        The results of each job, as its results.json has them: `metrics` by name, in percent.

    Raises:
        XPTError: for anything the user can fix, before anything is trained.

    Example:
        >>> plan = xpt.Plan(
        ...     model=xpt.ModelArguments("output/mine"),
        ...     tasks=xpt.TaskArguments("nli", data_dir="klue-v1.1"),
        ...     training=xpt.FineTuningArguments(output_dir="output/tuned", num_train_epochs=1),
        ... )
        >>> (results,) = xpt.fine_tune(plan)
        >>> list(results["metrics"]), 0 <= results["metrics"]["nli/accuracy"] <= 100
        (['nli/accuracy'], True)
    """
    name, revision = str(plan.model.model_name_or_path), plan.model.model_revision
    backbone = open_backbone(name, revision)
    publishers = [Publisher.of(plan.training, job.repo_id) for job in plan.jobs]
    for job, publisher in zip(plan.jobs, publishers, strict=True):
        check_task(plan.task(job.task), backbone)
        if publisher and is_first():
            publisher.check()
    data = {task: plan.splits(task) for task in dict.fromkeys(job.task for job in plan.jobs)}
    command, results = command or describe_call("xpt.fine_tune", plan), []
    with working(stop) as stop:
        for job, publisher in zip(plan.jobs, publishers, strict=True):
            results.append(run_job(plan, job, data[job.task], command, stop))
            if is_first():
                print(result_lines(results[-1]), flush=True)
                if publisher:
                    publisher.publish(job.folder)
    return results


def run_job(
    plan: Plan, job: Job, splits: dict[str, Split], command: str, stop: StopRequest
) -> dict[str, Any]:
    """One task with one seed; the results of its folder, new or found."""
    name, revision = str(plan.model.model_name_or_path), plan.model.model_revision
    task, backbone, weights = plan.task(job.task), open_backbone(name, revision), find_weights(name, revision)
    official = task.official_settings(backbone.hidden_size)
    arguments = plan.training.for_task(official, job.seed, plan.model.lora)
    with Run(job.folder, plan.training.should_save, keeps_checkpoints=False) as run:
        tuning = FineTuning(run, task, backbone, weights, splits, arguments, plan.model, stop)
        run.check_settings(tuning.settings(), tuning.chosen_names())
        if not run.finished:
            tuning.prepare()  # what the model cannot do is found before anything is written
        run.start(tuning.settings(), tuning.fingerprints())
        if run.finished:
            run.tidy()
            return run.results()
        if is_first():
            print(announcement(tuning), flush=True)
        tuning.train()
        return tuning.finish(command, lambda model, folder: save_model(model, backbone.tokenizer, folder))


def main(arguments: Sequence[str] | None = None, called: str = "finetune_klue.py") -> int:
    """Run the command line, noted in results under the name `called`; gives back the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)

    def work(stop: StopRequest) -> str:
        results = fine_tune(read_plan(given), describe_command(called, given), stop)
        return f"\n{markdown(tabulate(results))}" if len(results) > 1 else ""

    return run_program(work)


if __name__ == "__main__":
    sys.exit(main())
