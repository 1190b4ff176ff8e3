"""Scenario files that are wrong: one error with its place, the cause and a way out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emu.errors import EXIT_BAD_INPUT, EmuError, SeveralErrors
from emu.scenario.reading import load_scenario, read_scenario

GOOD = """\
name: good
question: Is it?
pod:
  containerConcurrency: 0
  queueProxy:
    resources:
      limits:
        memory: 32Mi
load:
  phases:
    - name: steady
      type: constant
      rate: 40
      duration: 20s
      request:
        body: 1Ki
        do:
          body: ignore
expect:
  containers.app.oom_kills: ">= 1"
"""
SECOND = "    - {name: steady, type: constant, rate: 1, duration: 1}\nexpect:"


def error_of(text: str, *overrides: str) -> EmuError:
    """The error that reading the text gives."""
    with pytest.raises(EmuError) as caught:
        read_scenario(text, "f.yaml", overrides)
    assert caught.value.exit_status == EXIT_BAD_INPUT
    assert caught.value.why
    assert caught.value.fix
    return caught.value


def test_the_good_one_is_good() -> None:
    """What the cases below change is right before."""
    assert read_scenario(GOOD, "f.yaml").name == "good"


@pytest.mark.parametrize(
    ("old", "new", "what", "fix"),
    [
        (
            "memory: 32Mi",
            "memroy: 32Mi",
            "f.yaml:8:9: pod.queueProxy.resources.limits.memroy: there is no such",
            "`memory`",
        ),
        ("containerConc", "container_conc", "f.yaml:4:3: pod.container_concurrency", "`containerConcurrency`"),
        ("containerConcurrency: 0", "swapMax: 0", "f.yaml:4:3: pod.swapMax", "pod.memory.swapMax"),
        ("memory: 32Mi", "memory: 32Mx", "f.yaml:8:17: pod.queueProxy.resources.limits.memory: '32Mx'", "Ki, Mi, Gi"),
        ("memory: 32Mi", "memory: -5", "f.yaml:8:17: pod.queueProxy.resources.limits.memory: -5 is neg", "0 or more"),
        ("memory: 32Mi", "memory: 4Mi", "f.yaml:8:17: pod.queueProxy.resources.limits.memory: a memory", "6Mi"),
        ("memory: 32Mi", "memory: 900Ti", "f.yaml:8:17: pod.queueProxy.resources.limits.memory: '900Ti'", "64Mi"),
        ("memory: 32Mi", "memory: 1.5", "f.yaml:8:17: pod.queueProxy.resources.limits.memory: 1.5 is not", "Ki"),
        ("memory: 32Mi", "memory: [1]", "f.yaml:8:17: pod.queueProxy.resources.limits.memory: [1] is not", "Ki"),
        ("memory: 32Mi", "cpu: 1m", "f.yaml:8:14: pod.queueProxy.resources.limits.cpu: a cpu limit of 1m", "10m"),
        (
            "type: constant",
            "type: constnat",
            "f.yaml:12:13: load.phases.0.type: 'constnat' is not an allowed",
            "`constant`",
        ),
        ("type: constant", "type: ramp", "f.yaml:12:13: load.phases.0.type: a phase of type ramp needs", "rateTo"),
        ("type: constant", "type: closed", "f.yaml:12:13: load.phases.0.type: a phase of type closed", "clients"),
        ("rate: 40", "rate: 0", "f.yaml:13:13: load.phases.0.rate: a phase of type constant needs", "raise"),
        ("rate: 40", "rate: 40\n      clients: 3", "f.yaml:14:16: load.phases.0.clients: a phase of type", "remove"),
        ("rate: 40", "rate: fast", "f.yaml:13:13: load.phases.0.rate: 'fast'", "number"),
        ("rate: 40", "rate: true", "f.yaml:13:13: load.phases.0.rate: true is not a number", "number"),
        ("rate: 40", "rate: .inf", "f.yaml:13:13: load.phases.0.rate: .inf", "max"),
        ("rate: 40", "rate: .nan", "f.yaml:13:13: load.phases.0.rate: .nan", ""),
        (
            "rate: 40",
            "rate: 90000\n      count: 1\n      think: x",
            "f.yaml:15:14: load.phases.0.think: 'x'",
            "1m30s",
        ),
        ("duration: 20s", "duration: 1:30", "f.yaml:14:17: load.phases.0.duration: '1:30'", "1m30s"),
        ("duration: 20s", "duration: 0", "f.yaml:14:17: load.phases.0.duration: 0 is too small", ""),
        ("duration: 20s", "duration: 2000h", "f.yaml:14:17: load.phases.0.duration: '2000h' is too large", ""),
        ("      duration: 20s\n", "", "f.yaml:11:7: load.phases.0.duration: it is missing", "duration"),
        (
            "duration: 20s",
            "duratoin: 20s",
            "f.yaml:14:7: load.phases.0.duratoin: there is no such key",
            "`duration`?",
        ),
        (
            "containerConcurrency: 0",
            "containerConcurrency: 010",
            "f.yaml:4:25: pod.containerConcurrency: 010",
            "quote",
        ),
        (
            "containerConcurrency: 0",
            "containerConcurrency: 1.5",
            "f.yaml:4:25: pod.containerConcurrency: 1.5",
            "",
        ),
        ("containerConcurrency: 0", "containerConcurrency: true", "f.yaml:4:25: pod.containerConcurrency: true", ""),
        ("containerConcurrency: 0", "containerConcurrency: 5000", "f.yaml:4:25: pod.containerConcurrency: 5000", ""),
        ("containerConcurrency: 0", "restartPolicy: always", "f.yaml:4:18: pod.restartPolicy: 'always'", "`Always`"),
        ("containerConcurrency: 0", "memory: {max: 1Mi}", "f.yaml:4:17: pod.memory.max: a memory limit", "6Mi"),
        ("containerConcurrency: 0", "memory: 3", "f.yaml:4:11: pod.memory: 3 instead of a mapping", "max: "),
        (
            "  queueProxy:\n",
            "  queueProxy:\n    env: {A: 8080}\n",
            "f.yaml:6:14: pod.queueProxy.env.A: 8080",
            '"8080"',
        ),
        ("  queueProxy:\n", "  queueProxy:\n    env: {1=A: x}\n", "f.yaml:6:11: pod.queueProxy.env.1=A", "rename"),
        ("  queueProxy:\n", "  queueProxy:\n    command: ls\n", "f.yaml:6:14: pod.queueProxy.command: 'ls'", "list"),
        (
            "  queueProxy:\n",
            "  queueProxy:\n    command: []\n",
            "f.yaml:6:14: pod.queueProxy.command: `com",
            "program",
        ),
        ("name: good", "name: Not Good", "f.yaml:1:7: name: 'Not Good'", "lower-case"),
        ("name: good", "name: good\nname: better", "f.yaml:2:1: name: duplicate key", "one of them"),
        ("question: Is it?", "question:", "f.yaml:2:1: question: null", "text"),
        (
            "body: ignore",
            "readFile: model",
            "f.yaml:18:21: load.phases.0.request.do.readFile: no phase or key creates",
            "files",
        ),
        ("body: 1Ki", "path: /x", "f.yaml:16:15: load.phases.0.request.path: a request has either", "remove"),
        (
            "body: 1Ki",
            "path: /é",
            "f.yaml:16:15: load.phases.0.request.path: '/é' is not a valid",
            "percent",
        ),
        (
            "load:",
            "starts: {temperatures: []}\nload:",
            "f.yaml:9:24: starts.temperatures: a list with 0 items",
            "a list",
        ),
        ("rate: 40", "rate: [4]", "f.yaml:13:13: load.phases.0.rate: a list instead of a number", "without a unit"),
        (
            "rate: 40",
            "rate: 40\n      count: 4k",
            "f.yaml:14:14: load.phases.0.count: '4k' is not a whole number",
            "a number",
        ),
        ("name: good", f"name: {'a' * 64}", "f.yaml:1:7: name: 'aaaa", "shorten"),
        ("question: Is it?", 'question: ""', "f.yaml:2:11: question: '' is empty", "fill it in"),
        ("question: Is it?", "question: 5", "f.yaml:2:11: question: 5 is not text", 'quote it: "5"'),
        ("question: Is it?", "question: [a]", "f.yaml:2:11: question: a list instead of text", "write text"),
        ("body: 1Ki", 'headers: {A: "x\\ny"}', "f.yaml:16:19: load.phases.0.request.headers.A", "correct"),
        ("expect:", SECOND, "f.yaml:19:14: load.phases.1.name: two phases have the name 'steady'", "another name"),
        ('">= 1"', '"=> 1"', "f.yaml:20:29: expect.containers.app.oom_kills: ", ">= 1"),
        ("containers.app", "containers.ap", "f.yaml:20:28: expect.containers.ap.oom_kills: there is no 'ap'", "app"),
        ("containers.app", "phases.stedy", "f.yaml:20:27: expect.phases.stedy.oom_kills: there is no", "steady"),
        ("containers.app", "contaners.app", "f.yaml:20:28: expect.contaners.app.oom_kills", "containers"),
        ("pod:", "\tpod:", "f.yaml:3:", "spaces"),
        ("name: good", "%YAML 1.2\nname: good", "f.yaml:2:1: not valid YAML", ""),
        ("pod:", "pod: x: y", "f.yaml:3:7: not valid YAML", "quote"),
        ("  phases:", " - phases:", "f.yaml:10:", ""),
        ("pod:", "pod: !!python/object:os.system", "f.yaml:3:6: pod: a tag", "remove"),
        ("pod:", "<<: {a: 1}\npod:", "f.yaml:3:1: a merge key", "write the keys out"),
        ("rate: 40", "rate: *forty", "f.yaml:13:13: load.phases.0.rate: the alias *forty", "define &forty"),
        ("Is it?", '"a\\0b"', "f.yaml:2:11: question: a control character", "remove"),
        ("Is it?", "a\0b", "f.yaml:2:12: a control character", "remove"),
        ("Is it?", '"\\uD800"', "f.yaml:2:11: question: a control character", "remove"),
        ("Is it?", "9" * 5000, "f.yaml:2:11: question: a number of 5000 digits", ""),
        ("expect:", "---\nexpect:", "f.yaml:19:1: a second document", "remove"),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_a_way_out(old: str, new: str, what: str, fix: str) -> None:
    """File, line, column, key, the value found, and what to do about it."""
    assert old in GOOD
    error = error_of(GOOD.replace(old, new, 1))
    assert error.what.startswith(what)
    assert fix in error.fix
    assert "\n" not in error.what


def test_all_mistakes_of_a_file_are_reported() -> None:
    """Each with its place and its way out, in the order of the file, those of `expect` among them."""
    error = error_of(
        GOOD.replace("rate: 40", "rate: fast")
        .replace("20s", "long")
        .replace("Concurrency: 0", "Concurrency: x")
        .replace('">= 1"', '"between 3 and 1"')
    )
    assert isinstance(error, SeveralErrors)
    places = ["f.yaml:4:25: pod.cont", "f.yaml:13:13: load.ph", "f.yaml:14:17: load.ph", "f.yaml:20:29: expect.con"]
    assert [one.what[:21] for one in error.errors] == [place[:21] for place in places]
    assert all(one.why and one.fix for one in error.errors)
    assert str(error).startswith("4 problems\nf.yaml:4:25: pod.cont")
    assert str(error).count("\n  fix: ") == 4


def test_all_mistakes_of_one_kind_are_reported() -> None:
    """Each name of a variable, each header and each value that a record masked has an error of its own."""
    app = '  app:\n    env: {A=: x, é: y, B: "********", C: "********"}\n'
    secrets = '  secrets:\n    - {name: s, data: {a: "********", b: x, c: "********"}}\n'
    headers = "headers: {A: é, a: x, TE: x, Upgrade: x}"
    error = error_of(GOOD.replace("pod:\n", f"pod:\n{app}{secrets}").replace("body: 1Ki", headers))
    assert isinstance(error, SeveralErrors)
    places = [one.what.split(": ")[1] for one in error.errors]
    assert places == [
        *(f"pod.app.env.{name}" for name in ("A=", "é", "B", "C")),
        *(f"pod.secrets.0.data.{name}" for name in ("a", "c")),
        *(f"load.phases.0.request.headers.{name}" for name in ("A", "a", "TE", "Upgrade")),
    ]


def test_mistakes_of_variants_are_reported_together() -> None:
    """Of each variant, and once what is wrong in all of them."""
    variants = "variants:\n  a: {load.phases.steady.rate: x}\n  b: {load.phases.steady.duration: y}\n"
    error = error_of(GOOD + variants)
    assert isinstance(error, SeveralErrors)
    assert [("'a'" in one.what, "'b'" in one.what) for one in error.errors] == [(True, False), (False, True)]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (
            "containerConcurrency: 0",
            "app: {port: 8012}",
            "f.yaml:4:15: pod.app.port: port 8012 belongs to queue-proxy",
        ),
        (
            "containerConcurrency: 0",
            "app: {port: 9091}",
            "f.yaml:4:15: pod.app.port: port 9091 belongs to queue-proxy",
        ),
        (
            "containerConcurrency: 0",
            "timeoutSeconds: 30\n  responseStartTimeoutSeconds: 31",
            "f.yaml:5:32: pod.responseStartTimeoutSeconds: 31 s is above timeoutSeconds, 30 s",
        ),
        ("containerConcurrency: 0", "idleTimeoutSeconds: 301", "f.yaml:4:23: pod.idleTimeoutSeconds: 301 s is above"),
        (
            "    resources:",
            "    memory: {high: 33Mi}\n    resources:",
            "f.yaml:6:20: pod.queueProxy.memory.high: memory",
        ),
        (
            "    resources:",
            "    memory: {low: 33Mi}\n    resources:",
            "f.yaml:6:19: pod.queueProxy.memory.low: memory.l",
        ),
        (
            "    resources:",
            "    memory: {min: 33Mi}\n    resources:",
            "f.yaml:6:19: pod.queueProxy.memory.min: memory.m",
        ),
        (
            "    resources:",
            "    lifecycle: {preStop: {sleep: {seconds: 301}}}\n    resources:",
            "f.yaml:6:44: pod.queueProxy.lifecycle.preStop.sleep.seconds: a sleep of 301 s",
        ),
        ("body: 1Ki", "headers: {Content-Length: '5'}", "f.yaml:16:19: load.phases.0.request.headers.Content-Length"),
        ("body: 1Ki", "headers: {transfer-encoding: x}", "f.yaml:16:19: load.phases.0.request.headers.transfer-enc"),
        ("body: 1Ki", "headers: {Connection: close}", "f.yaml:16:19: load.phases.0.request.headers.Connection: the"),
        ("body: 1Ki", "headers: {Host: a, HOST: b}", "f.yaml:16:28: load.phases.0.request.headers.HOST: the header"),
        ('">= 1"', '"between 3 and 1"', "f.yaml:20:29: expect.containers.app.oom_kills: no value is between 3 and 1"),
        ('">= 1"', '"> true"', "f.yaml:20:29: expect.containers.app.oom_kills: 'true' has no order"),
        ('">= 1"', '"<= null"', "f.yaml:20:29: expect.containers.app.oom_kills: 'null' has no order"),
        ('">= 1"', '"> OOMKilled"', "f.yaml:20:29: expect.containers.app.oom_kills: 'OOMKilled' has no order"),
        ('">= 1"', '"between a and 3"', "f.yaml:20:29: expect.containers.app.oom_kills: 'a' has no order"),
        ('">= 1"', '"== "', "f.yaml:20:29: expect.containers.app.oom_kills: no valid comparison"),
        ('">= 1"', '">"', "f.yaml:20:29: expect.containers.app.oom_kills: no valid comparison"),
        ('">= 1"', '"=="', "f.yaml:20:29: expect.containers.app.oom_kills: no valid comparison"),
        ('">= 1"', '"== 1 or 2"', "f.yaml:20:29: expect.containers.app.oom_kills: cannot compare with '1 or 2'"),
    ],
)
def test_nonsense_is_refused(old: str, new: str, what: str) -> None:
    """What could never act, or not as it says, is one error with its place before anything is started."""
    assert error_of(GOOD.replace(old, new, 1)).what.startswith(what)


def test_a_misspelt_key_is_one_problem() -> None:
    """A mistyped key is one error: that the right key is missing is not a second."""
    assert "more" not in error_of(GOOD.replace("duration:", "duratoin:")).fix


@pytest.mark.parametrize(
    ("override", "what", "fix"),
    [
        ("pod", "--set pod: not in the form PATH=VALUE", "for example"),
        ("=1", "--set =1: not in the form PATH=VALUE", "for example"),
        ("podd.x=1", "--set podd.x: there is no key 'podd'", "`pod`"),
        (
            "pod.queueProxy.resources.limits.memroy=1",
            "--set pod.queueProxy.resources.limits.memroy: there is",
            "limits.memory`",
        ),
        ("pod.queueProxy.resources.limits.memory=1", "--set pod.queueProxy.resources.limits.memory: a memory", "6Mi"),
        ("load.phases.stedy.rate=5", "--set load.phases.stedy.rate: `load.phases` has no item 'stedy'", "`steady`"),
        ("load.phases.7.rate=5", "--set load.phases.7.rate: `load.phases` has no item '7'", "name one of these"),
        ("pods.0.name=x", "--set pods.0.name: `pods` has no item '0'", "add it to `pods`"),
        ("load.phases.²=5", "--set load.phases.²: `load.phases` has no item", ""),
        ("load.phases.steady.rate.x=5", "--set load.phases.steady.rate.x: `load.phases.steady.rate` has no keys", ""),
        ("load.phases.steady=5", "--set load.phases.steady: 5 instead of a mapping", "name: "),
        ("load.phases.steady.rate=[", "--set load.phases.steady.rate: not valid YAML", ""),
        ("load.phases.steady.rate=010", "--set load.phases.steady.rate: 010 has a leading zero", ""),
        (
            "pod.queueProxy={limits: 1}",
            "--set pod.queueProxy: pod.queueProxy.limits: there is no such key",
            "below `resources`",
        ),
        ("pod.app.env.A=x\0", "--set 'pod.app.env.A=x\\x00': a control character", "remove"),
        ("\udcff=1", "--set '\\udcff=1': a control character", "remove"),
        ("pod.secrets.db.data.url=x\0", "--set 'pod.secrets.db.data.url=********': a control character", "remove"),
        ("expect.nonsense=1", "--set expect.nonsense: 'nonsense' is not a name", ""),
    ],
)
def test_a_wrong_set_names_its_path_and_the_nearest_key(override: str, what: str, fix: str) -> None:
    """The error is about the option, not about a line of the file."""
    error = error_of(GOOD, override)
    assert error.what.startswith(what)
    assert fix in error.fix


def test_a_reason_says_what_the_key_means() -> None:
    """Not only of which type it is, which the mistake says itself."""
    why = error_of(GOOD.replace("duration: 20s", "duration: soon")).why
    assert why == "duration: how long it sends; with `until`, the maximum"
    why = error_of(GOOD.replace("rate: 40", "rate: 40\n      count: 4k")).why
    assert why == "count: send no more than this many requests"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\n\n"])
def test_an_empty_file_is_reported(text: str) -> None:
    """Nothing but comments is no scenario."""
    assert error_of(text).what == "f.yaml: empty"


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "42\n"])
def test_a_list_or_a_text_at_the_top_is_reported(text: str) -> None:
    """A scenario is a mapping."""
    assert "at the top level instead of keys" in error_of(text).what


def test_an_alias_bomb_does_not_go_off() -> None:
    """Aliases count as often as they unfold, and there is a bound: a billion laughs end early."""
    levels = [
        f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join(['*' + chr(97 + level)] * 9)}]" for level in range(9)
    ]
    assert "more than" in error_of("a: &a [x, x, x]\n" + "\n".join(levels)).what


def test_an_alias_within_its_own_anchor_is_reported() -> None:
    """It would have no end."""
    assert "has no anchor" in error_of("a: &a [*a]\n").what


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 5000, "{a: " * 5000, "a: [" * 5000])
def test_deep_nesting_is_reported(text: str) -> None:
    """Neither the parser's stack nor ours overflows."""
    assert error_of(text).what


