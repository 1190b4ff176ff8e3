"""What a scenario may say: the models."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from pydantic import ValidationError

from emu.messages.work import Work
from emu.spec import (
    MIB,
    ContainerSpec,
    LoadModel,
    PhaseModel,
    PodSpec,
    RequestModel,
    Resources,
    ScenarioSpec,
    SpecError,
    WorkSpec,
)


def spec_error(model: Any, **values: Any) -> SpecError:
    """The one error of emu's that making the model gives."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    found = caught.value.errors()[0]["ctx"]["error"]
    assert isinstance(found, SpecError)
    return found


def test_defaults_are_those_of_kubernetes_and_knative() -> None:
    """What a manifest leaves out is what it would get there."""
    pod = PodSpec()
    assert pod.container_concurrency == 0
    assert pod.timeout_seconds == 300
    assert pod.restart_policy == "Always"
    assert (pod.back_off.initial, pod.back_off.max, pod.back_off.reset_after) == (10.0, 300.0, 600.0)
    assert pod.queue_proxy.memory.given == {}


def test_specs_are_frozen() -> None:
    """A run cannot change what it was asked."""
    with pytest.raises(ValidationError, match="frozen"):
        PodSpec().container_concurrency = 3  # type: ignore[misc]


def test_work_travels_whole() -> None:
    """Every key of `do` is something that the app can be asked, under the same name and with the same default."""
    assert set(WorkSpec.model_fields) == {entry.name for entry in fields(Work)}
    assert WorkSpec().to_work() == Work()


def test_forever_and_max_are_none() -> None:
    """No end and no limit have their own value, which is not 0."""
    assert WorkSpec.model_validate({"hold": "1Mi", "holdFor": "forever"}).hold_for is None
    assert PodSpec.model_validate({"memory": {"max": "max"}}).memory.max is None
    assert PodSpec.model_validate({"memory": {"swapMax": 0}}).memory.swap_max == 0


@pytest.mark.parametrize(("text", "millicores"), [("500m", 500), (0.5, 500), (2, 2000), ("1.5", 1500), ("10m", 10)])
def test_cpu_is_cores_or_millicores(text: str | float, millicores: int) -> None:
    """As in Kubernetes."""
    assert Resources.model_validate({"limits": {"cpu": text}}).limits.cpu == millicores


@pytest.mark.parametrize("text", ["x", "-1", "1 core", True, None, "9" * 99, [], "0.5k"])
def test_what_is_no_cpu_is_refused(text: object) -> None:
    """None is no amount either where one was begun."""
    if text is None:
        assert Resources.model_validate({"limits": {"cpu": None}}).limits.cpu is None
        return
    with pytest.raises(ValidationError):
        Resources.model_validate({"limits": {"cpu": text}})


def test_a_container_that_cannot_start_is_refused() -> None:
    """Docker needs 6 MiB and the kernel 1 ms of CPU in 100 ms; the error is at the value."""
    assert spec_error(Resources, limits={"memory": "5Mi"}).at == ("limits", "memory")
    assert spec_error(Resources, limits={"cpu": "9m"}).at == ("limits", "cpu")
    assert Resources.model_validate({"limits": {"memory": "6Mi", "cpu": "10m"}}).limits.memory == 6 * MIB


@pytest.mark.parametrize("what", ["memory", "cpu"])
def test_a_request_above_its_limit_is_refused(what: str) -> None:
    """As Kubernetes does."""
    error = spec_error(
        Resources, requests={what: 2**30 if what == "memory" else 2}, limits={what: "9M" if what == "memory" else 1}
    )
    assert error.at == ("requests", what)


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "constant", "rate": 1},
        {"type": "poisson", "rate": 0.5},
        {"type": "ramp", "rateTo": 10},
        {"type": "ramp", "rate": 10, "rateTo": 0},
        {"type": "steps", "rates": [1, 0, 2]},
        {"type": "burst", "size": 3},
        {"type": "burst", "size": 3, "rate": 2},
        {"type": "closed", "clients": 2, "think": "1s"},
    ],
)
def test_each_type_of_phase_takes_its_shape(shape: dict[str, Any]) -> None:
    """A ramp may begin or end at nothing, a burst come once or again."""
    assert PhaseModel.model_validate({"name": "a", "duration": 1, **shape}).type == shape["type"]


