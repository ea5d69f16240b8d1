"""What people are told: the console, the report, notifications."""
