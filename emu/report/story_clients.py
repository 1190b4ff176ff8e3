"""What clients saw, in words: statuses, errors by name, and how long answers took."""

from __future__ import annotations

from collections import Counter
from typing import Any

from emu.report.measures import percentile
from emu.report.model import Study
from emu.report.words import all_of, count, listed, share
from emu.units import format_seconds

AT_ONCE_S = 0.1
"""An answer within this is one that came at once."""
FEW = 10
"""With fewer answers than this a percentile says nothing."""
_SEEN = {
    "refused": "were refused a connection",
    "reset": "were reset",
    "closed": "were closed without a byte of answer",
    "short-body": "were cut off in the middle of the answer",
    "timeout": "were given up by the client (timeout)",
    "unanswered": "had no answer when the run ended",
    "bad-response": "were answered with something that is not HTTP",
    "unreachable": "could not reach the pod",
    "no-descriptors": "were never sent: the load generator had no file descriptor left",
    "no-ports": "were never sent: the load generator had no local port left",
}


def client_sentences(summary: dict[str, Any]) -> list[str]:
    """How many requests ended how, and when."""
    requests = summary["requests"]
    if not requests["sent"]:
        return []
    seen = [f"{number:,} were answered {status}" for status, number in requests["by_status"].items()]
    seen += [f"{number:,} {_SEEN.get(name, name)}" for name, number in requests["errors"].items()]
    seen = [words.replace(" were ", " was ", 1) if words.startswith("1 ") else words for words in seen]
    found = [f"Of {count(requests['sent'], 'request')}, {listed(seen)}."]
    if len(seen) == 1:
        whole = all_of(int(requests["sent"]))
        found = [f"{whole[0].upper()}{whole[1:]} {seen[0].split(' ', 1)[1]}."]
    latency = requests["latency_ms"]
    if requests["answered"]:
        found.append(_latency(requests["answered"], {name: known / 1e3 for name, known in latency.items()}))
    return found


def _latency(answered: int, known: dict[str, float]) -> str:
    half, most = format_seconds(known["p50"]), format_seconds(known["p99"])
    if half == most:
        return f"The answer took {half}." if answered == 1 else f"The answers took {half}."
    if answered < FEW:
        return f"The answers took up to {most}."
    return f"Half of the answers came within {half}, 99 % within {most}."


def answers_headline(study: Study) -> list[str]:
    """The headline's word on answers: the share of refusals, or that all went well."""
    requests = study.requests or []
    if not requests:
        return []
    bad = Counter(request.status for request in requests if request.answered and (request.status or 0) >= 500)
    if bad:
        status, number = bad.most_common(1)[0]
        taken = sorted(one.latency_s for one in requests if one.status == status and one.latency_s is not None)
        at_once = " at once" if (percentile(taken, 0.5) or 0.0) <= AT_ONCE_S else ""
        return [
            f"{share(number, len(requests))} of {count(len(requests), 'request')} were answered {status}{at_once}"
        ]
    answered = sum(request.answered for request in requests)
    if answered == len(requests):
        return [f"{all_of(answered)} {'was' if answered == 1 else 'were'} answered"]
    if not answered:
        return [
            "the one request was not answered"
            if len(requests) == 1
            else f"none of {len(requests):,} requests was answered"
        ]
    return [f"{answered:,} of {len(requests):,} requests {'was' if answered == 1 else 'were'} answered"]
