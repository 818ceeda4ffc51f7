"""`python -m engine.probe`: write what the preview's probe should look like, when its version has changed."""

from __future__ import annotations

import json

from engine.probe.expected import EXPECTED
from engine.probe.render import made_by, render_probe
from engine.renderer import load_renderer

renderer = load_renderer("preview", "cpu")
kept = {"made_by": made_by(renderer), "look": render_probe(renderer, "preview").to_dict()}
EXPECTED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
