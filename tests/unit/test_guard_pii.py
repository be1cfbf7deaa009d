"""Personal data in the feeders: what is found, and what must never be accused."""

from __future__ import annotations

import string
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecoload.cli import main
from ecoload.errors import Problem, SpecError
from ecoload.export.records import data_file
from ecoload.guard.pii import find_personal_data
from ecoload.guard.pii.states import STATES
from ecoload.spec.feeders import FILE, Data, read_data, read_sound
from ecoload.spec.workspace import load_workspace

ROOT = Path(__file__).parents[2]


def problems(*records: dict[str, Any]) -> list[Problem]:
    return find_personal_data(Data("", records, range(1, len(records) + 1)))


def found(value: Any, field: str = "value") -> list[str]:
    """What one field is said to hold."""
    return [problem.message for problem in problems({field: value})]


def kinds(value: Any, field: str = "value") -> list[str]:
    """Only the kinds: `holds a telephone number (…` is `a telephone number`."""
    return [message.partition(" holds ")[2].partition(" (")[0] for message in found(value, field)]


MAIL, PHONE, CARD, IBAN = "an e-mail address", "a telephone number", "a payment card's number", "an IBAN"


# --- E-mail addresses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "ada@gmail.com",
        "Ada.Lovelace+news@mail.University.AC.uk",
        "write to ada@gmail.com, please",
        "Ada <ada@gmail.com>",
        "mailto:ada@gmail.com?subject=x",
        "https://api.test/reset?to=ada%40gmail.com&x=1",
        '"Ada Lovelace"@gmail.com',
        "ada@notexample.com",
        "ada@example.com.evil.io",
        "ada@example.co",
        "ada@test.io",
        "ada@münchen.de",
        "ada@xn--mnchen-3ya.de",
        "ada＠gmail.com",
        "ada\u200b@gmail.com",
        "ada\u2063@gmail\u180e.com",
        "ada\ufe0f@gmail.com",
        "ada@gmail\u3002com",
        "ada%2540gmail.com",
    ],
)
def test_an_address_that_can_be_somebodys_is_found(value: str) -> None:
    assert kinds(value) == [MAIL]


@pytest.mark.parametrize(
    "value",
    [
        "ada@example.com",
        "ADA@EXAMPLE.ORG",
        "ada@mail.eu.example.net",
        "ada@shop.example",
        "ada@a.test",
        "ada@x.invalid",
        "ada@app.localhost",
        "root@localhost",
        "@ada",
        "ada@",
        "@example.com",
        "@scope/package@1.2.3",
        "a @ b.com",
        "meet @ 10.30",
    ],
)
def test_a_reserved_domain_and_what_is_no_address_pass(value: str) -> None:
    assert found(value) == []


def test_each_address_of_a_text_is_told() -> None:
    assert kinds("ada@gmail.com, ada@example.com and bob@web.de") == [MAIL, MAIL]


# --- Telephone numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "+1 212-736-5000",
        "+12127365000",
        "tel:+1-212-736-5000",
        "+1 (212) 736-5000 ext. 12",
        "+1.2127365000",
        "+49.30901820",
        "(212) 736-5000",
        "call 212-736-5000 now",
        "room 5 212-736-5000 2 times",
        "2026-01-26 0171-1234567",
        "212.736.5000",
        "1-212-736-5000",
        "212-736-5000x12",
        "+49 30 901820",
        "+49 (0)30 901820",
        "+(49) 30 901820",
        "0049 30 901820",
        "00 49 30 901820",
        "030 901820",
        "030/901820",
        "0171-1234567",
        "+44 20 7123 4567",
        "020 7123 4567",
        "(020) 7123 4567",
        "(030)901820",
        "0207 123 4567",
        "+33 6 12 34 56 78",
        "06 12 34 56 78",
        "06.12.34.56.78",
        "(11) 91234-5678",
        "+91 98765 43210",
        "(02) 9876 5432",
        "+1 212‑736‑5000",
        "+1\u00a0212\u00a0736\u00a05000",
        "+49 30 901820 12 Personen",
        "+1 212-736-5000 12 rooms",
    ],
)
def test_a_telephone_number_is_found_in_its_spelling(value: str) -> None:
    assert kinds(value) == [PHONE]


