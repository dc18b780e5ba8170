"""The image as a pod of the Kubernetes manifest: its user and group, and a volume that belongs to fsGroup."""

import os
from pathlib import Path

from harness.processes import free_port, greets
from harness.waiting import until
from tests.deploy.manifests import ROOT, documents
from tests.image.container import locked_up

OBJECTS = {found["kind"]: found for found in documents(ROOT / "deploy" / "kubernetes" / "smtprelay.yaml")}
WHO = OBJECTS["StatefulSet"]["spec"]["template"]["spec"]["securityContext"]
DATA = OBJECTS["ConfigMap"]["data"]


def give_to_group(queue: Path) -> None:
    """Change a volume as kubelet does for fsGroup: the group may read and write everything, and gets new files."""
    os.chown(queue, 0, WHO["fsGroup"])
    queue.chmod(0o2770)
    for path in queue.rglob("*"):
        os.chown(path, -1, WHO["fsGroup"])
        path.chmod(path.stat().st_mode | (0o2070 if path.is_dir() else 0o060))


def test_it_starts_and_starts_again_on_a_volume_that_belongs_to_the_group_of_the_pod(image, tmp_path):
    queue = tmp_path / "queue"
    queue.mkdir()
    for _ in range(2):
        give_to_group(queue)
        port = free_port()
        environment = {**DATA, "PORT": str(port), "PATH": "/opt/smtprelay/bin:/usr/bin:/bin", "LOG_FORMAT": "text"}
        user = {"user": WHO["runAsUser"], "group": WHO["runAsGroup"]}
        child = locked_up(image.root, tmp_path, *image.start, **user, **environment)
        child.start()
        try:
            until(lambda port=port, child=child: greets(port) or not child.running, what="the greeting")
            assert child.running, child.text
        finally:
            status = child.stop() if child.running else None
        assert status == 0
        assert "QUEUE_DIR" not in child.text, "it has nothing to tell about the permissions of the volume"
        assert "Traceback" not in child.text
        assert (queue / "queue.sqlite").stat().st_uid == WHO["runAsUser"]
