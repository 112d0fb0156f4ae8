"""Data sets as they lie on the Hub, in folders."""

from datasets import Dataset


def hub_folder(folder, task, splits: dict[str, Dataset]) -> str:
    """A folder laid out as the data set on the Hub: Parquet files, their place in the card."""
    (folder / task).mkdir(parents=True, exist_ok=True)
    lines = ["---", "configs:", f"- config_name: {task}", "  data_files:"]
    for split, data in splits.items():
        data.to_parquet(folder / task / f"{split}-00000-of-00001.parquet")
        lines += [f"  - split: {split}", f"    path: {task}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")
    return str(folder)
