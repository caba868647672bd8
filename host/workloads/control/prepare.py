"""From the options of `control` to a job: which Q-network in which environment. User errors are refused here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import Exit, HostError
from host.mapping.placement import Placement
from host.workloads.contract import Job
from host.workloads.control import SHIPPED_FOR, shipped_for
from host.workloads.control.agents import Agent, DecoderAgent, QAgent
from host.workloads.control.loop import ControlLoop
from host.workloads.control.options import DEFAULT_STEPS, Options
from host.workloads.control.recorded_lanes import RecordedLanes, read_recording
from host.workloads.control.results import Setting
from host.workloads.rows_in_dram import RowsInDram
from host.workloads.section_events import sending_of
from host.workloads.site import load_model, model_path, new_dram, only_ends, paths_of, place_for_run
from models.checkpoint import Model
from models.checkpoint.tasks.control import PART
from models.control.encoding import LEVELS
from models.control.environments import lanes_of, reach, same_rules, task_named
from models.control.policy import Policy
from models.control.q_network import in_8_bits
from models.control.task import EnvironmentLanes, Task
from models.kernels import ticks_of
from models.network import Array, Network


def prepare(options: Options) -> Job:
    """Build the job; HostError, ModelError or ChipError, one line each, for what cannot be run."""
    task = task_named(options.environment)
    path, model, title = _open_model(options, task)
    agent: Agent
    record: Mapping[str, Any]
    if task.continuous:
        network, agent = _decoder(model, options, task, title), DecoderAgent(model)
        ticks, record = 1, {}
    else:
        policy = _policy_of(model, task, title)
        network, agent = _as_asked(model.network, options, title), QAgent(policy)
        ticks, record = options.ticks or policy.ticks, policy.record
    into, output = network.inputs[0], network.output
    placement = _placed(options, network, model)
    recording = None if options.replay is None else read_recording(Path(options.replay), task.observations)
    setting = _setting(options, task, recording, ticks=ticks, record=record)
    dram = new_dram(placement.chip)
    population = network.populations[into]
    rows = RowsInDram(dram, "observations", options.batch, population.units, population.payload)
    environments = _environments(options, task, recording)
    sending = sending_of(network.populations[output], options.batch)
    loop = ControlLoop(setting, environments, agent, observations=rows, sending=sending, into=into, lanes=options.batch)
    return Job(
        options=options, placement=placement, source=loop, readout=loop, dram=dram, title=f"{title} in {task.name}",
        inputs=paths_of(checkpoint=path, recording=options.replay, neurons=options.neurons),
        facts={"gymnasium": task.gymnasium, "bits": options.bits, "encode": options.encode},
        shown={
            "environment": task.name, "actions": task.actions, "episodes": setting.episodes, "limit": setting.steps,
            "ticks": setting.ticks, "deadline_s": task.period_s, "solved": task.solved_return,
            "timer_s": (setting.ticks + len(network.layers) - 1) * setting.timer_s,
        },
    )  # fmt: skip


def _open_model(options: Options, task: Task) -> tuple[Path | None, Model, str]:
    """Return the Q-network's file, the model and a title; HostError where none is shipped for the environment, or random
    weights are asked for.
    """
    shipped = shipped_for(options)
    if options.checkpoint is None and not shipped:
        train = f"`python -m models.training control {task.name} --out DIR` makes one"
        raise HostError(f"control {task.name}: needs MODEL; shipped are those of {', '.join(SHIPPED_FOR)}; {train}")
    path = model_path(options.checkpoint, shipped)
    if path is None:
        raise HostError("control: random weights act at random; needs MODEL, a Q-network")
    title = (
        path.name
        if options.checkpoint is not None
        else f"the trained Q-network, {options.bits} bits".replace("float bits", "float")
    )
    return path, load_model(path), title


def _placed(options: Options, network: Network, model: Model) -> Placement:
    """Place the network on as many PEs as the options say, or on one a layer, or where that is too few on as few as fit."""
    if options.pes is None:
        try:
            return place_for_run(replace(options, pes=len(network.layers)), network, model.provenance)
        except HostError as error:
            if error.code is not Exit.DOES_NOT_FIT:
                raise
    return place_for_run(options, network, model.provenance)


def _environments(options: Options, task: Task, recording: Mapping[str, Array] | None) -> EnvironmentLanes:
    """Return the environments, or the recorded episodes in their place."""
    if options.neurons is not None and not task.continuous:
        raise HostError(f"--neurons {options.neurons}: goes with reach; {task.name} has none")
    if recording is not None:
        return RecordedLanes(recording, options.batch)
    settings = {} if options.neurons is None else {"neurons": reach.read_neurons(Path(options.neurons))}
    return lanes_of(task, options.batch, **settings)


def _decoder(model: Model, options: Options, task: Task, title: str) -> Network:
    """Return the network of an EGRU regressor that observes and acts as the task does; HostError for another model or options."""
    if PART in model.parts or model.embedding is not None or model.gesture is not None:
        raise HostError(
            f"checkpoint {title}: is no decoder; {task.name} needs layers with a linear front end and head, as EvNN saves them"
        )
    for flag, given in (
        ("--ticks", options.ticks),
        ("--encode poisson", options.encode != "current" or None),
        ("--carry", options.carry or None),
    ):
        if given is not None:
            raise HostError(f"{flag}: goes with Q-networks of spikes; a decoder takes one step an action and keeps its state")
    into, output = only_ends(model.network, title)
    heard = model.front[0].inputs if model.front else model.network.populations[into].units
    made = model.head[-1].outputs if model.head else model.network.populations[output].units // (2 if model.twins else 1)
    if (heard, made) != (task.observations, task.actions):
        raise HostError(
            f"checkpoint {title}: hears {heard} numbers and says {made}; {task.name} has {task.observations} and {task.actions}"
        )
    return model.network


def _policy_of(model: Model, task: Task, title: str) -> Policy:
    """Return the model's policy; HostError where it has none, or one of another task."""
    policy = model.parts.get(PART)
    if not isinstance(policy, Policy):
        raise HostError(
            f"checkpoint {title}: is no Q-network of `python -m models.training control`; `launch.py run` runs any network"
        )
    have = f"trained for {policy.environment}, {len(policy.scale)} numbers observed and {policy.actions} actions"
    if (len(policy.scale), policy.actions) != (task.observations, task.actions):
        raise HostError(f"checkpoint {title}: {have}; {task.name} has {task.observations} and {task.actions}")
    if not same_rules(policy.environment, task.name):
        raise HostError(f"checkpoint {title}: {have}; its numbers mean nothing in {task.name}")
    return policy