@pytest.mark.parametrize(
    "text",
    [
        "k" * 1000 + ": 1\n",
        "a: !" + "t" * 9000,
        "a: *" + "x" * 9000,
        '"a\\nb": 1\n',
        "name: " + "n" * 9000,
        "a: b: " * 9000,
    ],
)
def test_an_error_is_short_whatever_it_quotes(text: str) -> None:
    """What is wrong stays one line that a terminal can show."""
    error = error_of(text)
    assert len(str(error)) < 2000
    assert "\n" not in error.what + error.why + error.fix


def test_ten_megabytes_are_refused_unread(tmp_path: Path) -> None:
    """A file is never parsed before its size is known to be that of a scenario."""
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a: 1\n" * 2_000_000)
    with pytest.raises(EmuError, match="too large"):
        load_scenario(str(path))


def test_what_is_not_utf8_is_reported_with_its_place(tmp_path: Path) -> None:
    """The first byte that does not belong, by line and column."""
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: a\nquestion: caf\xe9\n")
    with pytest.raises(EmuError, match=r"latin\.yaml:2:14: not UTF-8"):
        load_scenario(str(path))


def test_utf16_is_reported(tmp_path: Path) -> None:
    """Some editors' "Unicode" is not UTF-8."""
    path = tmp_path / "wide.yaml"
    path.write_text(GOOD, encoding="utf-16")
    with pytest.raises(EmuError, match="not UTF-8"):
        load_scenario(str(path))


