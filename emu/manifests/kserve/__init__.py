"""KServe's InferenceService: checked, defaulted, and turned into what runs, as KServe does it.

`validation` says what is refused, `autoscaling` what the autoscaling fields come to. After kserve/kserve aaac4e29
(August 2026, after v0.20). All of it is pure.
"""
