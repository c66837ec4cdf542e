"""Recipes and how each is fitted."""
