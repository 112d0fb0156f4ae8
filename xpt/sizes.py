"""Lengths of batches: few different ones, so that memory fits from step to step.

Tensors of ever new sizes leave holes in the C library's heap that later ones do not fit, and for each size
oneDNN keeps kernels that it has compiled: a long run's memory grows.
"""

_SMALLEST = 8  # tokens between two lengths


def padded_length(longest: int, most: int) -> int:
    """The length of a batch whose longest row has `longest` tokens; at most `most`, the model's limit.

    Multiples of 8 up to 64, of 16 up to 128, of 32 up to 256, and so on: four lengths in a doubling.
    """
    step = max(_SMALLEST, 2 ** (longest - 1).bit_length() // 8)
    return max(longest, min(-(-longest // step) * step, most))
