"""User-Mode Linux: guest.py boots it, keeper.py holds it, inside/ runs in it.

Nothing is imported here: the keeper and the guest's agent live in this package, and must be small and start fast.
"""
