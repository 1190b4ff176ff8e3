"""What KServe's webhook refuses of `spec.canary`."""

from __future__ import annotations

from collections.abc import Mapping

from emu.manifests.kserve.component import (
    EXACTLY_ONE,
    RefusedError,
    check_extension,
    check_protocol,
    implementations,
    storage_uri,
)
from emu.manifests.kserve.keys import (
    DEPLOYMENT_MODE,
    STANDARD,
    Yaml,
    mapping,
)


def check_canary(predictor: Yaml, canaries: list[dict[str, object]], annotations: Mapping[str, str]) -> None:
    """`spec.canary`: other predictors beside the stable one, in Standard mode."""
    if not canaries:
        return
    if annotations.get(DEPLOYMENT_MODE) != STANDARD:
        raise RefusedError(f"canary is only supported in {STANDARD} deployment mode", "spec.canary")
    if storage_uri("predictor", predictor) is None and predictor.get("model") is None:
        words = "canary requires a stable predictor with a model (multi-model serving is not supported with canary)"
        raise RefusedError(words, "spec.canary")
    names: set[str] = set()
    total = 0
    for number, canary in enumerate(canaries):
        try:
            total += _check_one_canary(number, canary, predictor, names)
        except RefusedError as error:
            raise error.within(f"spec.canary[{number}]") from None
    if total > 100:
        raise RefusedError(f"sum of canary trafficPercent values ({total}) must be <= 100", "spec.canary")


def _check_one_canary(number: int, canary: Yaml, stable: Yaml, names: set[str]) -> int:
    predictor = mapping(canary.get("predictor"))
    name = str(predictor.get("name") or "")
    if not name:
        raise RefusedError(f"canary[{number}] predictor.name is required", "predictor")
    if name in names:
        raise RefusedError(f'canary predictor.name "{name}" is duplicated', "predictor.name")
    names.add(name)
    if name == stable.get("name"):
        raise RefusedError(f'canary predictor.name "{name}" conflicts with stable predictor name', "predictor.name")
    percent = int(canary.get("trafficPercent") or 0)
    if not 0 <= percent <= 100:
        words = f'canary "{name}" trafficPercent must be between 0 and 100, got {percent}'
        raise RefusedError(words, "trafficPercent")
    if len(implementations("predictor", predictor)) != 1:
        raise RefusedError(f'canary "{name}" predictor: {EXACTLY_ONE["predictor"]}', "predictor")
    try:
        if implementations("predictor", predictor) == ["containers"]:
            check_protocol(predictor)
        check_extension(predictor)
    except RefusedError as error:
        path = f"predictor.{error.finding.path}"
        raise RefusedError(f'canary "{name}" predictor: {error.finding.words}', path) from None
    if predictor.get("workerSpec") is not None:
        words = f'canary "{name}" must not set workerSpec (multi-node is not yet supported for canary)'
        raise RefusedError(words, "predictor.workerSpec")
    for key in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"):
        value = predictor.get(key)
        if (value or 0) > 0 if key == "maxReplicas" else value is not None:
            raise RefusedError(f'canary "{name}" must not set {key} (canary uses fixed replicas)', f"predictor.{key}")
    least, most = predictor.get("minReplicas"), stable.get("minReplicas")
    most = 1 if most is None else most
    if least is not None and least > most:
        words = f'canary "{name}" minReplicas ({least}) must not exceed stable predictor minReplicas ({most})'
        raise RefusedError(words, "predictor.minReplicas")
    return percent
