"""Whom a container runs as, and what the kubelet refuses of that (kuberuntime/security_context_others.go)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Security:
    """A container's securityContext, with its pod's. None and empty: as the image and the runtime have it."""

    user: int | None = None
    group: int | None = None
    non_root: bool = False
    read_only_root: bool = False
    add: tuple[str, ...] = ()
    """Capabilities beyond the runtime's own, without CAP_; ALL is all there are."""
    drop: tuple[str, ...] = ()
    """Those of the runtime's own that it does not have."""

    @property
    def asks_the_image(self) -> bool:
        """Whether it depends on whom the image is for."""
        return self.user is None and (self.non_root or self.group is not None)


PLAIN = Security()


def refusal(asked: Security, image_user: str, pod: str, container: str) -> str | None:
    """Why the kubelet does not make it, in its words. `image_user`: as the image says it, empty is root; `pod`:
    `name_namespace(uid)`.
    """
    if not asked.non_root:
        return None
    where = f'(pod: "{pod}", container: {container})'
    if asked.user is not None:
        return f"container's runAsUser breaks non-root policy {where}" if asked.user == 0 else None
    name = image_user.partition(":")[0]
    if not name or (name.isdecimal() and int(name) == 0):
        return f"container has runAsNonRoot and image will run as root {where}"
    if not name.isdecimal():
        words = f"image has non-numeric user ({name}), cannot verify user is non-root"
        return f"container has runAsNonRoot and {words} {where}"
    return None


def user_of(asked: Security, image_user: str) -> str | None:
    """`user` or `user:group` for the runtime; None: the image's."""
    if asked.user is None and asked.group is None:
        return None
    user = image_user.partition(":")[0] or "0" if asked.user is None else str(asked.user)
    return user if asked.group is None else f"{user}:{asked.group}"
