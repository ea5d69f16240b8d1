"""Steps from one shape of the tables to the next (Alembic).

To add one: change the models, then ``tools/migration "what changes"`` writes ``versions/r<number>_<words>.py`` from the
difference; read it, and set :data:`HEAD`. A test holds models and migrations together.

SQLite changes most of a table by copying it, and triggers stay behind: a migration that does so to ``guests`` or
``compute_nodes`` makes theirs again (see ``r0001``). A test sees it when they are gone.
"""

#: The newest revision.
HEAD = "0008"
