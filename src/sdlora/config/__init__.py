"""Recipes: TOML in, checked settings out, and the only place where names become objects."""
