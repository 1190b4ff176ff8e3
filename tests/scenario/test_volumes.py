"""Init containers, sidecars, shared volumes and the pod's /dev/shm on a real kernel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emu.record.events import ContainerStarted, PodStatus, read_events
from emu.runtime.docker import Engine
from tests.scenario.support import Finished, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="kernel")]

EmuRun = Callable[..., Finished]
SHARED = """
name: shared
question: What do containers of a pod share, and who pays for it?
pod:
  configMaps: [{name: app, data: {log: debug}}]
  secrets: [{name: db, data: {password: hunter2}}]
  shmSize: 32Mi
  backOff: {scale: 0.01}
  volumes:
    - {name: fast, emptyDir: {medium: Memory, sizeLimit: 48Mi}}
    - {name: disk}
    - name: files
      projected:
        defaultMode: 0o400
        sources:
          - secret: {name: db, items: [{key: password, path: sub/password, mode: 0o444}]}
          - configMap: {name: app}
  initContainers:
    - name: proxy
      restartPolicy: Always
      command:
        - /usr/bin/python3
        - -c
        - |
          import os, signal, time
          shm = os.statvfs("/dev/shm")
          assert shm.f_blocks * shm.f_frsize == 32 << 20
          open("/dev/shm/part", "wb").write(bytes(8 << 20))
          os.rename("/dev/shm/part", "/dev/shm/tensor")
          signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
          time.sleep(3600)
      startupProbe:
        exec:
          command: [test, -s, /dev/shm/tensor]
        periodSeconds: 1
        timeoutSeconds: 30
        failureThreshold: 60
    - name: fetch
      do: {writeFile: /mnt/fast/weights, writeBytes: 40Mi}
      volumeMounts:
        - {name: disk, mountPath: /mnt}
        - {name: fast, mountPath: /mnt/fast}
      resources: {limits: {memory: 96Mi}}
    - name: again
      command:
        - sh
        - -c
        - |
          test "$(cat /files/sub/password)" = hunter2 && test "$(stat -c %a:%u /files/log)" = 400:0 || exit 4
          ! cat /files/log && ! touch /files/new || exit 5
          test -e /mnt/tried || { touch /mnt/tried; exit 3; }
      volumeMounts: [{name: disk, mountPath: /mnt}, {name: files, mountPath: /files}]
  app:
    volumeMounts: [{name: fast, mountPath: /cache, readOnly: true}]
    startupProbe:
      exec:
        command: [test, -s, /dev/shm/tensor]
      periodSeconds: 1
      timeoutSeconds: 30
      failureThreshold: 60
  readyTimeout: 120s
  stopAfter: 3s
  terminationGracePeriodSeconds: 30
load:
  phases:
    - {name: read, type: constant, rate: 1, duration: 4s, request: {do: {readFile: /cache/weights}}}
  settle: 1s
expect:
  requests.by_status.200: ">= 1"
  containers.fetch.shmem_peak_bytes: ">= 40Mi"
  containers.app.shmem_peak_bytes: "== 0"
  containers.proxy.shmem_peak_bytes: ">= 8Mi"
  pod.shmem_peak_bytes: ">= 48Mi"
  containers.again.restarts: "== 1"
  containers.again.exits.0.exit_code: "== 3"
  containers.proxy.stops.0.exit_code: "== 0"
  pod.oom_kills: "== 0"
"""
TOO_MUCH = """
name: too-much
question: What is an init container that writes more to a memory volume than its limit?
pod:
  runtime: process
  restartPolicy: Never
  volumes: [{name: fast, emptyDir: {medium: Memory}}]
  initContainers:
    - name: fetch
      do: {writeFile: /mnt/weights, writeBytes: 60Mi}
      volumeMounts: [{name: fast, mountPath: /mnt}]
      resources: {limits: {memory: 32Mi}}
load:
  phases: [{name: none, type: pause, duration: 1s}]
expect:
  containers.fetch.oom_kills: "== 1"
  containers.fetch.final_reason: "== OOMKilled"
  pod.status: "== Init:OOMKilled"
"""


def unmet(done: Finished) -> list[object]:
    """What did not come true."""
    return [entry for entry in done.summary["expectations"] if not entry["met"]]


def test_containers_of_a_pod_share_volumes_and_shm(
    engine: Engine, emu_run: EmuRun, scenario_file: Callable[[str], str]
) -> None:
    """What one writes the next one finds, also after a restart; who touched a page first pays, and the pod once that
    container is gone. They start in order. Nothing is left behind. (Without Docker: the scenarios init-container and
    shm-and-tmpfs, and test_process_runtime.py.)
    """
    done = emu_run(scenario_file(SHARED))
    assert (done.status, unmet(done)) == (0, [])
    events = list(read_events(done.run.events))
    started = [one.container for one in events if isinstance(one, ContainerStarted)]
    assert started == ["sandbox", "proxy", "fetch", "again", "again", "queue-proxy", "app"]
    statuses = [one.status for one in events if isinstance(one, PodStatus)]
    assert statuses[0].startswith("Init:") and "Running" in statuses
    assert leftovers(engine) == []


def test_a_memory_volume_counts_against_the_limit(
    engine: Engine, emu_run: EmuRun, scenario_file: Callable[[str], str]
) -> None:
    """Nothing of a tmpfs can be dropped: the kernel kills the init container, and no container starts after it."""
    done = emu_run(scenario_file(TOO_MUCH))
    assert (done.status, unmet(done)) == (0, [])
    assert leftovers(engine) == []
