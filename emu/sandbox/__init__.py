"""Our own kernel, for machines that lack what the emulator needs. See uml.py.

Nothing is imported here: the guest's agent lives in this package, and must be small and start fast.
"""
