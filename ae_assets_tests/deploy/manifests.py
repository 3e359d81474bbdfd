"""Kubernetes manifests, held against Kubernetes' schemas and against the pod security standard "restricted"."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

KUBERNETES = "1.37"
KINDS_OF_PODS = ("Deployment", "Job", "StatefulSet", "DaemonSet")


def manifests(text: str) -> list[dict[str, Any]]:
    """The documents of a file."""
    return [document for document in yaml.safe_load_all(text) if document]


def faults(manifest: dict[str, Any]) -> list[str]:
    """What Kubernetes' own schemas have against a manifest; a key that they do not know counts."""
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return [f"{manifest['kind']} of {manifest['apiVersion']} is no kind of Kubernetes {KUBERNETES}"]
    except kubernetes_validate.ValidationError as wrong:
        return [f"{manifest['kind']} {manifest['metadata']['name']}: {'.'.join(map(str, wrong.path))}: {wrong.message}"]
    return []


def pods(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod that the manifests ask for, with the name of what asks for it."""
    for document in documents:
        if document["kind"] in KINDS_OF_PODS:
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]


def loose_ends(pod: dict[str, Any]) -> list[str]:
    """Containers of a pod that are allowed more than they need, or bounded by nothing."""
    found = []
    of_pod = pod.get("securityContext") or {}
    if not (of_pod.get("runAsNonRoot") and of_pod.get("runAsUser")):
        found.append("may run as root")
    if (of_pod.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
        found.append("has no seccomp profile")
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        context = container.get("securityContext") or {}
        expected = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        found += [
            f"{container['name']}: {key} is {context.get(key)}"
            for key, value in expected.items()
            if context.get(key) != value
        ]
        limits = (container.get("resources") or {}).get("limits") or {}
        if "memory" not in limits:
            found.append(f"{container['name']} has no limit of memory")
        tag = container["image"].rpartition(":")[2]
        if "/" in tag or tag == "latest":
            found.append(f"{container['name']}: the image {container['image']} names no version")
    return found


def read(path: Path) -> list[dict[str, Any]]:
    return manifests(path.read_text())
