"""Go's text/template as far as request logs need it, and the log itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emu.daemon.queue_proxy.goformat import Struct, go_float
from emu.daemon.queue_proxy.gotemplate import TemplateError, parse, render
from emu.daemon.queue_proxy.observability import DEFAULT_TEMPLATE
from tests.unit.daemon.daemon_wire import Daemon, FakeApp, StartProxy, wait_for

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
VALUES: dict[str, Any] = {
    "Request": Struct("Request", {"Method": "GET", "Header": {"X-A": ["1", "2"]}}, {"UserAgent": lambda: 'a"b<c>'}),
    "Response": Struct("Response", {"Code": 404, "Size": 5, "Latency": 0.25}),
    "Empty": "",
}


class TestTemplate:
    """given → then."""

    @pytest.mark.parametrize(
        ("template", "text"),
        [
            ("plain", "plain"),
            ("{{.Request.Method}} {{.Response.Code}}", "GET 404"),
            ("{{.Response.Latency}}s", "0.25s"),
            ("{{js .Request.UserAgent}}", r"a\"b\u003Cc\u003E"),
            ("{{html .Request.UserAgent}}", "a&#34;b&lt;c&gt;"),
            ("{{.Request.UserAgent | js}}", r"a\"b\u003Cc\u003E"),
            ('{{index .Request.Header "X-A"}}', "[1 2]"),
            ('{{index .Request.Header "X-A" 0}}', "1"),
            ('{{index .Request.Header "X-None"}}', "[]"),
            ("{{if gt .Response.Code 399}}bad{{else}}good{{end}}", "bad"),
            ("{{if .Empty}}a{{else if eq .Response.Code 404 500}}b{{else}}c{{end}}", "b"),
            ("{{if and .Request.Method (not .Empty)}}x{{end}}", "x"),
            ("{{with .Response}}{{.Size}}{{end}}", "5"),
            ("{{with .Empty}}a{{else}}b{{end}}", "b"),
            ('{{range index .Request.Header "X-A"}}<{{.}}>{{end}}', "<1><2>"),
            ("{{$m := .Request.Method}}{{$m}}{{$m}}", "GETGET"),
            ("{{with .Response}}{{$.Request.Method}}{{end}}", "GET"),
            ('{{printf "%s-%03d-%.1f" .Request.Method .Response.Code .Response.Latency}}', "GET-404-0.2"),
            ('{{printf "%q" .Request.Method}}', '"GET"'),
            ('a {{- /* words */ -}} b{{print "x"}}', "abx"),
            ("a {{- .Response.Size -}} b", "a5b"),
            ('{{len .Request.Method}}{{urlquery "a b"}}', "3a+b"),
            ("{{`raw`}}", "raw"),
            ('{{or .Empty "none"}}', "none"),
            ('{{and .Empty (index .Request.Header "X-A" 99)}}', ""),
            ('{{define "m"}}<{{.Method}}>{{end}}{{template "m" .Request}}', "<GET>"),
            ('{{template "later" .Response}}{{define "later"}}{{.Code}}{{$.Size}}{{end}}', "4045"),
            ('{{block "size" .Response}}[{{.Size}}]{{end}}', "[5]"),
            ('{{define "none"}}x{{.}}{{end}}{{template "none"}}', "x<no value>"),
            (
                '{{define "a"}}({{template "b" .Method}}){{end}}{{define `b`}}{{.}}{{end}}{{template "a" .Request}}',
                "(GET)",
            ),
            ('{{range $i, $v := index .Request.Header "X-A"}}{{$i}}={{$v}};{{end}}', "0=1;1=2;"),
            ('{{range $v := index .Request.Header "X-A"}}{{$v}}{{end}}', "12"),
            ("{{range $k, $v := .Request.Header}}{{$k}}{{len $v}}{{end}}", "X-A2"),
            ('{{range index .Request.Header "X-A"}}{{if eq . "2"}}{{break}}{{end}}{{.}}{{end}}', "1"),
            ('{{range index .Request.Header "X-A"}}{{if eq . "1"}}{{continue}}{{end}}{{.}}{{end}}', "2"),
            ("{{range 3}}{{.}}{{end}}", "012"),
            ("{{range .Empty | len}}x{{else}}none{{end}}", "none"),
            ("{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"),
            ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
            ("{{with .Empty}}a{{else with .Response}}{{.Size}}{{end}}", "5"),
            ("{{slice .Request.Method 1 2}}{{slice .Request.Method 1}}", "EET"),
            ("{{len (.Request.Method)}}{{(.Response).Size}}{{(index .Request.Header `X-A`) | len}}", "352"),
            ("{{if and (.Empty) (eq .Response.Code 404)}}a{{else}}b{{end}}", "b"),
            ('{{print 1 2 "a" 3}}{{print nil}}{{println true}}', "1 2a3<nil>true\n"),
            ('{{"}}"}}{{`}}`}}{{/* }} */}}', "}}}}"),
            ("{{0x1F}} {{017}} {{1_000}} {{1.5e-7}} {{1e6}} {{'a'}} {{.5}}", "31 15 1000 1.5e-07 1e+06 97 0.5"),
            ("{{.Nothing}}{{.Request.Header.Nothing}}{{1 |}}", "<no value><no value>1"),
            (
                '{{printf "%5d|%-5d|%05d|%+d|%x|%#x|%o|%b|%c|%U" 42 42 42 42 42 42 42 42 42 42}}',
                "   42|42   |00042|+42|2a|0x2a|52|101010|*|U+002A",
            ),
            (
                '{{printf "%10s|%-6s|%.2s|%x|%q|%v" "abc" "abc" "abc" "abc" "a\\"b" true}}',
                '       abc|abc   |ab|616263|"a\\"b"|true',
            ),
            ('{{printf "%d %s %d %z" "a" 1 1.5 2}}', "%!d(string=a) %!s(int=1) %!d(float64=1.5) %!z(int=2)"),
            ('{{printf "%d"}}{{printf "x" 1}}{{printf "%[2]d%[1]d" 1 2}}', "%!d(MISSING)x%!(EXTRA int=1)21"),
            ("{{.Response}}{{.Request.Header}}", "{404 5 0.25}map[X-A:[1 2]]"),
            (r"""{{"\xc3\xa9\u00e9\351\t\""}}{{'\351'}}{{'\''}}""", 'éé\ufffd\t"23339'),
            ('{{printf "%c%c" 55296 233}}', "\ufffdé"),
        ],
    )
    def test_it_renders(self, template: str, text: str) -> None:
        """As Go would."""
        assert render(parse(template), VALUES) == text

    @pytest.mark.parametrize(
        "template",
        [
            "{{",
            "{{.A",
            "{{if .A}}",
            "{{end}}",
            "{{nothing .A}}",
            "{{(.A}}",
            "{{}}",
            "{{break}}",
            "{{define}}x{{end}}",
            '{{define "a"}}',
            '{{if .A}}{{define "a"}}{{end}}{{end}}',
            '{{block "a"}}{{end}}',
            '{{define "a"}}x{{end}}{{define "a"}}y{{end}}',
            "{{template .A}}",
            r'{{"\d"}}',
            r'{{"\1"}}',
            r'{{"\N{DIGIT ONE}"}}',
            r'{{"\ud800"}}',
            r"""{{"\'"}}""",
            r"""{{'\"'}}""",
            f"{{{{{'(' * 5000}1{')' * 5000}}}}}",
        ],
    )
    def test_what_is_no_template_is_reported(self, template: str) -> None:
        """When it is read, not when it is used."""
        with pytest.raises(TemplateError):
            parse(template)

    @pytest.mark.parametrize(
        "template",
        [
            "{{.Request.Nope}}",
            "{{index .Request.Method 99}}",
            '{{template "nobody"}}',
            "{{eq 1 1.0}}",
            '{{eq "a" 1}}',
            "{{lt true false}}",
            "{{nil}}",
            "{{.Request.Method 1}}",
            "{{range 1.5}}{{end}}",
            "{{9223372036854775808}}",
            '{{define "self"}}{{template "self"}}{{end}}{{template "self"}}',
            '{{define "other"}}{{$x}}{{end}}{{$x := 1}}{{template "other"}}',
            "{{slice .Request.Method 2 9}}",
        ],
    )
    def test_what_fails_on_the_values_is_reported(self, template: str) -> None:
        """When it is used."""
        with pytest.raises(TemplateError):
            render(parse(template), VALUES)

    @pytest.mark.parametrize(
        ("value", "text"), [(1.0, "1"), (0.000123, "0.000123"), (0.0000123, "1.23e-05"), (1e21, "1e+21")]
    )
    def test_floats_are_written_as_go_does(self, value: float, text: str) -> None:
        """%v."""
        assert go_float(value) == text


class TestLog:
    """What lands on standard output."""

    def _start(self, queue_proxy: StartProxy, **logging: object) -> Daemon:
        return queue_proxy(OBSERVABILITY_CONFIG=json.dumps(logging))

    def _one(self, proxy: Daemon, fake_app: FakeApp, request: bytes) -> None:
        client = proxy.connect()
        client.send(request)
        app = fake_app.accept()
        app.read_head()
        app.send(OK)
        client.read_body(client.read_head())

    def _logged(self, proxy: Daemon, key: str) -> dict[str, Any]:
        line: dict[str, Any] = wait_for(lambda: next((line for line in proxy.lines if key in line), None), key)
        return line

    def test_the_default_template_is_knatives(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Every value but status is text."""
        proxy = self._start(queue_proxy, enableRequestLog=True)
        self._one(
            proxy,
            fake_app,
            b'GET /a?b="c" HTTP/1.1\r\nHost: a\r\nUser-Agent: x"y\r\ntraceparent: 00-abc-d-01\r\n\r\n',
        )
        line = self._logged(proxy, "httpRequest")
        request = line["httpRequest"]
        assert line["traceId"] == "abc"
        assert (request["requestMethod"], request["requestUrl"]) == ("GET", '/a?b="c"')
        assert (request["status"], request["responseSize"], request["requestSize"]) == (200, "2", "0")
        assert (request["userAgent"], request["protocol"], request["serverIp"]) == ('x"y', "HTTP/1.1", "127.0.0.1")
        assert request["remoteIp"].startswith("127.0.0.1:")
        assert float(request["latency"].removesuffix("s")) > 0
        assert DEFAULT_TEMPLATE.count("{{") == 12

    def test_probes_are_left_out_unless_asked_for(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """By the header, or the kubelet's agent."""
        template = '{"agent": "{{.Request.UserAgent}}"}'
        proxy = self._start(queue_proxy, enableRequestLog=True, requestLogTemplate=template)
        client = proxy.connect()
        client.ask(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: kube-probe/1\r\nK-Network-Probe: queue\r\n\r\n")
        self._one(proxy, fake_app, b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: curl\r\n\r\n")
        assert self._logged(proxy, "agent") == {"agent": "curl"}

    def test_without_asking_there_is_no_log(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Off by default, and with an empty template."""
        proxy = self._start(queue_proxy, enableRequestLog=True, requestLogTemplate="")
        self._one(proxy, fake_app, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not [line for line in proxy.lines if "httpRequest" in line]
