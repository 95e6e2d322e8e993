#!/usr/bin/env python3
"""Drives `ister lsp` as an editor does, with the client library pygls.

Usage: client.py PATH_TO_ISTER

Prints `ok: NAME` for each check and the latency of edits. If a check fails, the
others still run; the failures come last, on standard error, and the exit code is
1. Needs pygls 2.1 and lsprotocol; no network.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient

# The template of vm-tests/kvm, as far as the checks need it.
TEMPLATE = """\
{
    "DestinationType": "virtual",
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" }
    ],
    "SoftwareManager": "apt",
    "Version": "bookworm", "PostChroot": ["/usr/sbin/useradd ada"],
    "Bundles": [
        "bootloader",
        "kernel-kvm",
        "openssh-server",
        "os-core",
        "os-core-update"
    ],
    "Hostname": "kvm"
}
"""

# Two disks, where the number of a partition alone does not say which is meant.
TWO_DISKS = """\
{
    "DestinationType": "physical",
    "PartitionLayout": [
        { "disk": "sda", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "sda", "partition": 2, "size": "8G", "type": "linux" },
        { "disk": "sdb", "partition": 1, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "sda", "partition": 1, "type": "vfat" },
        { "disk": "sda", "partition": 2, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "sda", "partition": 1, "mount": "/boot" },
        { "disk": "sda", "partition": 2, "mount": "/" }
    ],
    "SoftwareManager": "apt",
    "Version": "bookworm", "PostChroot": ["/usr/sbin/useradd ada"],
    "Bundles": ["bootloader", "kernel-native", "os-core", "os-core-update"]
}
"""

UTF8 = lsp.PositionEncodingKind.Utf8
UTF16 = lsp.PositionEncodingKind.Utf16

# How long to wait for one answer, and for everything, in seconds.
PATIENCE = 10
TIME_LIMIT = 60


class Failure(Exception):
    """A check that did not find what it wants."""


def want(condition, message):
    if not condition:
        raise Failure(message)


def want_equal(found, expected, what):
    want(found == expected, f"{what}: expected {expected!r}, found {found!r}")


# Positions and edits. -------------------------------------------------------


def width(text, encoding):
    """How many columns a text takes."""
    return len(text.encode("utf-8")) if encoding == UTF8 else len(text.encode("utf-16-le")) // 2


def position(text, offset, encoding):
    before = text[:offset].rsplit("\n", 1)[-1]
    return lsp.Position(line=text.count("\n", 0, offset), character=width(before, encoding))


def offset(text, place, encoding):
    """The offset of a position in a text."""
    start = 0
    for _ in range(place.line):
        start = text.index("\n", start) + 1
    at, column = start, 0
    while column < place.character:
        want(at < len(text), f"{place} lies outside the text")
        column += width(text[at], encoding)
        at += 1
    want(column == place.character, f"{place} lies inside a character")
    return at


def applied(text, edits, encoding):
    """The text after edits, which must not overlap."""
    spans = sorted(
        (offset(text, e.range.start, encoding), offset(text, e.range.end, encoding), e.new_text)
        for e in edits
    )
    for (_, end, _), (start, _, _) in zip(spans, spans[1:]):
        want(end <= start, "edits overlap")
    for start, end, new in reversed(spans):
        text = text[:start] + new + text[end:]
    return text


def expanded(snippet):
    """A snippet, with the first choice of each place taken and the other places empty."""
    snippet = re.sub(r"\$\{\d+\|([^,|]*)[^}]*\|\}", r"\1", snippet)
    snippet = re.sub(r"(?<!\\)\$\d+", "", snippet)
    return snippet.replace("\\$", "$")


def once(text, old, new):
    """The text with `old`, which must stand there once, replaced."""
    want_equal(text.count(old), 1, f"how often {old!r} stands in the template")
    return text.replace(old, new)


# The client. ----------------------------------------------------------------


class Client(LanguageClient):
    """An editor with one server."""

    def __init__(self, ister):
        super().__init__("ister-client-test", "1")
        self.ister = ister
        self.published = {}
        self.news = asyncio.Condition()
        self.exit_code = asyncio.get_running_loop().create_future()
        self.encoding = UTF16
        self.opened = 0

        @self.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        async def publish(params):
            async with self.news:
                self.published.setdefault(params.uri, []).append(params)
                self.news.notify_all()

    async def server_exit(self, server):
        self.exit_code.set_result(server.returncode)

    async def start(self, encodings=None, snippets=True):
        """Starts the server and greets it; gives its answer."""
        await self.start_io(self.ister, "lsp")
        item = lsp.ClientCompletionItemOptions(snippet_support=snippets)
        capabilities = lsp.ClientCapabilities(
            general=lsp.GeneralClientCapabilities(position_encodings=encodings),
            text_document=lsp.TextDocumentClientCapabilities(
                completion=lsp.CompletionClientCapabilities(completion_item=item)
            ),
        )
        params = lsp.InitializeParams(process_id=None, root_uri=None, capabilities=capabilities)
        answer = await asyncio.wait_for(self.initialize_async(params), PATIENCE)
        self.encoding = answer.capabilities.position_encoding or UTF16
        self.initialized(lsp.InitializedParams())
        return answer

    async def finish(self):
        """Says goodbye; gives the exit code."""
        await asyncio.wait_for(self.shutdown_async(None), PATIENCE)
        self.exit(None)
        return await self.gone()

    async def gone(self):
        """Waits for the server's end; gives its exit code."""
        code = await asyncio.wait_for(asyncio.shield(self.exit_code), PATIENCE)
        await self.stop()
        return code

    async def open(self, text, language="json", name=None):
        """Opens a document, and waits for its diagnostics."""
        self.opened += 1
        document = Document(self, name or f"template-{self.opened}.json", text)
        item = lsp.TextDocumentItem(
            uri=document.uri, language_id=language, version=document.version, text=text
        )
        self.text_document_did_open(lsp.DidOpenTextDocumentParams(text_document=item))
        await document.wait()
        return document

    async def ask(self, request):
        return await asyncio.wait_for(request, PATIENCE)


