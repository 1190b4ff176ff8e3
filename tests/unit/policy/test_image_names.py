"""Which image runs: the one that a manifest names, by any of its names, or a stand-in."""

from __future__ import annotations

import pytest

from emu.policy.image_names import Chosen, choose, familiar

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("nginx", "nginx:latest"),
        ("nginx:1.27", "nginx:1.27"),
        ("library/nginx", "nginx:latest"),
        ("docker.io/nginx", "nginx:latest"),
        ("docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/library/nginx:1", "nginx:1"),
        ("docker.io/kserve/sklearnserver", "kserve/sklearnserver:latest"),
        ("ghcr.io/library/nginx", "ghcr.io/library/nginx:latest"),
        ("localhost:5000/shop", "localhost:5000/shop:latest"),
        ("localhost:5000/shop:2", "localhost:5000/shop:2"),
        (f"nginx@{DIGEST}", f"nginx@{DIGEST}"),
        (f"docker.io/library/nginx:1.27@{DIGEST}", f"nginx@{DIGEST}"),
        (f"localhost:5000/shop:2@{DIGEST}", f"localhost:5000/shop@{DIGEST}"),
    ],
)
def test_an_image_has_one_shortest_name(name: str, short: str) -> None:
    """Docker Hub, its library and the tag latest go without saying; a digest decides over a tag."""
    assert familiar(name) == short
    assert familiar(short) == short


@pytest.mark.parametrize(
    ("wanted", "there", "image"),
    [
        ("nginx", ["nginx:latest"], "nginx:latest"),
        ("docker.io/library/nginx:latest", ["nginx:latest"], "nginx:latest"),
        ("nginx:1.27", ["docker.io/library/nginx:1.27"], "docker.io/library/nginx:1.27"),
        (f"nginx:1.27@{DIGEST}", ["nginx:1.27", f"nginx@{DIGEST}"], f"nginx@{DIGEST}"),
        ("registry.example/nginx", ["nginx:latest"], None),
        ("nginx:1.27", ["nginx:latest"], None),
        (f"nginx@{DIGEST}", ["nginx:latest"], None),
        ("none", ["<none>:<none>"], None),
        ("nginx", [], None),
    ],
)
def test_an_image_that_the_engine_has_is_run(wanted: str, there: list[str], image: str | None) -> None:
    """By the name under which the engine has it; another registry's, tag or digest is another image."""
    assert choose(wanted, "auto", there).image == image


@pytest.mark.parametrize(
    ("wanted", "there", "why"),
    [
        ("shop", ["web:1"], "which the engine does not have"),
        ("shop:3", ["shop:1", "shop:2"], "which the engine does not have (it has the tag 1, 2)"),
        (f"shop@{DIGEST}", ["docker.io/library/shop:2"],
         "which the engine does not have by this digest (it has the tag 2)"),
        ("shop", None, "which needs Docker, and this is `runtime: process`"),
    ],
)  # fmt: skip
def test_a_stand_in_has_a_reason(wanted: str, there: list[str] | None, why: str) -> None:
    """What the engine has of the same repository is named: a wrong tag is seen at once."""
    assert choose(wanted, "auto", there) == Chosen(None, why)


def test_either_can_be_demanded() -> None:
    """A stand-in where the image is there, and the image where it is not, which is an error of the run then."""
    assert choose("shop", "stand-in", ["shop:latest"]).image is None
    assert choose("shop", "engine", ["shop:latest"]).image == "shop:latest"
    assert choose("shop", "engine", []).image == "shop"
