"""The catalogue behind A7's pages and its sitemap: what is in it, and that it is made once an hour."""

from __future__ import annotations

import asyncio
import gzip
from datetime import date
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.a7.catalogue import MAJORS, SCHOLARSHIPS, Catalogue
from ecoload.sandbox.a7.sitemap import TTL_S, Shared, Sitemap, addresses, make
from ecoload.sandbox.common.states import STATES

BASE = "http://127.0.0.1:8007"
SPACE = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
numbers = st.integers(0, SCHOLARSHIPS - 1)


def unrested(_: float) -> None:
    """No rest between slices."""


@pytest.fixture(scope="module")
def made() -> Sitemap:
    return make(BASE, Catalogue(1), unrested)


@pytest.fixture(scope="module")
def rows(made: Sitemap) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(made.xml)
    assert root.tag == f"{SPACE}urlset"
    return list(root)


# --- the catalogue -----------------------------------------------------------------------------------


def test_there_are_all_states_and_many_majors() -> None:
    assert len(STATES) == 51
    assert "DC" in STATES
    assert len(MAJORS) >= 60


@given(st.integers(0, 2**32), numbers)
def test_a_scholarship_is_found_by_its_own_address_and_by_no_other(seed: int, number: int) -> None:
    catalogue = Catalogue(seed)
    scholarship = catalogue.scholarship(number)
    assert catalogue.find(scholarship.slug) == scholarship
    assert catalogue.find(f"other-{scholarship.slug}") is None
    assert catalogue.find(scholarship.slug.upper()) is None


def test_the_same_seed_has_the_same_scholarships_and_another_seed_others() -> None:
    one, same, other = Catalogue(1), Catalogue(1), Catalogue(2)
    some = range(0, SCHOLARSHIPS, 100)
    assert [one.scholarship(n) for n in some] == [same.scholarship(n) for n in some]
    assert [one.scholarship(n) for n in some] != [other.scholarship(n) for n in some]


@given(st.text(max_size=60))
def test_any_other_text_is_the_address_of_nothing(text: str) -> None:
    assert Catalogue(1).find(text) is None


@pytest.mark.parametrize("number", ["9999", "٠٠٠٠", "²000", "-001", "1", "00000", ""])
def test_a_number_that_is_none_finds_nothing(number: str) -> None:
    assert Catalogue(1).find(f"cedar-biology-grant-tx-{number}") is None


def test_states_share_out_all_scholarships_and_so_do_majors() -> None:
    catalogue = Catalogue(1)
    everything = {catalogue.scholarship(number).slug for number in range(SCHOLARSHIPS)}
    by_state = {code: catalogue.of_state(code) for code in STATES}
    by_major = {slug: catalogue.of_major(slug) for slug in MAJORS}
    assert all(one.state == code for code, found in by_state.items() for one in found)
    assert all(one.major == slug for slug, found in by_major.items() for one in found)
    for shares in (by_state, by_major):
        slugs = [one.slug for found in shares.values() for one in found]
        assert len(slugs) == SCHOLARSHIPS
        assert set(slugs) == everything


@given(numbers)
def test_an_award_is_in_whole_dollars_above_nothing(number: int) -> None:
    cents = Catalogue(1).scholarship(number).award_cents
    assert cents > 0
    assert cents % 100 == 0


# --- the sitemap -------------------------------------------------------------------------------------


def test_the_sitemap_is_as_sitemaps_org_wants_it(made: Sitemap, rows: list[ElementTree.Element]) -> None:
    assert made.xml.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    assert 5_000 <= len(rows) <= 50_000
    assert 600_000 <= len(made.xml) <= 50 * 2**20
    for row in rows:
        assert [part.tag for part in row] == [f"{SPACE}loc", f"{SPACE}lastmod"]
        loc, lastmod = (str(part.text) for part in row)
        assert loc.startswith(f"{BASE}/")
        assert len(loc) < 2_048
        assert date.fromisoformat(lastmod).year == 2025


def test_the_sitemap_has_every_page_once(rows: list[ElementTree.Element]) -> None:
    found = [str(row[0].text).removeprefix(BASE) for row in rows]
    assert len(found) == len(set(found))
    assert {"/", "/browse", "/browse/states", "/browse/majors"} <= set(found)
    assert {f"/browse/states/{code}" for code in STATES} <= set(found)
    assert {f"/browse/majors/{slug}" for slug in MAJORS} <= set(found)
    assert sum(path.startswith("/scholarships/") for path in found) == SCHOLARSHIPS
    assert found == [path for path, _ in addresses(Catalogue(1))]


def test_the_compressed_form_is_the_same_and_smaller(made: Sitemap) -> None:
    assert gzip.decompress(made.gzipped) == made.xml
    assert len(made.gzipped) < len(made.xml) / 5