class Document:
    """An open file."""

    def __init__(self, client, name, text):
        self.client = client
        self.uri = f"file:///nowhere/{name}"
        self.text = text
        self.version = 1
        self.diagnostics = []

    @property
    def id(self):
        return lsp.TextDocumentIdentifier(uri=self.uri)

    async def wait(self):
        """Waits for the diagnostics of this version."""

        def here():
            return [
                p for p in self.client.published.get(self.uri, []) if p.version == self.version
            ]

        async with self.client.news:
            try:
                await asyncio.wait_for(self.client.news.wait_for(here), PATIENCE)
            except asyncio.TimeoutError:
                raise Failure(f"no diagnostics for version {self.version}") from None
            self.diagnostics = here()[-1].diagnostics

    def send_change(self, start, end, new):
        """Replaces the text between two offsets."""
        place = lsp.Range(start=self.at(start), end=self.at(end))
        self.text = self.text[:start] + new + self.text[end:]
        self.version += 1
        event = lsp.TextDocumentContentChangePartial(range=place, text=new)
        document = lsp.VersionedTextDocumentIdentifier(version=self.version, uri=self.uri)
        self.client.text_document_did_change(
            lsp.DidChangeTextDocumentParams(text_document=document, content_changes=[event])
        )

    async def change(self, old, new):
        """Replaces a text that stands in the document once."""
        want_equal(self.text.count(old), 1, f"how often {old!r} stands in the document")
        start = self.text.index(old)
        self.send_change(start, start + len(old), new)
        await self.wait()

    def close(self):
        self.client.text_document_did_close(lsp.DidCloseTextDocumentParams(text_document=self.id))

    def at(self, place):
        """The position of an offset."""
        return position(self.text, place, self.client.encoding)

    def part(self, place):
        """The text at a range."""
        encoding = self.client.encoding
        start, end = (offset(self.text, p, encoding) for p in (place.start, place.end))
        return self.text[start:end]

    def apply(self, edits):
        return applied(self.text, edits, self.client.encoding)

    def codes(self):
        return [d.code for d in self.diagnostics]

    def finding(self, code):
        found = [d for d in self.diagnostics if d.code == code]
        want_equal(len(found), 1, f"findings of {code} among {self.codes()}")
        return found[0]

    async def hover(self, place):
        params = lsp.HoverParams(text_document=self.id, position=self.at(place))
        return await self.client.ask(self.client.text_document_hover_async(params))

    async def complete(self, place):
        params = lsp.CompletionParams(text_document=self.id, position=self.at(place))
        answer = await self.client.ask(self.client.text_document_completion_async(params))
        items = answer.items if isinstance(answer, lsp.CompletionList) else answer or []
        return sorted(items, key=lambda item: item.sort_text or item.label)

    async def actions(self, place, only=None):
        context = lsp.CodeActionContext(diagnostics=self.diagnostics, only=only)
        params = lsp.CodeActionParams(text_document=self.id, range=place, context=context)
        return await self.client.ask(self.client.text_document_code_action_async(params)) or []

    def edits(self, edit):
        """The edits of a workspace edit, which may touch only this document."""
        want_equal(list(edit.changes or {}), [self.uri], "files that the edit changes")
        return edit.changes[self.uri]


async def marked(client, text):
    """Opens a text whose only `|` is the cursor; gives the document and the cursor."""
    want_equal(text.count("|"), 1, "cursors")
    return await client.open(text.replace("|", "")), text.index("|")


async def completions(client, text):
    """What is offered at the `|`: text after it was taken, by label, best first."""
    document, cursor = await marked(client, text)
    offers = {}
    for item in await document.complete(cursor):
        want(item.label.strip(), "an offer has an empty label")
        edit = item.text_edit
        start, end = (offset(document.text, p, client.encoding) for p in (edit.range.start, edit.range.end))
        want(start <= cursor <= end, f"the edit of {item.label!r} does not hold the cursor")
        want_equal(edit.range.start.line, edit.range.end.line, f"the lines of the edit of {item.label!r}")
        new = edit.new_text
        if item.insert_text_format == lsp.InsertTextFormat.Snippet:
            new = expanded(new)
        offers[item.label] = document.text[:start] + new + document.text[end:]
    return offers


async def want_offers(client, text, expected, exact=True):
    offers = await completions(client, text)
    line = next(line.strip() for line in text.split("\n") if "|" in line)
    if exact:
        want_equal(list(offers), expected, f"offers at {line!r}")
    else:
        missing = [label for label in expected if label not in offers]
        want(not missing, f"{missing} is not among the offers at {line!r}: {list(offers)}")
    return offers


