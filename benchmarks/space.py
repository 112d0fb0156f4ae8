"""How fast the demo page fills a mask, asked over its HTTP API as a browser asks it.

python benchmarks/space.py --model output/demo --compare output/demo/checkpoints/initial
"""

import json
import os
import re
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from urllib.request import Request, urlopen

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))
from space_page import serve  # noqa: E402
from xpt.program.environment import describe_command, describe_hardware, describe_versions  # noqa: E402

RESULT = REPO / "docs" / "results" / "space.json"
SENTENCE = "정부는 <mask> 대책을 마련하여야 한다."
REQUESTS, WARM_UP = 20, 3


def fill(address: str, sentence: str) -> str:
    """What the page shows for a sentence: HTML. Raises `RuntimeError` where it shows an error."""
    body = json.dumps({"data": [sentence, "한국어"]}).encode()
    call = f"{address}/gradio_api/call/fill"
    with urlopen(Request(call, body, {"Content-Type": "application/json"}), timeout=60) as reply:
        event = json.load(reply)["event_id"]
    with urlopen(f"{call}/{event}", timeout=60) as reply:
        text = reply.read().decode("utf-8")
    if "event: complete" not in text or "xpt-bar" not in text:
        raise RuntimeError(f"the page answered {text[:200]!r}")
    return text


def measure(address: str) -> list[float]:
    """Seconds of each request, after a warm-up."""
    seconds = []
    for _ in range(WARM_UP + REQUESTS):
        start = time.perf_counter()
        fill(address, SENTENCE)
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:]


def main() -> None:
    arguments = sys.argv[1:]
    with serve(arguments) as address:
        seconds = measure(address)
    shown = [re.sub(r"^.*/(?=output/)", "", word) for word in arguments]  # no path of this machine
    result = {
        "command": describe_command(f"{__file__}", shown).replace("space.py", "benchmarks/space.py"),
        "versions": {**describe_versions(), "gradio": version("gradio")},
        "hardware": {**describe_hardware(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)},
        "sentence": SENTENCE,
        "models": 1 + ("--compare" in arguments),
        "requests": REQUESTS,
        "median_seconds": round(statistics.median(seconds), 4),
        "slowest_seconds": round(max(seconds), 4),
    }
    RESULT.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"median {result['median_seconds']} s, slowest {result['slowest_seconds']} s of {REQUESTS}")


if __name__ == "__main__":
    main()
