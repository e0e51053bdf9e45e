"""Trained networks in use: labels over HTTP, exported folders, ONNX, the Hugging Face hub."""