async def want_sound(client, text):
    """The text has no findings."""
    document = await client.open(text)
    want_equal(document.codes(), [], f"findings in\n{text}")


# Checks. --------------------------------------------------------------------

CHECKS = []


def check(name, **how):
    """A check that gets a client whose server runs; `how` goes to `start`."""

    def register(function):
        CHECKS.append((name, function, how))
        return function

    return register


def check_alone(name):
    """A check that starts its own servers; it gets the path of the program."""

    def register(function):
        CHECKS.append((name, function, None))
        return function

    return register


@check_alone("initialize: capabilities")
async def _(ister):
    client = Client(ister)
    answer = await client.start()
    can = answer.capabilities
    want_equal(answer.server_info.name, "ister", "the server's name")
    want_equal(can.text_document_sync.change, lsp.TextDocumentSyncKind.Incremental, "changes")
    want(can.text_document_sync.open_close, "the server does not want to hear of opening and closing")
    providers = [
        "hover",
        "completion",
        "code_action",
        "document_symbol",
        "definition",
        "references",
        "rename",
        "document_formatting",
    ]
    missing = [name for name in providers if not getattr(can, f"{name}_provider")]
    want_equal(missing, [], "what the server does not offer")
    want(can.rename_provider.prepare_provider, "prepareRename is not offered")
    kinds = can.code_action_provider.code_action_kinds
    want_equal(set(kinds), {"quickfix", "source.fixAll.ister"}, "kinds of code actions")
    want('"' in can.completion_provider.trigger_characters, "a quote does not trigger completion")
    await client.finish()


@check_alone("initialize: UTF-16 unless the client knows UTF-8")
async def _(ister):
    for offered, expected in [(None, UTF16), ([UTF16], UTF16), (["utf-32"], UTF16), ([UTF16, UTF8], UTF8)]:
        client = Client(ister)
        answer = await client.start(offered)
        want_equal(answer.capabilities.position_encoding, expected, f"encoding when offered {offered}")
        await client.finish()


@check_alone("shutdown and exit end the server with code 0")
async def _(ister):
    client = Client(ister)
    await client.start()
    await client.open(TEMPLATE)
    want_equal(await client.finish(), 0, "exit code")


@check_alone("exit without shutdown ends the server with code 1")
async def _(ister):
    # Source: LSP 3.17, `exit`.
    client = Client(ister)
    await client.start()
    client.exit(None)
    want_equal(await client.gone(), 1, "exit code")


@check_alone("a request after shutdown is refused, and exit still gives code 0")
async def _(ister):
    # Source: LSP 3.17, `shutdown`: such requests "should error with InvalidRequest".
    client = Client(ister)
    await client.start()
    document = await client.open(TEMPLATE)
    await client.ask(client.shutdown_async(None))
    refused = None
    try:
        await document.hover(TEMPLATE.index("Version"))
    except JsonRpcException as error:
        refused = error.code
    except (Exception, asyncio.TimeoutError) as error:  # the server is gone
        refused = repr(error)
    if not client.exit_code.done():
        client.exit(None)
    code = await client.gone()
    want_equal((refused, code), (-32600, 0), "the answer and the exit code")


@check("an unknown request gets MethodNotFound")
async def _(client):
    try:
        await client.ask(client.protocol.send_request_async("ister/unknown", {}))
    except JsonRpcException as error:
        want_equal(error.code, -32601, "error code")
    else:
        raise Failure("there was an answer")
    # Notifications that mean nothing are ignored, and the server lives on.
    client.protocol.notify("ister/unknown", {})
    client.protocol.notify("$/unknown", {})
    await want_sound(client, TEMPLATE)


@check("diagnostics: a sound template has none")
async def _(client):
    await want_sound(client, TEMPLATE)


@check("diagnostics: on open, each at its place")
async def _(client):
    text = once(TEMPLATE, '"type": "linux"', '"type": "linxu"')
    document = await client.open(once(text, '"Hostname"', '"Hostnam"'))
    want_equal(document.codes(), ["unknown-value", "misspelt-key"], "findings")
    for code, part in [("unknown-value", '"linxu"'), ("misspelt-key", '"Hostnam"')]:
        finding = document.finding(code)
        want_equal(document.part(finding.range), part, f"place of {code}")
        want_equal(finding.source, "ister", "source")
        want_equal(finding.severity, lsp.DiagnosticSeverity.Error, "severity")
    want("did you mean `linux`?" in document.finding("unknown-value").message, "no suggestion")


async def columns(client):
    """Edits behind characters that are two and four bytes, one and two UTF-16 units long."""
    text = once(TEMPLATE, '"Hostname": "kvm"', '"$comment": "\u00e4\U0001f600", "Hostname": "kvm"')
    document = await client.open(text)
    want_equal(document.codes(), [], "findings on open")
    await document.change('"Hostname"', '"Hostnam"')
    finding = document.finding("misspelt-key")
    want_equal(document.part(finding.range), '"Hostnam"', "place of the finding")
    # A change inside the word, one that crosses lines, and one behind the end.
    await document.change('nam"', 'name"')
    want_equal(document.codes(), [], "findings after the second change")
    await document.change('\u00e4\U0001f600", "Hostname": "kvm"\n}', '\U0001f600\U0001f600",\n"Hostnames": 1}')
    want_equal(document.part(document.finding("misspelt-key").range), '"Hostnames"', "place")
    start = len(document.text)
    document.send_change(start, start, "x")
    await document.wait()
    want("syntax" in document.codes(), f"nothing about the text after the end: {document.codes()}")


