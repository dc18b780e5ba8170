"""The Kubernetes manifests, against the schemas of several versions where these are installed."""

import difflib
import importlib
import re

import pytest
import yaml

from mta.config.table import QUEUE_DIR, SETTINGS
from mta.delivery.limits import DeliveryLimits
from tests.deploy.manifests import MOUNTED, ROOT, documents, understood
from tests.deploy.pages import blocks

FILE = ROOT / "deploy" / "kubernetes" / "smtprelay.yaml"
SUBMISSION = ROOT / "deploy" / "kubernetes" / "submission.yaml"
PAGE = ROOT / "docs" / "kubernetes.md"
MICROSOFT = ROOT / "docs" / "microsoft365.md"
VERSIONS = ("1.28", "1.31", "1.34")
OBJECTS = {found["kind"]: found for found in documents(FILE)}
WITH_LOGIN = {found["kind"]: found for found in documents(SUBMISSION)}
POD = OBJECTS["StatefulSet"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
DATA = OBJECTS["ConfigMap"]["data"]

try:
    kubernetes_validate = importlib.import_module("kubernetes_validate")
except ImportError:
    kubernetes_validate = None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.skipif(
    kubernetes_validate is None, reason="kubernetes-validate is not installed: pip install '.[schemas]'"
)
def test_the_manifest_follows_the_schemas_of_kubernetes(kind, version):
    kubernetes_validate.validate(OBJECTS[kind], version, strict=True)
    kubernetes_validate.validate(WITH_LOGIN[kind], version, strict=True)


def test_there_is_one_object_of_each_kind_and_all_have_our_name():
    assert [found["kind"] for found in documents(FILE)] == ["ConfigMap", "Service", "StatefulSet"]
    for found in OBJECTS.values():
        assert found["metadata"]["name"] == "smtprelay"


def test_the_selectors_choose_the_pod():
    labels = OBJECTS["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["StatefulSet"]["spec"]["serviceName"] == OBJECTS["Service"]["metadata"]["name"]


def test_every_variable_is_a_setting_and_the_relay_finds_no_mistake(tmp_path):
    assert set(DATA) <= {setting.name for setting in SETTINGS}
    assert CONTAINER["envFrom"] == [{"configMapRef": {"name": OBJECTS["ConfigMap"]["metadata"]["name"]}}]
    assert understood(DATA, tmp_path).notices == ()


def test_the_settings_for_microsoft_365_and_the_manifest_fit_together(tmp_path):
    (block,) = [block for block in blocks(MICROSOFT) if block.text.startswith("data:")]
    data = yaml.safe_load(block.text)["data"]
    found = understood(DATA | data, tmp_path)
    assert found.notices == ()
    assert found.smarthost.hosts == (("smtp.office365.com", 587),)
    assert found.grant.client_secret == "content of client-secret"


def test_the_service_leads_to_the_port_that_the_relay_opens():
    (port,) = OBJECTS["Service"]["spec"]["ports"]
    assert port["port"] == 25
    assert CONTAINER["ports"] == [{"name": port["targetPort"], "containerPort": int(DATA["PORT"])}]
    assert int(DATA["PORT"]) >= 1024, "all capabilities are dropped"
    for probe in ("startupProbe", "livenessProbe"):
        assert CONTAINER[probe]["tcpSocket"]["port"] == port["targetPort"]


def test_readiness_is_the_relays_own_word():
    assert CONTAINER["readinessProbe"]["exec"]["command"] == ["smtprelay", "health"]


def test_the_queue_is_on_a_volume_that_outlives_the_pod():
    (claim,) = OBJECTS["StatefulSet"]["spec"]["volumeClaimTemplates"]
    mounts = {mount["name"]: mount for mount in CONTAINER["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]]["mountPath"] == QUEUE_DIR.default
    assert OBJECTS["StatefulSet"]["spec"]["replicas"] == 1, "one process owns a queue"


def test_every_mount_has_its_volume():
    (claim,) = OBJECTS["StatefulSet"]["spec"]["volumeClaimTemplates"]
    volumes = {volume["name"] for volume in POD["volumes"]} | {claim["metadata"]["name"]}
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == volumes


def test_the_secret_is_mounted_as_a_folder_so_that_its_changes_are_seen():
    (mount,) = [mount for mount in CONTAINER["volumeMounts"] if mount["name"] == "secrets"]
    assert "subPath" not in mount
    assert mount["mountPath"].startswith(MOUNTED)
    assert f"`{mount['mountPath']}`" in PAGE.read_text()


def test_the_pod_has_only_the_rights_that_a_relay_needs():
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False


def test_the_pod_runs_as_the_user_of_the_image():
    (user,) = re.findall(r"^USER (\d+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert POD["securityContext"]["runAsUser"] == int(user)
    assert POD["securityContext"]["fsGroup"] == POD["securityContext"]["runAsGroup"]


def test_kubernetes_waits_long_enough_for_running_deliveries():
    assert POD["terminationGracePeriodSeconds"] >= 3 * DeliveryLimits().grace


def test_variables_of_services_do_not_look_like_settings():
    assert POD["enableServiceLinks"] is False


def test_the_manifest_with_a_login_opens_its_ports_by_the_service(tmp_path):
    data = WITH_LOGIN["ConfigMap"]["data"]
    settings = understood(data, tmp_path)
    assert settings.notices == ()
    assert settings.auth_user_count == 1
    (container,) = WITH_LOGIN["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    inside = {port["name"]: port["containerPort"] for port in container["ports"]}
    ports = {port["port"]: inside[port["targetPort"]] for port in WITH_LOGIN["Service"]["spec"]["ports"]}
    assert ports == {25: settings.port, 587: settings.submission_port, 465: settings.submission_tls_port}
    assert min(settings.ports) >= 1024, "all capabilities are dropped"


def test_the_manifest_with_a_login_reads_users_and_certificate_from_secrets():
    data, pod = WITH_LOGIN["ConfigMap"]["data"], WITH_LOGIN["StatefulSet"]["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    for name, secret in (("AUTH_USERS_FILE", "smtprelay"), ("CERTIFICATE_PATH", "smtprelay-tls")):
        assert secrets[mounts[data[name].rpartition("/")[0]]] == secret


def test_the_manifest_with_a_login_is_the_other_one_with_additions():
    """So a change of one file is not forgotten in the other."""
    plain, more = (_without_comments(path) for path in (FILE, SUBMISSION))
    removed = [line for line in difflib.ndiff(plain, more) if line.startswith("- ")]
    assert [line.strip("- ") for line in removed] == ["optional: true"]


def _without_comments(path):
    return [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
