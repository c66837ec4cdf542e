"""A fitted pipeline applied to encoded images, fused into one pass where its stages are known."""
