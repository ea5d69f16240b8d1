"""The registry: what the cloud is meant to be, and what was done to make it so."""
