"""Networks that users bring: ONNX files, and columns as their tensors."""
