# The kernel and scenario tests on a whole Debian with systemd, in QEMU (emu/sandbox/qemu). Included by the Makefile.
#
#   make test-systemd                                        all of them
#   make test-systemd PYTEST_ARGS="tests/kernel -k freeze"   some of them
#   make test-systemd SYSTEMD_ARGS="--timeout 20m"           with options of the guest
#
# What a test writes below /results in the guest is left in build/systemd/.

PYTEST_ARGS ?= tests/kernel tests/scenario
SYSTEMD_ARGS ?=

SYSTEMD_PACKAGES := scripts/install-packages qemu-system-x86 mmdebstrap e2fsprogs util-linux

.PHONY: test-systemd systemd-packages
systemd-packages:
	@$(SYSTEMD_PACKAGES)

# Its packages are a step and no prerequisite: with a prerequisite to wait for, `make -j` would begin the guest last.
test-systemd: $(STAMP) ## Tests in a Debian guest with systemd: PYTEST_ARGS="tests/kernel tests/scenario"
	@$(SYSTEMD_PACKAGES)
	@$(call tried,systemd,$(PYTHON) -m emu.sandbox.qemu run --images --results build/systemd $(SYSTEMD_ARGS) -- \
	    python3 -m pytest -p no:cacheprovider $(PYTEST_ARGS))
