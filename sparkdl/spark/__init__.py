"""Spark: sessions, Java, jars, Arrow, and the private interfaces that this project uses."""
