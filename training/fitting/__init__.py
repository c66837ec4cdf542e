"""Recipes, and fitting them."""
