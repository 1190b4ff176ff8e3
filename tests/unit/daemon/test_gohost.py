"""Hosts that are not ASCII, as Knative's queue-proxy sent them to an app in HTTP/2."""

import pytest

from emu.daemon.http.gohost import HostError, punycode_host


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("a_%41.example:80", b"a_%41.example:80"),
        ("bücher.example", b"xn--bcher-kva.example"),
        ("BÜCHER.example:80", b"xn--BCHER-2pa.example:80"),
        ("日本.example", b"xn--wgv71a.example"),
        ("ü.", b"xn--tda."),
        ("é.É", b"xn--9ca.xn--dca"),
        ("-ü-.example", b"xn-----xka.example"),
        ("\u00ad.example", b"xn--kba.example"),
        ("a.example\u3002b", b"a.xn--exampleb-um3g"),
    ],
)
def test_each_label_is_coded_as_it_is(host: str, sent: bytes) -> None:
    """Nothing is mapped: case, width and dots of other scripts stay what they are."""
    assert punycode_host(host.encode()) == sent


@pytest.mark.parametrize(("host", "label"), [("xn--ü".encode(), '"ü"'), (b"b\xfccher.example", '"b\\xfccher"')])
def test_what_cannot_be_coded_is_refused_in_gos_words(host: bytes, label: str) -> None:
    """Such a request is a 502."""
    with pytest.raises(HostError) as refused:
        punycode_host(host)
    assert refused.value.words == f"http2: idna: invalid label {label}\n".encode()
