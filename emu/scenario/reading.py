"""One YAML file to one ScenarioSpec, and back. All that is wrong with the file is found here, before a run begins."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from emu import __version__
from emu.errors import EmuError, SeveralErrors, raise_all
from emu.files.named import read_text
from emu.files.nearest import nearest
from emu.files.profiles import is_path, load_profile
from emu.files.yamlfile import Mark, Node, first_value, parse
from emu.machine.paths import scenarios_dir
from emu.policy.expectations import COUNT, VARIANTS, parse_expectation
from emu.policy.secrets import masked_tree
from emu.scenario import bodies, partial, problems, service_manifests
from emu.scenario import overrides as changes
from emu.scenario.manifests import refuse_manifest
from emu.scenario.problems import Problem
from emu.scenario.variants import is_comparison, variant_root
from emu.spec import OWN_FOOTPRINT, PodSpec, ScenarioSpec

DEFAULT_SCENARIO = "queue-proxy-oom"
"""What `emu run` without a name runs, and what lists of scenarios begin with."""
_FOOTPRINT = "pod.queueProxy.footprint"
_SUFFIXES = (".yaml", ".yml")
_PLAIN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
SomePod = TypeVar("SomePod", bound=PodSpec)
_NOT_PLAIN = re.compile(r"true|false|null|yes|no|on|off|y|n", re.IGNORECASE)


@dataclass(frozen=True)
class BuiltIn:
    """A scenario that comes with emu."""

    name: str
    path: Path
    question: str


def builtin_scenarios() -> list[BuiltIn]:
    """The built-in scenarios, the default first, then by name."""
    paths = sorted(scenarios_dir().glob("*.yaml"), key=lambda path: (path.stem != DEFAULT_SCENARIO, path.stem))
    return [BuiltIn(path.stem, path, _question(path)) for path in paths]


def find_scenario(name_or_path: str) -> Path:
    """The file that a built-in name or a path means. EmuError with the nearest names when it means none."""
    if name_or_path.endswith(_SUFFIXES) or "/" in name_or_path or name_or_path in (".", ".."):
        return Path(name_or_path)
    names = [path.stem for path in sorted(scenarios_dir().glob("*.yaml"))]
    if name_or_path in names:
        return scenarios_dir() / f"{name_or_path}.yaml"
    if name_or_path and _is_there(Path(name_or_path)):
        return Path(name_or_path)
    meant = nearest(name_or_path, names)
    raise EmuError(
        f"there is no scenario {problems.shown(name_or_path)}",
        f"built-in ones are: {', '.join(names) or 'none'}; and no file has that name",
        f"did you mean {meant}?" if meant else "name one of them, or a file by its path",
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def load_scenario(name_or_path: str, overrides: Sequence[str] = ()) -> ScenarioSpec:
    """The scenario of a built-in name or a file, with `--set` changes made. EmuError for all that is wrong."""
    path = find_scenario(name_or_path)
    return read_scenario(read_text(path), str(path), overrides)


def read_scenario(
    text: str,
    source: str,
    overrides: Sequence[str] = (),
    *,
    expectations: bool = True,
    places: Callable[[Node], None] | None = None,
) -> ScenarioSpec:
    """The scenario in a text; `source` is how errors call it, unless `places` puts other places onto its values.
    Without `expectations` it is not checked whether a run has the figures that they name: for a text that was read
    before, where importing the report takes its time.
    """
    refuse_manifest(text, source)
    root = parse(text, source)
    if places is not None:
        places(root)
    changes.apply(_mapping(root), overrides)
    bodies.take_in(root, source)
    service_manifests.take_in(root, source)
    spec = _checked(root, source)
    plays: dict[str, ScenarioSpec] = {}
    wrong: list[EmuError] = []
    for name in spec.variants:
        try:
            plays[name] = _variant(root, name, source)
            if expectations:
                found = problems.errors_of(_expectation_problems(plays[name], variant_root(root, name), {}))
                wrong += [_of_variant(name, error) for error in found]
        except EmuError as error:
            wrong += error.errors if isinstance(error, SeveralErrors) else [error]
    if expectations and len(plays) == len(spec.variants):
        wrong = [*problems.errors_of(_expectation_problems(spec, root, plays)), *wrong]
    if wrong:
        raise_all([*wrong, *_wrong_footprint(spec, source)])
    return _with_footprints(spec, plays, source)


def variants_of(spec: ScenarioSpec) -> dict[str, ScenarioSpec]:
    """Each variant as the scenario that it is, by its name, in the order of the file; empty where there are none."""
    if not spec.variants:
        return {}
    root = parse(resolve(spec), spec.name)
    return {name: _variant(root, name, spec.name) for name in spec.variants}


def needs_docker(spec: ScenarioSpec) -> bool:
    """Whether its pod, or that of one of its variants, runs in Docker containers."""
    plays = list(variants_of(spec).values()) or [spec]
    return any(pod.runtime == "docker" for play in plays for pod in play.each_pod.values())


def _mapping(root: Node) -> Node:
    if not isinstance(root.value, dict):
        raise EmuError(
            f"{root.mark}: {problems.shown(root.plain())} at the top level instead of keys",
            "a scenario begins with `name:` and `question:`",
            "`emu scenarios queue-proxy-oom` shows a valid file",
        )
    return root


def _checked(root: Node, source: str) -> ScenarioSpec:
    try:
        return ScenarioSpec.model_validate(root.plain())
    except ValidationError as error:
        made = partial.partial(ScenarioSpec, root.plain())
        across = (one for path, wrong in partial.complaints(made) for one in problems.refused(path, wrong, root))
        expected = [*_malformed_expectations(root), *_unknown_expected(made, root)]
        found = {(one.path, one.what): one for one in (*across, *problems.problems_of(error, root), *expected)}
        raise_all([*problems.errors_of(found.values()), *_wrong_footprint(made, source)])
        raise AssertionError("a validation error without a problem") from error


def _variant(root: Node, name: str, source: str) -> ScenarioSpec:
    try:
        return _checked(variant_root(root, name), source)
    except EmuError as wrong:
        errors = wrong.errors if isinstance(wrong, SeveralErrors) else [wrong]
        raise_all(_of_variant(name, error) for error in errors)
        raise AssertionError("an error without an error") from wrong


def _of_variant(name: str, wrong: EmuError) -> EmuError:
    return EmuError(f"{wrong.what} (in variant {name!r})", wrong.why, wrong.fix)


def _with_footprints(spec: ScenarioSpec, plays: Mapping[str, ScenarioSpec], source: str) -> ScenarioSpec:
    """The profiles of files become part of the scenario, those that variants name too."""
    variants = {}
    for name, own in spec.variants.items():
        footprint = _with_footprint(plays[name], source).pod.queue_proxy.footprint
        variants[name] = {**own, _FOOTPRINT: footprint} if _FOOTPRINT in own else own
    return _with_footprint(spec, source).model_copy(update={"variants": variants})


def _with_footprint(spec: ScenarioSpec, source: str) -> ScenarioSpec:
    """The profile of a file becomes part of the scenario, so that its record holds all of it; a name stays."""
    if spec.services:
        return spec.model_copy(update={"services": tuple(_own_footprint(one, source) for one in spec.services)})
    if spec.pods:
        return spec.model_copy(update={"pods": tuple(_own_footprint(pod, source) for pod in spec.pods)})
    return spec.model_copy(update={"pod": _own_footprint(spec.pod, source)})


def _own_footprint(pod: SomePod, source: str) -> SomePod:
    named = pod.queue_proxy.footprint
    if not isinstance(named, str) or named == OWN_FOOTPRINT:
        return pod
    if not is_path(named):
        load_profile(named)
        return pod
    beside = Path(source).parent / named
    profile = load_profile(str(beside if os.path.isfile(beside) else named))  # noqa: PTH113  never raises
    queue_proxy = pod.queue_proxy.model_copy(update={"footprint": profile.to_data()})
    return pod.model_copy(update={"queue_proxy": queue_proxy})


def _wrong_footprint(spec: ScenarioSpec, source: str) -> list[EmuError]:
    """The faults of the profile that a scenario with other mistakes names."""
    try:
        _with_footprint(spec, source)
    except EmuError as error:
        return list(error.errors) if isinstance(error, SeveralErrors) else [error]
    except partial.UNREADABLE:
        pass
    return []


def has_secrets(spec: ScenarioSpec) -> bool:
    """Whether a variable or header in it likely holds a secret, by its name."""
    data = spec.model_dump(mode="json", by_alias=True)
    return bool(masked_tree(data) != data)


def resolve(spec: ScenarioSpec, *, masked: bool = False) -> str:
    """The scenario as YAML with every default filled in; reading it gives the same scenario. `masked`: without the
    values of secrets, which are to be given again.
    """
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    text.write(f"# As resolved by emu {__version__}: defaults filled in, --set applied. It can be run again.\n")
    data = spec.model_dump(mode="json", by_alias=True)
    yaml.dump(_quoted(masked_tree(data) if masked else data), text)
    return text.getvalue()


def _quoted(value: Any) -> Any:
    """Quotes around every text that some YAML reader could take for something else."""
    if isinstance(value, dict):
        return {_quoted(key): _quoted(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_quoted(below) for below in value]
    if isinstance(value, str) and (not _PLAIN_TEXT.fullmatch(value) or _NOT_PLAIN.fullmatch(value)):
        return DoubleQuotedScalarString(value)
    return value


def _question(path: Path) -> str:
    return first_value(read_text(path), "question")


def _expectation_problems(spec: ScenarioSpec, root: Node, plays: Mapping[str, ScenarioSpec]) -> Iterable[Problem]:
    figures = _Figures(spec, plays)
    for name, text in spec.expect.items():
        place = ("expect", name)
        mark = problems.mark_of(place, root)
        try:
            expectation = parse_expectation(name, text)
        except ValueError as error:
            yield _malformed(name, mark, error)
            continue
        names = (name, *(operand.name for _, operand in expectation.checks if operand.name is not None))
        if is_comparison(name, text) and not all(one.startswith(f"{VARIANTS}.") for one in names):
            what = "it compares one variant with all of them"
            yield Problem(
                mark, place, what, "every name in it must name its variant", "begin each with variants.NAME."
            )
        yield from _unknown(names, figures, place, mark)


def _unknown(names: Sequence[str], figures: _Figures, place: tuple[str, str], mark: Mark) -> Iterator[Problem]:
    parts = list(_unknown_parts(names, figures.spec, figures.plays))
    for unknown, among, known in parts or figures.unknown(names):
        meant = nearest(unknown, known)
        fix = f"did you mean {meant}?" if meant else "correct the name, or add what it names"
        what = f"there is no {unknown!r} in {among} of this scenario"
        yield Problem(mark, place, what, f"it has: {', '.join(known) or 'none'}", fix)


@dataclass
class _Figures:
    """The figures of runs of a scenario and its variants: each is asked for its names once, as that studies a run."""

    spec: ScenarioSpec
    plays: Mapping[str, ScenarioSpec]
    known: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def unknown(self, names: Iterable[str]) -> Iterator[tuple[str, str, list[str]]]:
        """Parts of expectations' names that no run of this scenario has a figure for."""
        from emu.report.known_names import unknown_in  # it studies a run, and few need that

        for name in names:
            variant, own, before = "", name, ""
            if name.startswith(f"{VARIANTS}."):
                _, variant, own = (*name.split(".", 2), "")[:3]
                if variant not in self.plays or not own or own == "met":
                    continue
                before = f"{VARIANTS}.{variant}."
            elif self.plays and own.partition(".")[0] == VARIANTS:
                continue
            if (found := unknown_in(self._names_of(variant), own)) is not None:
                yield found[0], f"{before}{found[1]}", found[2]

    def _names_of(self, variant: str) -> Mapping[str, Any]:
        from emu.report.known_names import names_of

        if variant not in self.known:
            self.known[variant] = names_of(self.plays[variant] if variant else self.spec)
        return self.known[variant]


