"""What happens to a cluster, done to real processes: one small function a kind of fault."""
