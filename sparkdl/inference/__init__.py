"""Inference: a fitted pipeline applied to encoded images, fused into one pass if its stages are known."""
