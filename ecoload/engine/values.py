"""The `${…}` language at run time: from the parsed AST to fast calls.

Rules
-----
- A VU's values are a list; every name is an index into it, fixed when the scenario is compiled.
- Functions are pure: `uuid`, `random_int` and `random_string` follow from seed, run id, VU, iteration
  and the place of the call, so that the ids of a lost second can be computed again.
- Whatever reaches a path, a query or a header is escaped or refused there (`Unsafe`), whoever wrote it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ecoload.guard.text import header_value_ok, path_segment
from ecoload.plan import Array, Call, Object, Ref, Text
from ecoload.spec.functions import PURE, as_text

Values = list[Any]
Getter = Callable[[Values], Any]

VU, ITERATION, RECORD, FIRST_FREE = 0, 1, 2, 3
_MASK62 = (1 << 62) - 1
_ODD = 0xD1342543DE82EF95 & _MASK62 | 1


LEAST_SECRET = 4


class Unsafe(Exception):
    """A value that must not go where the template puts it; the request is not sent."""


def _spellings(secret: str) -> Iterator[bytes]:
    """How a secret may stand in a body, a URL or a header."""
    if len(secret) < LEAST_SECRET:
        return
    plain = secret.encode("utf-8", "surrogateescape")
    yield from dict.fromkeys((plain, quote(plain, safe="").encode()))
    with suppress(UnicodeEncodeError):
        yield secret.encode("latin-1")


class Scope:
    """Which name lives where in a VU's values, and the constants of a run."""

    def __init__(
        self,
        *,
        seed: int,
        run_id: str,
        protocol: Mapping[str, str],
        env: Mapping[str, str],
        secrets: Mapping[str, str],
    ) -> None:
        self.seed = seed
        self.run_id = run_id
        self._constants: dict[tuple[str, ...], Any] = {("run", "id"): run_id}
        self._constants |= {("protocol", k): v for k, v in protocol.items()}
        self._constants |= {("env", k): v for k, v in env.items()}
        self._constants |= {("secret", k): v for k, v in secrets.items()}
        self.secrets = tuple(spelling for value in secrets.values() for spelling in _spellings(value))
        """What the secrets look like in a request; those too short to be told from other text left out."""
        self._slots: dict[str, int] = {}
        self._calls = 0
        digest = hashlib.sha256(f"{seed}:{run_id}".encode()).hexdigest()
        self._uuid_prefix = f"{digest[:8]}-{digest[8:12]}-8{digest[12:15]}-"
        self._random_base = int(digest[16:32], 16)

    def slot(self, name: str) -> int:
        """The index of a `let`, capture or setup value; made at first use."""
        return self._slots.setdefault(name, FIRST_FREE + len(self._slots))

    @property
    def size(self) -> int:
        return FIRST_FREE + len(self._slots)

    def getter(self, value: Any) -> Getter:
        """A function from values to the value of any template; constants are folded."""
        if isinstance(value, Ref):
            return self._name(value.name)
        if isinstance(value, Call):
            return self._call(value)
        if isinstance(value, Text):
            return self._text(value)
        if isinstance(value, Object):
            members = [(key, self.getter(item)) for key, item in value.items]
            return lambda v: {key: item(v) for key, item in members}
        if isinstance(value, Array):
            items = [self.getter(item) for item in value.items]
            return lambda v: [item(v) for item in items]
        return lambda v: value

    def constant(self, value: Any) -> bool:
        """True where a template has the same value in every request of a run."""
        if isinstance(value, Ref):
            return value.name in self._constants
        if isinstance(value, Call):
            return value.function in PURE and all(map(self.constant, value.arguments))
        if isinstance(value, Text):
            return all(map(self.constant, value.parts))
        if isinstance(value, Object):
            return all(self.constant(item) for _, item in value.items)
        if isinstance(value, Array):
            return all(map(self.constant, value.items))
        return True

    def _text(self, text: Text) -> Getter:
        if len(text.parts) == 2 and isinstance(text.parts[0], str):
            # By far the most common: a prefix and one value.
            prefix, get = text.parts[0], self.getter(text.parts[1])
            return lambda v: prefix + as_text(get(v))
        parts = [self.getter(part) for part in text.parts]
        return lambda v: "".join([as_text(part(v)) for part in parts])

    def _name(self, name: tuple[str, ...]) -> Getter:
        if name in self._constants:
            constant = self._constants[name]
            return lambda v: constant
        if name == ("vu",):
            return lambda v: v[VU]
        if name == ("iteration",):
            return lambda v: v[ITERATION]
        if name[0] == "data":
            keys = name[1:]
            if len(keys) == 1:
                key = keys[0]
                return lambda v: v[RECORD][key]
            return lambda v: _dig(v[RECORD], keys)
        slot = self.slot(name[0])
        return lambda v: v[slot]

    def _call(self, call: Call) -> Getter:
        self._calls += 1
        place = self._calls
        if call.function == "uuid":
            prefix = self._uuid_prefix
            # Of 62 bits: 4,095 calls in a scenario, 2^30 iterations of a VU, 2^20 VUs.
            return lambda v: _uuid(prefix, v[VU] << 42 | v[ITERATION] << 12 | place)
        if call.function in ("random_int", "random_string"):
            base = self._random_base + place * 0x9E3779B97F4A7C15
            arguments = [self.getter(a) for a in call.arguments]
            finish = _random_int if call.function == "random_int" else _random_string
            return lambda v: finish(_mix(base + (v[VU] << 32) + v[ITERATION]), *[a(v) for a in arguments])
        function = PURE.get(call.function) or _CLOCKS[call.function]
        arguments = [self.getter(a) for a in call.arguments]
        if not arguments:
            return lambda v: function()
        if len(arguments) == 1:
            (only,) = arguments
            return lambda v: function(only(v))
        return lambda v: function(*[a(v) for a in arguments])


