"""A request for a chat completion, in OpenAI's shape, read strictly.

Rules
-----
- What is not understood is refused, never ignored: an answer does what the request says. `user`,
  `temperature` and `top_p` are checked and change nothing, as there is no model to turn.
- Everything wrong is said at once, each with the name of its field. null is as good as not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from ecoload.sandbox.a4.text import count_tokens
from ecoload.sandbox.common.problems import NAME_RULE, is_name

DEFAULT_TOKENS = 64
MAX_TOKENS = 1024
MAX_MESSAGES = 256
MAX_STOPS = 4
MAX_STOP = 128

_PER_MESSAGE = 4
"""What a message costs beside its text."""
_ROLES = ("system", "developer", "user", "assistant")
_MAX_SEED = 2**63


@dataclass(frozen=True, slots=True)
class Chat:
    """A valid request. `identity` is what the text depends on."""

    model: str
    prompt_tokens: int
    max_tokens: int
    stops: tuple[str, ...]
    stream: bool
    include_usage: bool
    identity: str


def parse_chat(document: Any) -> tuple[Chat | None, list[str]]:
    """The request of a JSON document, or None and everything wrong with it."""
    if not isinstance(document, dict):
        return None, ["the body must be a JSON object"]
    given = {name: value for name, value in document.items() if value is not None}
    wrong = [f"{name}: is not supported here" for name in given if name not in _KNOWN and name != "messages"]
    for name, (fits, rule) in _KNOWN.items():
        if (name in given or name == "model") and not fits(given.get(name)):
            wrong.append(f"{name}: must be {rule}")
    if "max_tokens" in given and "max_completion_tokens" in given:
        wrong.append("max_completion_tokens: is another name of max_tokens; give one of them")
    if "stream_options" in given and given.get("stream") is not True:
        wrong.append("stream_options: only with stream")
    messages = _messages(given.get("messages"), wrong)
    if wrong:
        return None, wrong
    stop = given.get("stop", ())
    return Chat(
        model=given["model"],
        prompt_tokens=sum(count_tokens(text) + _PER_MESSAGE for _, text in messages),
        max_tokens=given.get("max_tokens", given.get("max_completion_tokens", DEFAULT_TOKENS)),
        stops=(stop,) if isinstance(stop, str) else tuple(stop),
        stream=given.get("stream", False),
        include_usage=given.get("stream_options", {}).get("include_usage", False),
        identity=orjson.dumps([given["model"], given.get("seed"), messages]).decode(),
    ), []


def _messages(value: Any, wrong: list[str]) -> list[tuple[str, str]]:
    """Role and text of each message; what is wrong is put to `wrong`."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_MESSAGES:
        wrong.append(f"messages: must be a list of 1 to {MAX_MESSAGES}")
        return []
    found = []
    for at, message in enumerate(value):
        name = f"messages[{at}]"
        if not isinstance(message, dict):
            wrong.append(f"{name}: must be an object")
            continue
        wrong += [
            f"{name}.{key}: is not supported here"
            for key in message
            if key not in ("role", "content", "name")
        ]
        role, text = message.get("role"), _text(message.get("content"))
        if role not in _ROLES:
            wrong.append(f"{name}.role: must be one of {', '.join(_ROLES)}")
        if text is None:
            wrong.append(f"{name}.content: must be a string, or a list of parts of the type text")
        if not is_name(message.get("name", "none")):
            wrong.append(f"{name}.name: must be {NAME_RULE}")
        found.append((str(role), text or ""))
    return found


def _text(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    texts = [
        part["text"]
        for part in content
        if isinstance(part, dict) and part.keys() == {"type", "text"} and part["type"] == "text"
    ]
    return "\n".join(texts) if len(texts) == len(content) and all(isinstance(t, str) for t in texts) else None


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _is_stop(value: Any) -> bool:
    each = [value] if isinstance(value, str) else value
    return (
        isinstance(each, list)
        and len(each) <= MAX_STOPS
        and all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP for stop in each)
    )


def _is_stream_options(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= {"include_usage"}
        and isinstance(value.get("include_usage", False), bool)
    )


_TOKENS = (lambda value: _is_whole(value, 1, MAX_TOKENS), f"a whole number from 1 to {MAX_TOKENS}")

_KNOWN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (is_name, NAME_RULE),
    "max_tokens": _TOKENS,
    "max_completion_tokens": _TOKENS,
    "temperature": (lambda value: _is_number(value, 2), "a number from 0 to 2"),
    "top_p": (lambda value: _is_number(value, 1), "a number from 0 to 1"),
    "n": (lambda value: _is_whole(value, 1, 1), "1"),
    "stream": (lambda value: isinstance(value, bool), "true or false"),
    "stream_options": (_is_stream_options, "an object with include_usage, true or false"),
    "stop": (_is_stop, f"a string, or a list of at most {MAX_STOPS}, of 1 to {MAX_STOP} characters each"),
    "seed": (lambda value: _is_whole(value, -_MAX_SEED, _MAX_SEED - 1), "a whole number of 64 bits"),
    "user": (is_name, NAME_RULE),
}
"""Of each field beside the messages: what fits, and the rule in words."""
