"""The dashboard against Grafana's own types, which npm has, as JSON schemas."""

import json
from functools import cache
from typing import Any

import jsonschema
import pytest

from harness import npm
from tests.deploy.manifests import ROOT
from tests.programs.typescript import GENERATOR, json_schema

PACKAGES = ("@grafana/schema@13.2.3", GENERATOR)
DASHBOARD = json.loads((ROOT / "deploy" / "monitoring" / "dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}


@pytest.fixture(scope="module", autouse=True)
def types() -> None:
    lacking = npm.downloaded(PACKAGES)
    if lacking is not None:
        pytest.skip(lacking)


@cache
def schema(types: str, name: str) -> Any:
    """Return the JSON schema of a type in a file of Grafana's types."""
    modules = npm.folder_of(PACKAGES) / "node_modules"
    return json_schema(modules, f"@grafana/schema/dist/types/raw/{types}/x/types.gen.d.ts", name)


def mistakes(value: Any, expected: Any) -> list[str]:
    found = jsonschema.Draft7Validator(expected).iter_errors(value)
    return [f"{'.'.join(map(str, each.path))}: {each.message}" for each in found]


def without_required(expected: Any) -> Any:
    """Return a schema without required properties, because Grafana has a default for each option of a panel."""
    if isinstance(expected, dict):
        return {key: without_required(value) for key, value in expected.items() if key != "required"}
    return [without_required(each) for each in expected] if isinstance(expected, list) else expected


def test_the_dashboard_has_the_types_of_grafana() -> None:
    assert mistakes(DASHBOARD, schema("dashboard", "Dashboard")) == []


@pytest.mark.parametrize("title", PANELS)
def test_each_panel_has_the_options_of_its_kind(title: str) -> None:
    panel = PANELS[title]
    kind = f"composable/{panel['type']}/panelcfg"
    assert mistakes(panel["options"], without_required(schema(kind, "Options"))) == []
    own = panel["fieldConfig"]["defaults"].get("custom", {})
    assert mistakes(own, without_required(schema(kind, "FieldConfig"))) == []


def test_a_mistyped_name_is_a_mistake() -> None:
    panel = {**DASHBOARD["panels"][0], "gridpos": {}}
    assert mistakes({**DASHBOARD, "panels": [panel]}, schema("dashboard", "Dashboard")) != []
