"""How much memory tensors take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from reprise.files import read_json


def most_held(work: Callable[[], object], path: Path) -> int:
    """Bytes that the tensors on the CPU which `work` makes hold at most at a time; `path` is for the trace."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    seen.export_chrome_trace(str(path))
    events = [event["args"] for event in read_json(path)["traceEvents"] if event["name"] == "[memory]"]
    return max(event["Total Allocated"] for event in events) - events[0]["Total Allocated"] + events[0]["Bytes"]
