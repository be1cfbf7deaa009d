"""What A4 of the sandbox counts, says and takes for a request, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.a4.request import DEFAULT_TOKENS, MAX_TOKENS, Chat, parse_chat
from ecoload.sandbox.a4.text import complete, count_tokens

GOOD: dict[str, Any] = {
    "model": "scholarship-sage",
    "messages": [{"role": "user", "content": "Which grants?"}],
}
ALL = 10_000


def parsed(change: dict[str, Any]) -> Chat:
    chat, wrong = parse_chat(GOOD | change)
    assert wrong == []
    assert chat is not None
    return chat


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        (" \n\t ", 0),
        ("grant", 1),
        ("two words", 2),
        ("Yes, it's due.", 7),
        ("x" * 12, 1),
        ("x" * 13, 2),
        ("…—!", 3),
        ("größe 奨学金", 2),
        (" " * 60_000 + "end", 1),
    ],
)
def test_a_token_is_a_word_piece_or_a_mark(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_the_same_seed_says_the_same_and_another_something_else() -> None:
    assert complete("seed", ALL) == complete("seed", ALL)
    assert len({complete(f"{number}", ALL).pieces for number in range(20)}) == 20


@given(st.text(max_size=20), st.integers(1, 200), st.lists(st.text(min_size=1, max_size=5), max_size=4))
def test_the_pieces_of_a_text_are_its_tokens_whatever_ends_it(seed: str, most: int, stops: list[str]) -> None:
    completion = complete(seed, most, stops)
    text = "".join(completion.pieces)
    assert len(completion.pieces) == count_tokens(text) <= most
    assert not any(stop in text for stop in stops)
    before_last = completion.pieces[:-1]  # the last may be cut
    assert complete(seed, ALL).pieces[: len(before_last)] == before_last


def test_a_text_ends_by_itself_by_length_or_at_a_stop() -> None:
    whole = complete("seed", ALL)
    text, tokens = "".join(whole.pieces), len(whole.pieces)
    assert (whole.finish_reason, text[-1]) == ("stop", ".")
    assert complete("seed", tokens) == whole
    cut = complete("seed", tokens - 1)
    assert (cut.finish_reason, "".join(cut.pieces)) == ("length", text[:-1])
    first_sentence = complete("seed", ALL, ["none of it", "."])
    assert (first_sentence.finish_reason, "".join(first_sentence.pieces)) == ("stop", text.partition(".")[0])


@pytest.mark.parametrize("at", range(1, 12))
def test_a_stop_in_the_middle_of_a_word_cuts_it_there(at: int) -> None:
    text = "".join(complete("seed", ALL).pieces)
    cut = complete("seed", ALL, [text[at : at + 12]])
    assert "".join(cut.pieces) == text[:at].rstrip()


def test_a_stop_at_the_very_beginning_leaves_nothing() -> None:
    text = "".join(complete("seed", ALL).pieces)
    assert complete("seed", ALL, [text[:3]]).pieces == ()


def test_a_stop_beyond_the_length_is_never_reached() -> None:
    assert complete("seed", 3, ["."]).finish_reason == "length"


def test_what_is_not_said_has_its_default() -> None:
    chat = parsed({"temperature": None, "stop": None, "stream": None, "stream_options": None, "n": None})
    assert (chat.max_tokens, chat.stops, chat.stream, chat.include_usage) == (
        DEFAULT_TOKENS,
        (),
        False,
        False,
    )
    assert chat.prompt_tokens == count_tokens("Which grants?") + 4


def test_everything_that_can_be_said_is_taken() -> None:
    chat = parsed(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "name": "s-1",
                    "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "b"}],
                },
                {"role": "assistant", "content": ""},
            ],
            "max_completion_tokens": MAX_TOKENS,
            "temperature": 0.7,
            "top_p": 1,
            "n": 1,
            "stop": ["a", "b"],
            "stream": True,
            "stream_options": {"include_usage": True},
            "seed": -5,
            "user": "student-1",
        }
    )
    assert (chat.max_tokens, chat.stops, chat.stream, chat.include_usage) == (
        MAX_TOKENS,
        ("a", "b"),
        True,
        True,
    )
    assert chat.prompt_tokens == 3 + 2 + 0 + 3 * 4
    assert parsed({"stop": "end"}).stops == ("end",)
    assert parsed({"max_tokens": 1}).max_tokens == 1


def test_the_text_depends_on_what_was_asked_and_on_the_seed_and_on_nothing_else() -> None:
    same = parsed({"temperature": 2, "user": "somebody", "max_tokens": 3, "stream": True})
    assert same.identity == parsed({}).identity
    others = (
        {"seed": 1},
        {"seed": 2},
        {"model": "other"},
        {"messages": [{"role": "user", "content": "Which loans?"}]},
        {"messages": [{"role": "system", "content": "Which grants?"}]},
    )
    assert len({parsed(other).identity for other in (*others, {})}) == len(others) + 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [GOOD["messages"][0]] * 257}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x", "name": "a b"}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": []}]}, "messages[0].tool_calls"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": MAX_TOKENS + 1}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 16.0}, "max_tokens"),
        ({"max_tokens": "16"}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_completion_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options"),
        ({"stream": True, "stream_options": {"more": True}}, "stream_options"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ["a", 1]}, "stop"),
        ({"stop": "x" * 129}, "stop"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"user": "a b"}, "user"),
        ({"tools": []}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(change: dict[str, Any], named: str) -> None:
    chat, wrong = parse_chat(GOOD | change)
    assert chat is None
    assert [reason.partition(": ")[0] for reason in wrong] == [named]


def test_everything_wrong_is_said_at_once() -> None:
    assert len(parse_chat({"n": 5, "more": 1})[1]) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    json_values,
    st.dictionaries(st.sampled_from(["stop", "seed", "stream", "stream_options", "n"]), json_values),
)
def test_whatever_json_comes_is_a_request_or_has_reasons(document: Any, fields: dict[str, Any]) -> None:
    for candidate in (
        document,
        GOOD | fields,
        GOOD | {"messages": document},
        GOOD | {"messages": [document]},
    ):
        chat, wrong = parse_chat(candidate)
        assert (chat is None) == bool(wrong)
