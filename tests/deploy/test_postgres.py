"""The compose file and the manifest of relays that share a queue in PostgreSQL."""

import importlib
import re
import shutil
import subprocess
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from mta.config.table import QUEUE_DIR, SETTINGS
from mta.delivery.limits import DeliveryLimits
from mta.metrics.metric import PREFIX
from mta.metrics.table import METRICS
from mta.queue.postgres.url import read_server
from tests.deploy.manifests import ROOT, documents, understood

FOLDER = ROOT / "deploy" / "postgres"
COMPOSE = documents(FOLDER / "compose.yaml")[0]
SERVICES = COMPOSE["services"]
RELAY = SERVICES["smtp"]
BALANCER = (FOLDER / "haproxy.cfg").read_text()
OBJECTS = {found["kind"]: found for found in documents(ROOT / "deploy" / "kubernetes" / "postgres.yaml")}
ALONE = {found["kind"]: found for found in documents(ROOT / "deploy" / "kubernetes" / "smtprelay.yaml")}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
DATA = OBJECTS["ConfigMap"]["data"]
VERSIONS = ("1.28", "1.31", "1.34")

compose, haproxy = shutil.which("docker-compose"), shutil.which("haproxy")
try:
    kubernetes_validate = importlib.import_module("kubernetes_validate")
except ImportError:
    kubernetes_validate = None


# --- Compose