@check("diagnostics: after a change behind non-ASCII characters, UTF-16", encodings=[UTF16])
async def _(client):
    want_equal(client.encoding, UTF16, "encoding")
    await columns(client)


@check("diagnostics: after a change behind non-ASCII characters, UTF-8", encodings=[UTF8])
async def _(client):
    want_equal(client.encoding, UTF8, "encoding")
    await columns(client)


@check("diagnostics: CRLF counts as the end of a line, not as a column")
async def _(client):
    text = once(TEMPLATE, '"type": "linux"', '"type": "linxu"').replace("\n", "\r\n")
    document = await client.open(text)
    want_equal(document.part(document.finding("unknown-value").range), '"linxu"', "place")


@check("diagnostics: cleared on close")
async def _(client):
    document = await client.open(once(TEMPLATE, '"type": "linux"', '"type": "linxu"'))
    before = len(client.published[document.uri])
    document.close()
    async with client.news:
        news = client.news.wait_for(lambda: len(client.published[document.uri]) > before)
        await asyncio.wait_for(news, PATIENCE)
    want_equal(list(client.published[document.uri][-1].diagnostics), [], "findings")


@check("diagnostics: a missing comma, brace or bracket is found, and the rest as well")
async def _(client):
    broken = once(TEMPLATE, '"Hostname"', '"Hostnam"')
    for old, new in [
        ('"size": "32M", "type": "swap" },', '"size": "32M", "type": "swap" }'),
        ('"SoftwareManager": "apt",', '"SoftwareManager": "apt"'),
        ('"size": "8G", "type": "linux" }', '"size": "8G", "type": "linux"'),
        ('"size": "8G"', '"size": "8G'),
        ('"os-core-update"\n    ],', '"os-core-update"\n    ,'),
    ]:
        document = await client.open(once(broken, old, new))
        want("syntax" in document.codes(), f"nothing about the syntax: {document.codes()}")
        # What a missing bracket makes of the keys behind it is anybody's guess.
        if not old.endswith("],"):
            want("misspelt-key" in document.codes(), f"{new!r} hides the rest: {document.codes()}")
    # Every beginning of the text was on the screen while it was typed.
    for end in range(20, len(TEMPLATE) - 2, 37):
        document = await client.open(TEMPLATE[:end])
        if '"PartitionLayout"' in document.text:
            want(document.diagnostics, f"no findings in the first {end} characters")


@check("diagnostics: a key whose value is not typed yet does not swallow the next key")
async def _(client):
    document = await client.open(once(TEMPLATE, '"Version": "bookworm",', '"Version": '))
    odd = [d.message for d in document.diagnostics if "Bundles" in d.message or "`:`" in d.message]
    want_equal(odd, [], "findings that follow only from the missing value")


@check("diagnostics: a missing brace does not make keys of punctuation")
async def _(client):
    old = '"size": "32M", "type": "swap" },'
    document = await client.open(once(TEMPLATE, old, '"size": "32M", "type": "swap"'))
    odd = [d.message for d in document.diagnostics if d.code == "unknown-key"]
    want_equal(odd, [], "unknown keys")


@check("diagnostics: only for templates")
async def _(client):
    package = '{ "name": "left-pad", "version": "1.0.0", "dependencies": { "a": "*", "a": "*" }, }'
    want_equal((await client.open(package)).codes(), [], "findings in a package.json")
    want_equal((await client.open("[1, 2")).codes(), [], "findings in another JSON file")
    want((await client.open("{}", language="ister")).codes(), "none for the language id `ister`")
    want((await client.open("{}", name="new.ister.json")).codes(), "none for *.ister.json")
    document = await client.open(package)
    want_equal(await document.hover(3), None, "hover in a package.json")
    want_equal(await document.complete(2), [], "completion in a package.json")


@check("hover: a key")
async def _(client):
    document, cursor = await marked(client, once(TEMPLATE, '"Version"', '"Ver|sion"'))
    hover = await document.hover(cursor)
    want(hover.contents.value.startswith("**Version**"), hover.contents.value)
    want("bookworm" in hover.contents.value, hover.contents.value)
    want_equal(document.part(hover.range), '"Version"', "the hover's place")


@check("hover: a partition lies where `ister plan` puts it")
async def _(client):
    plan = subprocess.run(
        [client.ister, "plan", "-", "--format", "json", "--quiet"],
        input=TEMPLATE, capture_output=True, text=True, check=True, timeout=PATIENCE,
    )  # fmt: skip
    for partition in json.loads(plan.stdout)["disks"][0]["partitions"]:
        number = partition["number"]
        where = f"{partition['first_lba']} to {partition['last_lba']}"
        document = await client.open(TEMPLATE)
        for match in re.finditer(f'"partition": {number}', TEMPLATE):
            # On the number, and between two members.
            for cursor in (match.end(), match.start() - 1):
                hover = await document.hover(cursor)
                want(hover and where in hover.contents.value, f"{where} is not in {hover}")
        if number == 1:
            want_equal(where, "2048 to 1050623", "place of partition 1")


