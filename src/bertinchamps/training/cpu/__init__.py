"""What PyTorch computes slowly on some processors, what is called in its place, and glibc's allocator."""