@pytest.mark.parametrize("field", ["phone", "homePhone", "mobile_number", "Tel.", "contact.fax", "telefon"])
@pytest.mark.parametrize(
    "value", [2127365000, "2127365000", "12127365000", "0301234567", "612345678", "004930901820"]
)
def test_bare_digits_are_a_telephone_number_where_the_field_says_so(field: str, value: Any) -> None:
    assert kinds(value, field) == [PHONE]
    assert found(value, "value") == []


@pytest.mark.parametrize(
    "value",
    [
        "+1 202-555-0100",
        "(212) 555-0199",
        "212-555-0123",
        "2125550123",
        "+12125550123",
        "1-800-555-0142",
        "555-0123",
        "020 7946 0958",
        "+44 20 7946 0000",
        "+44 (0)20 7946 0000",
        "07700 900123",
        "01632 960001",
        "0113 496 0999",
        "028 9649 6001",
        "+61 491 570 156",
        "(02) 5550 1234",
        "+49 30 23125 123",
        "06 39 98 12 34",
        "020 912 3456",
        "08-465 004 12",
    ],
)
@pytest.mark.parametrize("field", ["value", "phone"])
def test_a_number_that_is_kept_for_fiction_passes(value: str, field: str) -> None:
    assert found(value, field) == []


@pytest.mark.parametrize("value", ["212-555-0200", "212-555-1234", "+44 20 7946 1000", "07700 901000"])
def test_the_neighbours_of_fiction_are_found(value: str) -> None:
    assert kinds(value) == [PHONE]


@pytest.mark.parametrize("value", ["+1 555 123 4567", "+999 123 456 789", "0000000000", "1234", "+1 212 736"])
@pytest.mark.parametrize("field", ["value", "phone"])
def test_a_number_that_nobody_can_have_passes(value: str, field: str) -> None:
    assert found(value, field) == []


@pytest.mark.parametrize(
    "field", ["phone_count", "mobile_seen_at", "phone_model", "sms_cost_cents", "phone_id"]
)
def test_a_measure_of_telephones_is_no_number(field: str) -> None:
    assert found(2127365000, field) == []


# --- Cards ----------------------------------------------------------------------------------------

ISSUED = st.sampled_from(
    "4:16 51:16 55:16 2221:16 2720:16 34:15 37:15 6011:16 65:16 36:14 305:14 38:16 3528:16 3589:16 62:16 "
    "5018:16 2200:16".split()
)
"""Beginnings that issuers have, and how long their numbers are."""


def with_luhn_digit(digits: str) -> str:
    """The digits and the one that makes them right, by the definition."""
    doubled = [int(digit) * (2 - position % 2) for position, digit in enumerate(reversed(digits))]
    return digits + str(-sum(value - 9 * (value > 9) for value in doubled) % 10)


@st.composite
def cards(draw: st.DrawFn) -> str:
    prefix, _, length = draw(ISSUED).partition(":")
    left = int(length) - 1 - len(prefix)
    rest = draw(st.text(string.digits, min_size=left, max_size=left))
    # A rest that begins with 9 is none of the published test numbers.
    return with_luhn_digit(prefix + "9" + rest[1:])


def in_groups(digits: str, sign: str) -> str:
    ends = (4, 10, 15) if len(digits) == 15 else (4, 8, 12, 16)
    return sign.join(digits[start:end] for start, end in zip((0, *ends), ends, strict=False))


@given(cards(), st.sampled_from(["", " ", "-"]))
def test_a_card_is_found_by_issuer_and_luhn_digit_and_never_repeated(digits: str, sign: str) -> None:
    text = in_groups(digits, sign)
    (message,) = found(f"paid with {text}.")
    assert CARD in message
    assert digits not in message and text not in message
    assert kinds(int(digits)) == [CARD]


