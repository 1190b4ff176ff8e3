"""A whole Debian with systemd in QEMU: image.py makes its disks, __main__.py boots it, inside/ runs in it."""