@check("hover: a bundle")
async def _(client):
    document, cursor = await marked(client, once(TEMPLATE, '"openssh-server"', '"open|ssh-server"'))
    hover = await document.hover(cursor)
    want("With apt: " in hover.contents.value, hover.contents.value)
    want_equal(document.part(hover.range), '"openssh-server"', "the hover's place")


LINUX = '{ "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }'
KEYS = ["disk", "partition", "size", "type"]


@check("completion: missing keys")
async def _(client):
    for half in [
        '{ "disk": "kvm.img", "partition": 3, "type": "linux", | }',
        '{ "disk": "kvm.img", "partition": 3, "type": "linux", "|" }',
        '{ "disk": "kvm.img", "partition": 3, "type": "linux", "| }',
        '{ "disk": "kvm.img", "partition": 3, "type": "linux", "si|" }',
        '{ "disk": "kvm.img", "partition": 3, "type": "linux", si| }',
        '{ "disk": "kvm.img", "partition": 3, | "type": "linux" }',
    ]:
        offers = await want_offers(client, once(TEMPLATE, LINUX, half), ["size"])
        await want_sound(client, offers["size"].replace('"size": ""', '"size": "8G"'))
    for half in ["{ | }", "{|}", "{ |", "{|", '{ "|" }', '{ "|']:
        await want_offers(client, once(TEMPLATE, LINUX, half), KEYS)
        await want_offers(client, once(TEMPLATE, LINUX, f"{LINUX},\n        {half}"), KEYS)
    whole = once(TEMPLATE, '"Hostname": "kvm"', "|")
    offers = await want_offers(client, whole, ["Hostname", "Users", "Static_IP", "$lint"], exact=False)
    want("Version" not in offers, "a key that is there is offered")
    want('"$lint": { ' in offers["$lint"], "the dollar sign is lost")
    await want_offers(client, once(TEMPLATE, '"kvm"\n', '"kvm",\n    |\n'), ["Users"], exact=False)


@check("completion: a key that is typed before others does not swallow the next")
async def _(client):
    for half in ['"|" "type": "linux"', '"|\n        "type": "linux"', '"|"\n        "type": "linux"']:
        text = once(TEMPLATE, LINUX, f'{{ "disk": "kvm.img", "partition": 3, {half} }}')
        offers = await want_offers(client, text, ["size"])
        await want_sound(client, offers["size"].replace('"size": ""', '"size": "8G"'))


@check("completion: without snippets, a key and its colon", snippets=False)
async def _(client):
    half = '{ "disk": "kvm.img", "partition": 3, "size": "8G", "|" }'
    offers = await want_offers(client, once(TEMPLATE, LINUX, half), ["type"])
    want('"8G", "type":  }' in offers["type"], offers["type"])


@check("completion: values of an enumeration")
async def _(client):
    # In the last two, the string runs to the end of its line: only what was typed is replaced.
    for half in ['"|"', "|", '"li|"', "li|", '"linux|"', '"|', '"li|']:
        text = once(TEMPLATE, '"type": "linux"', f'"type": {half}')
        offers = await want_offers(client, text, ["EFI", "linux", "swap"])
        await want_sound(client, offers["linux"])
    for old, half, expected in [
        ('"type": "linux"', '"type":|', ["EFI", "linux", "swap"]),
        ('"virtual"', "|", ["virtual", "physical"]),
        ('"apt"', '"|"', ["swupd", "dnf", "apt"]),
        ('"Hostname": "kvm"', '"LegacyBios": |', ["true", "false"]),
    ]:
        await want_offers(client, once(TEMPLATE, old, half), expected)
    for old, half, expected in [
        ('"type": "ext4"', '"type": "|"', ["ext4", "btrfs", "xfs"]),
        ('"bookworm"', '"|"', ["bookworm", "trixie", "latest"]),
    ]:
        await want_offers(client, once(TEMPLATE, old, half), expected, exact=False)


@check("completion: between quotes, an edit that begins behind the quote")
async def _(client):
    # Neovim and eglot take the word under the cursor for what was typed, and a quote is no part of a word. Neovim also
    # leaves alone what stands behind the cursor: a value's second quote must not be written again.
    for old, new, label, kept in [
        ('"type": "linux"', '"type": "li|"', "linux", '"'),
        ('"type": "linux"', '"type": "|', "linux", ""),
        ('"editors"', '"ed|"', "editors", '"'),
        ('"Hostname": "kvm"', '"Host|"', "Hostname", ""),
    ]:
        text = TEMPLATE.replace('"bootloader",', '"bootloader",\n        "editors",')
        document, cursor = await marked(client, once(text, old, new))
        items = {item.label: item for item in await document.complete(cursor)}
        want(label in items, f"{label!r} is not offered at {new!r}: {list(items)}")
        item = items[label]
        start, end = (
            offset(document.text, p, client.encoding)
            for p in (item.text_edit.range.start, item.text_edit.range.end)
        )
        typed = document.text[start:cursor]
        want(not typed.startswith('"'), f"the edit of {label!r} at {new!r} begins with the quote")
        want((item.filter_text or item.label).startswith(typed), f"{typed!r} does not find {label!r}")
        want_equal(document.text[end : end + len(kept)], kept, f"what stands behind the edit at {new!r}")


