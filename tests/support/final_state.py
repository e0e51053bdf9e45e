"""What two runs must share to be equal."""

import json
from pathlib import Path
from typing import Any


def final_state(path: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """Weights, optimizer state and mean of a run, and its metrics but for the time they took."""
    folder = path / "checkpoints"
    arrays = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.safetensors")}
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return arrays, [{key: value for key, value in line.items() if key != "tokens_per_second"} for line in lines]
