"""What to do about a refusal: a fix for what the webhooks' words and the decoder's leave to the reader."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from emu.files.yamlfile import Node
from emu.manifests.fielderror import Problem
from emu.policy.quantity import parse_amount

_FLAGS = {
    "initContainers": "kubernetes.podspec-init-containers",
    "nodeSelector": "kubernetes.podspec-nodeselector",
    "tolerations": "kubernetes.podspec-tolerations",
    "runtimeClassName": "kubernetes.podspec-runtimeclassname",
    "persistentVolumeClaim": "kubernetes.podspec-persistent-volume-claim",
    "securityContext": "kubernetes.podspec-securitycontext",
    "capabilities.add": "kubernetes.containerspec-addcapabilities",
    "affinity": "kubernetes.podspec-affinity",
    "hostPath": "kubernetes.podspec-volumes-hostpath",
    "hostNetwork": "kubernetes.podspec-hostnetwork",
    "fieldRef": "kubernetes.podspec-fieldref",
    "dnsPolicy": "kubernetes.podspec-dnspolicy",
    "schedulerName": "kubernetes.podspec-schedulername",
    "priorityClassName": "kubernetes.podspec-priorityclassname",
    "hostPID": "kubernetes.podspec-hostpid",
    "hostIPC": "kubernetes.podspec-hostipc",
    "hostAliases": "kubernetes.podspec-hostaliases",
    "shareProcessNamespace": "kubernetes.podspec-shareprocessnamespace",
    "topologySpreadConstraints": "kubernetes.podspec-topologyspreadconstraints",
    "dnsConfig": "kubernetes.podspec-dnsconfig",
}
_NEVER = {
    "terminationGracePeriodSeconds": "timeoutSeconds is the pod's grace period",
    "restartPolicy": "containers of a revision always restart",
    "lifecycle": "Knative sets a preStop hook of its own, which waits for requests under way",
    "privileged": "nothing in its place",
    "spec.resources": "they belong to the container",
    "spec.serviceAccount": "serviceAccountName is the field",
}
"""Fields that Knative never takes, and what there is in their place."""
_DURATIONS = ("window", "delay", "period", "deadline", "duration")
_LABEL = "write lower-case letters, digits and -, beginning with a letter, at most 63"
_PLACEHOLDER = re.compile(r"\$\{.*\}|\{\{.*\}\}|<[A-Za-z][\w. -]*>|\$\(?[A-Z][A-Z0-9_]*\)?")
_FILL_IN = "it is a placeholder: put the value in its place"
_UNITS = {"k": "Ki", "m": "Mi", "g": "Gi", "t": "Ti"}
_SIZE = re.compile(r"([0-9.]+) *([kmgt])i?b?(?:ytes?)?", re.IGNORECASE)
_CORES = re.compile(r"([0-9.]+) *(v?cpus?|cores?)", re.IGNORECASE)
_NUMBER_AND_MORE = re.compile(r"([0-9]+) *(%|s|sec|seconds?)")


def of_problem(problem: Problem) -> str:
    """What to do about a refusal of Knative's webhook; empty where its own words say it."""
    for words, fix in _FIXES:
        if words.search(problem.message):
            return fix if isinstance(fix, str) else fix(problem)
    return ""


def _fields(problem: Problem) -> str:
    flags = [flag for field, flag in _FLAGS.items() if any(path.endswith(field) for path in problem.paths)]
    others = [
        f"{field.rpartition('.')[2]}: {why}"
        for field, why in _NEVER.items()
        if any(path.endswith(field) for path in problem.paths)
    ]
    fixes = [f"enable {', '.join(flags)} in the ConfigMap config-features, or remove the field"] if flags else []
    fixes += [f"remove what no revision has ({'; '.join(others)})"] if others else []
    return "; ".join(fixes)


def _value(problem: Problem) -> str:
    """Of an annotation whose value is none of the kind that it has."""
    name = problem.paths[0].rpartition("/")[2] if problem.paths else ""
    plain = name.replace("-", "").lower()
    if _PLACEHOLDER.fullmatch(problem.message.partition(": ")[2].strip()):
        return _FILL_IN
    if "cluster" in name:
        return 'write 1 or more, or set allow-zero-initial-scale: "true" in the ConfigMap config-autoscaler'
    if plain == "metric":
        return "write concurrency or rps; cpu and memory are metrics of class hpa.autoscaling.knative.dev"
    if plain == "class":
        return "write kpa.autoscaling.knative.dev or hpa.autoscaling.knative.dev, or a class of another domain"
    if plain.endswith(_DURATIONS):
        return 'write a duration with its unit, as in "60s"'
    if plain.endswith("scale"):
        return "write a whole number" + (', "0" for no limit' if plain == "maxscale" else "")
    if plain == "targetburstcapacity":
        return 'write 0 or more, or "-1" to keep the activator in the path'
    if plain.startswith(("target", "panic", "resourcepercentage")):
        return 'write a number without a unit or a percent sign, as in "70"'
    if "resource" in plain:
        return 'write an amount, as in "100m" or "64Mi"'
    return ""


def _image(problem: Problem) -> str:
    if re.search(r"[{}<>$]", problem.details.partition(", error")[0]):
        return _FILL_IN
    return "write it as REGISTRY/NAME:TAG, the name in lower case"