@given(cards(), st.integers(1, 9), st.sampled_from(["", " ", "-"]))
def test_a_card_with_a_wrong_digit_passes(digits: str, off: int, sign: str) -> None:
    wrong = digits[:-1] + str((int(digits[-1]) + off) % 10)
    assert found(in_groups(wrong, sign)) == []


@pytest.mark.parametrize("digits", ["1234567890123452", "9999999999999995", "7777777777777771"])
def test_a_luhn_digit_without_an_issuer_is_no_card(digits: str) -> None:
    assert with_luhn_digit(digits[:-1]) == digits
    assert found(digits, "card") == []


@pytest.mark.parametrize(
    "value",
    [
        "4242 4242 4242 4242",
        4242424242424242,
        "4000-0000-0000-0002",
        "5555555555554444",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "30569309025904",
        "6205 5000 0000 0000 004",
        "4222222222222",
    ],
)
def test_a_published_test_number_passes(value: Any) -> None:
    assert found(value) == found(value, "card_number") == []


@pytest.mark.parametrize("prefix", ["4", "62", "6304"])
def test_a_card_as_long_as_other_numbers_is_found_by_its_field_or_in_groups(prefix: str) -> None:
    digits = with_luhn_digit(prefix + "9" * (18 - len(prefix)))
    assert found(digits) == []
    assert kinds(digits, "card") == [CARD]
    assert kinds(f"{digits[:4]} {digits[4:8]} {digits[8:12]} {digits[12:16]} {digits[16:]}") == [CARD]


def test_bare_digits_of_a_measure_are_no_card() -> None:
    assert found(4539578763621486, "amount_cents") == found("4539578763621486", "sent_at") == []
    assert kinds("4539 5787 6362 1486", "sent_at") == kinds(4539578763621486, "sent_by") == [CARD]


def test_a_card_is_found_among_other_groups_of_digits() -> None:
    assert kinds("order 12345 4539 5787 6362 1486 100 pieces") == [CARD]
    assert kinds("2026-01-26 4539578763621486") == kinds("2026-01-26 4539 5787 6362 1486") == [CARD]
    assert kinds("4539.5787.6362.1486") == [CARD]
    assert kinds("4539-5787-6362-1486, 5399 1111 2222 3335") == [CARD, CARD]


def test_a_card_hidden_by_look_alikes_is_found() -> None:
    assert kinds("４５３９５７８７６３６２１４８６") == [CARD]
    assert kinds("4539\u00a05787\u20096362  1486") == [CARD]
    assert kinds("4539\u20115787\u20106362–1486") == [CARD]
    assert kinds("45395787\u200b63621486") == [CARD]
    assert kinds("45395787\u206363621486") == [CARD]
    assert kinds("4539\u00b75787\u00b76362\u00b71486") == [CARD]
    assert kinds("٤٥٣٩٥٧٨٧٦٣٦٢١٤٨٦") == [CARD]


# --- IBANs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "de89 3704 0044 0532 0130 00",
        "GB82-WEST-1234-5698-7654-32",
        "pay GB82 WEST 1234 5698 7654 32 soon, it is late",
        "BE68 5390 0754 7034 from home",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO93 8601 1117 947",
    ],
)
def test_an_iban_is_found_by_its_check_digits(value: str) -> None:
    assert kinds(value) == [IBAN]


@pytest.mark.parametrize(
    "value",
    [
        "DE88370400440532013000",
        "DE00 3704 0044 0532 0130 00",
        "ZZ89370400440532013000",
        "DE8937040044",
        "SE35 5000",
    ],
)
def test_what_fails_the_check_digits_is_no_iban(value: str) -> None:
    assert found(value) == []


