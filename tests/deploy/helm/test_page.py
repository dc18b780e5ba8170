"""The page about the chart: its values render, and its job moves a queue."""

import importlib

import pytest
import yaml

from mta.config.table import QUEUE_DIR
from tests.deploy.helm.chart import rendered, with_values
from tests.deploy.manifests import ROOT, documents_in, understood
from tests.deploy.pages import blocks

PAGE = ROOT / "docs" / "helm.md"
BLOCKS = [block for block in blocks(PAGE) if block.language == "yaml"]
VALUES = [block for block in BLOCKS if not block.text.startswith("# move.yaml")]
TABLE = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]

try:
    kubernetes_validate = importlib.import_module("kubernetes_validate")
except ImportError:
    kubernetes_validate = None


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_the_relay_understands_the_values_of_the_page(number, tmp_path):
    path = tmp_path / "mail.yaml"
    path.write_text(VALUES[number].text)
    found = with_values("--set=settings.MAILNAME=mail.example.org", f"--values={path}")
    assert understood(found.data, tmp_path).notices == ()


@pytest.mark.skipif(
    kubernetes_validate is None, reason="kubernetes-validate is not installed: pip install '.[schemas]'"
)
def test_the_job_moves_the_queue_of_the_first_volume_to_the_database(tmp_path):
    (job,) = documents_in(next(block.text for block in BLOCKS if block not in VALUES))
    kubernetes_validate.validate(job, "1.31", strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    # By the same rights as those of the relay's pods, which a namespace may demand of all pods.
    relay = rendered("direct")
    assert pod["securityContext"].items() <= relay.pod["securityContext"].items()
    assert {"runAsNonRoot", "runAsUser", "fsGroup", "seccompProfile"} <= set(pod["securityContext"])
    assert container["securityContext"].items() <= relay.container["securityContext"].items()
    assert {"allowPrivilegeEscalation", "capabilities"} <= set(container["securityContext"])
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claim = volumes[mounts[QUEUE_DIR.default]]["persistentVolumeClaim"]["claimName"]
    template = relay.workload["spec"]["volumeClaimTemplates"][0]
    assert claim == f"{template['metadata']['name']}-smtprelay-0"
    assert container["args"][:4] == ["smtprelay", "queue", "move", "--to"]
    (shared,) = (block.text for block in VALUES if "postgresql://" in block.text)
    assert container["args"][4].startswith(yaml.safe_load(shared)["queue"]["url"])


def test_the_table_of_values_names_values_that_exist_and_settings_that_follow_from_them():
    values = with_values()
    assert values.objects
    known = yaml.safe_load((ROOT / "deploy/helm/smtprelay/values.yaml").read_text())
    for row in TABLE:
        names = row.split("|")[1].replace("`", "").replace(" ", "").split(",")
        assert set(names) <= set(known)
