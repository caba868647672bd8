"""Control: a spiking Q-network acts in an environment, and what follows is its next input."""

from typing import Any

from host.workloads.contract import ENERGY, STEPS, Command, Metric

UNIT = "tick"
SHIPPED = "cartpole.safetensors"
KERNELS = ("lif", "li")
HEADS = ("affine",)
COMMANDS = {"control": Command("let a spiking Q-network act in an environment")}
ARGUMENT = "environment"
EXAMPLES = (
    ("control cartpole", "keep a pole up, in 8 bits"),
    ("control acrobot --batch 32", "32 episodes side by side"),
    ("control reach DECODER", "a decoder that moves a cursor"),
    ("control LunarLander-v3 MODEL", "any environment of gymnasium"),
)
SHIPPED_FOR = {"cartpole": "cartpole", "cartpole-v0": "cartpole", "acrobot": "acrobot"}
METRICS = {
    "return_mean": Metric(name="return_mean", label="return an episode", unit="", digits=1, better="high"),
    "solved": Metric(name="solved", label="episodes solved", unit="%", digits=0, better="high"),
    "time_to_target": Metric(name="time_to_target", label="time to the target", unit="s", digits=3, better="low"),
    "action_time": Metric(name="action_time", label="chip time an action", unit="ms", digits=3, better="low"),
    "action_time_timer": Metric(name="action_time_timer", label="with timer ticks", unit="ms", digits=2, better="low"),
    "missed": Metric(name="missed", label="deadlines missed, back to back", unit="%", digits=1, better="low"),
    "missed_timer": Metric(name="missed_timer", label="deadlines missed, timer ticks", unit="%", digits=1, better="low"),
    "action_energy": Metric(name="action_energy", label="chip energy an action", unit="mJ", digits=4, better="low"),
}
PRICED = {"action_energy": ENERGY, **dict.fromkeys(("action_time", "action_time_timer", "missed", "missed_timer"), STEPS)}


def shipped_for(options: Any) -> str:
    """Return the shipped model that acts in the options' environment; "" where none is."""
    name = SHIPPED_FOR.get(options.environment, "")
    return f"{name}{'-float' if options.bits == 'float' else ''}.safetensors" if name else ""
