"""Finds the 16 levels of kQ4 (src/kernels/quant_blocks.h) and prints how they compare with 16 even steps.

Lloyd's method on groups of 32 normal numbers: each group takes the scale with the least squared error, each level becomes the mean
of what is rounded to it (weighted by the squared scale), until nothing moves; then the largest magnitude is made 127, all is rounded
and the level next to 0 becomes 0. Needs numpy:  python tools/quant_levels.py
"""
import numpy as np

GROUP, TOP_LEVELS = 32, np.linspace(85, 140, 24)  # what a group's largest magnitude is divided by, to try scales


def round_groups(x, levels):
    """Codes and scales of the groups, and their squared errors."""
    largest, middle = np.abs(x).max(1), (levels[1:] + levels[:-1]) / 2
    best, scales = np.full(len(x), np.inf), np.ones(len(x))
    for top in TOP_LEVELS:
        scale = largest / top
        error = ((x - levels[np.searchsorted(middle, x / scale[:, None])] * scale[:, None]) ** 2).sum(1)
        scales[error < best], best = scale[error < best], np.minimum(error, best)
    return np.searchsorted(middle, x / scales[:, None]), scales, best


def find_levels(x, rounds=40):
    levels = np.linspace(-127, 113, 16)
    for _ in range(rounds):
        codes, scales, _ = round_groups(x, levels)
        weights = np.repeat(scales[:, None] ** 2, GROUP, 1)
        levels = np.array([np.average(x[codes == c] / np.repeat(scales[:, None], GROUP, 1)[codes == c], weights=weights[codes == c])
                           for c in range(16)])
        levels *= 127 / np.abs(levels).max()
    levels = np.round(levels)
    levels[np.abs(levels).argmin()] = 0
    return levels


def even_steps_error(x):
    """A scale of the largest magnitude over 8, codes -8 .. 7: what GGML's Q4_0 does."""
    largest = np.take_along_axis(x, np.abs(x).argmax(1)[:, None], 1)
    scale = largest / -8
    return ((x - np.clip(np.floor(x / scale + 8.5) - 8, -8, 7) * scale) ** 2).sum()


def main():
    random = np.random.default_rng(0)
    levels = find_levels(random.standard_normal((30000, GROUP)))
    print("levels", levels.astype(int).tolist())
    for name, x in (("normal", random.standard_normal((30000, GROUP))), ("laplace", random.laplace(size=(30000, GROUP)))):
        energy = (x ** 2).sum()
        print(f"{name:8} relative squared error {round_groups(x, levels)[2].sum() / energy:.5f}, even steps {even_steps_error(x) / energy:.5f}")


if __name__ == "__main__":
    main()
