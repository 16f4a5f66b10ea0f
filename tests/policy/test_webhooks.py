"""Signatures, answers and pauses of webhooks; and where one may lead."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from sessions_app.policy import addresses
from sessions_app.policy.webhooks import LONGEST_PROBE_PAUSE, PAUSES, Answer, Verdict, judge, probe_pause, retry_after, sign

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def verdict(status: int | None, attempts: int = 1, jitter: float = 0.0, wait: timedelta | None = None) -> Verdict:
    return judge(Answer(status, retry_after=wait), attempts=attempts, now=NOW, jitter=jitter)


# --- Signing


def test_it_signs_as_the_standard_says() -> None:
    """The example of Standard Webhooks 1.0."""
    at = datetime.fromtimestamp(1614265330, UTC)
    signed = sign([SECRET], event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", at=at, body=b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_secret_signs() -> None:
    first, second = sign([SECRET, "whsec_AAAA"], event_id="e", at=NOW, body=b"{}").split(" ")
    assert first == sign([SECRET], event_id="e", at=NOW, body=b"{}")
    assert second == sign(["whsec_AAAA"], event_id="e", at=NOW, body=b"{}")


# --- Answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_taken(status: int) -> None:
    assert verdict(status) == Verdict("delivered")


@pytest.mark.parametrize("status", [None, 100, 301, 302, 307, 400, 401, 403, 404, 408, 429, 500, 502, 503, 599])
def test_anything_else_is_tried_again(status: int | None) -> None:
    assert verdict(status) == Verdict("again", NOW + PAUSES[0])


def test_410_wants_no_more() -> None:
    assert verdict(410) == Verdict("failed", gone=True)


def test_pauses_grow_and_end_after_three_days() -> None:
    waits = [verdict(500, attempts=n + 1).retry_at for n in range(len(PAUSES))]
    assert waits == [NOW + pause for pause in PAUSES] == sorted(waits)  # type: ignore[type-var]
    assert timedelta(days=3) < sum(PAUSES, timedelta()) < timedelta(days=3.5)
    assert verdict(500, attempts=len(PAUSES) + 1) == Verdict("failed")


def test_jitter_only_lengthens() -> None:
    assert verdict(500, jitter=1.0).retry_at == NOW + 1.2 * PAUSES[0]


@pytest.mark.parametrize("wish, waits", [(10, 10), (1, 5), (3_600, 3_600), (10**9, 86_400), (-5, 5)])
def test_it_waits_as_long_as_it_is_asked_to_but_not_for_ever(wish: int, waits: int) -> None:
    assert verdict(503, wait=timedelta(seconds=wish)).retry_at == NOW + timedelta(seconds=waits)


@pytest.mark.parametrize(
    "header, means",
    [("7", 7), (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90), ("Mon, 04 May 2026 12:01:30", 90)],
)
def test_it_reads_retry_after(header: str, means: int) -> None:
    assert retry_after(header, NOW) == timedelta(seconds=means)


@given(st.one_of(st.none(), st.text(max_size=30), st.from_regex(r"\A[0-9]{1,5000}\Z")))
def test_no_retry_after_breaks_it(header: str | None) -> None:
    found = retry_after(header, NOW)
    assert found is None or verdict(503, wait=found).retry_at


@given(st.integers(0, 10_000))
def test_probes_come_ever_less_often_up_to_a_minute(failures: int) -> None:
    assert timedelta() <= probe_pause(failures) <= probe_pause(failures + 1) <= LONGEST_PROBE_PAUSE


# --- Addresses

INSIDE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "[::1]",
    "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[2002:7f00:1::]", "[ff02::1]", "localhost",
    "till.localhost",
]  # fmt: skip


@pytest.mark.parametrize(
    "url", ["https://till.example/hook", "https://till.example:8443/a?b=c", "https://93.184.215.14/", "https://[2606:4700::1]/"]
)
def test_an_address_outside_is_allowed(url: str) -> None:
    assert addresses.refusal(url, private=False) == ""


@pytest.mark.parametrize("host", INSIDE)
def test_one_inside_is_allowed_only_where_the_installation_says_so(host: str) -> None:
    assert "own network" in addresses.refusal(f"https://{host}/hook", private=False)
    assert addresses.refusal(f"http://{host}:8080/hook", private=True) == ""


@pytest.mark.parametrize(
    "url",
    [
        "", "till.example", "http://till.example/", "ftp://till.example/", "https://", "https:///path", "https://a:b@till.example/",
        "https://till.example:99999/", "https://till.example/#part", "https://till.example/a b", "https://till.example/\n",
        "https://tíll.example/", "https://t%C3%ADll.example/", "https://till.example\\hook", "https://till..example/",
        "https://[::1", "https://[2606:4700::1]x/", "https://till.example:8443:1/", "https://2130706433/", "https://127.1/",
        "https://0x7f.0.0.0x1/", "https://[v1.a:b.example]/", "javascript:alert(1)", "https://till.example/" + "a" * 500,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_a_reason(url: str) -> None:
    assert addresses.refusal(url, private=False).endswith(".")


@given(st.text(alphabet="ab1%\\[]:._-@!$&'()*+,;=~/?", max_size=12))
def test_what_is_allowed_can_be_called(rest: str) -> None:
    """By the program that calls it."""
    if not addresses.refusal(url := f"https://{rest}", private=True):
        assert URL(url).host


@pytest.mark.parametrize(
    "url, called",
    [
        ("https://bäckerei.example/", "https://xn--bckerei-5wa.example/"),
        ("https://BÄCKEREI.example:8443/ä?b#c", "https://xn--bckerei-5wa.example:8443/ä?b#c"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://１２７.0.0.1/", "https://127.0.0.1/"),
        ("https://Till.example/ä", "https://Till.example/ä"),
        ("https://ann@bäckerei.example/", "https://ann@bäckerei.example/"),
        ("https://☎ .example/", "https://☎ .example/"),
        ("https://[ä", "https://[ä"),
        ("bäckerei.example", "bäckerei.example"),
    ],
)
def test_a_name_in_other_letters_is_written_as_name_servers_know_it(url: str, called: str) -> None:
    assert addresses.as_called(url) == called


@given(st.text(max_size=60), st.booleans())
def test_no_text_breaks_it(url: str, private: bool) -> None:
    assert isinstance(addresses.refusal(addresses.as_called(f"https://{url}"), private=private), str)


@pytest.mark.parametrize(
    "address, public",
    [
        ("8.8.8.8", True),
        ("2606:4700::1", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("64:ff9b::7f00:1", False),
        ("fec0::1", False),
        ("::8.8.8.8", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert addresses.is_public(ip_address(address)) is public
