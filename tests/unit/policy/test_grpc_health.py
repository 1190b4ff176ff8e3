"""A health check's question by gRPC, byte for byte."""

from __future__ import annotations

import pytest

from emu.policy.grpc_health import request


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("", ""),
        ("shop", "0a04" + b"shop".hex()),
        ("x" * 127, "0a7f" + "78" * 127),
        ("x" * 128, "0a8001" + "78" * 128),
        ("ü" * 100, "0ac801" + "c3bc" * 100),
        ("x" * 20000, "0aa09c01" + "78" * 20000),
    ],
)
def test_a_name_is_as_long_as_its_bytes(service: str, message: str) -> None:
    """Protobuf counts bytes, seven bits at a time; gRPC puts a flag and the whole length before the message."""
    assert request(service) == bytes.fromhex(f"00{len(message) // 2:08x}{message}")
