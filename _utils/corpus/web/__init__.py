"""The HTTP API and the pages in front of the cloud controller."""
