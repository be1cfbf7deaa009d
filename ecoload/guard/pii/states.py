"""The numbers that states give to people: how each is written, and what a field of it is called.

Rules
-----
- `spelled` is the country's own spelling; it is found anywhere. `bare` is what is found where the field's
  name is `named`, or one of `EVERY_STATE` and no country's own: most rows of nine or eleven digits are
  somebody's somewhere.
- `checkers` are modules of python-stdnum, one of which must say yes. Without one (UK) the shape decides.
"""

from __future__ import annotations

from dataclasses import dataclass

EVERY_STATE = (
    "tin|id_?card|social_?insurance"
    "|national_?(?:id|identity|identification|insurance|register)(?:_?card)?"
    "|(?:personal|citizen|resident|government|govt|civil|fiscal)_?(?:id|identity|identification|code|number)"
    "|identity(?:_?card)?|tax_?(?:id|no|number|code)|tax_?payer(?:_?id)?"
)
"""Names of fields that any country uses."""


@dataclass(frozen=True, slots=True)
class State:
    """One kind of number. `safe` says what to write in its place."""

    kind: str
    checkers: tuple[str, ...]
    spelled: str
    bare: str
    named: str
    safe: str = "make its check digit wrong, or leave it out"


def _groups(pattern: str) -> str:
    """The pattern between blanks, where no more groups of digits stand before or after it."""
    return rf"(?<![0-9] ){pattern}(?! [0-9])"


_LETTERS = "[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
_NINO = rf"(?!BG|GB|KN|NK|NT|TN|ZZ){_LETTERS} ?\d\d ?\d\d ?\d\d ?[A-D]"
_TAX_CODE = "[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPR-T][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]"
_CURP = r"[A-Z][AEIOUX][A-Z]{2}\d\d(?:0\d|1[0-2])(?:[0-2]\d|3[01])[HMX][A-Z]{5}[0-9A-Z]\d"
_CHINA = r"[1-9]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[0-9Xx]"

STATES = (
    State(
        "a US social security number or ITIN",
        ("us.ssn", "us.itin"),
        r"\d{3}-\d\d-\d{4}",
        r"\d{3}[- ]?\d\d[- ]?\d{4}",
        "ssns?|social_?security|soc_?sec|itin",
        "begin it with 000, which is never given out",
    ),
    State(
        "an Indian Aadhaar number",
        ("in_.aadhaar",),
        _groups(r"[2-9]\d{3} \d{4} \d{4}"),
        r"\d{4}-?\d{4}-?\d{4}",
        "aadhaar|aadhar|adhaar",
    ),
    State("a Brazilian CPF", ("br.cpf",), r"\d{3}\.\d{3}\.\d{3}-\d\d", r"\d{11}", "cpf"),
    State(
        "a German tax id",
        ("de.idnr",),
        _groups(r"\d\d \d{3} \d{3} \d{3}"),
        r"\d{11}",
        "steuer_?(?:id(?:entifikations|ent)?|nummer|nr)|idnr",
    ),
    State(
        "a French NIR",
        ("fr.nir",),
        _groups(r"[1-478] \d\d \d\d (?:\d\d|2[AB]) \d{3} \d{3} \d\d"),
        r"[1-478]\d{4}(?:\d\d|2[AB])\d{8}",
        "nir|insee|secu|securite_sociale",
    ),
    State("a Spanish DNI", ("es.dni",), r"\d{8}-?[A-HJ-NP-TV-Z]", r"\d{8}[- ]?[A-Z]", "dni|nif|documento"),
    State(
        "a Spanish NIE",
        ("es.nie",),
        r"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]",
        r"[XYZ][- ]?\d{7}[- ]?[A-Z]",
        "nie|nif|documento",
    ),
    State(
        "an Italian tax code",
        ("it.codicefiscale",),
        f"(?:{_TAX_CODE}|{_TAX_CODE.lower()})",
        _TAX_CODE,
        "codice_?fiscale",
    ),
    State("a Portuguese NIF", ("pt.nif",), "", r"\d{3} ?\d{3} ?\d{3}", "nif|contribuinte"),
    State("a Dutch BSN", ("nl.bsn",), "", r"\d{8,9}|\d{4}\.\d\d\.\d{3}", "bsn|burgerservice|sofi"),
    State(
        "a Belgian national number",
        ("be.nn",),
        r"\d\d\.\d\d\.\d\d-\d{3}[. ]\d\d",
        r"\d{11}",
        "niss|insz|rijksregister|registre_national",
    ),
    State("a Swiss AHV number", ("ch.ssn",), r"756\.\d{4}\.\d{4}\.\d\d", r"756\d{10}", "ahv|avs"),
    State("an Austrian insurance number", ("at.vnr",), "", r"\d{4} ?\d{6}", "svnr|vsnr|sozialversicherungs"),
    State("an Irish PPS number", ("ie.pps",), "", r"\d{7}[A-W][A-IW]?", "ppsn?"),
    State("a British NHS number", ("gb.nhs",), "", r"\d{3}[- ]?\d{3}[- ]?\d{4}", "nhs"),
    State(
        "a British national insurance number",
        (),
        _NINO,
        _NINO,
        "nino",
        "begin it with QQ, which is never given out",
    ),
    State("a Polish PESEL", ("pl.pesel",), "", r"\d{11}", "pesel"),
    State("a Czech or Slovak birth number", ("cz.rc",), "", r"\d{6}/?\d{3,4}", "rodne_?cislo"),
    State("a Romanian CNP", ("ro.cnp",), "", r"\d{13}", "cnp"),
    State(
        "a Swedish personnummer",
        ("se.personnummer",),
        "",
        r"(?:\d\d)?\d{6}[-+]?\d{4}",
        "person(?:nummer|nr)|samordnings",
    ),
    State("a Danish CPR number", ("dk.cpr",), "", r"\d{6}-?\d{4}", "cpr"),
    State(
        "a Norwegian birth number",
        ("no.fodselsnummer",),
        _groups(r"\d{6} \d{5}"),
        r"\d{11}",
        "fo?dsels|personnummer|fnr",
    ),
    State(
        "a Finnish personal identity code",
        ("fi.hetu",),
        r"\d{6}[-+A]\d{3}[0-9A-Y]",
        r"\d{6}[-+A]\d{3}[0-9A-Y]",
        "hetu",
    ),
    State("a Turkish identity number", ("tr.tckimlik",), "", r"\d{11}", "tckn|tc_?kimlik|kimlik"),
    State("a South African identity number", ("za.idnr",), "", r"\d{13}", "sa_?id|rsa_?id"),
    State("a Chinese identity number", ("cn.ric",), _CHINA, _CHINA, "shenfenzheng"),
    State("a Korean registration number", ("kr.rrn",), r"\d{6}-\d{7}", r"\d{13}", "rrn"),
    State("a Japanese My Number", ("jp.in_",), "", r"\d{4} ?\d{4} ?\d{4}", "my_?number|individual_?number"),
    State("a Mexican CURP", ("mx.curp",), _CURP, _CURP, "curp"),
    State("a Chilean RUT", ("cl.rut",), r"\d{1,2}\.\d{3}\.\d{3}-[0-9Kk]", r"\d{7,8}-?[0-9K]", "rut"),
    State("a Canadian SIN", ("ca.sin",), "", r"\d{3}[- ]?\d{3}[- ]?\d{3}", "sin"),
    State("an Australian tax file number", ("au.tfn",), "", r"\d{3} ?\d{3} ?\d{2,3}", "tfn|tax_?file"),
)