def for_path(value: Any) -> bytes:
    try:
        return path_segment(as_text(value)).encode("ascii")
    except ValueError as error:
        raise Unsafe(f"a value must not stand in a path: {error}") from None


def for_query(value: Any) -> bytes:
    return quote(as_text(value), safe="").encode("ascii")


def for_header(value: Any) -> bytes:
    text = as_text(value)
    if not header_value_ok(text):
        raise Unsafe("a value with CR, LF, NUL or beyond Latin-1 must not stand in a header")
    return text.encode("latin-1")


def mix(seed: int, *parts: int) -> int:
    """64 well-mixed bits of a seed and a place (splitmix64's finisher); pure."""
    for part in parts:
        seed = _mix(seed + part)
    return seed


def _mix(x: int) -> int:
    x &= 0xFFFFFFFFFFFFFFFF
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    x = (x ^ x >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return x ^ x >> 31


def _uuid(prefix: str, number: int) -> str:
    # 62 bits, multiplied by an odd constant: different numbers stay different (RFC 9562, version 8).
    scrambled = 1 << 63 | number * _ODD & _MASK62
    return f"{prefix}{scrambled >> 48:04x}-{scrambled & 0xFFFFFFFFFFFF:012x}"


def _random_int(bits: int, least: int, most: int) -> int:
    return int(least) + bits % (int(most) - int(least) + 1)


def _random_string(bits: int, length: int) -> str:
    # Eight letters of each 64 bits: their 36^8 values are then even to 1 in 10^7.
    pairs = []
    for _ in range(0, int(length), 8):
        bits = rest = _mix(bits + 0x9E3779B97F4A7C15)
        for _ in range(4):
            pairs.append(_PAIRS[rest % 1296])
            rest //= 1296
    return "".join(pairs)[: int(length)]


_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]


def _dig(record: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        record = record[key]
    return record


_CLOCKS: dict[str, Callable[..., Any]] = {
    "now_ms": lambda: time.time_ns() // 1_000_000,
    "now_iso": lambda: datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
}
