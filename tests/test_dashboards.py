"""Alerts and dashboards as files: that they parse, and have what Prometheus and Grafana need.

That the metrics they name exist is asked of a real farm, in tests/farm/watch/test_watched_farm.py.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from farm.local.metrics import FIRST_PORT
from farm.watch.serving import CPU, SLOTS, SWEEPER
from tests.conftest import ROOT
from tests.promql import Expression, parse

DEPLOY = ROOT / "deploy"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
DURATION = re.compile(r"\d+(ms|[smhdwy])")

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def panels() -> list[dict[str, Any]]:
    return [panel for path in DASHBOARDS for panel in json.loads(path.read_text())["panels"]]


def queries() -> list[str]:
    """Every expression of the dashboards, Grafana's own variables filled in."""
    found = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    return [text.replace("$__rate_interval", "5m") for text in found]


def named() -> dict[str, set[str]]:
    """Every metric that alerts and dashboards name, with the labels that they need of it."""
    found: dict[str, set[str]] = {}
    for text in [*queries(), *(rule["expr"] for rule in RULES)]:
        for name, labels in parse(text).metrics.items():
            found[name] = found.get(name, set()) | labels
    return found


@pytest.mark.parametrize(
    "text",
    [
        "sum(rate(a_total[5m])",
        "rate(a_total)",
        "sum by (x (a)",
        "a{x=1}",
        "a > > 1",
        "median(a)",
        "a b",
        'a{x=~"("}',
        "1 and a",
        "sum(1)",
        "histogram_quantile(a, b)",
        "",
    ],
)
def test_what_is_no_promql_would_be_noticed(text: str) -> None:
    with pytest.raises((AssertionError, re.error)):
        parse(text)


def test_an_expression_is_read_with_all_the_labels_it_needs() -> None:
    text = 'histogram_quantile(0.9, sum by (x, le) (rate(a_bucket{y=~"1|2"}[5m]))) > 2 and max(b) == 0'
    assert parse(text) == Expression("vector", {"a_bucket": {"x", "le", "y"}, "b": set()})


@each_rule
def test_a_rule_parses_waits_and_says_what_is_wrong(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Farm[A-Z]\w+", rule["alert"])
    assert parse(rule["expr"]).kind == "vector"
    assert re.search(r"[<>=]|absent", rule["expr"]), "an alert compares"
    assert DURATION.fullmatch(rule.get("for", "0s"))
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"]


@each_rule
def test_a_rule_says_only_labels_that_its_expression_leaves(rule: dict[str, Any]) -> None:
    said = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    grouped = {label for text in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in text.split(", ")}
    assert said <= (grouped or {"job", "instance"})


def test_every_alert_has_a_name_of_its_own() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names)) > 10


def test_every_alert_is_explained_and_no_other() -> None:
    text = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bFarm[A-Z]\w+", text)) == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_a_dashboard_has_what_grafana_needs(path: Any) -> None:
    board = json.loads(path.read_text())
    assert board["uid"]
    assert board["title"]
    assert board["schemaVersion"] >= 36
    (source,) = board["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] == "row":
            continue
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters
        assert len(letters) == len(set(letters))
        assert {entry["datasource"]["uid"] for entry in (panel, *panel["targets"])} == {"${datasource}"}


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("text", queries())
def test_a_query_of_a_dashboard_parses(text: str) -> None:
    assert parse(text).kind == "vector"


def test_the_legend_of_a_panel_names_labels_that_its_query_leaves() -> None:
    for panel in panels():
        for target in panel.get("targets", []):
            said = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = {label for text in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in text.split(", ")}
            assert said <= grouped, panel["title"]


def test_prometheus_asks_the_services_of_compose_on_the_ports_where_they_answer() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert all((DEPLOY / name).exists() for name in config["rule_files"])
    asked = {
        name: (job["job_name"], lookup["port"])
        for job in config["scrape_configs"]
        for lookup in job["dns_sd_configs"]
        for name in lookup["names"]
    }
    first = int(SERVICES["sweeper"]["environment"]["FARM_METRICS_PORT"])
    places = {"sweeper": SWEEPER, "cpu-worker": CPU, "draft-worker": SLOTS, "gpu-worker": SLOTS}
    assert {name: port for name, (_, port) in asked.items()} == {name: first + place for name, place in places.items()}
    assert first == FIRST_PORT, "so that a dashboard of one farm fits the other"
    jobs = [job for job, _ in asked.values()]
    (matches,) = re.findall(r'up\{job=~"([^"]*)"\}', " ".join(rule["expr"] for rule in RULES))
    assert all(re.fullmatch(matches, job) for job in jobs)


def test_grafana_finds_the_dashboards_where_compose_puts_them() -> None:
    mounted = [volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"]]
    inside = {source.removeprefix("./"): target for source, target in mounted}
    (provider,) = yaml.safe_load((DEPLOY / "grafana" / "dashboards.yml").read_text())["providers"]
    for path in DASHBOARDS:
        assert inside[str(path.relative_to(ROOT))].startswith(provider["options"]["path"] + "/")
    (source,) = yaml.safe_load((DEPLOY / "grafana" / "datasource.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
