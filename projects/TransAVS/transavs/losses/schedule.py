"""The confidence thresholds delta rise during training (eq. 18)."""

NUM_STEPS = 18  # the paper's: 90,000 iterations in steps of 5,000


def confidence_threshold(iteration: int, start: float, end: float, step_iters: int) -> float:
    """delta = start + (end - start) / 18 * floor(iteration / step_iters), and `end` from the 18th step on (eq. 18).

    Args:
        iteration (int): of training, from 0.
        start (float): a, 0.55 in the paper.
        end (float): b, 0.65 in the paper. Equal to `start` it fixes the threshold, as in Table 3.
        step_iters (int): n_iter, iterations per step; 5,000 in the paper.

    Returns:
        float
    """
    if step_iters < 1:
        raise ValueError(f"step_iters must be at least 1, got {step_iters}")
    step = min(iteration // step_iters, NUM_STEPS)
    return start + (end - start) / NUM_STEPS * step
