"""KServe's InferenceService: checked, defaulted, and turned into what runs, as KServe does it.

`service.made_of` is the entry: a mapping in; workloads, notes and refusals out. After kserve/kserve aaac4e29
(August 2026, after v0.20). All of it is pure.
"""
