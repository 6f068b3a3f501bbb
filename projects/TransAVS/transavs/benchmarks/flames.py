"""Where a clip's time goes: PyTorch's profile of a model, as a table of its parts and as a flame picture."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from xml.sax.saxutils import escape

from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

Stack = tuple[str, ...]  # modules from the outermost in, then the operator

MODULE, BACKWARD = "module: ", "autograd::engine::evaluate_function: "  # before names in PyTorch's profile
HEADERS = ["part", "forward (ms)", "backward (ms)", "share (%)", "most of it (ms)"]
LARGEST = 4  # operators in the last column
WIDTH, ROW, CHARACTER = 1200, 18, 6.5  # pixels: of the picture, of a row's height, and of a letter of a label
NARROWEST = 1.0  # pixels; a narrower box is left out
COLOURS = ("#9ecae1", "#fdae6b", "#a1d99b", "#bcbddc", "#fdd0a2", "#c7e9c0", "#dadaeb", "#d9d9d9", "#f7b6d2")


def profile_stacks(model: nn.Module, run: Callable[[], object], runs: int) -> Counter[Stack]:
    """Microseconds of each operator in each module, of the fastest of several runs.

    Args:
        model: whose modules are told apart.
        run: runs it once.
        runs: after one that is not counted.

    Returns:
        Counter: by the modules, from `model` in, and then the operator. A step backward counts in the module of the
        step forward that it belongs to; what an operator calls counts as that operator.
    """
    run()
    found = []
    with _named_modules(model):
        for _ in range(runs):
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                run()
            found.append(_by_stack(list(profiler.events() or ())))
    return min(found, key=lambda microseconds: microseconds.total())


def _by_stack(events: list[Any]) -> Counter[Stack]:
    # Steps without a gradient carry the number of the next one that has it: the last of a number is the one meant.
    forward_of = {event.sequence_nr: event for event in events if not _is_backward(event)}
    microseconds: Counter[Stack] = Counter()
    for event in events:
        if event.cpu_parent is None:
            _add(microseconds, event, ("model",), forward_of)
    return microseconds


def _is_backward(event: Any) -> bool:
    return event.scope == 1 or event.name.startswith(BACKWARD)


def _add(microseconds: Counter[Stack], event: Any, inside: Stack, forward_of: Mapping[int, Any]) -> None:
    name = event.name
    if name.startswith(BACKWARD):
        forward = forward_of.get(event.sequence_nr) if event.sequence_nr >= 0 else None
        microseconds[*_modules_around(forward), name.removeprefix(BACKWARD)] += round(event.cpu_time_total)
    elif name.startswith(MODULE):
        inside = (*inside, name.removeprefix(MODULE))
        for child in event.cpu_children:
            _add(microseconds, child, inside, forward_of)
        microseconds[*inside, "Python"] += round(event.self_cpu_time_total)
    else:
        microseconds[*inside, name.removeprefix("aten::")] += round(event.cpu_time_total)


def _modules_around(event: Any) -> Stack:
    modules: list[str] = []
    while event is not None:
        if event.name.startswith(MODULE):
            modules.insert(0, event.name.removeprefix(MODULE))
        event = event.cpu_parent
    return "model", *modules


@contextmanager
def _named_modules(model: nn.Module) -> Iterator[None]:
    """While it is open, what each module within `model` does stands below its name in a profile."""
    running: list[Any] = []

    def opening(name: str) -> Callable[..., None]:
        def enter(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            running.append(record_function(MODULE + name))
            running[-1].__enter__()

        return enter

    def leave(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        running.pop().__exit__(None, None, None)

    def watch(module: nn.Module, prefix: str = "") -> None:
        for name, child in module.named_children():
            if isinstance(child, (nn.ModuleList, nn.ModuleDict)):  # whose parts run, but not they themselves
                watch(child, f"{prefix}{name}.")
                continue
            hooks.enter_context(child.register_forward_pre_hook(opening(prefix + name)))
            hooks.enter_context(child.register_forward_hook(leave))
            watch(child)

    with ExitStack() as hooks:
        watch(model)
        yield


def table_of_parts(microseconds: Mapping[Stack, int]) -> list[list[str]]:
    """Rows of HEADERS: one for each of the model's own modules, the slowest first, and one for what is in none."""
    parts: dict[str, Counter[str]] = {}
    for (_, *modules, operator), time in microseconds.items():
        parts.setdefault(modules[0] if modules else "the rest", Counter())[operator] += time
    total = sum(operators.total() for operators in parts.values())
    rows = []
    for part, operators in sorted(parts.items(), key=lambda part: -part[1].total()):
        backward = sum(
            time for name, time in operators.items() if "Backward" in name or name.endswith("AccumulateGrad")
        )
        rows.append(
            [
                part,
                f"{(operators.total() - backward) / 1000:.0f}",
                f"{backward / 1000:.0f}",
                f"{100 * operators.total() / total:.1f}",
                ", ".join(f"{name} {time / 1000:.0f}" for name, time in operators.most_common(LARGEST)),
            ]
        )
    return rows


def flame_picture(microseconds: Mapping[Stack, int], title: str) -> str:
    """An SVG picture: the model on top, below each box what it is made of, as wide as it takes time."""
    total = sum(microseconds.values())
    parts = Counter[str]()
    for stack, time in microseconds.items():
        parts[stack[1]] += time
    colours = {name: COLOURS[number % len(COLOURS)] for number, (name, _) in enumerate(parts.most_common())}
    boxes: list[str] = []

    def draw(stacks: Mapping[Stack, int], name: str, left: float, depth: int, colour: str) -> None:
        width = WIDTH * sum(stacks.values()) / total
        if width < NARROWEST:
            return
        top, milliseconds = (depth + 1) * ROW, sum(stacks.values()) / 1000
        label = f"{name} {milliseconds:.0f} ms"
        letters = int(width / CHARACTER)
        shown = label if letters >= len(label) else name[:letters] if letters > 2 else ""
        boxes.append(
            f'<g><title>{escape(label)}</title><rect x="{left:.1f}" y="{top}" width="{max(width - 0.5, 0.5):.1f}" '
            f'height="{ROW - 1}" fill="{colour}"/><text x="{left + 3:.1f}" y="{top + 13}">{escape(shown)}</text></g>'
        )
        within: dict[str, dict[Stack, int]] = {}
        for stack, time in stacks.items():
            if stack:
                within.setdefault(stack[0], {})[stack[1:]] = time
        for child, inner in sorted(within.items(), key=lambda item: -sum(item[1].values())):
            draw(inner, child, left, depth + 1, colours[child] if depth == 0 else colour)
            left += WIDTH * sum(inner.values()) / total

    draw({stack[1:]: time for stack, time in microseconds.items()}, "model", 0.0, 0, "#eeeeee")
    height = (max(len(stack) for stack in microseconds) + 1) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11">\n<text x="3" y="13">{escape(title)}</text>\n' + "\n".join(boxes) + "\n</svg>\n"
    )
