"""What a deployment changed: commits, files, packages, processes. Everything here only looks."""
