"""Plugins are found, checked, isolated, wrapped and called."""
