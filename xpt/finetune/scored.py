"""What a result says of its scores: of which split they are, how sure they are, what needs no model."""

from typing import Any


def scored_data(results: dict[str, Any]) -> dict[str, Any]:
    """The description of the split that was scored: test where the result says so, else validation."""
    data: dict[str, Any] = results["data"][results.get("scored_on", "validation")]
    return data


def beside(results: dict[str, Any], metric: str) -> str:
    """A score's 95 % interval and what answers without a model get; "" where the task has none."""
    if metric not in results.get("intervals", {}):
        return ""
    low, high = results["intervals"][metric]
    baselines = [f"{name} {scores[metric]:.2f}" for name, scores in results["baselines"].items()]
    return ", ".join([f"95 % {low:.2f} to {high:.2f}", *baselines])
