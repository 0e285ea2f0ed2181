"""ONNX Runtime Web in a headless Chromium."""
