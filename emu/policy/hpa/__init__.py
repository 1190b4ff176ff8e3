"""Kubernetes' HorizontalPodAutoscaler: from what the pods use to how many there should be, and why. Pure.

`usage` makes of cgroup figures what metrics-server serves, `replicas` makes of that a proposal per metric, `sizing`
makes of the proposals a size, by stabilization and the scaling policies; `spec` is what is asked for. `knative`,
`kserve` and `keda` say what Knative's annotations, KServe's fields and a ScaledObject make of that.
"""
