"""Steps from one shape of the tables to the next (Alembic).

To add one: change the models, then ``tools/migration "what changes"`` writes ``versions/r<number>_<words>.py`` from the
difference; read it, and set :data:`HEAD`. A test holds models and migrations together.
"""

#: The newest revision.
HEAD = "0001"
