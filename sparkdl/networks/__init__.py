"""Pre-trained networks: weights, ONNX graphs, quantization, validation, inference sessions."""
