"""Launcher's config files: accelerate reads them as meant, and what asks for FSDP2 is taken over."""

import os
from pathlib import Path

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from places import REPO

from finetune_klue import main as finetune
from xpt.program.errors import XPTError
from xpt.recipe.command_line import read_recipe
from xpt.training.sharded import ASKED, take_request

CONFIGS = REPO / "configs" / "accelerate"
# Processes, machines, FSDP2
EXPECTED = {
    "cpu_2": (2, 1, False),
    "cpu_2_fsdp2": (2, 1, True),
    "ddp_1x8": (8, 1, False),
    "ddp_multi_node": (64, 8, False),
    "fsdp2_1x8": (8, 1, True),
    "fsdp2_multi_node": (64, 8, True),
}


def launcher_environment(config: Path) -> tuple:
    """What `accelerate launch` makes of a config: its arguments, and its processes' environment."""
    machines = ["--machine_rank", "3", "--main_process_ip", "10.0.0.1"] if "multi_node" in config.name else []
    given = ["--config_file", str(config), *machines, "train_xpt.py"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    return arguments, prepare_multi_gpu_env(arguments)


def test_each_config_is_listed_here_and_shows_how_it_is_launched():
    assert {file.stem for file in CONFIGS.iterdir()} == set(EXPECTED)
    for name in EXPECTED:
        text = (CONFIGS / f"{name}.yaml").read_text("utf-8")
        shown = text[: text.index("compute_environment")]
        assert f"accelerate launch --config_file configs/accelerate/{name}.yaml" in shown


@pytest.mark.parametrize("name", EXPECTED)
def test_accelerate_reads_each_config_as_meant(name, monkeypatch):
    processes, machines, sharded = EXPECTED[name]
    arguments, environment = launcher_environment(CONFIGS / f"{name}.yaml")
    assert (arguments.num_processes, arguments.num_machines) == (processes, machines)
    assert int(arguments.nproc_per_node) * machines == processes
    assert environment["ACCELERATE_MIXED_PRECISION"] == "no"
    if machines > 1:
        assert (arguments.node_rank, arguments.nnodes) == (3, str(machines))
    monkeypatch.setattr(os, "environ", environment)
    assert take_request() == sharded
    assert ASKED not in environment  # accelerate would shard once more


def test_what_is_not_there_is_refused(monkeypatch):
    for changes, said in (
        ({"FSDP_VERSION": "1"}, "fsdp_version: 2"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, "fsdp_offload_params"),
        ({"FSDP_ACTIVATION_CHECKPOINTING": "true"}, "--gradient_checkpointing true"),
    ):
        monkeypatch.setattr(os, "environ", {ASKED: "true", "FSDP_VERSION": "2", **changes})
        with pytest.raises(XPTError, match=said):
            take_request()


def test_one_process_has_nobody_to_share_with(monkeypatch):
    monkeypatch.setenv(ASKED, "true")
    assert read_recipe([]).training.shards is False


def test_sharding_is_no_option_and_fine_tuning_has_none(monkeypatch, capsys):
    with pytest.raises(XPTError, match=r"asked for by the launcher; see configs/accelerate/fsdp2_1x8\.yaml"):
        read_recipe(["--fsdp", "true"])
    monkeypatch.setattr("xpt.training.arguments.take_request", lambda: True)
    monkeypatch.setattr("xpt.training.arguments.MachineArguments.world_size", 2)
    assert finetune(["--model_name_or_path", "nowhere"]) == 2
    assert "fine-tuning shares out no weights" in capsys.readouterr().err
