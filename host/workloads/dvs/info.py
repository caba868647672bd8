"""What `launch.py info` says of a gesture classifier."""

from host.show.entries import list_entries, plain_text
from models.checkpoint import Model


def describe(model: Model) -> list[tuple[str, str]]:
    """Return frames, head and read-out of a checkpoint that is a gesture classifier, as rows of label and text."""
    gesture = model.gesture
    if gesture is None:
        return []
    steps = [f"{gesture.size} x {gesture.size}"]
    for layer, width in zip(gesture.head, gesture.widths[1:], strict=True):
        out, _, kernel, _ = layer.weight.shape
        pool = ", pool" if layer.pool else ""
        steps.append(f"conv {kernel} x {kernel}, stride {layer.stride}, padding {layer.padding}{pool}: {out} of {width} x {width}")
    heard = f"trace {gesture.trace:g} of its events" if gesture.trace else "events"
    bins, length = f"{gesture.frames} of {gesture.bin_us / 1000:g} ms", f"slices of {gesture.slice_us / 1e6:g} s"
    relu = ", ReLU" if gesture.feature_relu else ""
    return [
        ("frames", f"{bins} ({length}), polarity {gesture.polarity}, divided by {gesture.scale:g}"),
        ("head", " > ".join([*steps, f"linear{relu}: {gesture.features:,} features"])),
        ("read-out", f"{len(gesture.classes)} classes of {gesture.units:,} units; mean over time of the last layer's {heard}"),
        ("classes", ", ".join(map(plain_text, gesture.classes))),
        *list_entries("record", gesture.record),
    ]
