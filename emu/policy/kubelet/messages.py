"""What a kubelet says of back-off in a pod's status and events."""

from __future__ import annotations

from emu.policy.golang import format_seconds


def back_off_message(delay_s: float, container: str, pod: str = "") -> str:
    """Of a waiting container's status. `pod`: `name_namespace(uid)`; empty leaves it out."""
    text = f"back-off {format_seconds(delay_s)} restarting failed container={container}"
    return f"{text} pod={pod}" if pod else text


def back_off_event(container: str, pod: str) -> str:
    """The message of the event BackOff."""
    return f"Back-off restarting failed container {container} in pod {pod}"
