"""The machines that emu boots: User-Mode Linux where the host lacks what a run needs; in tests also a Debian with
systemd in QEMU, for what User-Mode Linux cannot show.
"""
