"""A step on a GPU, as few kernels: written in Triton, which comes with PyTorch there."""
