"""Our own kernel with cgroup v2 and a Docker engine, for machines that offer neither."""
