"""The guest: one project, its tree, its stages, its releases."""