@check("completion: bundles")
async def _(client):
    for half in ['"|"', "|", '"|', '"ed|"', "ed|"]:
        text = once(TEMPLATE, '"os-core-update"', f'"os-core-update",\n        {half}')
        offers = await want_offers(client, text, ["editors", "sysadmin-basic"], exact=False)
        want("openssh-server" not in offers, "a bundle that is there is offered")
        await want_sound(client, offers["editors"])
    await want_offers(client, once(TEMPLATE, '"bootloader"', '"|"'), ["bootloader"], exact=False)


@check("completion: whole entries for partitions that lack one")
async def _(client):
    entry = ',\n        { "disk": "kvm.img", "partition": 3, "type": "ext4" }'
    offers = await completions(client, once(TEMPLATE, entry, ",\n        |"))
    want_equal(len(offers), 1, f"offers: {list(offers)}")
    await want_sound(client, offers.popitem()[1])
    offers = await completions(client, once(TEMPLATE, LINUX, f"{LINUX},\n        |"))
    want('"partition": 4' in next(iter(offers.values())), f"not the next number: {offers}")


@check("completion: disks")
async def _(client):
    for section in ['"partition": 3, "size"', '"partition": 3, "type"', '"partition": 3, "mount"']:
        for half in ["|", '"kv|"', '"kvm.img|"']:
            text = once(TEMPLATE, f'"kvm.img", {section}', f"{half}, {section}")
            offers = await completions(client, text)
            want("kvm.img" in offers, f"{half!r} is offered {list(offers)}")
            await want_sound(client, offers["kvm.img"])


@check("completion: of disks, only names that stand elsewhere")
async def _(client):
    for half in ['"kv|"', '"|"', '"|']:
        text = once(TEMPLATE, '"kvm.img", "partition": 3, "type"', f'{half}, "partition": 3, "type"')
        await want_offers(client, text, ["kvm.img"])


@check("completion: partitions")
async def _(client):
    text = once(TEMPLATE, '"partition": 3, "type"', '"partition": |, "type"')
    offers = await want_offers(client, text, ["3"])
    await want_sound(client, offers["3"])
    text = once(TEMPLATE, '"partition": 3, "size"', '"partition": |, "size"')
    await want_sound(client, (await want_offers(client, text, ["3"]))["3"])
    text = once(TEMPLATE, '"partition": 3, "size"', '"partition": 3|, "size"')
    await want_offers(client, text, ["3"])


@check("completion: partitions of two disks")
async def _(client):
    last = '"partition": 2, "type": "ext4" }'
    text = once(TWO_DISKS, last, f'{last},\n        {{ "disk": "sdb", "partition": | }}')
    await want_offers(client, text, ["1"])
    # The partition that lacks a filesystem is the first of sdb.
    offers = await completions(client, once(TWO_DISKS, last, f"{last},\n        |"))
    entry = '{ "disk": "sdb", "partition": 1, "type": "ext4" }'
    want_equal(len(offers), 1, f"offers: {list(offers)}")
    taken = offers.popitem()[1].split("\n")[10].strip()
    want_equal(taken, entry, "the entry that is offered")
    # Each disk counts its own partitions.
    last = '"sdb", "partition": 1, "size": "8G", "type": "linux" }'
    text = once(TWO_DISKS, last, f'{last},\n        {{ "disk": "sdb", "partition": | }}')
    await want_offers(client, text, ["2"])


@check("completion: where a secret comes from")
async def _(client):
    user = '"Users": [ { "username": "ada", "password": { | } } ]'
    text = once(TEMPLATE, '"Hostname": "kvm"', user)
    await want_offers(client, text, ["file", "env"], exact=False)


@check("completion: everywhere, an edit of one line that holds the cursor")
async def _(client):
    # `completions` looks at that.
    for cursor in range(0, len(TEMPLATE), 7):
        await completions(client, TEMPLATE[:cursor] + "|" + TEMPLATE[cursor:])


@check("code action: applied, the finding is gone")
async def _(client):
    for old, new, code in [
        ('"type": "linux"', '"type": "linxu"', "unknown-value"),
        ('"Hostname"', '"Hostnam"', "misspelt-key"),
        ('"bootloader",', '"bootloader", "bootloader",', "bundle-duplicate"),
        ('"apt",', '"apt"', "syntax"),
        ('"kvm"\n', '"kvm",\n', "syntax"),
        ('"mount": "/boot"', '"mount": "/efi"', "esp-mount"),
        ('"size": "8G"', '"size": "8GB"', "partition-size"),
        ('"Hostname": "kvm"', '"$comment": "\u00e4\U0001f600", "Zebra": 1', "unknown-key"),
    ]:
        document = await client.open(once(TEMPLATE, old, new))
        finding = document.finding(code)
        actions = await document.actions(finding.range)
        want(actions, f"no action for {code}")
        action = actions[0]
        want_equal(action.kind, lsp.CodeActionKind.QuickFix, "kind")
        want_equal([d.code for d in action.diagnostics], [code], "what the action is for")
        await want_sound(client, document.apply(document.edits(action.edit)))
        # Nothing at another place, and nothing of another kind.
        start = lsp.Position(line=0, character=0)
        elsewhere = await document.actions(lsp.Range(start=start, end=start))
        want_equal(list(elsewhere), [], "actions at another place")
        want_equal(list(await document.actions(finding.range, ["refactor"])), [], "refactorings")