def _as_asked(network: Network, options: Options, title: str) -> Network:
    """Return the network with weights and input as the options say; HostError for one that is no Q-network of spikes."""
    into, output = network.populations[network.inputs[0]], network.populations[network.output]
    if len(network.inputs) > 1 or into.payload != "count" or into.dense or len(network.outputs) > 1:
        raise HostError(f"checkpoint {title}: needs one input of counts and one output")
    if any(ticks_of(network.populations[n].kernel, network.populations[n].params) > 1 for n in network.layers) or not output.dense:
        raise HostError(f"checkpoint {title}: needs neurons of one tick and a readout that sends every unit's number")
    held = all(weights.numeric == "int8" for weights in network.weights)
    if options.bits == "float" and held:
        raise HostError(f"--bits float: checkpoint {title} has int8 weights; name the file of float32 weights")
    if options.bits == "8" and not held:
        network = in_8_bits(network)
    return _with_spikes(network) if options.encode == "poisson" else network


def _with_spikes(network: Network) -> Network:
    """Return the network with an input of spikes: who hears it takes a spike for a count of 256, so its numbers are 1/256."""
    into, populations = network.inputs[0], list(network.populations)
    populations[into] = replace(populations[into], payload="spike")
    scaled = ("bias", "threshold", "leak", "reset", "start")
    for number in network.listeners(into):
        if network.sources(number) != (into,):
            raise HostError(f"--encode poisson: {populations[number].name} hears more than the observation")
        vectors = dict(populations[number].vectors)
        for name in scaled:
            if name in vectors:
                vectors[name] = np.asarray(vectors[name] * np.float32(1 / LEVELS), np.float32)
        populations[number] = replace(populations[number], vectors=vectors)
    return replace(network, populations=tuple(populations))


def _setting(
    options: Options, task: Task, recording: Mapping[str, Array] | None, *, ticks: int, record: Mapping[str, Any]
) -> Setting:
    limit = options.steps or task.limit_steps or DEFAULT_STEPS
    if task.limit_steps:
        limit = min(limit, task.limit_steps)
    episodes, seed = options.episode_count, options.seed
    if recording is not None:
        have = len(recording["lengths"])
        if (options.episodes or 0) > have:
            raise HostError(f"--episodes {options.episodes}: --replay {options.replay} has {have}")
        if options.batch > have:
            raise HostError(f"--batch {options.batch}: --replay {options.replay} has {have} episodes")
        episodes, seed, limit = options.episodes or have, 0, int(recording["lengths"].max())
    return Setting(
        environment=task.name, episodes=episodes, seed=seed, steps=limit, ticks=ticks,
        poisson=options.encode == "poisson", carry=options.carry or task.continuous,
        observations=task.observations, actions=task.actions, solved_by_end=task.solved_by_end,
        solved_return=task.solved_return, period_s=task.period_s, timer_s=options.timer_us / 1e6, record=record,
    )  # fmt: skip
