"""The local mailbox as a process: whatever comes over SMTP is shown, and does nothing."""

import importlib
import smtplib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.settings import Settings
from local_stack.mailbox.mails import MOST, Mailbox
from local_stack.ports import free_port
from local_stack.services import PortTaken, with_mailbox, with_ports
from schemas.errors import BadInput
from tests.kit.mailbox import MailboxProcess

EVIL = '"><script>alert(1)</script>'


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.tags if tag == "a"]

    def of(self, wanted: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == wanted]


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailboxProcess]:
    with ExitStack() as stack:
        box = MailboxProcess(Settings(_env_file=None), tmp_path_factory.mktemp("mailbox") / "mailbox.log")
        stack.callback(box.stop)
        box.start()
        yield box


def send(mailbox: MailboxProcess, content: bytes, to: str = "ann@example.com", times: int = 1) -> None:
    with smtplib.SMTP("127.0.0.1", mailbox.settings.smtp_port) as client:
        for _ in range(times):
            client.sendmail("shop@example.com", [to], content)


def test_a_mail_is_shown_as_text_and_its_html_in_a_frame_that_may_do_nothing(mailbox: MailboxProcess) -> None:
    head = f'Subject: {EVIL}\r\nMessage-ID: <1@x>\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
    text = f"--b\r\nContent-Type: text/plain\r\n\r\nhello {EVIL}\r\n"
    html = f"--b\r\nContent-Type: text/html\r\n\r\n<p onclick=x>{EVIL}</p><img src=http://example.com/>\r\n--b--\r\n"
    send(mailbox, (head + text + html).encode())
    newest = mailbox.mails()[0]
    assert (newest["subject"], newest["to"], newest["message_id"]) == (EVIL, ["ann@example.com"], "<1@x>")
    answer = httpx.get(f"{mailbox.url}/mails/{newest['number']}")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    page = Page(answer.text)
    assert page.of("script") == page.of("img") == page.of("p") == []
    (frame,) = page.of("iframe")
    assert frame["sandbox"] is None  # there, and allowing nothing
    assert frame["srcdoc"] == newest["html"]
    assert frame["title"]
    assert page.of("script") == []


def test_the_list_has_the_newest_first_page_by_page_and_works_without_scripts(mailbox: MailboxProcess) -> None:
    send(mailbox, b"Subject: many\r\n\r\nx", times=60)
    newest = mailbox.mails()[0]["number"]
    page = Page(httpx.get(mailbox.url).text)
    mails = [link for link in page.links() if link.startswith("/mails/")]
    assert mails == [f"/mails/{number}" for number in range(newest, newest - 50, -1)]
    assert page.of("script") == []
    assert any("width=device-width" in (meta.get("content") or "") for meta in page.of("meta"))
    (older,) = [link for link in page.links() if "before" in link]
    more = Page(httpx.get(f"{mailbox.url}{older}").text).links()
    assert f"/mails/{newest - 50}" in more
    assert set(mails).isdisjoint(more)


def test_what_is_not_there_or_not_a_number_is_said(mailbox: MailboxProcess) -> None:
    gone = httpx.get(f"{mailbox.url}/mails/999999")
    assert (gone.status_code, "not here" in gone.text) == (404, True)
    wrong = httpx.get(f"{mailbox.url}/mails/x")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "path.number")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"Subject: =?x?q?=ff?=\r\nContent-Type: text/plain; charset=none\r\n\r\n\xff",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
        b"Subject: \xed\xa0\x80\r\nMessage-ID: nonsense nonsense <<\r\n\r\nx",
    ],
)
def test_what_is_no_mail_is_shown_too(mailbox: MailboxProcess, content: bytes) -> None:
    send(mailbox, content)
    number = mailbox.mails()[0]["number"]
    assert httpx.get(f"{mailbox.url}/mails/{number}").status_code == 200
    assert httpx.get(mailbox.url).status_code == 200


@given(st.binary(max_size=300), st.sampled_from([b"", b"Subject: ", b"Content-Type: multipart/", b"Message-ID: "]))
def test_anything_can_be_taken(content: bytes, start: bytes) -> None:
    box = Mailbox()
    box.take("a@example.com", ["b@example.com"], start + content)
    (mail,) = box.newest_first()
    "".join((mail.subject, mail.message_id, mail.text, mail.html)).encode()


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiosmtpd.smtp", None)
    monkeypatch.delitem(sys.modules, "local_stack.mailbox.app", raising=False)
    with pytest.raises(BadInput, match="the mailbox needs aiosmtpd"):
        importlib.import_module("local_stack.mailbox.app")


def test_the_oldest_mails_are_forgotten() -> None:
    box = Mailbox()
    for _ in range(MOST + 5):
        box.take("", [], b"")
    numbers = [mail.number for mail in box.newest_first()]
    assert (numbers[0], numbers[-1], len(numbers), box.received) == (MOST + 5, 6, MOST, MOST + 5)
    assert box.find(5) is None


def test_the_stack_sends_to_the_mailbox_unless_it_is_told_another_server(tmp_path: Path) -> None:
    own = with_mailbox(Settings(_env_file=None, mailbox_smtp_port=4025))
    assert (own.smtp_host, own.smtp_port) == ("127.0.0.1", 4025)
    other = with_mailbox(Settings(_env_file=None, smtp_host="mail.example.com", smtp_port=587))
    assert (other.smtp_host, other.smtp_port) == ("mail.example.com", 587)


def test_both_of_its_ports_are_kept_and_a_taken_one_is_named(tmp_path: Path, mailbox: MailboxProcess) -> None:
    file, any_port = tmp_path / "ports.json", Settings(_env_file=None, mailbox_port=0, mailbox_smtp_port=0)
    first = with_ports(any_port, file)
    assert first.mailbox_smtp_port not in (0, first.mailbox_port)
    assert with_ports(any_port, file).mailbox_smtp_port == first.mailbox_smtp_port
    taken = mailbox.settings.mailbox_smtp_port
    with pytest.raises(PortTaken, match=f"port {taken} for mailbox-smtp is in use; set ORDERLOG_MAILBOX_SMTP_PORT"):
        with_ports(Settings(_env_file=None, mailbox_smtp_port=taken), file)
    free = free_port()
    assert with_ports(Settings(_env_file=None, mailbox_smtp_port=free), file).mailbox_smtp_port == free
