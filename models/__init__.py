"""What is computed: stems, codecs, the multi-stream transformer. Pure PyTorch, no cluster."""
