"""ExecuTorch with XNNPACK's delegate."""
