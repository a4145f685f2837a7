"""The gRPC service by name, and the messages of its unary call; imports no grpc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from suture_protocol import wire_pb2

SERVICE: Final = "suture.v1.Suture"
SESSION_METHOD: Final = "Session"
PROFILE_METHOD: Final = "Profile"

#: The codec id of a picture sent as the file it came in: no codec, because only the cloud's intake can read it. It
#: carries the file's identifiers, so that a cloud accepts it only where it was started so (for experiments).
FILE_CODEC: Final = "file"


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudProfile:
    """The cloud's answer to a request for its profile: `ready` is False while it still measures."""

    ready: bool
    profile_json: str = ""


def encode_profile_request(bundle_digest: str) -> bytes:
    return bytes(wire_pb2.ProfileRequest(bundle_digest=bundle_digest).SerializeToString())


def decode_profile_request(data: bytes) -> str:
    """The bundle's digest.

    Raises:
        ValueError: not such a message.
    """
    try:
        return str(wire_pb2.ProfileRequest.FromString(data).bundle_digest)
    except DecodeError as error:
        raise ValueError("bytes that are no ProfileRequest") from error


def encode_profile_reply(profile: CloudProfile) -> bytes:
    return bytes(wire_pb2.ProfileReply(ready=profile.ready, profile_json=profile.profile_json).SerializeToString())


def decode_profile_reply(data: bytes) -> CloudProfile:
    """The cloud's answer.

    Raises:
        ValueError: not such a message.
    """
    try:
        reply = wire_pb2.ProfileReply.FromString(data)
    except DecodeError as error:
        raise ValueError("bytes that are no ProfileReply") from error
    return CloudProfile(ready=reply.ready, profile_json=reply.profile_json)
