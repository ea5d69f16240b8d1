"""Python applications: which Python they want, what they depend on, their environment, what serves them."""
