"""Neurosurgeon's rule (Kang et al., ASPLOS 2017): regressed time of each layer by its type, best point of the chain.

The paper's rule takes the network as a chain, so a cut that several tensors cross is out of its reach, and predicts
both sides from regressions and not from what was measured of the cut itself. Given to it beyond the paper: our codes,
our codecs with their times, the round trip, and each side's fixed cost.
"""

from __future__ import annotations

from itertools import accumulate

from suture_models.manifest import Manifest
from suture_partitioner.types import LinkEstimate, Profile
from suture_partitioner.wire import Wire
from suture_protocol.errors import PlanError
from suture_simulators.experiments.rivals.costs import side_times
from suture_simulators.experiments.rivals.regression import layer_times


def neurosurgeon_cut(manifest: Manifest, edge: Profile, cloud: Profile, link: LinkEstimate) -> str:
    """The id of the cut that the rule takes.

    Raises:
        PlanError: the profiles share no cut that a single tensor crosses.
        CapabilityMissing: scipy is not installed.
    """
    predicted = neurosurgeon_times(manifest, edge, cloud, link)
    if not predicted:
        raise PlanError(f"Neurosurgeon's rule finds no cut of {manifest.network.name} that one tensor crosses")
    return min(predicted, key=predicted.__getitem__)


def neurosurgeon_times(manifest: Manifest, edge: Profile, cloud: Profile, link: LinkEstimate) -> dict[str, float]:
    """Cut → predicted seconds from the head's start to the result, for every cut within the rule's reach."""
    wire = Wire(manifest=manifest, edge=edge, cloud=cloud, link=link)
    edge_times, cloud_times = side_times(manifest, edge), side_times(manifest, cloud)
    on_edge, in_cloud = layer_times(manifest, edge_times), layer_times(manifest, cloud_times)
    head_s = list(accumulate((on_edge[node.name] for node in manifest.graph), initial=0.0))
    before_s = list(accumulate((in_cloud[node.name] for node in manifest.graph), initial=0.0))
    whole = len(manifest.graph)
    found: dict[str, float] = {}
    for cut in wire.usable():
        if cut.index == whole:
            found[cut.id] = edge_times.fixed_s + head_s[whole]
        elif len(cut.boundary) == 1:
            tail_s = cloud_times.fixed_s + before_s[whole] - before_s[cut.index]
            found[cut.id] = edge_times.fixed_s + head_s[cut.index] + wire.cut_s(cut) + tail_s
    return found
