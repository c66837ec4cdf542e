"""The structure of each format that is read, without decoding a pixel."""
