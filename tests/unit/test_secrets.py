"""Secrets of a scenario: masked in what a run leaves, known to the run itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from emu.errors import EmuError
from emu.files.yamlfile import parse, parse_documents
from emu.policy import secrets
from emu.record.rundir import RunDir
from emu.scenario.reading import has_secrets, read_scenario, resolve

SCENARIO = """\
name: a
question: b
pod:
  app:
    env: {API_TOKEN: hunter2, MODE: fast}
    livenessProbe: {httpGet: {httpHeaders: [{name: Authorization, value: hunter2}, {name: Accept, value: x}]}}
load:
  phases:
    - {name: p, type: constant, rate: 1, duration: 1s, request: {headers: {X-Api-Key: hunter2, X-Mode: fast}}}
variants:
  one: {pod.app.env.DB_PASSWORD: hunter2}
  two: {pod.app.env: {SECRET: hunter2}}
"""


@pytest.mark.parametrize(
    "name",
    ["TOKEN", "HF_TOKEN", "apiToken", "PGPASSWORD", "DB_PASS", "AWS_SECRET_ACCESS_KEY", "X-Api-Key", "Cookie",
     "SSH_KEY", "Authorization", "GOOGLE_CREDENTIALS", "dbPassword", "SENTRY_DSN", "private_key", "NPM_AUTH"],
)  # fmt: skip
def test_names_of_secrets_are_known(name: str) -> None:
    """By the words that people name them with."""
    assert secrets.is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["MODE", "TOKENIZERS_PARALLELISM", "PATH", "KEYBOARD", "AUTHOR", "MONKEY", "Host", "COMPASS"],
)
def test_other_names_are_not(name: str) -> None:
    """A part of a word is no word."""
    assert not secrets.is_secret(name)


def test_a_record_keeps_no_secret(tmp_path: Path) -> None:
    """Of the resolved scenario only the values of secrets are masked, in variants and probes too; its owner alone may
    read it.
    """
    spec = read_scenario(SCENARIO, "f.yaml")
    assert has_secrets(spec)
    text = resolve(spec, masked=True)
    assert "hunter2" not in text
    assert text.count(secrets.MASK) == 5
    assert text.count("fast") == 2
    assert resolve(spec).count("hunter2") == 5
    run = RunDir(tmp_path)
    run.write_scenario(text, private=True)
    assert run.scenario.stat().st_mode & 0o777 == 0o600


SECRET = """\
name: a
question: b
pod:
  app: {env: {URL: {secretKeyRef: {name: db, key: url}}}}
  secrets: [{name: db, data: {url: hunter2, name: hunter2, data: hunter2}}]
variants:
  one: {pod.secrets.db.data.url: hunter2}
  two: {pod.secrets.db.data: {name: hunter2}}
  three: {pod.secrets: [{name: db, data: {url: hunter2}}]}
"""


def test_a_record_has_no_value_of_a_secret() -> None:
    """Whatever its key is called; where a variable's value stands is no secret."""
    spec = read_scenario(SECRET, "f.yaml")
    assert has_secrets(spec)
    text = resolve(spec, masked=True)
    assert "hunter2" not in text and text.count(secrets.MASK) == 6
    assert "secretKeyRef" in text
    with pytest.raises(EmuError, match=r"pod\.secrets\.0\.data\.url: the value of a Secret is masked here"):
        read_scenario(text, "scenario.yaml")
    assert secrets.masked_argument("pod.secrets.db.data.url=hunter2") == f"pod.secrets.db.data.url={secrets.MASK}"
    for whole in ("{secrets: [{name: db, data: {url: hunter2}}]}", "{app: {env: {API_TOKEN: hunter2}}}"):
        assert secrets.masked_argument(f"pod={whole}") == f"pod={secrets.MASK}"
    assert secrets.masked_argument("pod={app: {args: [a]}}") == "pod={app: {args: [a]}}"


def test_a_mistake_in_a_secret_does_not_show_it() -> None:
    """Only where it is."""
    with pytest.raises(EmuError, match=r"pod\.secrets\.0\.data\.url: it is not text") as wrong:
        read_scenario(SECRET.split("variants:", maxsplit=1)[0].replace("url: hunter2", "url: 4711"), "f.yaml")
    assert "4711" not in f"{wrong.value} {wrong.value.why} {wrong.value.fix}"
    first = wrong.value.__context__  # which a traceback has, too
    assert isinstance(first, ValidationError) and "4711" not in str(first)


@pytest.mark.parametrize("value", ["04711", "*hunter4711", "!hunter4711 x", "4711e500"])
def test_a_value_that_is_no_yaml_of_ours_is_not_shown(value: str) -> None:
    """A Secret's, in a scenario and in a manifest: the error says what is wrong, and where."""
    data = f"{{k: {value}}}"
    in_scenario = (parse, f"pod: {{secrets: [{{name: db, data: {data}}}]}}\n")
    in_manifests = [(parse_documents, f"kind: Secret\n{key}: {data}\n") for key in ("stringData", "data")]
    for read, text in (in_scenario, *in_manifests) if value != "04711" else (in_scenario,):  # a number in a manifest
        with pytest.raises(EmuError, match=r"\.k: ") as wrong:
            read(text, "f.yaml")
        assert "4711" not in f"{wrong.value} {wrong.value.why} {wrong.value.fix}"


def test_a_masked_record_says_what_it_lacks() -> None:
    """Run again, it does not send the mask in a secret's place."""
    text = resolve(read_scenario(SCENARIO.split("load:")[0], "f.yaml"), masked=True)
    with pytest.raises(EmuError, match=r"pod\.app\.env\.API_TOKEN: its value was masked in the record"):
        read_scenario(text, "scenario.yaml")


def test_a_scenario_without_secrets_is_as_before() -> None:
    """Nothing is masked, and everybody may read it."""
    spec = read_scenario("name: a\nquestion: b\npod: {app: {env: {MODE: x}}}\n", "f.yaml")
    assert not has_secrets(spec)
    assert resolve(spec, masked=True) == resolve(spec)
