"""Upgrades of a release that has mail in its queue: the chart asks the cluster, which a small server plays."""

import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.deploy.helm.chart import template

#: By their version of the API: the kinds that the cluster knows, with their names in paths.
KINDS = {
    "v1": {"configmaps": "ConfigMap", "services": "Service", "pods": "Pod"},
    "apps/v1": {"statefulsets": "StatefulSet", "deployments": "Deployment"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
}


def workload(
    name: str = "smtprelay", kind: str = "StatefulSet", release: str = "smtprelay", chart: str = "smtprelay-0.1.0"
) -> Any:
    labels, annotations = {"helm.sh/chart": chart}, {"meta.helm.sh/release-name": release}
    metadata = {"name": name, "namespace": "default", "labels": labels, "annotations": annotations}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {"replicas": 3}}


def group(version: str) -> Any:
    """Return the answer of the API about a group with one version."""
    one = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [one], "preferredVersion": one}


def resources(kinds: Mapping[str, str]) -> list[Any]:
    """Return the answer of the API about kinds."""
    verbs = {"namespaced": True, "verbs": ["get", "list"]}
    return [{"name": name, "singularName": kind.lower(), "kind": kind, **verbs} for name, kind in kinds.items()]


class Cluster(ThreadingHTTPServer):
    """The part of Kubernetes' API that `lookup` uses, with some objects."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.objects: list[Any] = []

    def answer(self, path: str) -> Any:
        """Return the answer to a request, None for an unknown path."""
        groups = [group(version) for version in KINDS if "/" in version]
        answers: dict[str, Any] = {
            "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        }
        for version, kinds in KINDS.items():
            folder = f"/apis/{version}" if "/" in version else f"/api/{version}"
            answers[folder] = {"kind": "APIResourceList", "groupVersion": version, "resources": resources(kinds)}
            for name, kind in kinds.items():
                answers[f"{folder}/namespaces/default/{name}"] = self.list_of(kind)
        return answers.get(path)

    def list_of(self, kind: str) -> Any:
        """Return the objects of a kind as an answer."""
        items = [each for each in self.objects if each["kind"] == kind]
        return {"kind": f"{kind}List", "apiVersion": "apps/v1", "metadata": {}, "items": items}


class Answer(BaseHTTPRequestHandler):
    """Answers a request to a Cluster."""

    server: Cluster

    def do_GET(self) -> None:
        found = self.server.answer(self.path.partition("?")[0])
        data = json.dumps(found or {"kind": "Status", "code": 404}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def upgraded(cluster: Cluster, *options: str) -> str:
    """Return the error of an upgrade, or "" if it would be done."""
    host, port = cluster.server_address[:2]
    there = ["--dry-run=server", f"--kube-apiserver=http://{host!s}:{port}", "--disable-openapi-validation"]
    done = template([*there, *options])
    assert (done.returncode == 0) is (done.stderr == "")
    return done.stderr


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("StatefulSet", ["--set=queue.url=postgresql://db/mail"], "StatefulSet smtprelay would be removed"),
        ("StatefulSet", ["--set=fullnameOverride=other,replicas=3"], "StatefulSet smtprelay would be removed"),
        ("StatefulSet", ["--set=replicas=2"], "has 3 pods, and the volumes of those above 2 may have mail"),
        ("Deployment", [], "Deployment smtprelay would be removed, and its database may have mail"),
    ],
)
def test_no_upgrade_leaves_a_queue_behind_that_may_have_mail(
    cluster: Cluster, kind: str, options: list[str], words: str
) -> None:
    cluster.objects = [workload(kind=kind)]
    assert words in upgraded(cluster, *options)
    assert upgraded(cluster, *options, "--set=queue.oldIsEmpty=true") == ""


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("StatefulSet", ["--set=replicas=3"]),
        ("StatefulSet", ["--set=replicas=4"]),
        ("Deployment", ["--set=queue.url=postgresql://db/mail", "--set=replicas=1,fullnameOverride=other"]),
    ],
)
def test_the_same_pods_or_more_and_any_number_with_a_database_are_no_danger(
    cluster: Cluster, kind: str, options: list[str]
) -> None:
    cluster.objects = [workload(kind=kind)]
    assert upgraded(cluster, *options) == ""


@pytest.mark.parametrize(
    "foreign",
    [
        workload(release="other"),
        workload(chart="database-1.0.0"),
        {**workload(), "metadata": {"name": "smtprelay"}},
    ],
)
def test_the_pods_of_others_do_not_matter(cluster: Cluster, foreign: Any) -> None:
    cluster.objects = [foreign]
    assert upgraded(cluster, "--set=queue.url=postgresql://db/mail") == ""


def test_an_installation_finds_nothing(cluster: Cluster) -> None:
    assert upgraded(cluster) == ""
