"""Whom a container runs as, and what the kubelet refuses of that."""

from __future__ import annotations

import pytest

from emu.policy.kubelet.security import Security, refusal, user_of

POD = "shop-abc_default(1-2)"
WHERE = f'(pod: "{POD}", container: app)'


@pytest.mark.parametrize(
    ("asked", "image", "why"),
    [
        (Security(), "", None),
        (Security(user=0), "1000", None),
        (Security(non_root=True), "1000:1000", None),
        (Security(user=1000, non_root=True), "root", None),
        (Security(user=0, non_root=True), "1000", f"container's runAsUser breaks non-root policy {WHERE}"),
        (Security(non_root=True), "", f"container has runAsNonRoot and image will run as root {WHERE}"),
        (Security(non_root=True), "0:0", f"container has runAsNonRoot and image will run as root {WHERE}"),
        (
            Security(non_root=True),
            "nonroot:nonroot",
            "container has runAsNonRoot and image has non-numeric user (nonroot), cannot verify user is non-root "
            + WHERE,
        ),
    ],
)
def test_root_is_refused_where_it_must_not_be(asked: Security, image: str, why: str | None) -> None:
    """By the number that it runs as; a name proves nothing, and no user is root."""
    assert refusal(asked, image, POD, "app") == why


@pytest.mark.parametrize(
    ("asked", "image", "user"),
    [
        (Security(), "1000", None),
        (Security(user=1000), "root", "1000"),
        (Security(user=1000, group=3000), "root", "1000:3000"),
        (Security(group=3000), "web:web", "web:3000"),
        (Security(group=3000), "", "0:3000"),
    ],
)
def test_a_group_alone_keeps_the_images_user(asked: Security, image: str, user: str | None) -> None:
    """In the form that Docker takes."""
    assert user_of(asked, image) == user
