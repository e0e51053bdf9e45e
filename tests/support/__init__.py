"""What tests share: strategies, stand-ins, the emulated device, twins in PyTorch."""
