"""corpus: a self-hosted PaaS that is nothing but Salt.

Rooms, one package for each place where code runs; see ``docs/architecture.rst``.
Importing this package costs nothing: no room is loaded before it is needed.
"""

__version__ = "0.1.0"
