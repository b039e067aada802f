"""What host and plugins say to each other: hooks, sessions, metrics, parameters, settings."""
