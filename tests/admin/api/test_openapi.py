"""openapi.json describes the routes, the parameters and the objects of the code, and no others."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from harness.daemon import ROOT
from mta.admin.api.app import Api
from mta.admin.api.errors import STATUSES, ApiError, error_object
from mta.admin.state import (
    About,
    DestinationState,
    DoctorRun,
    LoggedEvent,
    Order,
    OrderResult,
    RuleState,
    SettingState,
    TrafficMinute,
)
from mta.admin.wire import relay
from mta.admin.wire.findings import run_object
from mta.admin.wire.messages import entry_object, shape_object, summary_object
from mta.admin.wire.questions import MAX_MESSAGES, MAX_PAGE, PARAMETERS, USUAL_PAGE
from mta.doctor.findings import failure
from mta.queue.entries import Action, AttemptRecord, DomainShape, Entry, QueueId, RecipientState, Status, Summary
from mta.queue.search.conditions import State
from mta.queue.search.reading import OPTIONS
from tests.admin.api.test_routes import ApiCase

ID = QueueId("0gqw5z6cn4j0y")
ATTEMPT = AttemptRecord(1.0, "mx", "450 later", "4.2.0")
ENTRY = Entry(ID, "", 1, 1.0, "", False, False, (RecipientState("a@b.test", Status.WAITING, 1, 1.0, "", "", None),))
RUN = DoctorRun(1.0, (failure("a/b", "seen", "mend it", "x TXT y"),))
OBJECTS = {
    "About": relay.about_object(About("1", "relay", None, 1, "/queue")),
    "Message": entry_object(ENTRY, ""),
    "Domain": shape_object(DomainShape("b.test", 1, 0, 0, 1.0, (1, 0, 0, 0, 0))),
    "Summary": summary_object(Summary(0, 0, 0, None)),
    "Destination": relay.destination_object(DestinationState("b.test", 0, 0, 0, 1)),
    "Setting": relay.setting_object(SettingState("PORT", "25")),
    "Rule": relay.rule_object(RuleState("1.toml:1", "acl", "deny")),
    "TrafficMinute": relay.minute_object(TrafficMinute(60.0, 1, 1, 0, 0)),
    "DoctorRun": run_object(RUN),
    "Finding": run_object(RUN)["findings"][0],  # type: ignore[index]
    "Event": relay.event_object(LoggedEvent(1.0, "accepted", {})),
    "Order": {**relay.order_object(Order(Action.HOLD, None, "")), "conditions": {}},
    "OrderResult": relay.result_object(OrderResult(())),
    "Error": error_object(ApiError("failed", "disk")),
}
_TYPES = {"string": str, "integer": int, "number": int | float, "boolean": bool, "array": list, "object": dict}


def resolved(document: Any, schema: Any) -> Any:
    """Return a part of the document, or the one to which it refers."""
    if "$ref" not in schema:
        return schema
    found = document
    for name in schema["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def differences(document: Any, schema: Any, value: Any, place: str) -> Iterator[str]:
    """Yield the places at which a value is not as a schema says, or has members that the schema lacks."""
    schema = resolved(document, schema)
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if value is None:
        if "null" not in kinds:
            yield f"{place}: null"
        return
    if kinds and not any(isinstance(value, _TYPES[kind]) for kind in kinds if kind != "null"):
        yield f"{place}: {value!r} is not {kinds}"
    if isinstance(value, dict) and "properties" in schema:
        missing = set(schema.get("required", ())) - set(value)
        unknown = set() if schema.get("additionalProperties") else set(value) - set(schema["properties"])
        if missing or unknown:
            yield f"{place}: missing {sorted(missing)}, unknown {sorted(unknown)}"
        for name in set(value) & set(schema["properties"]):
            yield from differences(document, schema["properties"][name], value[name], f"{place}.{name}")
    if isinstance(value, list):
        for item in value:
            yield from differences(document, schema["items"], item, f"{place}[]")


def all_of(value: Any, key: str) -> Iterator[Any]:
    """Yield the values of a key anywhere in the document."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for each in value.values():
            yield from all_of(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from all_of(each, key)


class DescriptionTests(ApiCase):
    def setUp(self) -> None:
        super().setUp()
        self.document = self.driver.get("openapi.json").json
        self.schemas = self.document["components"]["schemas"]

    def parameters(self, path: str) -> dict[str, Any]:
        found = [resolved(self.document, each) for each in self.document["paths"][path]["get"].get("parameters", ())]
        return {each["name"]: each for each in found if each["in"] == "query"}

    def test_the_routes_are_those_of_the_code(self) -> None:
        rules = Api.app.url_map.iter_rules()
        code = {
            (re.sub("<(.*?)>", r"{\1}", rule.rule), method.lower())
            for rule in rules
            for method in rule.methods or ()
            if method != "HEAD"
        }
        described = {(path, method) for path, methods in self.document["paths"].items() for method in methods}
        self.assertEqual(described, code)

    def test_the_parameters_are_those_of_the_code(self) -> None:
        every = set(OPTIONS)
        self.assertEqual(set(self.parameters("/messages")), every | set(PARAMETERS))
        self.assertEqual(set(self.parameters("/messages/count")), every | {"history"})
        for path in ("/messages/ids", "/events"):
            self.assertEqual(set(self.parameters(path)), every)
        self.assertEqual(set(self.parameters("/traffic")), {"since"})
        for path in self.document["paths"]:
            if path != "/orders" and not self.parameters(path):
                self.assertEqual(self.driver.get(path.replace("{id}", ID).lstrip("/") + "?x=1").status, 400, path)
        limit = self.parameters("/messages")["limit"]["schema"]
        self.assertEqual((limit["maximum"], limit["default"]), (MAX_PAGE, USUAL_PAGE))
        self.assertEqual(self.parameters("/messages")["message"]["schema"]["maxItems"], MAX_MESSAGES)
        for state in State:
            self.assertIn(state.value, self.parameters("/messages")["status"]["description"])

    def test_the_objects_are_those_of_the_code(self) -> None:
        for name, value in json.loads(json.dumps(OBJECTS)).items():
            self.assertEqual(list(differences(self.document, self.schemas[name], value, name)), [])
            self.assertEqual(set(self.schemas[name]["properties"]), set(value), name)
        recipient = OBJECTS["Message"]["recipients"][0]  # type: ignore[index]
        self.assertEqual(set(self.schemas["Recipient"]["properties"]), set(recipient))
        self.assertEqual(set(self.schemas["Attempt"]["properties"]), {each.name for each in fields(AttemptRecord)})
        order = self.schemas["Order"]["properties"]
        self.assertEqual(order["ids"]["maxItems"], relay.MAX_IDS)
        self.assertEqual(order["action"]["enum"], [action.value for action in Action])
        kinds = self.schemas["Error"]["properties"]["error"]["properties"]["kind"]["enum"]
        self.assertEqual(kinds, list(STATUSES))
        self.assertEqual(self.schemas["Recipient"]["properties"]["status"]["enum"], [each.value for each in Status])

    def test_answers_are_as_described(self) -> None:
        new = self.relay.added()
        for path, methods in self.document["paths"].items():
            content = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
            if path == "/events" or "application/json" not in content:
                continue
            answer = self.driver.get(path.replace("{id}", new.id).lstrip("/"))
            self.assertEqual(answer.status, 200, path)
            schema = content["application/json"]["schema"]
            self.assertEqual(list(differences(self.document, schema, answer.json, path)), [])

    def test_every_reference_leads_somewhere_and_every_part_is_used(self) -> None:
        references = set(all_of(self.document, "$ref"))
        for reference in references:
            resolved(self.document, {"$ref": reference})
        for kind in ("schemas", "parameters", "responses"):
            for name in self.document["components"][kind]:
                self.assertIn(f"#/components/{kind}/{name}", references)
        operations = list(all_of(self.document["paths"], "operationId"))
        self.assertEqual(len(set(operations)), len(operations))

    def test_the_page_of_the_docs_has_all_routes_actions_and_kinds_of_errors(self) -> None:
        page = (ROOT / "docs" / "api.md").read_text()
        for path, methods in self.document["paths"].items():
            for method in methods:
                self.assertIn(f"`{method.upper()} {path.replace('{id}', 'ID')}", page)
        for kind, status in STATUSES.items():
            self.assertIn(f"| `{kind}` | {status} |", page)
        for word in (*OPTIONS, *(action.value for action in Action), *self.schemas["Order"]["properties"]):
            self.assertIn(f"`{word}`", page)

    def test_it_is_kept_as_json_of_two_blanks(self) -> None:
        octets = self.driver.get("openapi.json").body
        self.assertEqual(octets.decode(), json.dumps(json.loads(octets), indent=2) + "\n")
