"""What runs: processes under a supervisor, the web front, health checks, private views of the tree."""
