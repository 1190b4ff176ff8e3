"""A request as a Go handler sees it (net/http, Request; net/url, URL), for the template of a request log. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from emu.daemon.http import http1
from emu.daemon.http.gourl import TargetError, read_target
from emu.daemon.queue_proxy.goformat import Nil, Struct, Values
from emu.daemon.queue_proxy.golexer import TemplateError

_NOT_KEPT = ("Host", "Transfer-Encoding", "Trailer")
"""Headers that Go's server takes out."""


def request(head: http1.Head, host: str, remote: str) -> Struct:
    """The request with this head, for this Host, from this address and port."""
    header: dict[str, list[str]] = {}
    for name, value in head.headers:
        header.setdefault(http1.canonical(name).decode("latin-1"), []).append(value.decode("utf-8", "replace"))
    trailers = [part.strip() for value in header.get("Trailer", ()) for part in value.split(",")]
    kept = _values({name: each for name, each in header.items() if name not in _NOT_KEPT}, "http.Header")
    proto = "HTTP/2.0" if head.minor == 2 else f"HTTP/1.{head.minor}"
    major, minor = int(proto[5]), int(proto[7])
    target = head.target.decode("utf-8", "replace")
    url = _url(head)
    query = url.methods["Query"]

    def first(name: str) -> str:
        return (header.get(name) or [""])[0]

    def cookie(name: str) -> Any:
        for each in _cookies(header):
            if each.fields["Name"] == name:
                return each
        raise TemplateError("error calling Cookie: http: named cookie not present")

    fields: dict[str, Any] = {
        "Method": head.method.decode("latin-1"),
        "URL": url,
        "Proto": proto,
        "ProtoMajor": major,
        "ProtoMinor": minor,
        "Header": kept,
        "Body": Struct("http.noBody", {}),
        "GetBody": Nil("func() (io.ReadCloser, error)"),
        "ContentLength": -1 if head.content_length is None else head.content_length,
        "TransferEncoding": ["chunked"] if head.chunked else [],
        "Close": not head.keep_alive,
        "Host": host,
        "Form": _values({}, "url.Values"),
        "PostForm": _values({}, "url.Values"),
        "MultipartForm": Nil(),
        "Trailer": _values({http1.canonical(each.encode()).decode(): [] for each in trailers if each}, "http.Header"),
        "RemoteAddr": remote,
        "RequestURI": target,
        "TLS": Nil(),
        "Cancel": Nil("<-chan struct {}"),
        "Response": Nil(),
        "Pattern": "",
    }
    methods: dict[str, Callable[..., Any]] = {
        "UserAgent": lambda: first("User-Agent"),
        "Referer": lambda: first("Referer"),
        "Cookies": lambda: _cookies(header),
        "Cookie": cookie,
        "FormValue": lambda name: query().methods["Get"](name),
        "PostFormValue": lambda _: "",
        "PathValue": lambda _: "",
        "ProtoAtLeast": lambda most, least: (major, minor) >= (most, least),
    }
    return Struct("http.Request", fields, methods)


def _values(values: Mapping[str, list[str]], name: str) -> Values:
    canonical = name == "http.Header"

    def all_of(key: str) -> list[str]:
        return values.get(http1.canonical(key.encode()).decode() if canonical else key, [])

    methods: dict[str, Any] = {"Get": lambda key: (all_of(key) or [""])[0]}
    if canonical:
        methods |= {"Values": all_of, "Clone": lambda: _values(values, name)}
    else:
        methods |= {"Has": lambda key: key in values, "Encode": lambda: _encoded(values)}
    return Values(values, methods, name)


def _encoded(values: Mapping[str, list[str]]) -> str:
    from urllib.parse import quote_plus

    pairs = ((key, value) for key in sorted(values) for value in values[key])
    return "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in pairs)


def _cookies(header: Mapping[str, list[str]]) -> list[Struct]:
    found = []
    for line in header.get("Cookie", ()):
        for part in line.split(";"):
            name, equals, value = part.strip().partition("=")
            if equals and name:
                text = f"{name}={value}"
                fields = {"Name": name, "Value": value.strip('"')}
                found.append(Struct("http.Cookie", fields, {"String": lambda text=text: text}))
    return found


def _url(head: http1.Head) -> Struct:
    target = head.target
    try:
        whole, authority = read_target(target)
    except TargetError:
        whole, authority = target, b""
    path, asks, query = whole.decode("latin-1").partition("?")
    scheme = ""
    raw = target.partition(b"?")[0].decode("latin-1")
    user: Any = Nil("url.Userinfo", {"Username": lambda: "", "String": lambda: ""})
    if authority:
        scheme = target.partition(b":")[0].decode().lower()
        named, at, _ = target.partition(b"//")[2].partition(b"/")[0].rpartition(b"@")
        raw = "/" + target.partition(b"//")[2].partition(b"?")[0].partition(b"/")[2].decode("latin-1")
        if at:
            text = named.decode("latin-1")
            methods = {"Username": lambda: unquote(text.partition(":")[0]), "String": lambda: text}
            user = Struct("url.Userinfo", {}, methods)
    host = authority.decode("latin-1").rpartition("@")[2]
    plain = unquote(path, "utf-8", "replace")
    query_text = query.encode("latin-1").decode("utf-8", "replace")
    shown = f"{user.methods['String']()}@" if isinstance(user, Struct) else ""
    tail = path + asks + query_text
    text = f"{scheme}://{shown}{host}{tail}" if scheme else tail
    name, port = _split(host)
    fields = {
        "Scheme": scheme,
        "Opaque": "",
        "User": user,
        "Host": host,
        "Path": plain,
        "Fragment": "",
        "RawQuery": query_text,
        "RawPath": raw if raw == path and path != _encoded_path(plain) else "",
        "RawFragment": "",
        "ForceQuery": bool(asks) and not query,
        "OmitHost": False,
    }
    url_methods: dict[str, Callable[..., Any]] = {
        "String": lambda: text,
        "Redacted": lambda: text,
        "EscapedPath": lambda: path,
        "EscapedFragment": lambda: "",
        "Query": lambda: _values(parse_qs(query_text, keep_blank_values=True), "url.Values"),
        "Hostname": lambda: name,
        "Port": lambda: port,
        "IsAbs": lambda: bool(scheme),
        "RequestURI": lambda: tail,
    }
    return Struct("url.URL", fields, url_methods)


def _encoded_path(path: str) -> str:
    """As url.URL writes a path by itself."""
    from urllib.parse import quote

    return path if path == "*" else quote(path, safe="-._~/$&+,:;=@")


def _split(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    if not colon or (port and not port.isdigit()):
        name, port = host, ""
    return name.removeprefix("[").removesuffix("]"), port
