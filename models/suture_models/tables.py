"""The codec tables that a bundle carries for what crosses its cuts: where they lie, and reading them. Torch-free."""

from __future__ import annotations

from typing import Final

from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, TensorSpec, Variant
from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.tables import TensorTables
from suture_protocol.codecs.tablesfile import TablesFile
from suture_protocol.errors import BundleError, CodecError

#: The role of the file among a variant's.
TABLES_ROLE: Final = "tables"
#: The largest that is read: some 50 KB a tensor, and a network has a few hundred at most.
MOST_FILE_BYTES: Final = 64 * 1024 * 1024

CutTables = tuple[TensorTables | None, ...]


def tables_key(variant: Variant, cut: Cut, tensor: TensorSpec) -> str:
    """Under which name a tensor's tables lie: that of its quantiser, since codes are what they are about."""
    own = f"{cut.id}:{tensor.name}"
    return own if own in variant.quant else tensor.name


class BundleTables:
    """The tables of one variant; the file is opened when a cut is first asked for.

    Raises:
        BundleError: by `of`, where the file is missing, damaged or does not fit the bundle.
    """

    def __init__(self, bundle: Bundle, variant: Variant | None) -> None:
        self._bundle, self._variant = bundle, variant
        self._file: TablesFile | None = None

    def of(self, cut: Cut) -> CutTables:
        """The tables of the tensors that cross `cut`, in their order; empty where the bundle has none for it."""
        variant = self._variant
        if variant is None or TABLES_ROLE not in variant.files or cut.id in (INPUT_CUT, LAST_CUT):
            return ()
        tables = self._opened(variant)
        found = []
        for tensor in cut.boundary:
            try:
                entry = tables.tensor(tables_key(variant, cut, tensor))
            except CodecError as error:
                raise BundleError(f"bundle {self._bundle.path}: {error}; build it again") from error
            if entry is not None and entry.shape != tensor.shape:
                message = f"its codec tables for {tensor.name} are of shape {entry.shape}, the tensor {tensor.shape}"
                raise BundleError(f"bundle {self._bundle.path}: {message}; build it again")
            found.append(entry)
        return tuple(found) if any(entry is not None for entry in found) else ()

    def given_to(self, codec: Codec, cut: Cut) -> Codec:
        """`codec` with the tables of `cut`, if it uses any; raises as `of` does."""
        return codec.with_tables(self.of(cut)) if codec.tabled else codec

    def _opened(self, variant: Variant) -> TablesFile:
        if self._file is None:
            artefact = variant.files[TABLES_ROLE]
            path = self._bundle.file(artefact)
            if path.stat().st_size > MOST_FILE_BYTES:
                raise BundleError(f"{path} is larger than any codec tables; build the bundle again")
            try:
                self._file = TablesFile(path.read_bytes())
            except CodecError as error:
                raise BundleError(f"{path}: {error}; build the bundle again") from error
        return self._file