@check("code action: source.fixAll makes the safe fixes")
async def _(client):
    text = once(TEMPLATE, '"bootloader",', '"bootloader", "bootloader",')
    text = once(text, '"apt",', '"apt"')
    text = once(text, '"Hostname": "kvm"', '"Zebra": 1')
    document = await client.open(text)
    everything = lsp.Range(start=document.at(0), end=document.at(len(text)))
    for only in ["source.fixAll.ister", "source.fixAll", "source"]:
        actions = await document.actions(everything, [only])
        want_equal([a.kind for a in actions], ["source.fixAll.ister"], f"actions of {only}")
        fixed = await client.open(document.apply(document.edits(actions[0].edit)))
        # Removing a key is nothing to be done unasked.
        want_equal(fixed.codes(), ["unknown-key"], "findings that are left")
    sound = await client.open(TEMPLATE)
    want_equal(list(await sound.actions(everything, ["source.fixAll"])), [], "actions without findings")


async def symbols_of(client, document):
    params = lsp.DocumentSymbolParams(text_document=document.id)
    return await client.ask(client.text_document_document_symbol_async(params))


def want_nested(document, symbols, parent=None):
    """Editors refuse outlines whose ranges do not nest."""

    def inside(inner, outer):
        return outer.start <= inner.start and inner.end <= outer.end

    for symbol in symbols:
        want(inside(symbol.selection_range, symbol.range), f"{symbol.name}: the selection is outside")
        want(parent is None or inside(symbol.range, parent), f"{symbol.name} is outside its parent")
        want(symbol.name.strip(), "a symbol has no name")
        want_nested(document, symbol.children or [], symbol.range)


@check("symbols")
async def _(client):
    document = await client.open(TEMPLATE)
    symbols = await symbols_of(client, document)
    want_equal([s.name for s in symbols], list(json.loads(TEMPLATE)), "symbols")
    layout = symbols[1]
    want_equal([s.name for s in layout.children], [f"partition {n}" for n in (1, 2, 3)], "partitions")
    want_equal(layout.children[2].detail, "8G linux", "detail")
    want_equal(document.part(layout.children[2].range), LINUX, "place")
    want_equal(document.part(layout.selection_range), '"PartitionLayout"', "selection")
    for end in range(20, len(TEMPLATE), 7):
        document = await client.open(TEMPLATE[:end])
        want_nested(document, await symbols_of(client, document) or [])


@check("definition")
async def _(client):
    for text, line in [
        (once(TEMPLATE, '"partition": 3, "mount"', '"partition": |3, "mount"'), 5),
        (once(TEMPLATE, '"partition": 3, "type"', '"partition": 3|, "type"'), 5),
        (once(TEMPLATE, '"mount": "/boot"', '"mount": "/bo|ot"'), 3),
        (once(TEMPLATE, '"kvm.img", "partition": 3, "mount"', '"kv|m.img", "partition": 3, "mount"'), 3),
        (once(TWO_DISKS, '"sda", "partition": 2, "mount"', '"sda", "partition": |2, "mount"'), 4),
    ]:
        document, cursor = await marked(client, text)
        params = lsp.DefinitionParams(text_document=document.id, position=document.at(cursor))
        found = await client.ask(client.text_document_definition_async(params))
        want_equal((found.uri, found.range.start.line), (document.uri, line), "definition")
    document, cursor = await marked(client, once(TEMPLATE, '"Hostname"', '"Host|name"'))
    params = lsp.DefinitionParams(text_document=document.id, position=document.at(cursor))
    want_equal(await client.ask(client.text_document_definition_async(params)), None, "definition of a key")


@check("references")
async def _(client):
    all_disks = [3, 4, 5, 8, 9, 10, 13, 14]
    for text, declaration, lines in [
        (once(TEMPLATE, '"partition": 3, "size"', '"partition": |3, "size"'), True, [5, 10, 14]),
        (once(TEMPLATE, '"partition": 3, "size"', '"partition": |3, "size"'), False, [10, 14]),
        (once(TEMPLATE, '"kvm.img", "partition": 2, "size"', '"kv|m.img", "partition": 2, "size"'), True, all_disks),
        (once(TWO_DISKS, '"sda", "partition": 1, "size"', '"sda", "partition": |1, "size"'), True, [3, 8, 12]),
    ]:
        document, cursor = await marked(client, text)
        params = lsp.ReferenceParams(
            text_document=document.id,
            position=document.at(cursor),
            context=lsp.ReferenceContext(include_declaration=declaration),
        )
        found = await client.ask(client.text_document_references_async(params))
        want_equal([place.range.start.line for place in found], lines, "lines")


