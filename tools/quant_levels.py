"""Finds the 16 levels of Q4 (src/kernels/codecs/q4.h): integers that, times an integer multiplier for each group of 32 weights, fit 8 bits, under one
scale for a block of four groups.

For each pair of largest level and largest multiplier whose product fits, Lloyd's levels for normal weights are rounded to integers and then moved one
by one while that lessens the squared error on a sample: normal weights, some with the tails of Student's t of 8 degrees, some whose groups differ in
size. Prints levels and errors relative to the weights (root mean square), beside levels and scales without grids. Needs numpy and some minutes:
    python tools/quant_levels.py
"""
import numpy as np

GROUPS, GROUP = 4, 32
IDEAL = np.array([-127, -100, -80, -63, -49, -35, -23, -11, 0, 13, 26, 39, 54, 70, 91, 120]) / 127
SPANS = [(8, 15), (9, 14), (10, 12), (11, 11), (12, 10), (14, 9), (18, 7), (21, 6), (25, 5)]


def sample(random, n=200):
    normal = random.standard_normal((2 * n, GROUPS, GROUP))
    normal[n : n + n // 2] = random.standard_t(8, size=(n // 2, GROUPS, GROUP))
    normal[n + n // 2 :] *= np.exp(0.3 * random.standard_normal((n - n // 2, GROUPS, 1)))
    return normal / np.sqrt((normal**2).mean((1, 2), keepdims=True))


def relative_error(x, levels, largest_multiplier, tries=16):
    levels = np.sort(np.asarray(levels, float))
    middle, top = (levels[1:] + levels[:-1]) / 2, np.abs(levels).max()
    largest, best = np.abs(x).max(-1), np.full(len(x), np.inf)
    for factor in np.linspace(0.8, 1.5, tries):
        scale = largest.max(-1) * factor / (top * largest_multiplier)
        wanted, of_groups = largest / (scale[:, None] * top), np.full(largest.shape, np.inf)
        for near in (0.8, 0.9, 1.0, 1.12, 1.25):
            step = np.clip(np.round(wanted * near), 1, largest_multiplier) * scale[:, None]
            scaled = x / step[:, :, None]
            error = ((scaled - levels[np.searchsorted(middle, scaled)]) ** 2).sum(-1) * step**2
            of_groups = np.minimum(of_groups, error)
        best = np.minimum(best, of_groups.sum(-1))
    return np.sqrt(best.sum() / (x**2).sum())


def find_levels(x, top, largest_multiplier):
    levels = sorted(set(np.round(IDEAL * top).astype(int).tolist()))
    while len(levels) < 16:  # rounding made some alike
        missing = [v for v in range(-top, top + 1) if v not in levels]
        levels = sorted(levels + [min(missing, key=lambda v: relative_error(x, levels + [v], largest_multiplier, 6))])
    error, moved = relative_error(x, levels, largest_multiplier), True
    while moved:
        moved = False
        for i in range(16):
            for step in (-1, 1):
                tried = sorted(levels[:i] + [levels[i] + step] + levels[i + 1 :])
                if len(set(tried)) < 16 or max(map(abs, tried)) > top or 0 not in tried:
                    continue
                new = relative_error(x, tried, largest_multiplier)
                if new < error - 1e-6:
                    levels, error, moved = tried, new, True
    return levels, error


def main():
    x = sample(np.random.default_rng(1))
    print(f"without grids: {relative_error(x, IDEAL * 127, 10000):.5f}")
    for top, largest_multiplier in SPANS:
        levels, error = find_levels(x, top, largest_multiplier)
        print(f"levels to {top:2}, multipliers to {largest_multiplier:2}: {error:.5f} {levels}", flush=True)


if __name__ == "__main__":
    main()
