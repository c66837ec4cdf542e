"""InkNet, trained from scratch by Keras in a process of its own."""
