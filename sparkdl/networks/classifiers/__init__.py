"""Networks with their ImageNet classifier, and the names of its 1,000 classes."""
