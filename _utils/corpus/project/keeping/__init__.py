"""What is kept: trees, archives, releases, the journal, the lock, the history."""
