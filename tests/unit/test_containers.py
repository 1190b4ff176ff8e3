"""What is asked of Docker."""

from __future__ import annotations

from emu.containers import instructions, memory_arguments

MIB = 2**20


def test_memory_and_swap_are_always_both_set() -> None:
    """With only a memory limit Docker would allow as much swap again, so the sum is always given."""
    assert memory_arguments(64 * MIB, 0) == {"mem_limit": 64 * MIB, "memswap_limit": 64 * MIB}
    assert memory_arguments(64 * MIB, 16 * MIB) == {"mem_limit": 64 * MIB, "memswap_limit": 80 * MIB}
    assert memory_arguments(64 * MIB, None) == {"mem_limit": 64 * MIB, "memswap_limit": -1}


def test_no_limit_sets_nothing() -> None:
    """Docker refuses a swap limit without a memory limit."""
    assert memory_arguments(None, 0) == {}


def test_an_image_s_configuration_is_written_as_docker_import_takes_it() -> None:
    """Signs that mean something in a Dockerfile are escaped; what is not set is left out."""
    config = {
        "Env": ["PATH=/bin", 'SAID=a "b" $c \\d', "EMPTY="],
        "Cmd": ["python3", "-c", "print('$HOME')"],
        "Entrypoint": None,
        "User": "65532:65532",
        "WorkingDir": "",
    }
    assert instructions(config, {"emu.run": "x"}) == [
        'ENV PATH="/bin"',
        'ENV SAID="a \\"b\\" \\$c \\\\d"',
        'ENV EMPTY=""',
        'CMD ["python3", "-c", "print(\'$HOME\')"]',
        "USER 65532:65532",
        'LABEL "emu.run"="x"',
    ]