# --- National numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wrong", "country"),
    [
        ("536-90-4399", "000-90-4399", "US"),
        ("912-90-3456", "987-65-4320", "US"),
        ("AB 12 34 56 C", "QQ 12 34 56 C", "British"),
        ("AB123456C", "AB123456E", "British"),
        ("86 095 742 719", "86 095 742 718", "German"),
        ("2 95 10 99 126 111 93", "2 95 10 99 126 111 94", "French"),
        ("54362315K", "54362315A", "Spanish"),
        ("54362315-K", "54362315-A", "Spanish"),
        ("X-5253868-R", "X-5253868-T", "Spanish"),
        ("RCCMNL83S18D969H", "RCCMNL83S18D969I", "Italian"),
        ("rccmnl83s18d969h", "rccmnl83s18d969i", "Italian"),
        ("390.533.447-05", "390.533.447-06", "Brazilian"),
        ("2341 2341 2346", "2341 2341 2347", "Indian"),
        ("131052-308T", "131052-308U", "Finnish"),
        ("85.07.30-033 28", "85.07.30-033 29", "Belgian"),
        ("756.9217.0769.85", "756.9217.0769.84", "Swiss"),
        ("151086 95088", "151086 95089", "Norwegian"),
        ("971013-9019902", "971013-9019903", "Korean"),
        ("360426199101010071", "360426199101010072", "Chinese"),
        ("BOXW310820HNERXN09", "BOXW310820HNERXN08", "Mexican"),
        ("12.531.909-2", "12.531.909-3", "Chilean"),
    ],
)
def test_a_national_number_is_found_in_its_country_s_spelling(value: str, wrong: str, country: str) -> None:
    assert [kind.split()[1] for kind in kinds(f"it is {value}, they say")] == [country]
    assert found(wrong) == []


@pytest.mark.parametrize(
    ("field", "value", "wrong", "country"),
    [
        ("ssn", 536904399, "000904399", "US"),
        ("socialSecurityNumber", "536904399", "666904399", "US"),
        ("tax_id", "912903456", "000-00-0000", "US"),
        ("soc_sec_no", "536904399", "000904399", "US"),
        ("ssn", "536 90 4399", "536 00 4399", "US"),
        ("nino", "ab123456c", "qq123456c", "British"),
        ("nhs_number", "943 476 5870", "943 476 5871", "British"),
        ("steuerId", 86095742719, 86095742718, "German"),
        ("numero_secu", "295109912611193", "295109912611194", "French"),
        ("dni", "54362315k", "54362315a", "Spanish"),
        ("bsn", "111222333", "111222334", "Dutch"),
        ("bsn", "1112.22.333", "1112.22.334", "Dutch"),
        ("cpf", 39053344705, 39053344706, "Brazilian"),
        ("aadhaar_no", 234123412346, 234123412347, "Indian"),
        ("pesel", "44051401359", "44051401358", "Polish"),
        ("personnummer", "880320-0016", "880320-0017", "Swedish"),
        ("fodselsnummer", "15108695088", "15108695089", "Norwegian"),
        ("fødselsnummer", "15108695088", "15108695089", "Norwegian"),
        ("cpr", "211062-5629", "211362-5629", "Danish"),
        ("ahv", "7569217076985", "7569217076984", "Swiss"),
        ("national_id", "44051401359", "44051401350", "Polish"),
        ("identity_number", "54362315K", "54362315A", "Spanish"),
        ("customer.nationalId", "17291716060", "17291716061", "Turkish"),
        ("sin", "123-456-782", "123-456-783", "Canadian"),
        ("tfn", "123 456 782", "123 456 783", "Australian"),
        ("ppsn", "6433435F", "6433435E", "Irish"),
        ("my_number", "621498320257", "621498320258", "Japanese"),
    ],
)  # fmt: skip
def test_bare_digits_are_a_national_number_where_the_field_says_so(
    field: str, value: Any, wrong: Any, country: str
) -> None:
    assert [kind.split()[1] for kind in kinds(value, field)] == [country]
    assert found(wrong, field) == []


