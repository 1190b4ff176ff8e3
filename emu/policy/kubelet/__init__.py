"""What a kubelet, and the API server and the runtime beside it, decide about a pod's resources. Pure.

The rules of a Kubernetes version are picked by `version`; `docs/kubelet.md` says which versions they were checked
against.
"""
