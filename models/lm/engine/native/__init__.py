"""Kernels for decoding on CPUs, in C. The machine's own compiler compiles them once, if there is one."""
