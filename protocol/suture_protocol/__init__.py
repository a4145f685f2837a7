"""The wire: frames, the sans-IO session and the codecs. No socket, no grpc, no torch, no clock."""
