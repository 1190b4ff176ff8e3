"""What runs containers: Docker, or plain processes in cgroups."""
