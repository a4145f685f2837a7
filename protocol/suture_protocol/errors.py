"""The error tree of the whole project; every error a user can meet is one of these.

SutureError
├── InputRefused              an input cannot be used: names the file and says why (exit status 1)
├── UsageError                the command or a setting is wrong (exit status 2)
├── BundleError               a bundle is missing, damaged or does not fit what was asked of it
├── CapabilityMissing         this machine or installation lacks something; says how to get it
├── LinkError                 the path to the cloud failed
├── CodecError                a payload does not decode to what its header declares
├── PlanError                 no plan satisfies the constraints; says which one to relax
└── ProtocolError             someone broke the wire protocol
    ├── LocalProtocolError    we tried to
    ├── RemoteProtocolError   the peer did
    └── Refused               the peer declined, with a code and a reason (a version, an unknown bundle, a limit)
"""

from __future__ import annotations


class SutureError(Exception):
    """Base of all errors that carry a message meant for a person."""


class InputRefused(SutureError):
    """An input (file, dataset, array) that cannot be used, with the reason in one line.

    Args:
        name: The file or object concerned, as the user knows it.
        reason: What is wrong with it, and what to do where that is known.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class UsageError(SutureError):
    """The command line, a configuration file or a setting is wrong."""


class BundleError(SutureError):
    """A bundle is missing, damaged, or lacks what was asked of it."""


class CapabilityMissing(SutureError):
    """This machine or installation lacks something; the message says how to get it."""


class LinkError(SutureError):
    """The path to the peer failed or never came up."""


class CodecError(SutureError):
    """A payload does not decode to what its header declares."""


class PlanError(SutureError):
    """No plan satisfies the constraints; the message says which one to relax.

    Args:
        message: For a person.
        relax: The ways out, each the names of constraints to relax together, no more than needed; those of a single
            constraint first. Empty where relaxing does not help.
    """

    def __init__(self, message: str, *, relax: tuple[tuple[str, ...], ...] = ()) -> None:
        super().__init__(message)
        self.relax = relax


class ProtocolError(SutureError):
    """Someone broke the wire protocol."""


class LocalProtocolError(ProtocolError):
    """This side tried to send what the protocol does not allow now."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol does not allow now."""


class Refused(ProtocolError):
    """The peer declined a connection or a request.

    Args:
        code: One of the wire's refusal codes, lower case (`version`, `unknown_bundle`, `limit`, …).
        message: What each side has, for a person.
        request_id: The request concerned, or 0 for the whole connection.
    """

    def __init__(self, code: str, message: str, *, request_id: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id
