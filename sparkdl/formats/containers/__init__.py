"""The structure of each supported format, without decoding pixels."""
