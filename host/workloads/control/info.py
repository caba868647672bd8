"""What `launch.py info` says of a Q-network."""

from models.checkpoint import Model
from models.checkpoint.tasks.control import PART
from models.control.policy import Policy


def describe(model: Model) -> list[tuple[str, str]]:
    """Return a Q-network's task, input and returns, as rows of label and text."""
    policy = model.parts.get(PART)
    if not isinstance(policy, Policy):
        return []
    scale = ", ".join(f"{value:g}" for value in policy.scale)
    rows = [
        ("acts in", f"{policy.environment}: {len(policy.scale)} numbers observed, {policy.actions} actions"),
        ("input", f"a pair of units a number, which is divided by {scale} and clipped"),
        ("ticks", f"{policy.ticks} an action"),
    ]
    torch = policy.record.get("torch")
    if isinstance(torch, dict) and isinstance(torch.get("returns"), list) and torch["returns"]:
        returns = torch["returns"]
        rows.append(
            ("returns", f"{sum(returns) / len(returns):.1f} on {len(returns)} fresh episodes in torch, worst {min(returns):g}")
        )
    return rows
