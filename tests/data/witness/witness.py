"""Prints what the official Python SDK makes of the scenario in README.md, one `name hex` a line."""

import asyncio
import json
from datetime import timedelta

from google.protobuf import text_format
from statefun import *
from statefun.request_reply_pb2 import Address, ToFunction

VISIT = make_json_type("witness/visit")


def fields(n):
    return {"name": "Zo\u00eb", "n": n}


specs = [
    ValueSpec("count", LongType),
    ValueSpec("note", StringType, expire_after_write=timedelta(milliseconds=1500)),
    ValueSpec("flag", BoolType, expire_after_call=timedelta(minutes=1)),
    ValueSpec("rest", DoubleType),
]


def run(context, message):
    if message.is_string():
        storage = context.storage
        storage.count = storage.count + 1
        storage.flag = storage.note == "" and storage.rest == 2.5
        del storage.note
        context.send(message_builder("witness/other", "o1", int_value=42))
        context.send(message_builder("witness/other", "o2", value=fields(1), value_type=VISIT))
        context.send_after(timedelta(milliseconds=1500), message_builder("witness/other", "o3", str_value="later"))
        context.send_after(timedelta(0), message_builder("witness/other", "o3", str_value=""))
        context.cancel_delayed_message("tok-0")
        context.send_after(timedelta(minutes=1), message_builder("witness/all", context.address.id, long_value=-5), "tok-1")
        context.send_egress(egress_message_builder("witness/out", 2.5, DoubleType))
        context.send_egress(kafka_egress_message("witness/kafka", topic="t", key="k", value="v\u00e4lue"))
        context.send_egress(kafka_egress_message("witness/kafka", topic="t", value=True, value_type=BoolType))
        context.send_egress(kafka_egress_message("witness/kafka", topic="t", value=7))
        context.send_egress(kinesis_egress_message("witness/kinesis", stream="s", partition_key="p", value=b"\0\xff", explicit_hash_key="9"))
    elif message.is_int():
        assert context.caller is None
        context.storage.count = context.storage.count + message.as_int()
        context.send(message_builder("witness/other", "o4", float_value=1.5))
    else:
        assert message.raw_value() is None
        context.send(message_builder(context.caller.typename, context.caller.id, bool_value=True))


def idle(context, message):
    pass


functions = StatefulFunctions()
functions.bind("witness/all", specs=specs)(run)
functions.bind("witness/idle")(idle)
handler = RequestReplyHandler(functions)


def show(name, value):
    print(name, bytes(value).hex())


def type_bytes(name, tpe, value):
    show(name, tpe.serializer().serialize(value))


type_bytes("bool_true", BoolType, True)
type_bytes("bool_false", BoolType, False)
for name, value in (("zero", 0), ("minus_one", -1), ("min", -(1 << 31)), ("max", (1 << 31) - 1)):
    type_bytes("int_" + name, IntType, value)
for name, value in (("zero", 0), ("minus_two", -2), ("min", -(1 << 63)), ("max", (1 << 63) - 1)):
    type_bytes("long_" + name, LongType, value)
for prefix, tpe in (("float", FloatType), ("double", DoubleType)):
    for name, value in (("zero", 0.0), ("one", 1.0), ("minus_zero", -0.0), ("infinity", float("inf"))):
        type_bytes(prefix + "_" + name, tpe, value)
type_bytes("string_empty", StringType, "")
type_bytes("string_hi", StringType, "hi")
type_bytes("string_umlaut", StringType, "Zo\u00eb \U0001f980")
type_bytes("json_visit", VISIT, fields(1))
PROTOBUF = make_protobuf_type(Address)
show("protobuf_name", PROTOBUF.typename.encode())
type_bytes("protobuf_address", PROTOBUF, Address(namespace="a", type="b", id="c"))

request = text_format.Parse(open("request.textproto").read(), ToFunction())
show("request", request.SerializeToString(deterministic=True))
show("reply", asyncio.run(handler.handle_async(request.SerializeToString())))
del request.invocation.state[:]
show("request_without_state", request.SerializeToString(deterministic=True))
show("reply_incomplete", asyncio.run(handler.handle_async(request.SerializeToString())))
request.invocation.target.type = "idle"
show("request_idle", request.SerializeToString(deterministic=True))
show("reply_idle", asyncio.run(handler.handle_async(request.SerializeToString())))
