"""kperf's tables, to the letter: columns, order, spelling; and fractions of a second."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from emu.cli.report import export
from emu.errors import EmuError
from emu.report import kperf
from emu.report.kperf_rows import Whose
from emu.report.summary import summarize
from emu.study.pods import of_pods
from emu.study.study import Study, read_study
from tests import fake_runs
from tests.fakes import FakeRun

CREATION = (
    "svc_name,svc_namespace,configuration_ready,revision_ready,deployment_created,pod_scheduled,containers_ready,"
    "queue-proxy_started,user-container_started,route_ready,kpa_active,sks_ready,sks_activator_endpoints_populated,"
    "sks_endpoints_populated,ingress_ready,ingress_config_ready,ingress_lb_ready,overall_ready\n"
    "20260101T000000Z-golden,default,,,,,2.310,0.500,1.250,,,,,,,,,2.310\n"
)
SCALING = (
    "svc_name,svc_namespace,svc_latency_avg,svc_latency_min,svc_latency_max,svc_latency_p50,svc_latency_p90,"
    "svc_latency_p95,svc_latency_p99,deployment_latency_avg,deployment_latency_min,deployment_latency_max,"
    "deployment_latency_p50,deployment_latency_p90,deployment_latency_p95,deployment_latency_p99\n"
    "20260101T000000Z-golden,default,0.175000,0.100000,0.250000,0.175000,0.250000,0.250000,0.250000,,,,,,,\n"
)


def golden(path: Path) -> Study:
    """A pod made at 0 s, its queue-proxy running at 0.5 s, its app at 1.25 s, ready at 2.31 s; ten requests."""
    run = FakeRun(path, name="golden")
    run.start("sandbox", ready=False)
    run.now = 0.5
    run.start("queue-proxy")
    run.now = 1.25
    run.start("app", ready=False)
    run.now = 2.3
    run.ready("app")
    run.requests(5, 3.0, 4.0, takes_s=0.1)
    run.requests(5, 3.0, 4.0, takes_s=0.25, status=503)
    run.requests(1, 4.0, 5.0, takes_s=0.5, status=None, error="closed")
    run.advance(5.0)
    return read_study(run.finish())


def test_creation_is_kperfs_table(tmp_path: Path) -> None:
    """Header and row; milliseconds; what has no counterpart is empty."""
    assert kperf.creation_csv(golden(tmp_path / "run")) == CREATION


def test_scaling_is_kperfs_table(tmp_path: Path) -> None:
    """First bytes of every status count, as kperf counts them; one that was closed has none."""
    assert kperf.scaling_csv(golden(tmp_path / "run")) == SCALING


def test_creation_in_json(tmp_path: Path) -> None:
    """kperf's names; null where it is not measured."""
    reported = json.loads(kperf.creation_json(golden(tmp_path / "run")))
    assert list(reported) == ["Result", "Service", "KnativeInfo"]
    assert reported["Service"] == {"Ready": 1, "NotReady": 0, "NotFound": 0, "Fail": 0}
    result = reported["Result"]
    assert result["AveragePodQueueProxyStartedDuration"] == 0.5
    assert result["AveragePodUserContainerStartedDuration"] == 1.25
    assert result["AveragePodScheduleDuration"] is None
    names = ("Total", "Average", "Median", "Min", "Max", "Percentile50", "Percentile90", "Percentile99")
    assert {result[name] for name in names} == {2.31}


def test_scaling_in_json_with_its_misspellings(tmp_path: Path) -> None:
    """`Measurment` and `averge` are in the format."""
    reported = json.loads(kperf.scaling_json(golden(tmp_path / "run")))
    measured = reported["Measurment"][0]
    assert measured["serviceLatency"] == {
        "averge": 0.175, "min": 0.1, "max": 0.25, "p50": 0.175, "p90": 0.25, "p95": 0.25, "p99": 0.25,
    }  # fmt: skip
    assert set(measured["deploymentLatency"].values()) == {None}


def test_a_pod_that_never_was_ready_is_only_counted(tmp_path: Path) -> None:
    """As kperf passes over services that are not ready."""
    run = FakeRun(tmp_path / "run")
    run.start("app", ready=False)
    run.advance(1.0)
    study = read_study(run.finish())
    assert kperf.stages(study) is None
    assert len(list(csv.reader(io.StringIO(kperf.creation_csv(study))))) == 1
    assert json.loads(kperf.creation_json(study))["Service"]["NotReady"] == 1


