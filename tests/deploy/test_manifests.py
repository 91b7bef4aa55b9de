"""The manifests of deploy/: each by the schema of its kind, their settings and metrics by the service itself."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from pydantic import SecretStr

import app
from app.security.scopes import OPERATIONS
from app.settings import Settings
from app.telemetry import Metrics
from tests.conftest import REPOSITORY
from tests.deploy.custom_kinds import POD, SCHEMAS

DEPLOY = REPOSITORY / "deploy"
KUBERNETES = ("1.31", "1.34")  # the versions it is written for: the lowest, and one that clusters run
CLUSTER = sorted((*DEPLOY.glob("kubernetes/*.yaml"), *DEPLOY.glob("kserve/*.yaml")))
COMPOSE = DEPLOY / "compose" / "compose.yaml"
DASHBOARD = DEPLOY / "compose" / "grafana" / "dashboards" / "lungscope.json"
# Files that are no resource of a cluster, and what looks at them here.
OTHER_YAML = {COMPOSE, *DEPLOY.glob("compose/*.yaml"), *DEPLOY.glob("compose/grafana/**/*.yaml")}

Resource = dict[str, Any]


def resources() -> Iterator[tuple[Path, Resource]]:
    for path in CLUSTER:
        for resource in yaml.safe_load_all(path.read_text("utf-8")):
            yield path, resource


RESOURCES = list(resources())
NAMED = [pytest.param(resource, id=f"{path.name}-{resource['kind']}") for path, resource in RESOURCES]


def check(resource: Resource, version: str) -> None:
    """Raise for a resource that its schema refuses, or that has none."""
    schema = SCHEMAS.get((resource["apiVersion"], resource["kind"]))
    if schema is None:
        kubernetes_validate.validate(resource, version, strict=True)
        return
    jsonschema.validate(resource, schema)
    pod = {name: value for name, value in resource["spec"].get("predictor", {}).items() if name in POD}
    if pod:
        as_pod = {"apiVersion": "v1", "kind": "Pod", "metadata": resource["metadata"], "spec": pod}
        kubernetes_validate.validate(as_pod, version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("resource", NAMED)
def test_each_resource_is_one_of_its_kind(resource: Resource, version: str) -> None:
    check(resource, version)


@pytest.mark.parametrize("resource", NAMED)
def test_a_field_that_its_kind_does_not_have_is_refused(resource: Resource) -> None:
    odd = copy.deepcopy(resource)
    odd.setdefault("spec", {})["replicaz"] = 2
    with pytest.raises(jsonschema.ValidationError):
        check(odd, KUBERNETES[-1])


def test_a_kind_that_nothing_checks_is_refused() -> None:
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        check({"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "x"}, "spec": {}}, KUBERNETES[-1])


def test_every_manifest_is_looked_at() -> None:
    assert {*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")} == {*CLUSTER, *OTHER_YAML}


def test_the_compose_file_follows_its_specification() -> None:
    compose = yaml.safe_load(COMPOSE.read_text("utf-8"))
    jsonschema.validate(compose, get_builtin_schema("vendor.compose-spec"))
    mounted = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert all((COMPOSE.parent / path).exists() for path in mounted)
    built = {service["image"] for service in compose["services"].values() if "build" in service}
    assert built == {f"lungscope:{app.__version__}"}
    assert len(mounted) >= 5


def test_a_read_only_service_has_no_secrets_from_variables() -> None:
    """Compose refuses them."""
    compose = yaml.safe_load(COMPOSE.read_text("utf-8"))
    for service in compose["services"].values():
        secrets = [compose["secrets"][name] for name in service.get("secrets", ())]
        assert not (service.get("read_only") and [secret for secret in secrets if "environment" in secret])


def test_neighbours_are_named_as_compose_names_them() -> None:
    services = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    told = [path for path in (DEPLOY / "compose").rglob("*") if path.suffix in (".yaml", ".json")]
    for path in told:
        for host, port in re.findall(r'(?:http://|")([a-z]+):(\d{4})\b', path.read_text("utf-8")):
            assert host in services, f"{path.name}: {host}"
            own = {"lungscope": "8000", "orthanc": "8042", "prometheus": "9090"}
            assert port == own[host]


def test_every_variable_is_a_setting() -> None:
    settings = {f"LUNGSCOPE_{name.upper()}" for name in Settings.model_fields}
    secrets = {
        f"LUNGSCOPE_{name.upper()}_FILE"
        for name, field in Settings.model_fields.items()
        if field.annotation == SecretStr | None
    }
    named = {
        name
        for path in DEPLOY.rglob("*")
        if path.is_file()
        for name in re.findall(r"\bLUNGSCOPE_[A-Z0-9_]+\b", path.read_text("utf-8"))
    }
    # A comment names the one that a cluster would set; Orthanc's cron runs resend.py with an address of its own.
    assert named - settings - secrets <= {"LUNGSCOPE_PORT", "LUNGSCOPE_URL"}
    assert {"LUNGSCOPE_KEYS_FILE", "LUNGSCOPE_API_TOKEN", "LUNGSCOPE_DRAIN_SECONDS"} <= named


def exported() -> set[str]:
    """The names that /metrics shows."""
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {metric.name + end for metric in Metrics().registry.collect() for end in ends[metric.type]}


def test_every_metric_is_one_that_the_service_exports() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    metrics = {name for expression in asked for name in re.findall(r"\blungscope_[a-z_]+", expression)}
    followed = {
        metric["pods"]["metric"]["name"]
        for _, resource in RESOURCES
        if resource["kind"] == "HorizontalPodAutoscaler"
        for metric in resource["spec"]["metrics"]
    }
    assert followed == {"lungscope_requests_in_flight"}
    assert len(metrics) > 12
    assert metrics | followed <= exported()


def containers() -> list[Resource]:
    """Those that run Lungscope in a cluster."""
    pods = [
        resource["spec"]["template"]["spec"] if resource["kind"] == "Deployment" else resource["spec"]["predictor"]
        for _, resource in RESOURCES
        if resource["kind"] in ("Deployment", "InferenceService")
        and "model" not in resource["spec"].get("predictor", {})
    ]
    return [{**container, "pod": pod} for pod in pods for container in pod["containers"]]


@pytest.mark.parametrize("container", containers(), ids=lambda each: each["name"])
def test_probes_mean_what_the_service_means_by_them(container: Resource) -> None:
    paths = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    assert paths.pop("readinessProbe") == "/health/ready"
    assert set(paths.values()) == {"/health/live"}
    assert {("GET", path) for path in ("/health/live", "/health/ready")} <= {
        route for route, scope in OPERATIONS.items() if scope == "open"
    }


@pytest.mark.parametrize("container", containers(), ids=lambda each: each["name"])
def test_containers_may_do_little(container: Resource) -> None:
    pod, own = container["pod"], container["securityContext"]
    context = {**pod.get("securityContext", {}), **own}
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == 10001
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert container["image"] == f"lungscope:{app.__version__}"


def test_a_pod_has_time_to_drain() -> None:
    (deployment,) = (resource for _, resource in RESOURCES if resource["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    drain = {each["name"]: each["value"] for each in container["env"]}["LUNGSCOPE_DRAIN_SECONDS"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pause + int(drain)


def test_selectors_find_the_pods() -> None:
    (deployment,) = (resource for _, resource in RESOURCES if resource["kind"] == "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = {
        "Deployment": lambda spec: spec["selector"]["matchLabels"],
        "Service": lambda spec: spec["selector"],
        "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
        "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        "ServiceMonitor": lambda spec: spec["selector"]["matchLabels"],
    }
    found = {r["kind"]: selectors[r["kind"]](r["spec"]) for _, r in RESOURCES if r["kind"] in selectors}
    assert found == dict.fromkeys(selectors, labels)


def test_the_unit_of_systemd_names_what_is_installed() -> None:
    unit = (DEPLOY / "systemd" / "lungscope.service").read_text("utf-8")
    assert "ExecStart=/opt/lungscope/bin/lungscope serve" in unit
    sections = re.findall(r"^\[(\w+)\]$", unit, re.MULTILINE)
    assert sections == ["Unit", "Service", "Install"]
    seconds = dict(re.findall(r"(TimeoutStopSec|LUNGSCOPE_DRAIN_SECONDS)=(\d+)", unit))
    assert int(seconds["TimeoutStopSec"]) > int(seconds["LUNGSCOPE_DRAIN_SECONDS"])
