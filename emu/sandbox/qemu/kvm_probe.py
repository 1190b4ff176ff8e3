"""Whether KVM works: makes a machine of one page and has it run one instruction, HLT. To be run with a deadline.

A /dev/kvm that opens proves nothing: where virtualization is nested or broken, the first entry into the guest fails,
or never comes back.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import sys
from ctypes import addressof, c_char

_CREATE_VM = 0xAE01
_GET_VCPU_MMAP_SIZE = 0xAE04
_CREATE_VCPU = 0xAE41
_SET_USER_MEMORY_REGION = 0x4020AE46
_RUN = 0xAE80
_SET_REGS = 0x4090AE82
_GET_SREGS = 0x8138AE83
_SET_SREGS = 0x4138AE84
_EXIT_HLT = 5
_HLT = b"\xf4"


def probe(device: str = "/dev/kvm") -> str | None:
    """None if KVM ran an instruction; else what failed."""
    try:
        kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        machine = fcntl.ioctl(kvm, _CREATE_VM, 0)
        page = mmap.mmap(-1, 4096)
        page[:1] = _HLT
        where = addressof(c_char.from_buffer(page))
        fcntl.ioctl(machine, _SET_USER_MEMORY_REGION, struct.pack("IIQQQ", 0, 0, 0x1000, 4096, where))
        vcpu = fcntl.ioctl(machine, _CREATE_VCPU, 0)
        shared = mmap.mmap(vcpu, fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE, 0))
        sregs = bytearray(0x138)
        fcntl.ioctl(vcpu, _GET_SREGS, sregs)
        sregs[0:8] = struct.pack("Q", 0)  # the code segment's base,
        sregs[12:14] = struct.pack("H", 0)  # and its selector
        fcntl.ioctl(vcpu, _SET_SREGS, bytes(sregs))
        registers = [0] * 18
        registers[16], registers[17] = 0x1000, 2  # rip at our page; the flags' fixed bit
        fcntl.ioctl(vcpu, _SET_REGS, struct.pack("18Q", *registers))
        fcntl.ioctl(vcpu, _RUN, 0)
    except OSError as wrong:
        return f"{os.strerror(wrong.errno or 0)}"
    reason = struct.unpack_from("I", shared, 8)[0]
    return None if reason == _EXIT_HLT else f"the first instruction ended with exit reason {reason} instead of HLT"


if __name__ == "__main__":
    trouble = probe()
    if trouble:
        print(trouble)
    sys.exit(1 if trouble else 0)
