"""File formats without decoding pixels: signatures, structure, completeness."""
