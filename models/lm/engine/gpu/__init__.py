"""A decoding step on a GPU in few kernels, written in Triton, which comes with PyTorch for CUDA."""
