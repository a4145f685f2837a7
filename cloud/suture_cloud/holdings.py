"""The bundles that this cloud holds, by digest, and how a person is told of them."""

from __future__ import annotations

from collections.abc import Iterable

from suture_models.bundle import Bundle
from suture_models.manifest import Variant
from suture_models.tables import BundleTables
from suture_protocol import codes
from suture_protocol.errors import Refused, UsageError
from suture_protocol.events import BundleInfo
from suture_protocol.limits import MAX_BUNDLES

_SHORT = 12
_NAMED_AT_MOST = 20


class Holdings:
    """Several bundles at a time, as rolling updates need.

    Raises:
        UsageError: none, or more than a Welcome can name.
    """

    def __init__(self, bundles: Iterable[Bundle]) -> None:
        self._bundles = {bundle.digest: bundle for bundle in bundles}
        self._tables: dict[tuple[str, str], BundleTables] = {}
        if not self._bundles:
            raise UsageError("the cloud needs a bundle; give one with --bundle (`suture build NETWORK` makes it)")
        if len(self._bundles) > MAX_BUNDLES:
            raise UsageError(f"{len(self._bundles)} bundles are more than the {MAX_BUNDLES} that one cloud may hold")

    def infos(self) -> tuple[BundleInfo, ...]:
        """What a Welcome says of them."""
        return tuple(BundleInfo(digest=b.digest, network=b.name) for b in self._bundles.values())

    def tables(self, bundle: Bundle, variant: Variant | None) -> BundleTables:
        """The codec tables of a bundle's variant, kept once they were read."""
        key = (bundle.digest, "" if variant is None else variant.id)
        return self._tables.setdefault(key, BundleTables(bundle, variant))

    def get(self, digest: str, *, request_id: int = 0) -> Bundle:
        """The bundle of that digest.

        Raises:
            Refused: not held here (code `unknown_bundle`); the message names what each side has.
        """
        try:
            return self._bundles[digest]
        except KeyError:
            pass
        have = [f"{b.name} {b.digest[:_SHORT]}" for b in list(self._bundles.values())[:_NAMED_AT_MOST]]
        more = len(self._bundles) - len(have)
        listed = ", ".join(have) + (f" and {more} more" if more else "")
        raise Refused(
            codes.UNKNOWN_BUNDLE,
            f"the edge has bundle {digest[:_SHORT]}, the cloud has {listed}; "
            "give both sides the same bundle (`suture inspect BUNDLE` shows its digest)",
            request_id=request_id,
        )
