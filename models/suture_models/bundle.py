"""A bundle on disk: opening it, checking its files, its digest. Torch-free.

A bundle is a directory with `manifest.json`, the float program (`program.json`, `weights.safetensors`) and the
engines' artefacts. Its digest is the SHA-256 of the canonical manifest, which names every executable file by its own
SHA-256; annotations (accuracy, privacy, profiles) lie beside it in other files and do not change it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from suture_models.manifest import ArtefactFile, Cut, Manifest, Variant, manifest_from_json
from suture_protocol.errors import BundleError

MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """An opened bundle. `digest` is 64 hexadecimal digits."""

    path: Path
    manifest: Manifest
    digest: str
    _verified: set[str] = field(default_factory=set, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.manifest.network.name

    def file(self, artefact: ArtefactFile) -> Path:
        """The path of `artefact`, its SHA-256 checked on first use.

        Raises:
            BundleError: the file is missing, lies outside the bundle, or is not what the manifest names.
        """
        path = (self.path / artefact.path).resolve()
        if not path.is_relative_to(self.path.resolve()):
            raise BundleError(f"bundle {self.path}: {artefact.path} points outside the bundle")
        if artefact.path not in self._verified:
            if not path.is_file():
                raise BundleError(f"bundle {self.path}: {artefact.path} is missing; build or copy the bundle again")
            if sha256_file(path) != artefact.sha256:
                raise BundleError(f"bundle {self.path}: {artefact.path} was changed since the build; build it again")
            self._verified.add(artefact.path)
        return path

    def cut(self, cut_id: str) -> Cut:
        """The cut named `cut_id`.

        Raises:
            BundleError: there is none; the message says how to see those there are.
        """
        try:
            return self.manifest.cut(cut_id)
        except KeyError:
            message = f"bundle {self.name} has no cut {cut_id!r}; `suture inspect {self.path}` lists them"
            raise BundleError(message) from None

    def variant(self, variant_id: str) -> Variant:
        """The variant named `variant_id`.

        Raises:
            BundleError: there is none; the message lists those there are.
        """
        try:
            return self.manifest.variant(variant_id)
        except KeyError:
            have = ", ".join(v.id for v in self.manifest.variants) or "none"
            raise BundleError(f"bundle {self.name} has no artefact {variant_id!r}; it has: {have}") from None


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def open_bundle(path: Path) -> Bundle:
    """Opens the bundle in directory `path`; artefacts are checked when first used.

    Raises:
        BundleError: no bundle there, or its manifest cannot be read.
    """
    manifest_path = path / MANIFEST_NAME
    try:
        text = manifest_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is not a bundle ({error}); make one with `suture build NETWORK`") from error
    try:
        manifest = manifest_from_json(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{manifest_path}: {error}; build or copy the bundle again") from error
    return Bundle(path=path, manifest=manifest, digest=hashlib.sha256(text.encode()).hexdigest())
