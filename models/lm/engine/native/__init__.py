"""Kernels for decoding on CPUs, in C: compiled by the machine's own compiler, once, where there is one."""
