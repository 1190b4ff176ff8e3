"""A whole Debian with systemd in QEMU: image.py makes its disks, guest.py boots it, inside/ runs in it."""
