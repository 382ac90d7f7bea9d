"""docs/SLOW.md: its commands run, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.documented import page_text, run_blocks

from serving.config import ServeConfig
from serving.metrics import Meter
from serving.timings import STAGES


def test_the_commands_of_the_page_print_stages_and_metrics(wire: tuple[str, int], tmp_path: Path) -> None:
    host, port = wire
    printed = run_blocks("SLOW.md", f"http://{host}:{port}", tmp_path)
    assert re.search(r"^ +\d+\.\d{3} s decoding$", printed, re.MULTILINE)
    assert " 1 attempt(s)" in printed
    assert 'stems_job_stage_seconds_count{stage="codec"} 1.0' in printed
    assert "stems_job_attempts_count 1.0" in printed
    assert re.search(r'^stems_slots\{replica="[^"]+"\} 4\.0$', printed, re.MULTILINE)


def test_the_page_explains_every_stage_and_names_only_what_exists() -> None:
    page = page_text("SLOW.md")
    rows = re.findall(r"^\| `(\w+)` \| ", page.partition("## From the number")[0], re.MULTILINE)
    assert tuple(rows) == STAGES
    named = {name.replace("-", "_") for name in re.findall(r"--([a-z][a-z-]*)", page)}
    assert named <= ServeConfig.model_fields.keys(), named - ServeConfig.model_fields.keys()
    metrics = {family.name for family in Meter().registry.collect()}
    assert {
        name.removesuffix("_sum").removesuffix("_count") for name in re.findall(r"`(stems_\w+)`", page)
    } <= metrics