@pytest.mark.parametrize(
    "name", ["none.yaml", "./none", "", "queue-proxy-oo", "a\0.yaml", "\0", "a" * 5000, "/dev/null"]
)
def test_a_file_that_is_not_there_is_reported(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a built-in name nor a file: the error says what there is."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmuError) as caught:
        load_scenario(name)
    assert caught.value.fix


def test_a_misspelt_built_in_name_is_guessed() -> None:
    """The nearest name is offered."""
    with pytest.raises(EmuError, match="did you mean queue-proxy-oom"):
        load_scenario("queue-proxy-om")


def test_a_directory_is_refused_and_a_run_directory_known(tmp_path: Path) -> None:
    """Naming a recorded run is an understandable slip; the error leads to its scenario."""
    with pytest.raises(EmuError, match="it is a directory"):
        load_scenario(f"{tmp_path}/")
    (tmp_path / "scenario.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(EmuError, match=r"emu run .*/scenario\.yaml"):
        load_scenario(str(tmp_path))


def test_a_pipe_without_a_writer_does_not_hang(tmp_path: Path) -> None:
    """Only regular files are opened (and what the shell hands over as /dev/fd/N)."""
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(EmuError, match="not a regular file"):
        load_scenario(str(tmp_path / "pipe.yaml"))


def test_an_unreadable_file_is_reported(open_folder: Path, as_ordinary_user: None) -> None:
    """Missing permission is named as that."""
    path = open_folder / "secret.yaml"
    path.write_text(GOOD, encoding="utf-8")
    path.chmod(0)
    with pytest.raises(EmuError, match="make it readable"):
        load_scenario(str(path))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n", "a Knative Service manifest"),
        ("kind: InferenceService\napiVersion: serving.kserve.io/v1beta1\n", "a KServe InferenceService manifest"),
        ("# x\n---\napiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Secret\n", "a Kubernetes Pod manifest"),
        ('{\n  "apiVersion": "apps/v1",\n  "kind": "Deployment"\n}\n', "a Kubernetes Deployment manifest"),
        ('{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}', "a Kubernetes Pod manifest"),
        ('{"metadata":{"name":"a"}, "apiVersion": "v1", "kind": "Pod"}', "a Kubernetes Pod manifest"),
    ],
)
def test_a_manifest_is_called_one(text: str, what: str) -> None:
    """It is no misspelt scenario, and the error says where its values go."""
    error = error_of(text)
    assert error.what == f"f.yaml: this is {what}, not a scenario"
    assert "emu scenarios queue-proxy-oom" in error.fix


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("containers.app.oom_kils", "there is no 'oom_kils' in containers.app of this scenario", "oom_kills"),
        (
            "containers.app.memory_peek_bytes",
            "there is no 'memory_peek_bytes' in containers.app",
            "memory_peak_bytes",
        ),
        ("requests.answerd", "there is no 'answerd' in requests of this scenario", "answered"),
        ("requests.latency_ms.p95x", "there is no 'p95x' in requests.latency_ms", "p9"),
        ("phases.steady.request.sent", "there is no 'request' in phases.steady", "requests"),
        ("oom_kills.0.levl", "there is no 'levl' in oom_kills.0 of this scenario", "level"),
        ("pod.cpus", "there is no 'cpus' in pod of this scenario", "cpu_s"),
    ],
)
def test_a_misspelt_figure_is_found_before_the_run(name: str, what: str, fix: str) -> None:
    """What no run of the scenario has is refused at once, with what was probably meant."""
    error = error_of(GOOD.replace("containers.app.oom_kills", name))
    assert what in error.what
    assert fix in error.fix + error.why