@given(st.integers(10_000_000, 999_999_999_999))
@example(536904399)
@example(86095742719)
@example(39053344705)
def test_bare_digits_are_nobodys_where_no_field_says_so(digits: int) -> None:
    for field in ("value", "amount_cents", "ssn_count", "sequence", "created_at"):
        assert found(digits, field) == found(str(digits), field) == []


# --- A name beside a birth date -------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        {"name": "Ada Lovelace", "dob": "1815-12-10"},
        {"first_name": "Ada", "birth_date": "10.12.1815"},
        {"lastName": "Lovelace", "dateOfBirth": "December 10, 1815"},
        {"FULL NAME": "Ada Lovelace", "Birthday": 18151210},
        {"surname": "Lovelace", "dob": -4861900800},
        {"surname": "Lovelace", "DoB": "1815-12-10"},
        {"surname": "Lovelace", "D.O.B.": "1815-12-10"},
        {"name": "Ada", "birth_dt": "1815-12-10"},
        {"name": "Ada", "bdate": "1815-12-10"},
        {"name": "Ada", "geboren_am": "10.12.1815"},
        {"customer": {"name": "Ada"}, "details": {"born_on": "1815-12-10"}},
        {"people": [{"name": {"first": "Ada", "last": "Lovelace"}}], "more": [[{"dob": "1815-12-10"}]]},
        {"name": "Ada", "birth_date": {"year": 1815, "month": 12, "day": 10}},
        {"birth": {"date": "1815-12-10"}, "student_name": "Ada"},
        {"vorname": "Ada", "geburtsdatum": "10.12.1815"},
        {"prénom": "Ada", "date_de_naissance": "10/12/1815"},
        {"name": "愛子", "dob": "2001-12-01"},
    ],
)
def test_a_name_beside_a_birth_date_is_found(record: dict[str, Any]) -> None:
    (problem,) = problems(record)
    assert "is a person's name beside a birth date" in problem.message
    assert not any(told in problem.message for told in ("Ada", "Lovelace", "1815", "愛子", "2001"))


@pytest.mark.parametrize(
    "record",
    [
        {"name": "Ada Lovelace"},
        {"dob": "1815-12-10"},
        {"name": "student-0001", "dob": "2001-12-10"},
        {"name": "Provider 003", "dob": "2001-12-10"},
        {"name": "Ada", "dob": ""},
        {"name": "Ada", "dob": None},
        {"name": "Ada", "dob": "****-**-**"},
        {"name": "Ada", "dob": "0000-00-00"},
        {"name": "", "dob": "1815-12-10"},
        {"name": None, "dob": "1815-12-10"},
        {"name": "Ada", "age": 36},
        {"name": "Ada", "birth_year": 1815},
        {"name": "Ada", "created_at": "2026-01-26"},
        {"product": {"name": "Shoe"}, "dob": "2001-12-10"},
        {"file_name": "shoe.png", "hostname": "shoe", "dob": "2001-12-10"},
        {"named": "Ada", "renamed_at": "x", "dob": "2001-12-10"},
    ],
)
def test_a_name_or_a_date_that_says_nothing_of_a_person_passes(record: dict[str, Any]) -> None:
    assert problems(record) == []


def test_a_name_and_a_birth_date_of_different_records_pass() -> None:
    assert problems({"name": "Ada"}, {"dob": "1815-12-10"}) == []


# --- What must never be accused -------------------------------------------------------------------


def test_the_shipped_records_pass() -> None:
    data = read_data(ROOT)
    assert len(data.records) == 763
    assert find_personal_data(data) == []


@given(st.integers(0))
def test_the_synthetic_records_of_any_seed_pass(seed: int) -> None:
    import orjson

    assert problems(*map(orjson.loads, data_file(seed).splitlines())) == []


FIELDS = st.sampled_from("value id phone ssn card national_id name customer.tax_id dob".split())