def test_the_tag_follows_the_content(made: Sitemap) -> None:
    assert make(BASE, Catalogue(1), unrested).tag == made.tag
    assert make(BASE, Catalogue(2), unrested).tag != made.tag
    assert make("http://127.0.0.1:8008", Catalogue(1), unrested).tag != made.tag


def test_a_base_is_escaped() -> None:
    xml = make("http://127.0.0.1:1/a&b<c", Catalogue(1), unrested).xml
    first = ElementTree.fromstring(xml)[0][0].text
    assert first == "http://127.0.0.1:1/a&b<c/"


def test_the_making_rests_often_so_that_others_are_not_held_up() -> None:
    rests: list[float] = []
    make(BASE, Catalogue(1), rests.append)
    assert len(rests) > 100
    assert min(rests) > 0


# --- one making, kept for an hour --------------------------------------------------------------------


class Maker:
    """Makes a sitemap when it is let go; fails when it is told to. Its clock moves by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.begun = 0
        self.go = asyncio.Event()
        self.fails = False

    async def work(self) -> Sitemap:
        self.begun += 1
        await self.go.wait()
        if self.fails:
            raise OSError("no rows")
        return Sitemap(b"<urlset/>", b"", str(self.begun))

    def shared(self) -> Shared:
        return Shared(self.work, lambda: self.now)


def test_all_who_ask_at_once_share_one_making() -> None:
    async def scenario() -> None:
        maker = Maker()
        shared = maker.shared()
        waiting = [asyncio.create_task(shared.made()) for _ in range(50)]
        await asyncio.sleep(0)
        maker.go.set()
        assert {sitemap.tag for sitemap in await asyncio.gather(*waiting)} == {"1"}
        assert maker.begun == 1

    asyncio.run(scenario())


def test_it_is_kept_for_an_hour_and_not_longer() -> None:
    async def scenario() -> None:
        maker = Maker()
        shared = maker.shared()
        maker.go.set()
        assert shared.kept() is None
        made = await shared.made()
        maker.now += TTL_S - 1
        assert shared.kept() == (made, TTL_S - 1)
        maker.now += 1
        assert shared.kept() is None
        assert (await shared.made()).tag == "2"

    asyncio.run(scenario())
    assert TTL_S == 3600


def test_the_hour_begins_when_it_was_made_not_when_it_was_asked_for() -> None:
    async def scenario() -> None:
        maker = Maker()
        shared = maker.shared()
        waiting = asyncio.create_task(shared.made())
        await asyncio.sleep(0)
        maker.now += 100
        maker.go.set()
        made = await waiting
        assert shared.kept() == (made, 0.0)

    asyncio.run(scenario())


def test_a_making_that_fails_is_heard_by_all_and_not_kept() -> None:
    async def scenario() -> None:
        maker = Maker()
        shared = maker.shared()
        maker.fails = True
        maker.go.set()
        heard = await asyncio.gather(shared.made(), shared.made(), return_exceptions=True)
        assert [str(error) for error in heard] == ["no rows", "no rows"]
        assert shared.kept() is None
        maker.fails = False
        assert (await shared.made()).tag == "2"

    asyncio.run(scenario())


def test_one_that_is_not_to_be_kept_leaves_the_cache_as_it_was() -> None:
    async def scenario() -> None:
        maker = Maker()
        shared = maker.shared()
        maker.go.set()
        assert (await shared.made(keep=False)).tag == "1"
        assert shared.kept() is None
        kept = await shared.made()
        assert (await shared.made(keep=False)).tag == "3"
        assert shared.kept() == (kept, 0.0)

    asyncio.run(scenario())


@pytest.mark.parametrize("wishes", [(False, True), (True, False)])
def test_it_is_kept_if_anybody_who_waits_for_it_wants_it_kept(wishes: tuple[bool, bool]) -> None:
    async def scenario() -> None:
        maker = Maker()
        shared = maker.shared()
        waiting = [asyncio.create_task(shared.made(keep=keep)) for keep in wishes]
        await asyncio.sleep(0)
        maker.go.set()
        one, other = await asyncio.gather(*waiting)
        assert one is other
        assert shared.kept() == (one, 0.0)

    asyncio.run(scenario())


def test_who_goes_away_takes_nothing_from_the_others() -> None:
    async def scenario() -> None:
        maker = Maker()
        shared = maker.shared()
        first, second = asyncio.create_task(shared.made()), asyncio.create_task(shared.made())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        maker.go.set()
        assert (await second).tag == "1"
        assert maker.begun == 1

    asyncio.run(scenario())


def test_closing_ends_a_making_that_goes_on() -> None:
    async def scenario() -> None:
        maker = Maker()
        shared = maker.shared()
        waiting = asyncio.create_task(shared.made())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await shared.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert shared.kept() is None

    asyncio.run(scenario())