@pytest.mark.parametrize(
    "name",
    [
        "requests.by_status.503",
        "requests.errors.refused",
        "oom_kills.count",
        "oom_kills.-1.level",
        "freezes.0.anything",
        "containers.app.exits.0.exit_code",
        "containers.app.state.reason",
        "containers.app.events.Unhealthy",
        "phases.steady.containers.app.oom_kills",
        "load.requests.sent",
        "machine.kernel",
        "recorder.late",
        "failed.what",
    ],
)
def test_what_some_runs_have_may_be_expected(name: str) -> None:
    """A status, a freeze or an exit that may come is no mistake."""
    read_scenario(GOOD.replace("containers.app.oom_kills", name), "f.yaml")


MANY = """\
name: many
question: How many mistakes has this?
pod:
  app: {port: 8012, resources: {limits: {memory: 64Mi}}, memory: {high: 128Mi}}
  queueProxy: {footprint: /dev/zero}
load: {phases: [{name: a, type: constant, rate: -1, duration: 5s}, {name: a, type: nonsense}]}
expect: {containers.ap.oom_kills: "== 0", containers.app.oom_kills: "> true", phases.b.requests.sent: "1"}
"""


def test_all_mistakes_are_reported_at_once() -> None:
    """Those across keys, of the footprint's file and of names in `expect` too, beside values that are wrong."""
    error = error_of(MANY)
    assert isinstance(error, SeveralErrors)
    reported = "\n".join(one.what for one in error.errors)
    for what in (
        "pod.app.port: port 8012 belongs to queue-proxy", "memory.high of 128 MiB", "rate: -1", "phases.1.type",
        "phases.1.duration: it is missing", "two phases have the name 'a'", "no 'ap' in containers", "'true'",
        "no 'b' in phases", "'/dev/zero'",
    ):  # fmt: skip
        assert reported.count(what) == 1, what
    assert len(error.errors) == 10


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("containerConcurrency: 0", "timeoutSeconds: no\n  responseStartTimeoutSeconds: 400"),
        ("name: steady", "nam: steady"),
        ("duration: 20s", "duration: soon\n      until: {oomKills: 1}"),
    ],
)
def test_a_check_whose_values_are_wrong_says_nothing(old: str, new: str) -> None:
    """What it would have found follows from the other mistake, or from a default that was not meant."""
    error = error_of(GOOD.replace(old, new))
    assert not isinstance(error, SeveralErrors), error.what


