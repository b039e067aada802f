"""A log becomes an immutable batch folder, and is opened and split again."""