def _malformed_expectations(root: Node) -> Iterator[Problem]:
    """Of a scenario that is wrong elsewhere: the expectations that could not be compared with anything."""
    expect = root.child("expect")
    for name, node in expect.value.items() if expect is not None and isinstance(expect.value, dict) else ():
        if isinstance(node.value, str | int | float):
            try:
                parse_expectation(name, node.value)
            except ValueError as error:
                yield _malformed(name, node.mark, error)


def _unknown_expected(made: ScenarioSpec, root: Node) -> Iterator[Problem]:
    """Of a scenario that is wrong elsewhere: names in expectations that are those of nothing in it."""
    expect, figures = root.child("expect"), _Figures(made, {})
    for name, node in expect.value.items() if expect is not None and isinstance(expect.value, dict) else ():
        try:
            operands = [one.name for _, one in parse_expectation(name, node.value).checks if one.name is not None]
        except ValueError:
            operands = []
        names = [one for one in (name, *operands) if not one.startswith(f"{VARIANTS}.")]
        try:
            yield from _unknown(names, figures, ("expect", name), problems.mark_of(("expect", name), root))
        except partial.UNREADABLE:
            continue


def _malformed(name: str, mark: Mark, error: ValueError) -> Problem:
    what, _, fix = str(error).removeprefix(f"{name}: ").partition("; ")
    why = "an expectation is a name in summary.json and a comparison"
    return Problem(mark, ("expect", name), what, why, fix or 'write it as in containers.app.oom_kills: ">= 1"')


def _containers(spec: ScenarioSpec) -> dict[str, None]:
    """Those of several revisions are named after it too, as in summary.json."""
    several = len(spec.each_pod) > 1 if spec.services else False
    return {
        f"{pod}/{name}" if several else name: None for pod, made in spec.each_pod.items() for name in made.containers
    }


def _unknown_parts(
    names: Iterable[str], spec: ScenarioSpec, plays: Mapping[str, ScenarioSpec]
) -> Iterable[tuple[str, str, list[str]]]:
    """Parts of expectations' names that name a phase, container or variant which the scenario does not have."""
    known = {
        "phases": [phase.name for phase in spec.load.phases],
        "containers": list(_containers(spec)),
        **({"pods": list(spec.each_pod)} if spec.pods else {}),
        **({"services": list(spec.each_service)} if spec.services else {}),
        VARIANTS: list(plays),
    }
    for name in names:
        among, *rest = name.split(".")
        if among in known and rest and rest[0] not in (*known[among], COUNT):
            yield rest[0], among, known[among]
        elif among == VARIANTS and len(rest) > 1:
            yield from _unknown_parts([".".join(rest[1:])], plays[rest[0]], {})