def _range(problem: Problem) -> str:
    path = problem.paths[0] if problem.paths else ""
    for field, key in (
        ("timeoutSeconds", "max-revision-timeout-seconds"),
        ("containerConcurrency", "container-concurrency-max-limit"),
    ):
        if path.endswith(f"spec.{field}"):  # and not a probe's
            return f"write a number within these bounds, or set {key} in the ConfigMap config-defaults"
    return ""


_FIXES: tuple[tuple[re.Pattern[str], str | Callable[[Problem], str]], ...] = tuple(
    (re.compile(words), fix)
    for words, fix in (
        ("^must not set the field", _fields),
        ('"queue-proxy" is a reserved', "rename it; queue-proxy's resources are set by annotations "
         "queue.sidecar.serving.knative.dev/…"),
        ("^Persistent volume claim support",
         "enable kubernetes.podspec-persistent-volume-claim in the ConfigMap config-features"),
        ("^Persistent volume write support", "mount it with readOnly: true, or enable "
         "kubernetes.podspec-persistent-volume-write in the ConfigMap config-features"),
        ("^HostPath volume support", "enable kubernetes.podspec-volumes-hostpath in the ConfigMap config-features, "
         "or take an emptyDir"),
        ("^CSI volume support", "enable kubernetes.podspec-volumes-csi in the ConfigMap config-features"),
        ("^pod spec support for init-containers",
         "enable kubernetes.podspec-init-containers in the ConfigMap config-features, or remove them"),
        ("^EmptyDir volume support",
         "enable kubernetes.podspec-volumes-emptydir in the ConfigMap config-features"),
        ("^volumeMount has no matching volume", "add that volume to the pod's volumes, or remove the mount"),
        ("^volume with name .* not mounted", "mount it in a container, or remove it"),
        ("^volume mount should be readOnly", "add readOnly: true"),
        ("^max-scale=.* is less than min-scale", "raise max-scale, or lower min-scale"),
        ("^(max|min)-scale=.* activation-scale", "write an activation-scale between min-scale and max-scale"),
        ("^expected .* <= .* <= ", _range),
        ("^expected exactly one, got neither", "give exactly one of these"),
        ("^expected exactly one, got both", "keep one of them"),
        ("^more than one container port", "keep the port that serves requests"),
        ("^Port name .* is not allowed", "name it h2c for gRPC and HTTP/2 without TLS, or leave the name out"),
        ("must have prefix", "begin it so, or leave it out: Knative makes a name"),
        ("^Traffic targets sum to", "make the percentages add up to 100"),
        ("^may not set revisionName .* latestRevision is false", "name a revision, or write latestRevision: true"),
        ("^may not set revisionName", "keep revisionName, or latestRevision: true"),
        ("not a DNS 1035 label", _LABEL),
        ("^Failed to parse image reference", _image),
        ("is a reserved environment variable", "remove it: Knative sets it in each container"),
        ("is a reserved port", "let the container listen on another port"),
        ("^missing field.*", lambda problem: "name the container with its image: `- image: …`"
         if any(path.endswith("containers") for path in problem.paths) else ""),
        ("^invalid value: ", _value),
    )
)  # fmt: skip


def of_type(words: str, node: Node | None) -> str:
    """What to do about a value of the wrong type, by what the API server says of it."""
    text = node.text if node is not None and isinstance(node.value, str) else ""
    if _PLACEHOLDER.fullmatch(text.strip()):
        return _FILL_IN
    if words.endswith("type string") or "must be of type string" in words:
        return "quote it" if node is None or not isinstance(node.value, list | dict) else "write a text"
    if "quantities must match" in words or "unable to parse" in words:
        return of_amount(text)
    if words.endswith("type []string") or 'must be of type array: "string"' in words:
        return _as_list(text)
    if re.search(r"of type u?int(32|64)$|must be of type integer|intstr", words):
        return _whole(text, is_time=re.search("seconds|timeout", words, re.IGNORECASE) is not None)
    if words.endswith("type bool") or "must be of type boolean" in words:
        return "write true or false, without quotes"
    if words.endswith("type v1.ContainerPort"):
        number = text.rpartition(":")[2].partition("/")[0]
        return f"write containerPort: {number}" if number.isdigit() else "write containerPort: 8080"
    if words.endswith("type v1.EnvVar"):
        return 'write each as name: NAME and value: "…"'
    return ""


def of_amount(text: str) -> str:
    """A quantity that Kubernetes can read, of what somebody may have meant."""
    if (found := _SIZE.fullmatch(text.strip())) is not None:
        return _if_it_reads(f"{found[1]}{_UNITS[found[2].lower()]}")
    if (found := _CORES.fullmatch(text.strip())) is not None:
        return _if_it_reads(found[1])
    return "write an amount, as in 500m of cpu and 512Mi of memory"


def _if_it_reads(text: str) -> str:
    try:
        parse_amount(text)
    except ValueError:
        return ""
    return f'write "{text}"'


def _as_list(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    shown = ", ".join(f'"{word}"' for word in words)
    return f"write a list: [{shown}]" if words and len(shown) < 80 else "write a list, each item after `- `"


def _whole(text: str, *, is_time: bool) -> str:
    if text.isascii() and text.isdigit():
        return f"write {text}, without quotes"
    found = _NUMBER_AND_MORE.fullmatch(text.strip())
    if found is not None and (found[2] == "%" or is_time):
        return f"write {found[1]}" + (", without %" if found[2] == "%" else ": it is in seconds")
    return "write a whole number"
