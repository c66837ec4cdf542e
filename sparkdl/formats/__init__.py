"""File formats, without decoding a pixel: signatures, structure, completeness."""
