"""The demo's log and its journey."""
