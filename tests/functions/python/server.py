"""The command language of ../README.md with the official Python SDK."""

import json
import os
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from statefun import (
    BoolType,
    DoubleType,
    FloatType,
    IntType,
    LongType,
    RequestReplyHandler,
    StatefulFunctions,
    StringType,
    ValueSpec,
    egress_message_builder,
    kafka_egress_message,
    kinesis_egress_message,
    make_json_type,
    message_builder,
)

TYPES = ["workload/alpha", "workload/beta", "elsewhere.workload/alpha"]
MARKS = Path(os.environ["MARKS"])

PROGRAM = make_json_type("workload/program")
RECORD = make_json_type("workload/record")

CELLS = {
    "flag": BoolType,
    "number": IntType,
    "count": LongType,
    "ratio": DoubleType,
    "small": FloatType,
    "text": StringType,
    "note": make_json_type("workload/note"),
}
VALUES = [
    ValueSpec("total", LongType),
    ValueSpec("journal", make_json_type("workload/journal")),
    *(ValueSpec(name, type_) for name, type_ in CELLS.items()),
]

functions = StatefulFunctions()


def take(context, message):
    if message.is_type(PROGRAM):
        Run(context, message.as_type(PROGRAM)).all()
    else:
        told(context, message)


def told(context, message):
    name, type_ = next((name, type_) for name, type_ in CELLS.items() if message.is_type(type_))
    value = shown(name, message.as_type(type_))
    record(context, "told", caller=text_of(context.caller), cell=name, value=value)


for name in TYPES:
    functions.register(name, take, VALUES)


def text_of(address):
    return None if address is None else f"{address.typename}/{address.id}"


def record(context, kind, **fields):
    value = {"kind": kind, "at": text_of(context.address), **fields}
    context.send_egress(egress_message_builder("workload/records", value, RECORD))


def shown(cell, value):
    """A value of a cell's type in the form that `set` takes."""
    return str(value) if cell == "count" and value is not None else value


def taken(cell, value):
    return int(value) if cell == "count" else value


class Run:
    """One program at one address. A method an operation."""

    def __init__(self, context, program):
        self.context = context
        self.storage = context.storage
        self.program = program

    def all(self):
        caller = text_of(self.context.caller)
        if caller != self.program["from"]:
            self.record("complaint", program=self.program["id"], caller=caller)
        for operation in self.program["do"]:
            arguments = dict(operation)
            getattr(self, "op_" + arguments.pop("op"))(**arguments)

    def record(self, kind, **fields):
        record(self.context, kind, **fields)

    def cell(self, name):
        return shown(name, getattr(self.storage, name))

    def op_add(self, amount):
        self.storage.total = (self.storage.total or 0) + amount

    def op_set(self, cell, value):
        setattr(self.storage, cell, taken(cell, value))

    def op_clear(self, cell):
        delattr(self.storage, cell)

    def op_read(self, cell):
        self.record("read", program=self.program["id"], cell=cell, value=self.cell(cell))

    def op_mark(self, number):
        journal = self.storage.journal or {}
        caller = text_of(self.context.caller) or ""
        entry = journal.setdefault(caller, {"count": 0, "last": 0, "disorder": 0})
        entry["count"] += 1
        entry["disorder"] += number != entry["last"] + 1
        entry["last"] = number
        self.storage.journal = journal

    def op_send(self, to, program):
        self.context.send(message_to(to, program, PROGRAM))

    def op_send_after(self, ms, to, program, token=None):
        message = message_to(to, program, PROGRAM)
        self.context.send_after(timedelta(milliseconds=ms), message, token)

    def op_cancel(self, token):
        self.context.cancel_delayed_message(token)

    def op_tell(self, to, cell, value):
        self.context.send(message_to(to, taken(cell, value), CELLS[cell]))

    def op_egress(self, text):
        self.record("egress", program=self.program["id"], text=text)

    def op_kafka(self, topic, key, text):
        self.context.send_egress(kafka_egress_message("workload/kafka", topic, text, key=key))

    def op_kinesis(self, stream, key, text):
        self.context.send_egress(kinesis_egress_message("workload/kinesis", stream, text, key))

    def op_fail_once(self, mark):
        if is_new(mark):
            raise RuntimeError(f"fails once: {mark}")

    def op_crash_once(self, mark):
        if is_new(mark):
            os._exit(1)

    def op_report(self, round):
        total = self.storage.total
        self.record(
            "report",
            round=round,
            total=None if total is None else str(total),
            journal=self.storage.journal,
            cells={name: self.cell(name) for name in CELLS},
        )


def message_to(address, value, type_):
    namespace, name, id_ = address.split("/", 2)
    return message_builder(f"{namespace}/{name}", id_, value=value, value_type=type_)


def is_new(mark):
    """Whether the mark was not there yet. It is now."""
    try:
        (MARKS / mark).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Handler(BaseHTTPRequestHandler):
    functions = RequestReplyHandler(functions)
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        request = self.rfile.read(int(self.headers["content-length"]))
        try:
            answer = 200, "application/octet-stream", self.functions.handle_sync(request)
        except Exception as error:  # the runtime tries again
            answer = 500, "text/plain", repr(error).encode()
        self.answer(*answer)

    def answer(self, status, content_type, body):
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        # A runtime that is killed hangs up.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def end_with_the_parent():
    sys.stdin.buffer.read()
    os._exit(0)


server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
threading.Thread(target=end_with_the_parent, daemon=True).start()
print("ready", flush=True)
server.serve_forever()