@pytest.mark.skipif(compose is None, reason="docker-compose is not installed")
def test_compose_takes_the_file() -> None:
    command = [str(compose), "-f", str(FOLDER / "compose.yaml"), "config", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(haproxy is None, reason="haproxy is missing: install Debian's package haproxy")
def test_haproxy_takes_its_file() -> None:
    done = subprocess.run([str(haproxy), "-c", "-f", str(FOLDER / "haproxy.cfg")], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_three_relays_understand_their_settings(tmp_path: Any) -> None:
    (notice,) = understood(RELAY["environment"], tmp_path).notices
    assert notice.startswith("QUEUE_URL has sslmode=disable"), "the network of the file has no other host"
    assert RELAY["deploy"]["replicas"] == 3
    assert set(RELAY["environment"]) <= known_settings()
    assert int(RELAY["stop_grace_period"].removesuffix("s")) >= 3 * DeliveryLimits().grace


def known_settings() -> set[str]:
    return {setting.name for setting in SETTINGS} | {f"{setting.name}_FILE" for setting in SETTINGS if setting.secret}


def test_the_relays_use_the_database_of_the_file() -> None:
    environment = SERVICES["postgres"]["environment"]
    parameters = read_server(RELAY["environment"]["QUEUE_URL"]).connection_parameters()
    assert parameters["host"] == "postgres"
    assert parameters["dbname"] == environment["POSTGRES_DB"]
    assert parameters["user"] == environment["POSTGRES_USER"]
    secret = RELAY["environment"]["QUEUE_PASSWORD_FILE"]
    assert environment["POSTGRES_PASSWORD_FILE"] == secret == f"/run/secrets/{RELAY['secrets'][0]}"
    assert set(COMPOSE["secrets"]) == set(RELAY["secrets"]) == set(SERVICES["postgres"]["secrets"])


def test_only_the_database_has_a_volume() -> None:
    assert COMPOSE["volumes"] == {"database": None}
    assert "volumes" not in RELAY
    assert any(mount.startswith(f"{QUEUE_DIR.default}:") for mount in RELAY["tmpfs"])
    assert RELAY["read_only"] is True


def test_the_balancer_names_the_clients_and_only_its_own_address_may() -> None:
    address = SERVICES["balancer"]["networks"]["relays"]["ipv4_address"]
    assert RELAY["environment"]["PROXY_NETWORKS"] == address
    networks = {name: ip_network(each["ipam"]["config"][0]["subnet"]) for name, each in COMPOSE["networks"].items()}
    assert ip_address(address) in networks["relays"]
    assert RELAY["environment"]["RELAY_NETWORKS"] == f":{networks['applications']}"
    assert RELAY["networks"] == SERVICES["postgres"]["networks"] == ["relays"]
    (server,) = re.findall(r"server-template relay (\d+) smtp:25 (.*)", BALANCER)
    assert int(server[0]) >= RELAY["deploy"]["replicas"]
    assert "send-proxy-v2 check check-send-proxy" in server[1]


def test_the_port_of_the_balancer_is_not_open_to_the_world() -> None:
    assert SERVICES["balancer"]["ports"] == ["127.0.0.1:25:25"]
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["balancer"]


# --- Kubernetes


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.skipif(
    kubernetes_validate is None, reason="kubernetes-validate is not installed: pip install '.[schemas]'"
)
def test_the_manifest_follows_the_schemas_of_kubernetes(kind: str, version: str) -> None:
    kubernetes_validate.validate(OBJECTS[kind], version, strict=True)  # type: ignore[union-attr]


def test_all_objects_have_the_relays_name_and_choose_its_pods() -> None:
    kinds = ["ConfigMap", "Service", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"]
    assert list(OBJECTS) == kinds
    assert {found["metadata"]["name"] for found in OBJECTS.values()} == {"smtprelay"}
    labels = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    (spread,) = POD["topologySpreadConstraints"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert OBJECTS[kind]["spec"]["selector"]["matchLabels"] == labels == spread["labelSelector"]["matchLabels"]


def test_the_relays_of_the_manifest_understand_their_settings(tmp_path: Any) -> None:
    settings = understood(DATA, tmp_path)
    assert settings.notices == ()
    assert set(DATA) <= known_settings()


def test_the_manifest_differs_from_that_of_one_relay_only_by_the_queue() -> None:
    (alone,) = ALONE["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    for part in ("image", "envFrom", "securityContext", "startupProbe", "readinessProbe", "livenessProbe"):
        assert CONTAINER[part] == alone[part]
    before = ALONE["StatefulSet"]["spec"]["template"]["spec"]
    for part in ("automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds"):
        assert POD[part] == before[part]
    assert DATA.items() >= ALONE["ConfigMap"]["data"].items()


def test_nothing_in_a_pod_outlives_it() -> None:
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in CONTAINER["volumeMounts"]}
    assert set(mounts.values()) == set(volumes)
    assert "emptyDir" in volumes[mounts[QUEUE_DIR.default]]
    assert not [volume for volume in volumes.values() if not {"emptyDir", "secret"} & set(volume)]


def test_password_and_certificate_of_the_database_are_mounted() -> None:
    mounts = {mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert DATA["QUEUE_PASSWORD_FILE"].rpartition("/")[0] in mounts
    parameters = read_server(DATA["QUEUE_URL"]).connection_parameters()
    assert parameters["sslmode"] == "verify-full"
    assert parameters["sslrootcert"].rpartition("/")[0] in mounts


def test_one_pod_at_a_time_may_go_and_updates_lose_no_pod() -> None:
    assert OBJECTS["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert OBJECTS["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_pod_that_ends_waits_for_the_services_and_then_for_its_deliveries() -> None:
    program, seconds = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert POD["terminationGracePeriodSeconds"] >= int(seconds) + 3 * DeliveryLimits().grace


def test_more_pods_are_started_by_the_time_that_due_mail_waits() -> None:
    spec = OBJECTS["HorizontalPodAutoscaler"]["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "smtprelay"}
    assert "replicas" not in OBJECTS["Deployment"]["spec"], "an update would undo the autoscaler's number"
    (metric,) = (each["external"]["metric"]["name"] for each in spec["metrics"])
    assert metric.removeprefix(PREFIX) in METRICS
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"]
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert DATA["METRICS_LISTEN"] == f":{ports['metrics']}"