@pytest.mark.parametrize(
    ("shape", "at"),
    [
        ({"type": "constant"}, "type"),
        ({"type": "constant", "rate": 0}, "rate"),
        ({"type": "ramp", "rate": 10}, "type"),
        ({"type": "ramp", "rateTo": 0}, "rateTo"),
        ({"type": "steps", "rates": []}, "rates"),
        ({"type": "burst", "rate": 3}, "type"),
        ({"type": "burst", "rate": 3, "size": 0}, "size"),
        ({"type": "closed", "clients": 2, "rate": 1}, "rate"),
        ({"type": "constant", "rate": 1, "rateTo": 2}, "rateTo"),
    ],
)
def test_a_phase_without_its_shape_is_refused(shape: dict[str, Any], at: str) -> None:
    """So is one with the shape of another type, which would be passed over in silence."""
    assert spec_error(PhaseModel, name="a", duration=1, **shape).at == (at,)


def test_more_requests_than_a_run_records_are_refused() -> None:
    """Each request has its lines; `count` bounds them."""
    phase = {"name": "a", "type": "constant", "rate": 100_000, "duration": "1h"}
    assert "more than" in spec_error(PhaseModel, **phase).what
    assert PhaseModel.model_validate({**phase, "count": 10}).count == 10


def test_phases_and_files_have_different_names() -> None:
    """Two of one name are refused, at the second."""
    phase = {"name": "a", "type": "constant", "rate": 1, "duration": 1}
    file = {"name": "f", "size": 1}
    assert spec_error(LoadModel, phases=[phase, phase]).at == ("phases", 1, "name")
    assert spec_error(PodSpec, app={"files": [file, file]}).at == ("app", "files", 1, "name")


def test_a_file_that_nothing_makes_cannot_be_read() -> None:
    """It has to be among pod.app.files or written by a request, unless the app is the user's own."""
    load = {
        "phases": [{"name": "a", "type": "constant", "rate": 1, "duration": 1, "request": {"do": {"readFile": "x"}}}]
    }
    spec: dict[str, Any] = {"name": "n", "question": "q", "load": load}
    assert spec_error(ScenarioSpec, **spec).at == ("load", "phases", 0, "request", "do", "readFile")
    ScenarioSpec.model_validate({**spec, "pod": {"app": {"files": [{"name": "x", "size": 1}]}}})
    ScenarioSpec.model_validate({**spec, "pod": {"app": {"image": "mine"}}})


@pytest.mark.parametrize("headers", [{"a b": "x"}, {"": "x"}, {"A": "x\r\nB: y"}, {"A": "é"}])
def test_headers_that_would_break_http_are_refused(headers: dict[str, str]) -> None:
    """A line break in a value would be another header."""
    assert spec_error(RequestModel, headers=headers).at[0] == "headers"


@pytest.mark.parametrize("name", ["", "A=B", "A\n"])
def test_names_that_the_environment_cannot_have_are_refused(name: str) -> None:
    """The engine would cut them at the equals sign, or fail."""
    assert spec_error(ContainerSpec, env={name: "x"}).at == ("env", name)


def test_true_is_no_number() -> None:
    """Python takes True for 1; a scenario does not."""
    with pytest.raises(ValidationError, match="not a number"):
        PodSpec.model_validate({"timeoutSeconds": True})
    with pytest.raises(ValidationError, match="not a number"):
        PodSpec.model_validate({"backOff": {"scale": True}})


def test_an_error_in_words_has_all_its_parts() -> None:
    """Where only text is kept, why and fix are kept with it."""
    assert str(SpecError("a", why="b", fix="c")) == "a; b; c"
