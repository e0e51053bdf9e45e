"""Trained networks that travel: exported folders, ONNX, the Hugging Face hub."""