@given(st.uuids(), FIELDS)
@example(uuid.UUID("41111111-1111-4111-8111-111111111111"), "card")
@example(uuid.UUID("12345678-0171-1234-5678-212736500000"), "phone")
@example(uuid.UUID(int=0), "ssn")
def test_a_uuid_is_never_accused(value: uuid.UUID, field: str) -> None:
    for text in (str(value), str(value).upper(), f"urn:uuid:{value}", f"{{{value}}}", f"run-{value}"):
        assert found(text, field) == []
    assert found(value.hex) == []


@given(st.binary(min_size=16, max_size=64))
def test_a_hex_hash_is_never_accused(value: bytes) -> None:
    assert found(value.hex()) == found(value.hex().upper()) == found(f"sha256:{value.hex()}") == []


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)))  # noqa: DTZ001 - naive dates are what is made
@example(datetime(1981, 1, 8, 0, 49))  # noqa: DTZ001
@example(datetime(2050, 1, 1, 2, 6))  # noqa: DTZ001
def test_a_time_is_never_accused(naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC)
    seconds = int(at.timestamp())
    measures = ["at", "created_at", "born_ns", "phone_seen_at", "ssn_checked_at", "card_used_at"]
    # Long ago or far ahead, the microseconds since 1970 begin as cards do.
    for field in measures + ["value", "dob"] * (2002 <= at.year < 2040):
        for scale in (1, 1_000, 1_000_000, 1_000_000_000):
            assert found(seconds * scale, field) == found(str(seconds * scale), field) == []
    texts = [
        at.isoformat(),
        f"{at:%Y-%m-%d}",
        f"{at:%Y-%m-%d %H:%M:%S}",
        f"{at:%Y%m%dT%H%M%SZ}",
        f"{at:%Y%m%d-%H%M}",
    ]
    texts += [f"{at:%d.%m.%Y %H:%M}", f"{at:%m/%d/%Y}", f"{at:%d-%m-%Y}", f"{at:%a, %d %b %Y %H:%M:%S +0000}"]
    texts += [f"{at:%Y%m%d%H%M%S}", f"from {at:%Y-%m-%d} to {at:%Y-%m-%d}"]
    for text in texts:
        assert found(text) == []


@given(st.integers(-(10**12), 10**12))
def test_an_amount_in_cents_is_never_accused(cents: int) -> None:
    for field in ("amount_cents", "price", "value"):
        assert found(cents, field) == found(str(cents), field) == []
    assert found(f"{cents / 100:.2f}") == found(f"${cents / 100:,.2f}") == found(cents / 100) == []


@given(st.floats(-180, 180), st.floats(-180, 180))
def test_coordinates_are_never_accused(latitude: float, longitude: float) -> None:
    assert found({"lat": latitude, "lon": longitude}) == []
    for text in (
        f"{latitude:.6f},{longitude:.6f}",
        f"{latitude:+.7f}{longitude:+.7f}/",
        f"{latitude!r} {longitude!r}",
    ):
        assert found(text) == []


@given(st.ip_addresses())
def test_an_ip_address_is_never_accused(address: Any) -> None:
    assert found(str(address)) == found(f"{address}:8080") == found(f"http://[{address}]/") == []


@given(st.lists(st.integers(0, 199), min_size=2, max_size=2), st.lists(st.integers(0, 99_999), max_size=2))
@example([200, 200], [1000])
def test_a_version_is_never_accused(first: list[int], more: list[int]) -> None:
    version = ".".join(map(str, first + more))
    assert found(f"v{version}") == found(f"{version}-rc.1+20260126") == found(f"ecoload/{version}") == []


@given(st.integers(0, 99_999), st.integers(0, 9_999))
@example(2110, 1301)
def test_a_postal_code_is_never_accused(code: int, more: int) -> None:
    assert (
        found(f"{code:05}-{more:04}") == found(f"Boston, MA {code:05}-{more:04}") == found(f"{code:05}") == []
    )


@given(st.sampled_from(["cus_test_", "sub_", "pi_", "order-", "student-", "INV"]), st.integers(0, 10**12))
def test_an_id_with_a_prefix_is_never_accused(prefix: str, number: int) -> None:
    assert found(f"{prefix}{number:04}") == []


