"""Turns: what only one may do at a time, of all processes and machines that write to the registry."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session


def take(session: Session, name: str) -> None:
    """Wait for the turn ``name``; it is over with the session.

    What is selected from here on is what the last one left; what the session had loaded before may be older.
    """
    session.flush()
    session.execute(text("INSERT INTO turns (name, taken) VALUES (:name, 0) ON CONFLICT DO NOTHING"), {"name": name})
    session.execute(text("UPDATE turns SET taken = taken + 1 WHERE name = :name"), {"name": name})
