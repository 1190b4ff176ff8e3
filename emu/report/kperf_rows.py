"""Of whom kperf's tables have a row: of each service, of one, or of one pod."""

from __future__ import annotations

from dataclasses import dataclass

from emu.errors import EmuError
from emu.study.model.services import by_service
from emu.study.model.study import Study
from emu.study.pods import of_pods, requests_known_by_pod, workloads


@dataclass(frozen=True)
class Whose:
    """Of whom the rows are to be: all services, where neither is given."""

    service: str | None = None
    pod: str | None = None


@dataclass(frozen=True)
class Row:
    """A service, as kperf calls what it measures, and what is known of it."""

    name: str
    study: Study

    @property
    def first(self) -> Study:
        """Its first pod, which is the one that its creation waits for."""
        pods = self.study.pods
        return of_pods(self.study, {pods[0].pod}) if len(pods) > 1 else self.study


def rows(study: Study, whose: Whose) -> list[Row]:
    """One for each service, or for the service or the pod that is asked for. A run's only service has the run's name.

    EmuError for a name that the run does not have, and where it is not known whose the requests are.
    """
    services = pods_of_services(study)
    pods = {pod.pod: [pod.pod] for pod in study.pods if pod.pod}
    if whose.pod is not None:
        return [_row(study, whose.pod, pods, "pod")]
    if whose.service is not None:
        return [_row(study, whose.service, services, "service")]
    if len(services) < 2:
        return [Row(study.run_id or study.run.path.name, study)]
    return [_row(study, name, services, "service") for name in services]


def pods_of_services(study: Study) -> dict[str, list[str]]:
    """The pods of each service; a pod that is of none stands for itself."""
    revisions = {one.revision: name for name, some in by_service(study.services).items() for one in some}
    found: dict[str, list[str]] = {}
    for load, pods in workloads(study).items():
        found.setdefault(revisions.get(load, load), []).extend(pods)
    return found


def _row(study: Study, name: str, known: dict[str, list[str]], what: str) -> Row:
    if name not in known:
        raise EmuError(
            f"the run has no {what} {name!r}",
            f"its {what}s: {', '.join(known) or 'none'}",
            f"name one of these with --{what}" if known else f"leave out --{what}",
        )
    pods = known[name]
    several = set(pods) != {pod.pod for pod in study.pods}
    if several and study.requests is not None and not requests_known_by_pod(study):
        raise EmuError(
            f"it is not known which requests went to {what} {name!r}",
            "the record does not say to which pod the activator sent each request",
            "play the scenario again with this version of emu, or export the run as a whole",
        )
    return Row(name, of_pods(study, pods))
