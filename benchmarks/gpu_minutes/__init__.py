"""The stages of `scripts/gpu_minutes.py`: minutes of a GPU become figures.

Nothing here imports torch: the parent of the stages must not hold memory of the GPU that they measure.
"""
