"""The grammar of `expect:`: what can be said, what it means, and how a mistake is reported."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.expectations import NotMeasuredError, look_up, parse_expectation, show_figure, show_wanted

SUMMARY: dict[str, Any] = {
    "where": "sandbox:uml",
    "duration_s": 12.5,
    "containers": {
        "queue-proxy": {"oom_kills": 2, "memory_peak_bytes": 64 * 2**20, "final_reason": "OOMKilled", "ready": True},
        "app": {"oom_kills": 0, "io_read_bytes": None, "final_reason": None, "ready": False},
    },
    "requests": {"sent": 100, "answered": 40, "by_status": {"200": 40}, "errors": {"closed": 60}},
    "oom_kills": [{"level": "container"}, {"level": "pod"}],
    "pod": {"ready": "2/3"},
    "phases": {
        "first": {"containers": {"app": {"io_read_bytes": 1000}}},
        "again": {"containers": {"app": {"io_read_bytes": 960}}},
    },
}


@pytest.mark.parametrize(
    ("name", "wanted", "shown"),
    [
        ("x_bytes", "<= 4194304 * phases.a-1048576.duration_s", "<= 4 MiB * phases.a-1048576.duration_s"),
        ("x_bytes", "between 64Mi and 1073741824", "between 64 MiB and 1 GiB"),
        ("x_bytes", "< 1.5Gi", "< 1.5 GiB"),
        ("x_bytes", ">= 0.95 * phases.first.containers.app.io_read_bytes", None),
        ("x_bytes", "== 5000000", None),
        ("x_bytes", "== 0", None),
        ("x_bytes", "> 512", None),
        ("x_bytes", "== null", None),
        ("requests.sent", "== 4096", None),
    ],
)
def test_what_is_wanted_has_the_units_of_what_was_got(name: str, wanted: str, shown: str | None) -> None:
    """Sizes of names that end in _bytes, where that says them exactly; numbers in names stay."""
    assert show_wanted(name, wanted) == (shown or wanted)


@pytest.mark.parametrize(
    ("name", "text", "met"),
    [
        ("containers.queue-proxy.oom_kills", ">= 1", True),
        ("containers.queue-proxy.oom_kills", "2", True),
        ("containers.queue-proxy.oom_kills", "!= 2", False),
        ("containers.queue-proxy.oom_kills", "between 1 and 3", True),
        ("containers.queue-proxy.oom_kills", "between 3 and 4", False),
        ("containers.app.oom_kills", "== 0", True),
        ("containers.queue-proxy.memory_peak_bytes", "<= 64Mi", True),
        ("containers.queue-proxy.memory_peak_bytes", "< 64Mi", False),
        ("containers.queue-proxy.memory_peak_bytes", "between 63MiB and 65MiB", True),
        ("containers.queue-proxy.final_reason", "== OOMKilled", True),
        ("containers.queue-proxy.final_reason", "Error", False),
        ("containers.app.final_reason", "null", True),
        ("containers.queue-proxy.final_reason", "!= null", True),
        ("containers.queue-proxy.ready", "true", True),
        ("containers.app.ready", "false", True),
        ("oom_kills.0.level", "container", True),
        ("oom_kills.-1.level", "== pod", True),
        ("oom_kills.count", "2", True),
        ("requests.by_status.200", "== 40", True),
        ("requests.by_status.503", "== 0", True),
        ("requests.errors.refused", "0", True),
        ("requests.sent", "> requests.answered", True),
        ("phases.again.containers.app.io_read_bytes", ">= 0.95 * phases.first.containers.app.io_read_bytes", True),
        ("phases.again.containers.app.io_read_bytes", ">= 0.97 * phases.first.containers.app.io_read_bytes", False),
        ("where", "'sandbox:uml'", True),
        ("where", "sandbox:uml", True),
        ("pod.ready", "== 2/3", True),
        ("pod.ready", "3/3", False),
        ("duration_s", "< 12.6", True),
    ],
)
def test_a_comparison_means_what_it_says(name: str, text: str, met: bool) -> None:
    """Numbers, sizes, words, truth values, other figures and multiples of them compare as written."""
    assert parse_expectation(name, text).check(SUMMARY).met is met


@pytest.mark.parametrize("value", [True, 2, 2.5, None])
def test_yaml_values_need_no_quotes(value: object) -> None:
    """What YAML reads as a number, a truth value or null is taken as well as its text."""
    assert parse_expectation("duration_s", value).name == "duration_s"


def test_what_was_not_measured_meets_nothing() -> None:
    """A null figure does not meet `== 0` nor `<= 1`, and the outcome says why."""
    for text in ("== 0", "<= 1", "!= 5", ">= 0"):
        outcome = parse_expectation("containers.app.io_read_bytes", text).check(SUMMARY)
        assert (outcome.met, outcome.got, outcome.why) == (False, None, "not measured")


def test_a_path_that_ends_early_says_what_there_is() -> None:
    """A container that is not there is not met, and the outcome names those that are."""
    outcome = parse_expectation("containers.que.oom_kills", ">= 0").check(SUMMARY)
    assert not outcome.met
    assert "queue-proxy, app" in outcome.why


def test_a_list_that_is_too_short_is_reported() -> None:
    """An index past the end is not met."""
    outcome = parse_expectation("oom_kills.7.level", "pod").check(SUMMARY)
    assert (outcome.met, outcome.why) == (False, "oom_kills has 2 elements, the last at 1")


def test_things_that_do_not_compare_are_reported() -> None:
    """A word is not less than a number: that is not met, and no crash."""
    outcome = parse_expectation("where", "< 3").check(SUMMARY)
    assert not outcome.met
    assert outcome.why


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("container.app.oom_kills", ">= 1", "did you mean 'containers.app.oom_kills'"),
        ("gibberish", ">= 1", "known: "),
        ("containers..oom_kills", ">= 1", "empty part"),
        ("requests.sent", "", "no valid comparison"),
        ("requests.sent", ">= ", "no valid comparison"),
        ("requests.sent", "=> 1", "no valid comparison"),
        ("requests.sent", "about 5 or so", "cannot compare with"),
        ("requests.sent", ">= 2 * request.sent", "did you mean 'requests.sent'"),
    ],
)
def test_a_mistake_is_one_clear_line(name: str, text: str, part: str) -> None:
    """What can never be compared is refused when the scenario is read, with the nearest right name or form."""
    with pytest.raises(ValueError, match=r".") as wrong:
        parse_expectation(name, text)
    assert part in str(wrong.value)
    assert "\n" not in str(wrong.value)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text of a scenario can crash the reading or the check."""
    try:
        expectation = parse_expectation("requests.sent", text)
    except ValueError:
        return
    assert expectation.check(SUMMARY).met in (True, False)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_numbers_compare_as_in_python(got: int, wanted: int) -> None:
    """`>=` on whole numbers is exact, however large."""
    summary = {"requests": {"sent": got}}
    assert parse_expectation("requests.sent", f">= {wanted}").check(summary).met is (got >= wanted)


