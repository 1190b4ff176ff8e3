"""Kernels of our own: User-Mode Linux where this machine lacks what the emulator needs; a whole Debian with systemd
in QEMU for what that one cannot show.
"""
