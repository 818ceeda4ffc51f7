"""What the probe should look like where that comes with the farm: with the preview renderer, which needs no weights."""

from __future__ import annotations

import json
from typing import Any

from engine.probe.look import Look
from engine.probe.render import FOLDER

EXPECTED = FOLDER / "expected.json"


def expected_look(made_by: dict[str, str]) -> Look | None:
    """The look that comes with the farm, None for any other renderer, version or weights."""
    kept: dict[str, Any] = json.loads(EXPECTED.read_text(encoding="utf-8"))
    return Look.from_dict(kept["look"]) if kept["made_by"] == made_by else None
