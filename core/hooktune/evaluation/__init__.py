"""A model is measured against its start, and what that is worth."""
