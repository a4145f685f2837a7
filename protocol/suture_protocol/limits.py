"""Every bound that a peer's message is held to, each with the reason beside it. Constants only."""

from __future__ import annotations

from typing import Final

#: Tensors of one request. The widest boundary measured in the zoo is a U-Net's with six; a dense block that is cut
#: through carries a few dozen. 64 leaves room and keeps a header small.
MAX_TENSORS: Final = 64

#: Axes of one tensor: N, C, D, H, W are five; numpy itself allows 64.
MAX_AXES: Final = 8

#: Size of one axis. JPEG and JPEG-LS headers hold 16 bits; no axis of a network comes near.
MAX_AXIS: Final = 65_535

#: Elements of all tensors of one request together: a 4,096 × 4,096 radiograph is 2^24, a 1,024² U-Net boundary of 32
#: channels 2^25, a CT volume of 256 × 512 × 512 is 2^26.
MAX_ELEMENTS: Final = 1 << 26

#: Decoded bytes of all tensors of one request together: 2^26 float32 elements. Bounds the memory of one request
#: whatever its payload inflates to.
MAX_DECODED_BYTES: Final = 1 << 28

#: Bytes of one request's payload. A codec may add a little to what does not compress, so slightly above the decoded.
MAX_PAYLOAD_BYTES: Final = MAX_DECODED_BYTES + (1 << 20)

# --- The session: what one peer may make the other hold -------------------------------------------------------------

#: One frame on the wire, and so what parsing one may allocate. The largest frames are results, which are not cut into
#: chunks: a 1024 x 1024 mask of four classes in float32 has 16 MiB. (gRPC's own default, 4 MiB, is too small for that.)
MAX_FRAME_BYTES: Final = 32 * 1024 * 1024

#: Bytes of one chunk: 16 of them carry the largest payload that a session takes by default. Chunks serve to overlap
#: sending with receiving, and larger ones would only add latency.
MAX_CHUNK_BYTES: Final = 4 * 1024 * 1024

#: One frame from an edge: the largest chunk and its envelope, or a Start. Smaller than a result's frame, because a peer
#: may fill it with millions of empty fields, each of which costs far more memory parsed than its two bytes.
MAX_EDGE_FRAME_BYTES: Final = MAX_CHUNK_BYTES + 64 * 1024

#: What a cloud takes as one request's payload unless it is set otherwise. A full-size CR study (2446 x 2010, 16 bit)
#: is 10 MB and a 64 x 256 x 256 volume of uint16 8 MB; a multi-frame DICOM file sent whole is the largest of all.
SESSION_PAYLOAD_BYTES: Final = 64 * 1024 * 1024

#: Payloads of all requests of one session on their way at a time: two of the largest, or a hundred usual ones.
SESSION_BUFFERED_BYTES: Final = 2 * SESSION_PAYLOAD_BYTES

#: Requests of one session started and not yet answered. A unit computes its heads one after the other, so 32 fill the
#: longest round trip; HTTP/2 recommends to allow at least 100 streams (RFC 9113, section 6.5.2), which cost more each.
SESSION_REQUESTS: Final = 32

#: Pings of one session not yet answered: at four a second 16 s of silence, long after the path was declared dead.
MAX_PINGS: Final = 64

#: Padding of one ping: a few of them measure an idle link, and none may become a way to send bulk past the limits.
MAX_PADDING_BYTES: Final = 16 * 1024

#: Bundles that a cloud names in its Welcome, so that a Welcome stays well below a megabyte.
MAX_BUNDLES: Final = 1024

#: Chunk arrivals reported with a result: a payload in 16 chunks needs 16; peers may cut finer.
MAX_ARRIVALS: Final = 4096

#: Ids, digests, keys and names. A SHA-256 digest has 64 characters; cut ids join node names and grow with the boundary.
MAX_ID_CHARS: Final = 1024

#: A refusal's message: a few sentences, and a list of bundles where one is unknown.
MAX_MESSAGE_CHARS: Final = 8192

#: Entries of a codec's configuration; ours have two at most.
MAX_CODEC_CONFIG: Final = 16
