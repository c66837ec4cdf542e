"""Training InkNet from scratch with Keras, in a separate process."""
