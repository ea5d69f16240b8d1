"""git: the bare repositories people push to, and what a push does."""
