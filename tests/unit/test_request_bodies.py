"""Request bodies of one's own, in the file and as they are sent."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.policy.loadplan import RequestSpec
from emu.scenario.load_plan import load_plan
from emu.scenario.reading import load_scenario, read_scenario, resolve, variants_of

SCENARIO = """
name: predict
question: What does it answer?
load:
  phases:
    - {{ name: ask, type: constant, rate: 1, duration: 1s, request: {{ {request} }} }}
"""


def sent(request: str, source: str = "it") -> RequestSpec:
    """The request as the load generator gets it; the scenario is read, written and read again before."""
    spec = read_scenario(SCENARIO.format(request=request), source)
    again = read_scenario(resolve(spec), "again")
    assert again == spec
    return load_plan(again.load, "h", 1).phases[0].request


def content(request: RequestSpec) -> bytes:
    """The bytes of its body."""
    return base64.b64decode(request.content or "")


def test_a_size_alone_is_filler() -> None:
    """As ever: so many bytes of no meaning, and no type."""
    for request in (sent("body: 4Ki"), sent("body: { size: 4Ki }")):
        assert (request.method, request.body_bytes, request.content) == ("POST", 4096, None)
        assert request.headers == {}


def test_text_goes_out_as_it_is() -> None:
    """In UTF-8, with its length in bytes; what YAML readers may take for something else stays text."""
    request = sent(r'body: { text: "naïve: 010\n\u2028yes\t" }')
    assert content(request) == "naïve: 010\n\u2028yes\t".encode()
    assert request.body_bytes == len(content(request))
    assert request.headers == {"Content-Type": "text/plain; charset=utf-8"}


def test_json_is_written_on_one_line() -> None:
    """What a predict call needs: a value, and its type."""
    request = sent('body: { json: { instances: [[1.0, 2, "x"], null, true] } }')
    assert content(request) == b'{"instances":[[1.0,2,"x"],null,true]}'
    assert (request.method, request.headers) == ("POST", {"Content-Type": "application/json"})


def test_the_type_is_what_is_said() -> None:
    """By `contentType`, or by a header of that name."""
    assert sent("body: { text: a, contentType: x/y }").headers == {"Content-Type": "x/y"}
    assert sent("body: { text: a }, headers: { content-type: a/b }").headers == {"content-type": "a/b"}


@pytest.mark.parametrize("data", [b'{"a": 1}\n', bytes(range(256)), b"a\r\nb", b""])
def test_a_files_bytes_become_part_of_the_scenario(tmp_path: Path, data: bytes) -> None:
    """It is looked for beside the scenario; the record needs the file no more."""
    (tmp_path / "body.bin").write_bytes(data)
    request = sent("body: { file: body.bin, contentType: application/json }", str(tmp_path / "scenario.yaml"))
    assert content(request) == data
    assert request.headers == {"Content-Type": "application/json"}


def test_a_variant_may_send_another_file(tmp_path: Path) -> None:
    """Its path is changed as any other key."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    text = SCENARIO.format(request="body: { file: a }") + (
        "variants:\n  first: {}\n  second:\n    load.phases.ask.request.body: { file: b }\n"
    )
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    plays = variants_of(load_scenario(str(path)))
    bodies = [play.load.phases[0].request.body.content for play in plays.values()]
    assert bodies == [b"a", b"b"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("{ text: a, json: 1 }", "one form"),
        ("{ file: not-there }", "cannot read the request's body 'not-there'"),
        ("{ base64: '%%' }", "not valid base64"),
        ("{ json: .5e999 }", "not finite|JSON|number"),
        ("4Q", "not a size"),
        ("{ texts: a }", "no such key"),
    ],
)
def test_what_cannot_be_a_body_is_an_error(body: str, error: str) -> None:
    """Found before anything is started."""
    with pytest.raises(EmuError, match=error):
        sent(f"body: {body}")


def test_a_file_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    """It would not fit into the record."""
    (tmp_path / "long").write_bytes(bytes(200_000))
    with pytest.raises(EmuError, match="too long for a request's body"):
        sent("body: { file: long }", str(tmp_path / "scenario.yaml"))


def test_a_reader_has_a_rate(tmp_path: Path) -> None:
    """Of bytes per second, above 0."""
    assert sent("readRate: 10Ki").read_rate == 10_240
    with pytest.raises(EmuError, match="never ends"):
        sent("readRate: 0")


def test_detached_work_travels() -> None:
    """`detached` is part of the work that the app is asked for."""
    assert "detached=true" in sent("do: { sleep: 1s, detached: true }").path


def test_the_plan_keeps_the_bytes() -> None:
    """JSON in between changes nothing."""
    plan = load_plan(read_scenario(SCENARIO.format(request="body: { text: ä }"), "it").load, "h", 1)
    assert type(plan).from_json(plan.to_json()) == plan
    assert json.loads(plan.to_json())["phases"][0]["request"]["content"] == base64.b64encode("ä".encode()).decode()
