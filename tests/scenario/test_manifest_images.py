"""The images of manifests in a run: what the engine has is run as the manifest says, and the rest has a stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from emu.record.events import ContainerCreated, ContainerStarted, read_events
from emu.runtime import images
from emu.runtime.docker import Engine
from tests.scenario.support import Finished, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="faults")]

IMAGE = "registry.example/greeter:1.2"
DOCKERFILE = f"""
FROM {images.BASE}
COPY greeter.py /greeter.py
ENTRYPOINT ["/usr/bin/python3", "-u", "/greeter.py"]
""".encode()
GREETER = b"""
import http.server, os, sys

class Greeter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", self.path, flush=True)
        self.send_response(204 if self.path == "/ready" else 203)
        self.end_headers()

open("/written", "w").close()  # no file system of emu's own containers could be written to
print("began", sys.argv[1:], os.environ["GREETING"], os.environ["K_CONFIGURATION"], flush=True)
env = [os.environ["POD"], os.environ["MIB"], len(os.environ["TOKEN"])]
print("is", os.getcwd(), os.getuid(), os.getgid(), *env, flush=True)
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Greeter).serve_forever()
"""
SERVICE = """
      apiVersion: serving.knative.dev/v1
      kind: Service
      metadata: {{name: {name}}}
      spec:
        template:
          metadata:
            annotations: {{autoscaling.knative.dev/min-scale: "1", autoscaling.knative.dev/max-scale: "1"}}
          spec:
            containers:
            - image: {image}
              args: [--port, $(PORT)]
              workingDir: /srv/greeter
              securityContext: {{runAsGroup: 3000, capabilities: {{drop: [NET_RAW]}}}}
              env:
              - {{name: TOKEN, valueFrom: {{secretKeyRef: {{name: greeter, key: token}}}}}}
              - {{name: GREETING, value: $(WORD)}}
              - {{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
              - {{name: MIB, valueFrom: {{resourceFieldRef: {{resource: limits.memory, divisor: 1Mi}}}}}}
              envFrom: [{{secretRef: {{name: greeter}}}}]
              ports: [{{containerPort: 9000}}]
              readinessProbe: {{httpGet: {{path: /ready}}}}
              resources: {{limits: {{memory: 96Mi}}}}
      ---
      apiVersion: v1
      kind: Secret
      metadata: {{name: greeter}}
      data: {{token: aHVudGVyMg==}}
      stringData: {{WORD: hello}}
      ---
      apiVersion: v1
      kind: ConfigMap
      metadata: {{name: config-features}}
      data: {{kubernetes.podspec-fieldref: Enabled}}
"""
SCENARIO = f"""
name: own-images
question: Which image runs?
services:
  - manifest: |{SERVICE.format(name="there", image=IMAGE)}
  - manifest: |{SERVICE.format(name="missing", image="registry.example/greeter:1.3")}
load:
  phases:
    - {{name: own, service: there, type: constant, rate: 5, duration: 2s, request: {{do: {{sleep: 1ms}}}}}}
    - {{name: stand-in, service: missing, type: constant, rate: 5, duration: 2s}}
expect:
  phases.own.requests.by_status.203: "== phases.own.requests.sent"
  phases.stand-in.requests.by_status.200: "== phases.stand-in.requests.sent"
"""


@pytest.fixture
def greeter(engine: Engine) -> Iterator[None]:
    """An image that is none of emu's, in the engine."""
    engine.build(IMAGE, {"Dockerfile": DOCKERFILE, "greeter.py": GREETER}, {})
    yield
    engine.remove_image(IMAGE)


@pytest.mark.usefixtures("greeter")
def test_a_manifests_image_is_run_where_the_engine_has_it(
    engine: Engine, emu_run: Callable[..., Finished], scenario_file: Callable[[str], str]
) -> None:
    """Its own status answers, on its own port, with the manifest's args, env and rights, Secrets included, whose
    values the run leaves nowhere; the tag that the engine lacks has a stand-in. One line before the load, the report
    and summary.json say which is which.
    """
    done = emu_run(scenario_file(SCENARIO))
    unmet = [entry for entry in done.summary["expectations"] if not entry["met"]]
    assert (done.status, unmet) == (0, [])

    containers = done.summary["containers"]
    there, missing = containers["there-00001/app"], containers["missing-00001/app"]
    assert (there["image"], there["stands_in_for"]) == (IMAGE, None)
    assert (missing["image"], missing["stands_in_for"]) == (images.APP, "registry.example/greeter:1.3")
    assert there["memory_limit_bytes"] == missing["memory_limit_bytes"] == 96 << 20

    (pod,) = {one.pod for one in read_events(done.run.events)
              if isinstance(one, ContainerCreated) and one.image == IMAGE}  # fmt: skip
    printed = done.run.container_log(pod, "app", 0).read_text().splitlines()
    assert printed[0] == "began ['--port', '9000'] hello there"
    assert printed[1] == f"is /srv/greeter 0 3000 {pod} 96 7"
    started = [one for one in read_events(done.run.events) if isinstance(one, ContainerStarted)]
    assert {one.image_id for one in started if (one.pod, one.container) == (pod, "app")} == {engine.image_id(IMAGE)}
    assert not [path for path in done.run.path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert printed.count("asked /") == done.summary["requests"]["by_status"]["203"] > 0
    assert "asked /ready" in printed

    notes = {note["what"]: note["why"] for note in done.summary["notes"]}
    ran = f"the manifest's image {IMAGE} runs as app of there"
    assert notes[ran] == "its requests are sent without `do`, which only emu's app understands"
    why = "which the engine does not have (it has the tag 1.2), so emu's own program stands in"
    left_out = f"the image registry.example/greeter:1.3, {why}, without its args, env, envFrom, "
    left_out += "workingDir, securityContext, readinessProbe"
    assert notes["left out of the manifest of missing"] == left_out
    line = done.said.index(f"left out of the manifest of missing: {left_out}".split("(")[0])
    assert line < done.said.index("sending requests") and ran in done.said
    assert leftovers(engine) == []