@pytest.mark.parametrize(
    "value",
    [
        "cus_test_0001",
        "event-000123",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "978-3-16-148410-0",
        "4006381333931",
        "12 345 678 901",
        "0001-0002-0003-0004",
        "0123456789",
        "version 120.0.6099.109",
        "pages 250 300 1000",
        "10:30 - 11:45, 2 of 16 seats",
        "MTIzNDU2Nzg5MDEyMzQ1Ng==",
        "#4539578",
        "2447.387582370878",
        "4539.5787.63621486",
        "+35236450.6",
        "+35236450.65",
        "x + 278326125*y",
        "doi:10.1016/j.tcs.2008.05.010",
        "Rank the 8 best scholarships for biology in OH.",
        True,
        None,
        12.5,
        1e300,
        -1,
        "",
        [],
        {},
    ],
)
def test_what_a_feeder_is_made_of_passes(value: Any) -> None:
    assert found(value) == []


# --- Where it is found, and how it is told --------------------------------------------------------


def test_a_problem_names_file_line_field_kind_and_what_to_do() -> None:
    (problem,) = problems({}, {"customer": {"emails": ["a@example.com", "ada.lovelace@gmail.com"]}})
    assert str(problem) == (
        "tests/perf/config/data.jsonl:2: customer.emails[1]: holds an e-mail address (a…om); "
        "use one at example.com, such as student-0001@example.com"
    )


def test_a_key_is_text_too_and_is_masked_in_every_path() -> None:
    messages = [
        p.message for p in problems({"ada@gmail.com": {"phone": "+1 212-736-5000"}, "4539578763621486": 1})
    ]
    assert [message.partition(" (")[0] for message in messages] == [
        "a…om: the key itself holds an e-mail address",
        "4…86: the key itself holds a payment card's number",
        "a…om.phone: holds a telephone number",
    ]
    assert not any("ada@" in message or "4539578763621486" in message for message in messages)


def test_a_key_that_would_break_the_line_is_shown_escaped() -> None:
    (problem,) = problems({"a\n\x1b[31m": "ada@gmail.com"})
    assert problem.message.startswith(r"'a\n\x1b[31m': holds")


def test_a_field_s_name_counts_for_all_that_stands_in_it() -> None:
    record = {"phones": [{"home": 2127365000}, {"work": ["2127365000"]}], "others": [2127365000]}
    assert [p.message.partition(":")[0] for p in problems(record)] == ["phones[0].home", "phones[1].work[0]"]


def test_every_problem_of_every_record_comes_at_once() -> None:
    lines = [p.line for p in problems({"a": "ada@gmail.com", "b": "+12127365000"}, {}, {"c": "536-90-4399"})]
    assert lines == [1, 1, 3]


def test_one_number_is_told_once() -> None:
    assert len(found("2127365000", "phone")) == len(found(536904399, "ssn")) == 1
    assert len(found("+1 212-736-5000", "phone")) == len(found("212-736-5000", "phone")) == 1
    assert len(found("4915112345678@gmail.com", "phone")) == 1


def test_records_that_nest_deeper_than_python_calls_are_read() -> None:
    record: dict[str, Any] = {"email": "ada@gmail.com"}
    for _ in range(1000):
        record = {"x": [record]}
    assert len(problems(record)) == 1


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
    )
)
def test_no_record_breaks_the_scan(record: dict[str, Any]) -> None:
    problems(record)


@given(st.text("@.+-0123456789 aZ/()\n\t%4", max_size=4000))
def test_no_text_breaks_the_scan(text: str) -> None:
    found(text, "phone")


def test_a_number_that_the_library_stumbles_over_passes() -> None:
    assert found("110027199001010072") == []


@given(st.data())
def test_no_number_of_a_state_s_shape_breaks_the_scan(data: st.DataObject) -> None:
    state = data.draw(st.sampled_from(STATES))
    text = data.draw(st.from_regex(state.bare, fullmatch=True))
    found(text, "national_id")