@pytest.mark.parametrize("key", ["pods", "services"])
def test_a_pod_or_service_without_a_name_is_one_mistake(key: str) -> None:
    """Phases that would send to the only one there is say nothing of it."""
    phase = "{name: x, type: constant, rate: 1, duration: 2s}"
    text = f"name: a\nquestion: b?\n{key}:\n  - app: {{}}\nload:\n  phases:\n    - {phase}\n"
    with pytest.raises(EmuError) as caught:
        read_scenario(text, "f.yaml")
    assert caught.value.what == f"f.yaml:4:5: {key}.0.name: it is missing"


@pytest.mark.parametrize(
    "hook", ["livenessProbe: {exec: null}", "lifecycle: {preStop: {exec: null}}", "readinessProbe: {}"]
)
def test_a_probe_or_hook_that_asks_in_no_way(hook: str) -> None:
    """It is one mistake; checks across keys do not stumble over what is not there."""
    sidecar = f"  sidecars: [{{name: beside, {hook}}}]\nload:"
    error = error_of(GOOD.replace("load:", sidecar, 1))
    assert "no handler" in f"{error.what} {error.why}"


LOAD = "load:\n  drain: 5s\n  phases: [{ name: a, type: pause, duration: 10s }]\n"


def test_a_pod_that_would_never_be_stopped_is_refused() -> None:
    """`stopAfter` counts from the load's beginning, and after the load every pod is stopped anyway."""
    head = "name: late\nquestion: When?\n"
    said = error_of(head + "pod: { stopAfter: 15s }\n" + LOAD)
    assert "the pod would never be stopped: `stopAfter` is 15" in str(said)
    assert "pod.stopAfter" in str(said)
    assert "take 10" in said.why
    assert "take 0" in error_of(head + "pod: { stopAfter: 1s }\n").why
    named = "pods: [{ name: one, containers: [{ name: web, port: 80 }], stopAfter: 1m }]\n"
    assert "pods.0.stopAfter" in str(error_of(head + named + LOAD))


def test_a_pod_may_be_stopped_while_answers_are_awaited() -> None:
    """And at any time where the length of the load is not planned."""
    head = "name: late\nquestion: When?\n"
    read_scenario(head + "pod: { stopAfter: 14s }\n" + LOAD, "f.yaml")
    after = LOAD.replace("duration: 10s", "duration: 10s, afterAnswers: true")
    read_scenario(head + "pod: { stopAfter: 1m }\n" + after, "f.yaml")