def test_figures_are_those_of_the_summary(tmp_path: Path) -> None:
    """One estimator and one begin: what waits for its first byte is the same in both."""
    study = golden(tmp_path / "run")
    reported = json.loads(kperf.scaling_json(study))["Measurment"][0]["serviceLatency"]
    known = summarize(study)["requests"]["first_byte_ms"]
    assert known["n"] == 10
    for name in ("p50", "p90", "p99", "max"):
        assert reported[name] == pytest.approx(known[name] / 1e3, abs=1e-6)


@pytest.mark.parametrize("name", fake_runs.ALL)
def test_every_run_can_be_exported(name: str) -> None:
    """Whatever is missing of it: rectangular CSV, JSON without NaN."""
    study = fake_runs.study_of(name)
    for table in (kperf.creation_csv(study), kperf.scaling_csv(study)):
        assert len({len(row) for row in csv.reader(io.StringIO(table))}) == 1
    for text in (kperf.creation_json(study), kperf.scaling_json(study)):
        json.loads(text, parse_constant=lambda constant: pytest.fail(constant))


def test_each_service_has_a_row() -> None:
    """Its name says whose the figures are; they are those of the summary, by service or by pod."""
    study = fake_runs.study_of("neighbours")
    pods = summarize(study)["pods"]
    for table in (kperf.creation_csv, kperf.scaling_csv):
        assert [row["svc_name"] for row in csv.DictReader(io.StringIO(table(study)))] == list(pods)
    for whose in (Whose(service="bystander"), Whose(pod="bystander")):
        [row] = csv.DictReader(io.StringIO(kperf.scaling_csv(study, whose)))
        most = pods["bystander"]["requests"]["first_byte_ms"]["max"]
        assert float(row["svc_latency_max"]) == pytest.approx(most / 1e3, abs=1e-6)
    assert json.loads(kperf.creation_json(study))["Service"]["Ready"] == len(pods)


def test_a_name_that_the_run_does_not_have_is_an_error(tmp_path: Path) -> None:
    """It says which there are; what is not known by pod cannot be exported by pod."""
    study = fake_runs.study_of("neighbours")
    for whose in (Whose(service="elsewhere"), Whose(pod="elsewhere")):
        with pytest.raises(EmuError, match=r"no (service|pod) 'elsewhere'") as wrong:
            kperf.scaling_csv(study, whose)
        assert "bystander" in wrong.value.why
    older = read_study(fake_runs.replicas(tmp_path / "older"))
    with pytest.raises(EmuError, match="not known which requests went"):
        kperf.scaling_csv(older, Whose(pod=older.pods[0].pod))


def test_a_service_is_created_when_its_first_pod_is_ready(tmp_path: Path) -> None:
    """Pods that come later are none of its creation."""
    study = read_study(fake_runs.replicas(tmp_path / "run"))
    first = of_pods(study, {study.pods[0].pod})
    assert kperf.stages(first) is not None
    assert [*csv.reader(io.StringIO(kperf.creation_csv(study)))][1][2:] == [
        *csv.reader(io.StringIO(kperf.creation_csv(first)))
    ][1][2:]


def test_the_command(tmp_path: Path) -> None:
    """To standard output and nothing else there, or to a file; a place that cannot be written is an error."""
    golden(tmp_path / "run")
    group = click.Group("emu", commands={"export": export})

    def call(*words: str) -> str:
        done = CliRunner().invoke(group, ["export", str(tmp_path / "run"), *words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert call("--to", "kperf-csv") == CREATION
    assert call("--to", "kperf-csv", "--of", "scaling", "--out", str(tmp_path / "out.csv")) == ""
    assert (tmp_path / "out.csv").read_text() == SCALING
    with pytest.raises(EmuError, match="exclude each other"):
        call("--to", "kperf-csv", "--pod", "a", "--service", "b")
    with pytest.raises(EmuError, match="cannot write"):
        call("--to", "kperf-csv", "--out", str(tmp_path / "no" / "out.csv"))


def test_a_run_of_several_pods_without_requests_is_exported(tmp_path: Path) -> None:
    """One that was interrupted before the first request has a row for each pod, without latencies."""
    run = FakeRun(tmp_path / "run", pod="first")
    run.start("app")
    run.beside("second").start("app")
    run.advance(1.0)
    study = read_study(run.finish(interrupted=True))
    assert study.requests is None
    table = list(csv.DictReader(io.StringIO(kperf.scaling_csv(study))))
    assert [row["svc_name"] for row in table] == ["first", "second"]
    assert {row["svc_latency_avg"] for row in table} == {""}