def test_nothing_foreign_is_loaded_before_there_is_something_to_ask_it() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from ecoload.spec.feeders import read_data;"
        "from ecoload.guard.pii import find_personal_data;"
        "assert find_personal_data(read_data(Path())) == [];"
        "print(*{'stdnum', 'phonenumbers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- The workspace --------------------------------------------------------------------------------

TARGETS = """\
profiles: {burst: {executor: burst, rate: 10, duration: 1s, max_vus: 1}}
apps:
  a2:
    base_url: https://a2.example
    routes:
      read: {get: "/v1/events/{id}", effect: none}
"""
SCENARIO = """\
app: a2
feeder: events
steps: [{route: read, path: {id: "${data.id}"}}]
"""


def workspace(folder: Path, lines: Iterable[str], scenario: str = SCENARIO) -> Path:
    file = folder / FILE
    file.parent.mkdir(parents=True)
    file.write_text("".join(f"{line}\n" for line in lines))
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "a2.yaml").write_text(scenario)
    (folder / "targets.yaml").write_text(TARGETS)
    return folder / "targets.yaml"


CLEAN = '{"feeder": "events", "id": "e-1", "email": "ada@example.com"}'
DIRTY = '{"feeder": "events", "id": "e-2", "owner": {"email": "ada@gmail.com"}}'
NOT_USED = '{"feeder": "nobodys", "phone": 2127365000}'


def test_the_lines_of_records_are_those_of_the_file(tmp_path: Path) -> None:
    workspace(tmp_path, ["", CLEAN, "  ", "nonsense", DIRTY])
    data, unsound = read_sound(tmp_path)
    assert list(data.lines) == [2, 5]
    assert [problem.line for problem in unsound] == [4]
    with pytest.raises(SpecError, match="is not JSON"):
        read_data(tmp_path)


def test_a_workspace_tells_personal_data_with_its_other_problems(tmp_path: Path) -> None:
    scenario = SCENARIO.replace("steps:", "typo: 1\nsteps:").replace("data.id", "data.idd")
    targets = workspace(tmp_path, ["", CLEAN, DIRTY, "[]", NOT_USED], scenario)
    with pytest.raises(SpecError) as caught:
        load_workspace(targets, environ={}, scan=find_personal_data)
    told = [(Path(p.file).name, p.line, p.message.partition(":")[0]) for p in caught.value.problems]
    assert told == [
        ("a2.yaml", 3, "typo"),
        ("data.jsonl", 3, "owner.email"),
        ("data.jsonl", 4, 'expected a JSON object, such as {"feeder"'),
        ("data.jsonl", 5, "phone"),
    ]


def test_personal_data_hides_no_other_mistake(tmp_path: Path) -> None:
    targets = workspace(tmp_path, [CLEAN, DIRTY], SCENARIO.replace("data.id", "data.idd"))
    with pytest.raises(SpecError) as caught:
        load_workspace(targets, environ={}, scan=find_personal_data)
    assert [Path(p.file).name for p in caught.value.problems] == ["a2.yaml", "data.jsonl"]


def ends(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    output = capsys.readouterr()
    return end.value.code, output.out + output.err


@pytest.mark.parametrize("command", [["validate"], ["plan", "a2", "--profile", "burst"]])
def test_a_command_refuses_a_workspace_with_personal_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    targets = workspace(tmp_path, [CLEAN, DIRTY, NOT_USED])
    code, output = ends([*command, "--targets", str(targets)], capsys)
    assert code == 2
    assert f"{FILE}:2: owner.email: holds an e-mail address" in output
    assert f"{FILE}:3: phone: holds a telephone number" in output
    assert "ada@gmail.com" not in output and "2127365000" not in output


def test_a_command_takes_a_workspace_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = ends(["validate", "--targets", str(workspace(tmp_path, [CLEAN]))], capsys)
    assert code == 0, output