@check("rename: a disk, in all three sections")
async def _(client):
    text = once(TEMPLATE, '"kvm.img", "partition": 3, "mount"', '"kvm|.img", "partition": 3, "mount"')
    document, cursor = await marked(client, text)
    params = lsp.PrepareRenameParams(text_document=document.id, position=document.at(cursor))
    place = await client.ask(client.text_document_prepare_rename_async(params))
    want_equal(document.part(place), "kvm.img", "what is renamed")
    for name in ["cloud.img", 'a "b" \u00e4.img']:
        params = lsp.RenameParams(text_document=document.id, position=document.at(cursor), new_name=name)
        edit = await client.ask(client.text_document_rename_async(params))
        renamed = json.loads(document.apply(document.edits(edit)))
        for section in ["PartitionLayout", "FilesystemTypes", "PartitionMountPoints"]:
            want_equal({entry["disk"] for entry in renamed[section]}, {name}, f"disks of {section}")


@check("rename: nothing else can be renamed")
async def _(client):
    document, cursor = await marked(client, once(TEMPLATE, '"Hostname"', '"Host|name"'))
    at = {"text_document": document.id, "position": document.at(cursor)}
    requests = [
        client.text_document_prepare_rename_async(lsp.PrepareRenameParams(**at)),
        client.text_document_rename_async(lsp.RenameParams(**at, new_name="x")),
    ]
    for request in requests:
        try:
            answer = await client.ask(request)
        except JsonRpcException as error:
            want_equal(error.code, -32803, "error code")
        else:
            want_equal(answer, None, "answer")
    # Two disks do not become one.
    document, cursor = await marked(client, TWO_DISKS.replace('"sdb"', '"sd|b"', 1))
    params = lsp.RenameParams(text_document=document.id, position=document.at(cursor), new_name="sda")
    try:
        await client.ask(client.text_document_rename_async(params))
    except JsonRpcException as error:
        want("sda" in error.message, error.message)
    else:
        raise Failure("sdb was renamed to sda, which is there already")


@check("formatting: as `ister fmt -`")
async def _(client):
    compact = json.dumps(json.loads(TEMPLATE) | {"$comment": "\u00e4\U0001f600"}, ensure_ascii=False)
    for text in [
        TEMPLATE,
        compact,
        TEMPLATE.replace("    ", "\t"),
        TEMPLATE.replace("\n", "\r\n"),
        TEMPLATE.rstrip(),
        TEMPLATE + "\n\n",
        once(TEMPLATE, '"linux"', '"linxu"').replace(" }", "}"),
    ]:
        fmt = subprocess.run(
            [client.ister, "fmt", "-"],
            input=text.encode(), capture_output=True, check=True, timeout=PATIENCE,
        )  # fmt: skip
        document = await client.open(text)
        options = lsp.FormattingOptions(tab_size=2, insert_spaces=True)
        params = lsp.DocumentFormattingParams(text_document=document.id, options=options)
        edits = await client.ask(client.text_document_formatting_async(params))
        want_equal(document.apply(edits), fmt.stdout.decode(), "formatted text")
    # What is not JSON is left alone.
    document = await client.open(TEMPLATE[:-3])
    params = lsp.DocumentFormattingParams(text_document=document.id, options=options)
    want(not await client.ask(client.text_document_formatting_async(params)), "broken text is formatted")


def long_template(lines):
    """A sound template of at least so many lines."""
    template = json.loads(TEMPLATE)
    number = 3
    while True:
        text = json.dumps(template, indent=4)
        # A partition stands on one line, as people write it.
        text = re.sub(r"\{\s+(\"disk\"[^}]*?)\s+\}", lambda m: "{ " + re.sub(r"\s+", " ", m[1]) + " }", text)
        if text.count("\n") >= lines:
            return text
        number += 1
        entry = {"disk": "kvm.img", "partition": number}
        template["PartitionLayout"].append(entry | {"size": "64M", "type": "linux"})
        template["FilesystemTypes"].append(entry | {"type": "ext4"})
        template["PartitionMountPoints"].append(entry | {"mount": f"/srv/{number}"})


async def latency(ister):
    """From one typed character to the diagnostics that follow, the client's own work included."""
    client = Client(ister)
    await client.start()
    document = await client.open(long_template(200))
    want_equal(document.codes(), [], "findings in the long template")
    at = document.text.index('"kvm"') + 4
    times = []
    for turn in range(500):
        # Types a character, then takes it back.
        start, end, new = (at, at, "x") if turn % 2 == 0 else (at, at + 1, "")
        begin = time.perf_counter()
        document.send_change(start, end, new)
        await document.wait()
        times.append((time.perf_counter() - begin) * 1000)
        client.published[document.uri].clear()
    await client.finish()
    times.sort()
    print(f"latency: p50 {times[249]:.2f} ms, p99 {times[494]:.2f} ms")


async def run(ister):
    failures = []
    for name, function, how in CHECKS:
        try:
            if how is None:
                await function(ister)
            else:
                client = Client(ister)
                await client.start(**how)
                try:
                    await function(client)
                finally:
                    if not client.exit_code.done():
                        await client.finish()
        except Exception as error:
            failures.append(f"failed: {name}: {error if isinstance(error, Failure) else repr(error)}")
        else:
            print(f"ok: {name}", flush=True)
    try:
        await latency(ister)
    except Exception as error:
        failures.append(f"failed: latency: {error!r}")
    return failures


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    ister = str(Path(sys.argv[1]).resolve())
    try:
        failures = asyncio.run(asyncio.wait_for(run(ister), TIME_LIMIT))
    except asyncio.TimeoutError:
        sys.exit(f"failed: not done after {TIME_LIMIT} s")
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
