"""The objects of the Helm chart: valid, complete, and with the rights and volumes that a relay needs."""

import importlib
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness import npm
from mta import __version__
from mta.config.table import QUEUE_DIR
from mta.delivery.limits import DeliveryLimits
from tests.deploy.helm.chart import CHART, SETS, rendered, run, template, with_values
from tests.deploy.manifests import MOUNTED, ROOT, documents, understood
from tests.programs.helm import GENERATIONS
from tests.programs.typescript import GENERATOR, json_schema

VERSIONS = ("1.28", "1.34", "1.37")
MONITORS = ("@kubernetes-models/prometheus-operator@6.0.0", GENERATOR)
MONITOR_TYPES = "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor.d.ts"
MANIFESTS = {"direct": ("smtprelay.yaml", "StatefulSet"), "postgres": ("postgres.yaml", "Deployment")}

try:
    kubernetes_validate = importlib.import_module("kubernetes_validate")
except ImportError:
    kubernetes_validate = None

each_set = pytest.mark.parametrize("name", SETS)


def test_there_are_sets_of_values_for_five_kinds_of_relays() -> None:
    assert set(SETS) == {"direct", "smarthost", "submission", "postgres", "secondary"}


@each_set
def test_helm_finds_no_fault(name: str) -> None:
    done = run("lint", "--strict", "--values", str(SETS[name]), str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_of_the_chart_has_no_values_for_tests(tmp_path: Path) -> None:
    done = run("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / f"smtprelay-{__version__}.tgz") as package:
        names = package.getnames()
    assert {"smtprelay/values.schema.json", "smtprelay/templates/workload.yaml"} <= set(names)
    assert not [name for name in names if "/ci/" in name]


@each_set
def test_both_generations_of_helm_render_the_same(name: str) -> None:
    texts = {template(["--values", str(SETS[name])], generation).stdout for generation in GENERATIONS}
    assert len(texts) == 1
    assert "kind: " in texts.pop()


@each_set
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.skipif(
    kubernetes_validate is None, reason="kubernetes-validate is not installed: pip install '.[schemas]'"
)
def test_the_objects_follow_the_schemas_of_kubernetes(name: str, version: str) -> None:
    for found in rendered(name).objects:
        if found["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(found, version, strict=True)  # type: ignore[union-attr]


def test_monitors_have_the_types_of_the_prometheus_operator() -> None:
    lacking = npm.downloaded(MONITORS)
    if lacking is not None:
        pytest.skip(lacking)
    schema = json_schema(npm.folder_of(MONITORS) / "node_modules", MONITOR_TYPES, "IServiceMonitor")
    for name in ("submission", "postgres"):
        monitor = rendered(name).one("ServiceMonitor")
        assert [each.message for each in jsonschema.Draft7Validator(schema).iter_errors(monitor)] == []
    monitor["spec"]["endpoints"][0]["ports"] = "metrics"
    assert [*jsonschema.Draft7Validator(schema).iter_errors(monitor)] != []


def test_a_monitor_chooses_the_service_that_has_the_port_of_metrics() -> None:
    found = rendered("postgres")
    monitor = found.one("ServiceMonitor")
    chosen = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = (
        each for each in found.objects if each["kind"] == "Service" and chosen <= each["metadata"]["labels"].items()
    )
    (port,) = (each for each in service["spec"]["ports"] if each["name"] == monitor["spec"]["endpoints"][0]["port"])
    assert found.data["METRICS_LISTEN"] == f":{port['port']}"
    assert service["spec"]["publishNotReadyAddresses"] is True, "a relay with a full disk is not ready"
    assert monitor["spec"]["jobLabel"] in service["metadata"]["labels"]


def test_the_chart_is_of_the_release_of_the_relay() -> None:
    (about,) = documents(CHART / "Chart.yaml")
    assert about["version"] == about["appVersion"] == __version__
    assert with_values().container["image"] == f"smtprelay:{__version__}"
    digest = rendered("submission").container["image"]
    assert re.fullmatch(r"registry\.example\.org/mail/smtprelay@sha256:[0-9a-f]{64}", digest)


@each_set
def test_the_names_and_labels_of_all_objects_belong_to_the_release(name: str) -> None:
    found = rendered(name)
    for each in found.objects:
        assert each["metadata"]["name"].startswith(found.name)
        assert each["metadata"]["namespace"] == "default"
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "smtprelay"
    names = [(each["kind"], each["metadata"]["name"]) for each in found.objects]
    assert len(set(names)) == len(names)


@each_set
def test_every_selector_chooses_the_pods_and_outlives_a_release(name: str) -> None:
    found = rendered(name)
    spec = found.workload["spec"]
    selector = {"app.kubernetes.io/name": "smtprelay", "app.kubernetes.io/instance": "smtprelay"}
    assert spec["selector"]["matchLabels"] == selector
    assert spec["template"]["metadata"]["labels"].items() >= selector.items()
    for each in found.objects:
        if each["kind"] == "Service":
            assert each["spec"]["selector"] == selector
        if each["kind"] == "PodDisruptionBudget":
            assert each["spec"]["selector"]["matchLabels"] == selector
        if each["kind"] == "NetworkPolicy":
            assert each["spec"]["podSelector"]["matchLabels"] == selector
    for claim in spec.get("volumeClaimTemplates", ()):
        assert claim["metadata"]["labels"] == selector


@each_set
def test_the_relay_understands_its_variables(name: str, tmp_path: Path) -> None:
    settings = understood(rendered(name).data, tmp_path)
    expected = ["macros"] if name == "secondary" else []
    assert [notice for notice in settings.notices if not any(word in notice for word in expected)] == []


@each_set
def test_every_file_that_a_variable_names_is_mounted_as_a_folder(name: str) -> None:
    found = rendered(name)
    paths = [value for value in found.data.values() if value.startswith(MOUNTED)]
    assert paths or name == "direct"
    for path in paths:
        folder = path if path in found.mounts else path.rpartition("/")[0]
        volume = found.mounts[folder]
        sources = [each["secret"] for each in volume.get("projected", {}).get("sources", ())]
        items = [item["path"] for source in [*sources, volume.get("secret", {})] for item in source.get("items", ())]
        items += [item["path"] for item in volume.get("configMap", {}).get("items", ())]
        assert not items or path.rpartition("/")[2] in items
    assert not any("subPath" in mount for mount in found.container["volumeMounts"])


@each_set
def test_every_volume_is_mounted(name: str) -> None:
    found = rendered(name)
    mounted = {volume["name"] for volume in found.mounts.values()}
    assert mounted >= {volume["name"] for volume in found.pod["volumes"]}


@each_set
def test_secrets_are_read_from_files_and_never_part_of_the_chart(name: str) -> None:
    found = rendered(name)
    assert "Secret" not in found.kinds
    for variable in found.data:
        assert not re.search("_(PASSWORD|SECRET|TOKEN)$", variable)
    for volume in found.pod["volumes"]:
        mode = volume.get("secret", volume.get("projected", {})).get("defaultMode", 0o440)
        assert mode == 0o440, "the group of fsGroup reads them, and no other user"


def test_the_queue_in_files_is_on_a_volume_that_outlives_the_pod() -> None:
    found = rendered("smarthost")
    (claim,) = found.workload["spec"]["volumeClaimTemplates"]
    assert found.mounts[QUEUE_DIR.default] == claim["metadata"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "20Gi"}},
    }
    assert claim["metadata"]["name"] == "queue", (
        "the plain manifest has the same, so that the chart takes over its mail"
    )
    assert found.workload["spec"]["podManagementPolicy"] == "Parallel"
    assert found.workload["spec"]["replicas"] == 3
    service = found.one("Service", found.workload["spec"]["serviceName"])
    assert service["spec"]["clusterIP"] == "None"


def test_pods_that_share_a_queue_have_no_volume_and_the_autoscaler_counts_them() -> None:
    found = rendered("postgres")
    assert found.workload["kind"] == "Deployment"
    assert "emptyDir" in found.mounts[QUEUE_DIR.default]
    assert not any("persistentVolumeClaim" in volume for volume in found.pod["volumes"])
    assert "replicas" not in found.workload["spec"], "an upgrade would undo the autoscaler's number"
    assert found.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == found.name
    assert found.data["QUEUE_URL"].endswith("?connect_timeout=5&sslrootcert=/etc/smtprelay/queue-ca/ca.crt")
    assert found.workload["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_pod_is_that_of_the_plain_manifest(name: str) -> None:
    file, kind = MANIFESTS[name]
    manifest = {each["kind"]: each for each in documents(ROOT / "deploy" / "kubernetes" / file)}
    pod, (container,) = (spec := manifest[kind]["spec"]["template"]["spec"]), spec["containers"]
    found = rendered(name)
    for part in ("securityContext", "startupProbe", "readinessProbe", "livenessProbe"):
        assert found.container[part] == container[part]
    assert found.pod["securityContext"].items() >= pod["securityContext"].items()
    for part in ("automountServiceAccountToken", "enableServiceLinks"):
        assert found.pod[part] == pod[part]
    for variable in ("NET_DEV", "PORT", "LOG_FORMAT"):
        assert found.data[variable] == manifest["ConfigMap"]["data"][variable]


@each_set
def test_kubernetes_waits_long_enough_for_running_deliveries(name: str) -> None:
    found = rendered(name)
    (program, seconds) = found.container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert found.pod["terminationGracePeriodSeconds"] >= int(seconds) + 3 * DeliveryLimits().grace


@each_set
def test_the_pods_meet_the_restricted_standard(name: str) -> None:
    found = rendered(name)
    for pod in (found.pod, found.one("Pod")["spec"]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert ("runAsUser" in found.pod["securityContext"]) is (name != "secondary"), "OpenShift chooses the numbers"


def test_services_lead_to_the_ports_that_the_relay_opens(tmp_path: Path) -> None:
    found = rendered("submission")
    settings = understood(found.data, tmp_path)
    inside = {port["name"]: port["containerPort"] for port in found.container["ports"]}
    opened = {25: settings.port, 587: settings.submission_port, 465: settings.submission_tls_port}
    assert reached(found.one("Service", "smtprelay"), inside) == opened
    public = found.one("Service", "smtprelay-public")
    assert reached(public, inside) == {number: opened[number] for number in (587, 465)}
    assert public["spec"]["externalTrafficPolicy"] == "Local"
    assert reached(found.one("Service", "smtprelay-admin"), inside) == {443: 8025}
    assert found.data["ADMIN_LISTEN"] == ":8025"
    assert min(inside.values()) >= 1024, "all capabilities are dropped"


def reached(service: Any, inside: dict[str, int]) -> dict[int, int]:
    return {port["port"]: inside[port["targetPort"]] for port in service["spec"]["ports"]}


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        ("direct", {25, 53, 443, 465, 587}),
        ("smarthost", {25, 53, 443, 465, 587, 2525, 10025, 8443}),
        ("postgres", {25, 53, 443, 465, 587, 5432, 5433}),
        ("secondary", {25, 53, 443, 465, 587, 2424}),
    ],
)
def test_the_network_policy_lets_the_relay_reach_the_ports_of_its_settings(name: str, ports: set[int]) -> None:
    (rule,) = rendered(name).one("NetworkPolicy")["spec"]["egress"]
    assert set(rule) == {"ports"}
    assert {each["port"] for each in rule["ports"] if each["protocol"] == "TCP"} == ports
    assert [each["port"] for each in rule["ports"] if each["protocol"] == "UDP"] == [53]


def test_the_network_policy_lets_those_in_that_the_values_name() -> None:
    rules = rendered("submission").one("NetworkPolicy")["spec"]["ingress"]
    peers = {rule["ports"][0]["port"]: rule.get("from") for rule in rules}
    assert set(peers) == {port["name"] for port in rendered("submission").container["ports"]}
    assert peers["smtp"] == [{"podSelector": {}}]
    assert peers["submissions"] is None, "clients that log in come from everywhere"
    assert peers["metrics"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


def test_changed_settings_make_new_pods_and_changed_rules_do_not() -> None:
    rules = "--set-string=rules.files.10-acl\\.toml="
    stamps = [
        json.dumps(with_values(*options).workload["spec"]["template"])
        for options in ([rules], [rules + "x"], [rules, "--set=settings.WORKERS=2"])
    ]
    assert stamps[0] == stamps[1] != stamps[2]


def test_rules_are_the_files_of_a_config_map() -> None:
    found = rendered("submission")
    volume = found.mounts["/etc/smtprelay/rules.d"]
    files = found.one("ConfigMap", volume["configMap"]["name"])["data"]
    assert set(files) == {"10-acl.toml", "20-office.toml"}
    (named,) = re.findall('password_file = "(.*)"', files["20-office.toml"])
    folder, _, file = named.rpartition("/")
    paths = [item["path"] for each in found.mounts[folder]["projected"]["sources"] for item in each["secret"]["items"]]
    assert file in paths
    assert rendered("secondary").mounts["/etc/smtprelay/rules.d"]["configMap"] == {"name": "mail-rules"}


def test_the_greeting_is_tested_by_a_pod_that_the_network_policy_lets_in() -> None:
    pod = rendered("direct").one("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert '"smtprelay", 25' in pod["spec"]["containers"][0]["command"][-1]
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] != "smtprelay", "no Service may lead to it"
