# The kernel and scenario tests on a whole Debian with systemd, in QEMU; see emu/sandbox/qemu.py.
#
#   make test-systemd                                        all of them
#   make test-systemd PYTEST_ARGS="tests/kernel -k freeze"   some of them
#   make test-systemd SYSTEMD_ARGS="--timeout 20m"           with options of the guest
#
# What a test writes below /results in the guest is left in build/systemd/.

SYSTEMD_PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
PYTEST_ARGS ?= tests/kernel tests/scenario
SYSTEMD_ARGS ?=

.PHONY: test-systemd
test-systemd:  ## run the kernel and scenario tests in a Debian guest with systemd (PYTEST_ARGS=…)
	$(SYSTEMD_PYTHON) -m emu.sandbox.qemu run --images --results build/systemd $(SYSTEMD_ARGS) -- \
	    python3 -m pytest -p no:cacheprovider $(PYTEST_ARGS)
