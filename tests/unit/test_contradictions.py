"""Scenarios that ask for two things that cannot both be: refused before anything starts, with the place of one."""

from __future__ import annotations

import pytest

from emu.errors import EmuError
from emu.scenario.reading import read_scenario, resolve
from emu.spec import ScenarioSpec

HPA = "autoscaling: { class: hpa, maxScale: 3, metric: cpu, target: 80 }"
STANDARD = "deploymentMode: Standard"
OWN = "class: hpa, horizontalPodAutoscaler: { maxReplicas: 3"
RESOURCES = "resources: { requests: { cpu: 100m } }"
BY_WEB = (
    "metrics: [ { type: ContainerResource, containerResource: { name: cpu, container: web, "
    "target: { type: Utilization, averageUtilization: 80 } } } ]"
)
KEDA = (
    "autoscaling: { class: keda, scaledObject: { maxReplicaCount: 3, triggers: "
    "[ { type: cpu, metricType: Utilization, metadata: { value: '80' } } ] } }"
)
VOLUME = "volumes: [ { name: a } ], app: { volumeMounts: [ { name: a, mountPath: /a, readOnly: true } ] }"
FILES = (
    "configMaps: [ { name: c, data: { k: v } } ], volumes: [ { name: a, configMap: { name: c } } ], "
    "app: { volumeMounts: [ { name: a, mountPath: /a } ] }"
)
TWO = "variants: { two: { pod.autoscaling.maxScale: 2 } }"
WRITES = "request: { do: { writeFile: /a/x, writeBytes: 1Mi } }"
INIT = (
    "volumes: [ { name: a } ], initContainers: [ { name: i, "
    "volumeMounts: [ { name: a, mountPath: /a, readOnly: true } ], do: { writeFile: /a/x, writeBytes: 1Mi } } ]"
)


def read(text: str) -> ScenarioSpec:
    """A scenario with these keys."""
    return read_scenario(f"name: it\nquestion: What?\n{text}\n", "it.yaml")


def load(phase: str) -> str:
    """A load of one phase; a steady one unless the keys have a type."""
    usual = "" if "type:" in phase else "type: constant, rate: 1, "
    return f"load: {{ phases: [ {{ name: go, {usual}duration: 5s, {phase} }} ] }}"


