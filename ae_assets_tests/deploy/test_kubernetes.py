"""Manifests of deploy/kubernetes, and what Dagster's official chart makes of deploy/helm/values.yaml."""

import copy
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ae_assets.cli import main
from ae_assets.cli.stream import Told
from ae_assets_tests.deploy.compose_file import DEPLOY
from ae_assets_tests.deploy.manifests import KUBERNETES, faults, loose_ends, manifests, pods, read

FILES = sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
VALUES = DEPLOY / "helm" / "values.yaml"
CHART = "AE_ASSETS_DAGSTER_CHART"


def all_manifests() -> dict[str, dict[str, Any]]:
    return {f"{one['kind']}/{one['metadata']['name']}": one for path in FILES for one in read(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_kubernetes_accepts_every_manifest(path: Path) -> None:
    found = read(path)

    assert found
    assert [fault for manifest in found for fault in faults(manifest)] == []
    assert {one["metadata"].get("namespace", one["metadata"]["name"]) for one in found} == {"ae-assets"}


def test_a_key_that_kubernetes_does_not_know_is_a_fault() -> None:
    policy = copy.deepcopy(all_manifests()["NetworkPolicy/webserver"])
    policy["spec"]["ingress"][0]["form"] = policy["spec"]["ingress"][0].pop("from")

    assert faults(policy)


def test_nothing_reaches_the_namespace_but_what_a_policy_names() -> None:
    everything = all_manifests()

    denied = everything["NetworkPolicy/deny-all"]["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ways_in = {
        name: [(way["from"], way["ports"]) for way in one["spec"].get("ingress", [])]
        for name, one in everything.items()
        if one["kind"] == "NetworkPolicy" and one["spec"].get("ingress")
    }
    assert ways_in.keys() == {
        f"NetworkPolicy/{name}" for name in ("code-server", "webserver", "spark", "consume", "serve")
    }
    assert all(senders and ports for ways in ways_in.values() for senders, ports in ways)
    assert everything["Namespace/ae-assets"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_manifest_holds_a_secret() -> None:
    assert [name for name in all_manifests() if name.startswith("Secret/")] == []
    settings = all_manifests()["ConfigMap/ae-assets"]["data"]
    assert [name for name in settings if "SECRET" in name or "PASSWORD" in name or "CREDENTIAL" in name] == []


def test_a_consumer_is_fenced_as_the_servers_are_and_probed_where_it_listens() -> None:
    everything = all_manifests()
    pod = everything["Deployment/consume"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert loose_ends(pod) == []
    command, *options = container["command"][1:]
    assert {name for name in options if name.startswith("--")} <= {
        name for option in main.commands[command].params for name in option.opts
    }
    port = container["ports"][0]["containerPort"]
    assert options[-1].endswith(f":{port}")
    told = Told("levels")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert told.page(container[probe]["httpGet"]["path"])[0] in {200, 503}
    (way,) = everything["NetworkPolicy/consume"]["spec"]["ingress"]
    assert way["ports"] == [{"protocol": "TCP", "port": port}]


def test_a_server_of_decisions_is_fenced_as_the_servers_are_and_probed_where_it_listens() -> None:
    everything = all_manifests()
    pod = everything["Deployment/serve"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert loose_ends(pod) == []
    command, *options = container["command"][1:]
    assert {name for name in options if name.startswith("--")} <= {
        name for option in main.commands[command].params for name in option.opts
    }
    port = container["ports"][0]["containerPort"]
    assert options[options.index("--port") + 1] == str(port)
    assert all(container[probe]["httpGet"]["scheme"] == "HTTPS" for probe in ("startupProbe", "livenessProbe"))
    (way,) = everything["NetworkPolicy/serve"]["spec"]["ingress"]
    assert way["ports"] == [{"protocol": "TCP", "port": port}]


def test_the_consumer_of_the_release_is_that_of_the_manifest_with_the_instance_of_the_release() -> None:
    values = yaml.safe_load(VALUES.read_text())
    (pools,) = values["extraManifests"]
    ours, *others = yaml.safe_load((DEPLOY / "helm" / "consume.yaml").read_text())["extraManifests"]
    assert ours == pools, "Helm replaces a list as a whole"
    image = values["dagsterDaemon"]["image"]
    text = yaml.safe_dump_all(others, width=10_000)
    for name, value in {
        '{{ include "dagster.fullname" . }}': "dagster",
        "{{ .Values.dagsterDaemon.image.repository }}": image["repository"],
        "{{ .Values.dagsterDaemon.image.tag }}": image["tag"],
        "{{ .Values.global.dagsterHome }}": values["global"]["dagsterHome"],
        "{{ .Values.global.postgresqlSecretName }}": values["global"]["postgresqlSecretName"],
    }.items():
        text = text.replace(name, value)
    assert "{{" not in text
    deployment, policy = manifests(text)
    assert [fault for one in (deployment, policy) for fault in faults(one)] == []
    everything = all_manifests()
    assert policy == everything["NetworkPolicy/consume"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    secret = {"name": values["global"]["postgresqlSecretName"], "key": "postgresql-password"}
    assert container.pop("env") == [
        {"name": "DAGSTER_HOME", "value": values["global"]["dagsterHome"]},
        {"name": "DAGSTER_PG_PASSWORD", "valueFrom": {"secretKeyRef": secret}},
    ]
    mounted = container["volumeMounts"].pop(0)
    assert (mounted["mountPath"], mounted["subPath"]) == (
        f"{values['global']['dagsterHome']}/dagster.yaml",
        "dagster.yaml",
    )
    assert pod["volumes"].pop(0) == {"name": mounted["name"], "configMap": {"name": "dagster-instance"}}
    assert deployment == everything["Deployment/consume"]


def test_executors_of_spark_are_fenced_as_the_servers_are() -> None:
    everything = all_manifests()
    executor = yaml.safe_load(everything["ConfigMap/ae-assets-spark"]["data"]["executor.yaml"])
    (container,) = executor["spec"]["containers"]
    # Which Spark writes into the template.
    container |= {"image": "ae-assets:0.1.0-spark", "resources": {"limits": {"memory": "6Gi"}}}
    assert faults(executor) == []
    assert loose_ends(executor["spec"]) == []
    assert executor["spec"]["automountServiceAccountToken"] is False
    settings = everything["ConfigMap/ae-assets-spark"]["data"]["spark.conf"].split()
    ports = {str(one["port"]) for one in everything["NetworkPolicy/spark"]["spec"]["ingress"][0]["ports"]}
    named = [settings[at + 1] for at, word in enumerate(settings) if word.endswith((".port", ".blockManager.port"))]
    assert set(named) == ports, "the policy lets through what the settings name"


def test_the_driver_of_spark_is_the_pod_of_a_run_with_the_right_to_start_executors() -> None:
    run = yaml.safe_load((DEPLOY / "helm" / "spark.yaml").read_text())["runLauncher"]["config"]["k8sRunLauncher"]
    usual = yaml.safe_load(VALUES.read_text())["runLauncher"]["config"]["k8sRunLauncher"]
    of_pod = {**usual["runK8sConfig"]["podSpecConfig"], **run["runK8sConfig"]["podSpecConfig"]}
    container = {
        "name": "run",
        "image": f"{run['image']['repository']}:{run['image']['tag']}",
        "securityContext": usual["securityContext"],
        "resources": usual["resources"],
        "volumeMounts": run["volumeMounts"],
        **run["runK8sConfig"]["containerConfig"],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "run", **run["runK8sConfig"]["podTemplateSpecMetadata"]},
        "spec": {**of_pod, "containers": [container], "volumes": run["volumes"]},
    }
    assert faults(pod) == []
    assert loose_ends(pod["spec"]) == []
    assert {mount["name"] for mount in usual["volumeMounts"]} < {mount["name"] for mount in run["volumeMounts"]}
    everything = all_manifests()
    (subject,) = everything["RoleBinding/ae-assets-spark"]["subjects"]
    assert pod["spec"]["serviceAccountName"] == subject["name"]
    (selected,) = everything["NetworkPolicy/spark"]["spec"]["podSelector"]["matchExpressions"]
    assert selected["key"] in pod["metadata"]["labels"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the chart makes of our values; the chart comes from Dagster, it is not part of this project."""
    where = os.environ.get(CHART)
    if not where:
        pytest.skip(f"set {CHART} to a folder or .tgz of Dagster's chart: helm pull dagster/dagster --version 1.13.27")
    folder = tmp_path_factory.mktemp("chart")
    if Path(where).is_dir():
        shutil.copytree(where, folder / "dagster")
    else:
        with tarfile.open(where) as archive:
            archive.extractall(folder, filter="data")
    # The chart's schema of values refers to Kubernetes' schemas at an address that a test should not need.
    schemas = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local"
    elsewhere = (
        "https://raw.githubusercontent.com/yannh/kubernetes-json-schema/master/v1.19.0/_definitions.json#/definitions/"
    )
    here = (schemas / "_definitions.json").as_uri() + "#/$defs/"
    for schema in (folder / "dagster").rglob("values.schema.json"):
        schema.write_text(schema.read_text().replace(elsewhere, here))
    return manifests(render(folder / "dagster"))


def render(chart: Path) -> str:
    """The output of ``helm template``, by helm or by its library."""
    if helm := shutil.which("helm"):
        command = [helm, "template", "dagster", str(chart), "-n", "ae-assets", "-f", str(VALUES)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
    library = pytest.importorskip("helm_python", reason="neither helm nor helm-python-sdk is installed")
    with library.Chart.load(chart) as loaded:
        texts = loaded.render(yaml.safe_load(VALUES.read_text()), name="dagster", namespace="ae-assets")
    return "\n---\n".join(text for name, text in texts.items() if not name.endswith("NOTES.txt"))


def instance_of(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (one for one in documents if one["metadata"]["name"] == "dagster-instance")
    instance: dict[str, Any] = yaml.safe_load(found["data"]["dagster.yaml"])
    return instance


def test_kubernetes_accepts_what_the_chart_makes_of_the_values(rendered: list[dict[str, Any]]) -> None:
    assert [fault for manifest in rendered for fault in faults(manifest)] == []
    assert {name for name, _ in pods(rendered)} == {
        "dagster-dagster-webserver",
        "dagster-daemon",
        "dagster-dagster-user-deployments-ae-assets",
        "dagster-pools",
    }
    assert [one for one in rendered if one["kind"] in {"Ingress", "Secret", "StatefulSet"}] == []


def test_no_pod_of_the_chart_is_allowed_more_than_it_needs(rendered: list[dict[str, Any]]) -> None:
    assert {name: loose_ends(pod) for name, pod in pods(rendered) if loose_ends(pod)} == {}


def test_the_policies_select_the_pods_that_the_chart_makes(rendered: list[dict[str, Any]]) -> None:
    deployments = [one for one in rendered if one["kind"] == "Deployment"]
    labels = {one["spec"]["template"]["metadata"]["labels"]["component"]: one for one in deployments}
    policies = all_manifests()

    server = policies["NetworkPolicy/code-server"]["spec"]
    callers = server["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0]["values"]
    assert {server["podSelector"]["matchLabels"]["component"], *callers} == labels.keys()
    assert policies["NetworkPolicy/webserver"]["spec"]["podSelector"]["matchLabels"]["component"] in labels
    (container,) = labels["user-deployments"]["spec"]["template"]["spec"]["containers"]
    assert str(server["ingress"][0]["ports"][0]["port"]) in container["args"]
    assert labels["user-deployments"]["spec"]["template"]["spec"]["serviceAccountName"] == "ae-assets"


def test_dagster_accepts_the_instance_and_it_says_what_that_of_compose_says(
    rendered: list[dict[str, Any]], tmp_path: Path
) -> None:
    from dagster._core.instance.config import dagster_instance_config

    instance = instance_of(rendered)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance))
    dagster_instance_config(str(tmp_path))  # raises where a key is not known

    ours = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    for key in ("run_retries", "retention", "telemetry", "freshness", "nux", "sensors", "schedules", "backfills"):
        assert instance[key] == ours[key], key
    assert instance["concurrency"]["pools"] == ours["concurrency"]["pools"]
    assert instance["run_monitoring"]["enabled"]
    for space in ("run_storage", "event_log_storage", "schedule_storage"):
        assert instance[space]["config"]["postgres_db"]["scheme"] == "postgresql+psycopg2"


def test_the_pod_of_a_run_is_fenced_as_the_servers_are(
    rendered: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of_a_run(instance_of(rendered), tmp_path, monkeypatch)

    assert faults(job) == []
    ((_, pod),) = pods([job])
    assert loose_ends(pod) == []
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("ae-assets", False)
    (container,) = pod["containers"]
    assert {"configMapRef": {"name": "ae-assets"}} in container["envFrom"]
    assert {"secretRef": {"name": "ae-assets"}} in container["envFrom"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/var/lib/ae_assets", "/tmp"}  # noqa: S108


def job_of_a_run(instance: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Dagster would ask the cluster for to run something, by the launcher and the settings of the instance."""
    pytest.importorskip("dagster_k8s", reason="the kubernetes extra is not installed")
    import dagster as dg
    import kubernetes.client
    from dagster._serdes import ConfigurableClassData
    from dagster_k8s import K8sRunLauncher
    from dagster_k8s.job import construct_dagster_k8s_job

    cluster = {"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "none", "context": {"cluster": "none", "user": "none"}}
    user = {"name": "none", "user": {}}
    (folder / "kubeconfig").write_text(
        yaml.safe_dump({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "none"})
    )
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "secret")
    config = {
        **instance["run_launcher"]["config"],
        "load_incluster_config": False,
        "kubeconfig_file": str(folder / "kubeconfig"),
    }
    settings = ConfigurableClassData("dagster_k8s", "K8sRunLauncher", yaml.safe_dump(config))
    launcher = settings.rehydrate(as_type=K8sRunLauncher)  # raises where a setting is not known
    context_of_run = launcher.get_container_context_for_run(dg.DagsterRun(job_name="daily", run_id="0" * 32))
    job = construct_dagster_k8s_job(
        job_config=context_of_run.get_k8s_job_config(job_image="registry/ae-assets:0.1.0", run_launcher=launcher),
        args=["dagster", "api", "execute_run"],
        job_name="a-run",
        component="run_worker",
        user_defined_k8s_config=context_of_run.run_k8s_config,
    )
    asked: dict[str, Any] = kubernetes.client.ApiClient().sanitize_for_serialization(job)
    return asked


def test_the_same_pools_are_set_in_kubernetes_as_by_prepare(rendered: list[dict[str, Any]]) -> None:
    said = (DEPLOY / "prepare.py").read_text()
    ((_, job),) = [(name, pod) for name, pod in pods(rendered) if name == "dagster-pools"]

    commands = job["containers"][0]["args"][0].split("; ")
    limits = [command.removeprefix("dagster instance concurrency set ").split() for command in commands]
    assert limits
    assert all(f'"{pool}": {limit},' in said for pool, limit in limits)
