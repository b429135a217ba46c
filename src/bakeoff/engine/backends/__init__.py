"""What depends on the device: worker threads, CUDA graphs, memory."""