SCALED = [
    ("pod: { restartPolicy: Never, autoscaling: {} }", "cannot have `restartPolicy: Never`", "pod.restartPolicy"),
    ("services: [ { name: a, restartPolicy: OnFailure } ]", "`restartPolicy: OnFailure`", "services.0.restartPolicy"),
    ("pod: { freezer: {}, autoscaling: { maxScale: 3 } }", "there may be several", "pod.freezer"),
    ("pod: { freezer: {}, autoscaling: { maxScale: 0 } }", "there may be several", "pod.freezer"),
    (f"pod: {{ {HPA} }}", "queue-proxy and app request none", "pod.autoscaling.metric"),
    (f"pod: {{ {HPA}, app: {{ {RESOURCES} }} }}", "queue-proxy requests none", "pod.autoscaling.metric"),
    (f"pod: {{ {STANDARD}, autoscaling: {{ {OWN} }} }} }}", "app requests none", "horizontalPodAutoscaler"),
    (f"pod: {{ {STANDARD}, autoscaling: {{ {OWN}, {BY_WEB} }} }} }}", "has no container 'web'", "metrics.0"),
    (f"pod: {{ {STANDARD}, {KEDA} }}", "app requests none", "pod.autoscaling.scaledObject.triggers"),
]
WAITING = [
    (load("count: 3, until: { answered: 5 }"), "5 answers can never come", "until.answered"),
    (load("until: { answered: 50 }"), "50 answers can never come", "until.answered"),
    (load("type: pause, until: { answered: 1 }"), "1 answers can never come", "until.answered"),
    (load("until: { readyPods: 2 }"), "2 pods are never ready", "until.readyPods"),
    (f"pod: {{ autoscaling: {{ maxScale: 2 }} }}\n{load('until: { readyPods: 3 }')}", "3 pods", "until.readyPods"),
    (load("until: { ready: 3/3 }"), "READY column never shows 3/3", "until.ready"),
    (load("until: { ready: 3/2 }"), "READY column never shows 3/2", "until.ready"),
    (load("until: { status: Runing }"), "STATUS column never shows 'Runing'", "until.status"),
    (load("until: { status: ScaledToZero }"), "never scaled to zero", "until.status"),
    (
        f"pod: {{ autoscaling: {{ minScale: 1 }} }}\n{load('until: { status: ScaledToZero }')}",
        "never scaled to zero",
        "until.status",
    ),
    (f"pod: {{ restartPolicy: Never }}\n{load('until: { restarts: 1 }')}", "ever restarted", "until.restarts"),
    (load("until: { resizes: 1 }"), "no phase resizes", "until.resizes"),
]
LOADS = [
    (load("type: pause, count: 5"), "pause has no `count`", "count"),
    (load("type: pause, request: { do: { sleep: 1s } }"), "pause has no `request`", "request"),
    (load("type: pause, rate: 5"), "pause has no `rate`", "rate"),
    (load("think: 1s"), "constant has no `think`", "think"),
    (load("start: 0s, afterAnswers: true"), "either `start` or `afterAnswers`", "start"),
    (load("request: { sendRate: 1Ki }"), "no effect without `body`", "request.sendRate"),
    *(
        (load(f"request: {{ do: {{ {given} }} }}"), f"no effect without `{needs}`", f"do.{given.split(':')[0]}")
        for given, needs in (
            ("writeBytes: 1Mi", "writeFile"),
            ("readBytes: 1Mi", "readFile"),
            ("holdFor: 5s", "hold"),
            ("holdZeros: 0.5", "hold"),
            ("child: true", "hold"),
        )
    ),
    (f"pod: {{ {VOLUME} }}\n{load(WRITES)}", "/a/x cannot be written", "do.writeFile"),
    (f"pod: {{ {FILES} }}\n{load(WRITES)}", "/a/x cannot be written", "do.writeFile"),
    (f"pod: {{ {INIT} }}", "/a/x cannot be written", "pod.initContainers.0.do.writeFile"),
]
OTHERS = [
    ("pod: {}\nservices: [ { name: a } ]", "either `pod` or `services`", "it.yaml:3"),
    ("pod: { restartPolicy: Always }\nservices: [ { name: a } ]", "either `pod` or `services`", "it.yaml:3"),
    ("pod: {}\npods: [ { name: a } ]", "either `pod` or `pods`", "it.yaml:3"),
    ("services: []", "`services` is empty", "it.yaml:3"),
    ("pods: []", "`pods` is empty", "it.yaml:3"),
    (
        "pods: [ { name: a, containers: [ { name: b, port: 80 } ], containerConcurrency: 3 } ]",
        "`containerConcurrency` has no effect",
        "pods.0.containerConcurrency",
    ),
    ("pod: { images: engine }", "no container has an `image` or a `program`", "pod.images"),
    ("pod: { backOff: { initial: 9m, max: 10s } }", "above the maximum", "pod.backOff.initial"),
    ("pod: { memory: { max: 64Mi }, app: { memory: { min: 128Mi } } }", "above memory.max", "pod.memory.max"),
    ("pod: { app: { memory: { swapHigh: 2Gi, swapMax: 1Gi } } }", "above memory.swap.max", "memory.swapHigh"),
    ("sandbox: { swap: 0 }\nnode: { swapDevice: zram }", "no size", "node.swapDevice"),
    (
        "node: { memory: 1Gi, evictionHard: { memory.available: 9Mi }, evictionMaxPodGracePeriod: 9 }",
        "has no effect",
        "node.evictionMaxPodGracePeriod",
    ),
    ("starts: { temperatures: [cold, cold] }", "is there twice", "starts.temperatures"),
]


@pytest.mark.parametrize(("text", "what", "place"), [*SCALED, *WAITING, *LOADS, *OTHERS])
def test_what_cannot_be_is_refused_with_its_place(text: str, what: str, place: str) -> None:
    """One error names the key and what to do about it."""
    with pytest.raises(EmuError) as refused:
        read(text)
    assert what in refused.value.what and place in refused.value.what
    assert refused.value.why and refused.value.fix


@pytest.mark.parametrize(
    "text",
    [
        "pod: { freezer: {}, autoscaling: {} }",
        f"pod: {{ {STANDARD}, autoscaling: {{ class: hpa, horizontalPodAutoscaler: {{ maxReplicas: 1 }} }} }}",
        f"pod: {{ {STANDARD}, app: {{ resources: {{ limits: {{ cpu: 1 }} }} }}, autoscaling: {{ {OWN} }} }} }}",
        f"pod: {{ {STANDARD}, initContainers: [ {{ name: web, restartPolicy: Always, {RESOURCES} }} ], "
        f"autoscaling: {{ {OWN}, {BY_WEB} }} }} }}",
        "pod: { autoscaling: { class: hpa, metric: memory, target: 80, maxScale: 3 } }",
        f"pod: {{ autoscaling: {{}} }}\n{TWO}\n{load('until: { readyPods: 2 }')}",
        f"pod: {{ autoscaling: {{ maxScale: 2 }} }}\n{load('until: { ready: 0/0, readyPods: 2 }')}",
        load("until: { answered: 6, status: CrashLoopBackOff }"),
        load("type: pause, until: { status: 'Init:Error' }"),
        load("request: { do: { threads: 3, holdFor: 5s } }"),
        load("request: { do: { hold: 0, holdFor: 5s } }"),
    ],
)
def test_what_only_looks_like_it_is_accepted(text: str) -> None:
    """A rule refuses no more than what cannot be."""
    assert read(text)


def test_a_record_has_the_pod_that_nobody_gave() -> None:
    """What is written of a run beside `services` and `pods` is read again, `pod` with every default among it."""
    for text in ("services: [ { name: a } ]", "pods: [ { name: a } ]"):
        assert read_scenario(resolve(read(text)), "again.yaml") == read(text)
