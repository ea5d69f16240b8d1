"""Names: what they stand for (records), where they are registered (powerdns), and how both are kept alike (zones)."""
