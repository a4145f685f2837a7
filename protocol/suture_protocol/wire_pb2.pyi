from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTINE: _ClassVar[Priority]
    URGENT: _ClassVar[Priority]
    STAT: _ClassVar[Priority]

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INFER: _ClassVar[Kind]
    EXPLAIN: _ClassVar[Kind]
ROUTINE: Priority
URGENT: Priority
STAT: Priority
INFER: Kind
EXPLAIN: Kind

class Frame(_message.Message):
    __slots__ = ("hello", "welcome", "start", "chunk", "cancel", "result", "refusal", "ping", "pong")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    welcome: Welcome
    start: Start
    chunk: Chunk
    cancel: Cancel
    result: Result
    refusal: Refusal
    ping: Ping
    pong: Pong
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., start: _Optional[_Union[Start, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("version_min", "version_max", "software")
    VERSION_MIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_MAX_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    version_min: int
    version_max: int
    software: str
    def __init__(self, version_min: _Optional[int] = ..., version_max: _Optional[int] = ..., software: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("version", "software", "bundles", "device", "limits")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    version: int
    software: str
    bundles: _containers.RepeatedCompositeFieldContainer[BundleInfo]
    device: str
    limits: Limits
    def __init__(self, version: _Optional[int] = ..., software: _Optional[str] = ..., bundles: _Optional[_Iterable[_Union[BundleInfo, _Mapping]]] = ..., device: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_requests", "max_payload_bytes", "max_buffered_bytes")
    MAX_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MAX_PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BUFFERED_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_requests: int
    max_payload_bytes: int
    max_buffered_bytes: int
    def __init__(self, max_requests: _Optional[int] = ..., max_payload_bytes: _Optional[int] = ..., max_buffered_bytes: _Optional[int] = ...) -> None: ...

class BundleInfo(_message.Message):
    __slots__ = ("digest", "network")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    digest: str
    network: str
    def __init__(self, digest: _Optional[str] = ..., network: _Optional[str] = ...) -> None: ...

class TensorHeader(_message.Message):
    __slots__ = ("shape", "dtype", "payload_bytes")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    payload_bytes: int
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ..., payload_bytes: _Optional[int] = ...) -> None: ...

class Start(_message.Message):
    __slots__ = ("request_id", "idempotency_key", "kind", "bundle_digest", "cut_id", "variant_id", "codec", "codec_config", "tensors", "priority", "deadline_s", "upload_offset", "study_key")
    class CodecConfigEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CUT_ID_FIELD_NUMBER: _ClassVar[int]
    VARIANT_ID_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    CODEC_CONFIG_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_OFFSET_FIELD_NUMBER: _ClassVar[int]
    STUDY_KEY_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    idempotency_key: str
    kind: Kind
    bundle_digest: str
    cut_id: str
    variant_id: str
    codec: str
    codec_config: _containers.ScalarMap[str, str]
    tensors: _containers.RepeatedCompositeFieldContainer[TensorHeader]
    priority: Priority
    deadline_s: float
    upload_offset: int
    study_key: str
    def __init__(self, request_id: _Optional[int] = ..., idempotency_key: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., bundle_digest: _Optional[str] = ..., cut_id: _Optional[str] = ..., variant_id: _Optional[str] = ..., codec: _Optional[str] = ..., codec_config: _Optional[_Mapping[str, str]] = ..., tensors: _Optional[_Iterable[_Union[TensorHeader, _Mapping]]] = ..., priority: _Optional[_Union[Priority, str]] = ..., deadline_s: _Optional[float] = ..., upload_offset: _Optional[int] = ..., study_key: _Optional[str] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("request_id", "offset", "data", "last")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    offset: int
    data: bytes
    last: bool
    def __init__(self, request_id: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., last: _Optional[bool] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    def __init__(self, request_id: _Optional[int] = ...) -> None: ...

class NamedTensor(_message.Message):
    __slots__ = ("name", "shape", "dtype", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    data: bytes
    def __init__(self, name: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Arrival(_message.Message):
    __slots__ = ("offset_end", "at_s")
    OFFSET_END_FIELD_NUMBER: _ClassVar[int]
    AT_S_FIELD_NUMBER: _ClassVar[int]
    offset_end: int
    at_s: float
    def __init__(self, offset_end: _Optional[int] = ..., at_s: _Optional[float] = ...) -> None: ...

class LoadReport(_message.Message):
    __slots__ = ("routine_wait_s", "stat_wait_s", "service_s", "tail_ratio", "utilisation", "requests", "units")
    ROUTINE_WAIT_S_FIELD_NUMBER: _ClassVar[int]
    STAT_WAIT_S_FIELD_NUMBER: _ClassVar[int]
    SERVICE_S_FIELD_NUMBER: _ClassVar[int]
    TAIL_RATIO_FIELD_NUMBER: _ClassVar[int]
    UTILISATION_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    routine_wait_s: float
    stat_wait_s: float
    service_s: float
    tail_ratio: float
    utilisation: float
    requests: int
    units: int
    def __init__(self, routine_wait_s: _Optional[float] = ..., stat_wait_s: _Optional[float] = ..., service_s: _Optional[float] = ..., tail_ratio: _Optional[float] = ..., utilisation: _Optional[float] = ..., requests: _Optional[int] = ..., units: _Optional[int] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("request_id", "outputs", "receive_s", "queue_s", "decode_s", "tail_s", "server_s", "arrivals", "load")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_S_FIELD_NUMBER: _ClassVar[int]
    QUEUE_S_FIELD_NUMBER: _ClassVar[int]
    DECODE_S_FIELD_NUMBER: _ClassVar[int]
    TAIL_S_FIELD_NUMBER: _ClassVar[int]
    SERVER_S_FIELD_NUMBER: _ClassVar[int]
    ARRIVALS_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    outputs: _containers.RepeatedCompositeFieldContainer[NamedTensor]
    receive_s: float
    queue_s: float
    decode_s: float
    tail_s: float
    server_s: float
    arrivals: _containers.RepeatedCompositeFieldContainer[Arrival]
    load: LoadReport
    def __init__(self, request_id: _Optional[int] = ..., outputs: _Optional[_Iterable[_Union[NamedTensor, _Mapping]]] = ..., receive_s: _Optional[float] = ..., queue_s: _Optional[float] = ..., decode_s: _Optional[float] = ..., tail_s: _Optional[float] = ..., server_s: _Optional[float] = ..., arrivals: _Optional[_Iterable[_Union[Arrival, _Mapping]]] = ..., load: _Optional[_Union[LoadReport, _Mapping]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("request_id", "code", "message")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    code: str
    message: str
    def __init__(self, request_id: _Optional[int] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("nonce", "padding")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    padding: bytes
    def __init__(self, nonce: _Optional[int] = ..., padding: _Optional[bytes] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("nonce", "load")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    load: LoadReport
    def __init__(self, nonce: _Optional[int] = ..., load: _Optional[_Union[LoadReport, _Mapping]] = ...) -> None: ...

class ProfileRequest(_message.Message):
    __slots__ = ("bundle_digest",)
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    bundle_digest: str
    def __init__(self, bundle_digest: _Optional[str] = ...) -> None: ...

class ProfileReply(_message.Message):
    __slots__ = ("ready", "profile_json")
    READY_FIELD_NUMBER: _ClassVar[int]
    PROFILE_JSON_FIELD_NUMBER: _ClassVar[int]
    ready: bool
    profile_json: str
    def __init__(self, ready: _Optional[bool] = ..., profile_json: _Optional[str] = ...) -> None: ...
