"""PyTorch's own runtimes: eager, torch.compile, AOTInductor, TorchScript."""
