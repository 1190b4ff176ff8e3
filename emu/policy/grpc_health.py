"""The question of a health check by gRPC (grpc.health.v1.HealthCheckRequest), as it goes over the wire. Pure."""

from __future__ import annotations

METHOD = b"/grpc.health.v1.Health/Check"


def request(service: str) -> bytes:
    """A gRPC message, not compressed: field 1 is the service's name, and empty it is left out."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _varint(number: int) -> bytes:
    """As protobuf writes a length: seven bits a byte, the lowest first."""
    head = []
    while number > 0x7F:
        head.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*head, number])
