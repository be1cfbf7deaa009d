"""Signatures for the guard's tests, without ssh-keygen."""

from __future__ import annotations


class Signing:
    """A signature is `KEY:` and the message in hexadecimal; a key may sign as the names it is known by."""

    def __init__(self, **names: set[str]) -> None:
        self.names = names or {"bobs": {"bob"}}

    def refusal(self, name: str, message: bytes, signature: str) -> str:
        key, _, signed = signature.partition(":")
        if signed != message.hex():
            return "its signature does not fit what it says"
        return "" if name in self.names.get(key, ()) else f"nobody knows its key as {name}'s"