def test_look_up_refuses_to_go_into_a_number() -> None:
    """A name that goes on below a figure leads to nothing."""
    with pytest.raises(NotMeasuredError, match="has no more"):
        look_up(SUMMARY, "requests.sent.more")


def test_figures_are_shown_for_people() -> None:
    """Bytes as sizes, null as not measured, truth as in YAML."""
    shown = [
        show_figure("x_bytes", 2**20),
        show_figure("x", None),
        show_figure("x", True),
        show_figure("x", 0.123456),
    ]
    assert shown == ["1 MiB", "not measured", "true", "0.1235"]


@pytest.mark.parametrize(
    ("name", "text", "met"),
    [
        ("containers.app.oom_kills", "== 0", None),
        ("containers.app.oom_kills", "<= 3", None),
        ("containers.queue-proxy.oom_kills", "== 0", False),
        ("containers.queue-proxy.oom_kills", ">= 1", True),
        ("containers.queue-proxy.oom_kills", "between 1 and 3", None),
        ("containers.queue-proxy.oom_kills", "between 0 and 1", False),
        ("containers.queue-proxy.oom_kills", "!= 1", True),
        ("containers.queue-proxy.memory_peak_bytes", "< 64Mi", False),
        ("containers.queue-proxy.memory_peak_bytes", "<= 64Mi", None),
        ("containers.queue-proxy.final_reason", "== OOMKilled", None),
        ("requests.by_status.200", ">= 100", None),
        ("requests.sent", "> requests.answered", None),
        ("where", "sandbox:uml", True),
    ],
)
def test_a_run_that_was_cut_off_decides_what_its_rest_could_not_change(
    name: str, text: str, met: bool | None
) -> None:
    """A count that only grows has passed its bound for good; one that is within it may yet have left it."""
    outcome = parse_expectation(name, text).check(SUMMARY, whole=False)
    assert outcome.met is met
    assert ("not decided" in outcome.why) == (met is None)


def test_what_is_not_there_is_not_called_unmeasured() -> None:
    """Of a list without elements it is said that there is none."""
    outcome = parse_expectation("oom_kills.0.level", "container").check({"oom_kills": []})
    assert outcome.why == "there is none in oom_kills"
