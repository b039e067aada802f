"""Model files in the store: checked, uploaded, loaded, the best kept and the rest deleted."""
