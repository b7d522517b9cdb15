"""The package `spaces` where it is installed. app.py imports this first: `spaces` must come before torch and CUDA."""

try:
    import spaces
except ImportError:
    spaces = None

from siamese.inference.zero_gpu import GpuDecorator, on_zero_gpu

DURATION_S = 15  # asked of a visitor's quota for one call, the start of a process and of CUDA in it included


def gpu_decorator() -> GpuDecorator | None:
    """Returns `spaces.GPU` on ZeroGPU, None elsewhere."""
    return spaces.GPU(duration=DURATION_S) if spaces is not None and on_zero_gpu() else None
