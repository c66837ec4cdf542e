"""Networks from outside: ONNX and Keras files and Hugging Face folders, adapted to the images of this package."""
