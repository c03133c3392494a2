// The command language of ../README.md with the official JavaScript SDK. It has no long and no double: here they are types of our own.
"use strict";

const fs = require("fs");
const http = require("http");
const path = require("path");
const {
  StateFun,
  egressMessageBuilder,
  kafkaEgressMessage,
  kinesisEgressMessage,
  messageBuilder,
} = require("apache-flink-statefun");

const TYPES = ["workload/alpha", "workload/beta", "elsewhere.workload/alpha"];

const PROGRAM = StateFun.jsonType("workload/program");
const RECORD = StateFun.jsonType("workload/record");

// Both are eight bytes behind the tag of field 1, and no bytes at all for zero.
const LONG = wrapper("io.statefun.types/long", 0n, "BigInt64LE");
const DOUBLE = wrapper("io.statefun.types/double", 0, "DoubleLE");

const CELLS = {
  flag: StateFun.booleanType(),
  number: StateFun.intType(),
  count: LONG,
  ratio: DOUBLE,
  small: StateFun.floatType(),
  text: StateFun.stringType(),
  note: StateFun.jsonType("workload/note"),
};

const specs = [
  { name: "total", type: LONG },
  { name: "journal", type: StateFun.jsonType("workload/journal") },
  ...Object.entries(CELLS).map(([name, type]) => ({ name, type })),
];

function wrapper(typename, zero, kind) {
  return StateFun.customType(
    typename,
    (value) => {
      const bytes = Buffer.alloc(Object.is(value, zero) ? 0 : 9, 0x09);
      if (bytes.length > 0) bytes["write" + kind](value, 1);
      return bytes;
    },
    (bytes) => (bytes.length > 0 ? bytes["read" + kind](1) : zero),
  );
}

function take(context, message) {
  if (message.is(PROGRAM)) {
    run(context, message.as(PROGRAM));
  } else {
    told(context, message);
  }
}

function told(context, message) {
  const [cell, type] = Object.entries(CELLS).find(([, type]) => message.is(type));
  record(context, "told", { caller: callerOf(context), cell, value: shown(message.as(type)) });
}

function run(context, program) {
  const caller = callerOf(context);
  if (caller !== program.from) {
    record(context, "complaint", { program: program.id, caller });
  }
  for (const operation of program.do) {
    OPERATIONS[operation.op](context, operation, program.id);
  }
}

const OPERATIONS = {
  add({ storage }, { amount }) {
    storage.total = (storage.total ?? 0n) + BigInt(amount);
  },
  set({ storage }, { cell, value }) {
    storage[cell] = taken(cell, value);
  },
  clear({ storage }, { cell }) {
    storage[cell] = null;
  },
  read(context, { cell }, program) {
    record(context, "read", { program, cell, value: shown(context.storage[cell]) });
  },
  mark(context, { number }) {
    const journal = context.storage.journal ?? {};
    const entry = (journal[callerOf(context) ?? ""] ??= { count: 0, last: 0, disorder: 0 });
    entry.count += 1;
    entry.disorder += number === entry.last + 1 ? 0 : 1;
    entry.last = number;
    context.storage.journal = journal;
  },
  send(context, { to, program }) {
    context.send(messageTo(to, program, PROGRAM));
  },
  send_after(context, { ms, to, program, token }) {
    context.sendAfter(ms, messageTo(to, program, PROGRAM), token ?? undefined);
  },
  cancel(context, { token }) {
    context.cancelDelayedMessage(token);
  },
  tell(context, { to, cell, value }) {
    context.send(messageTo(to, taken(cell, value), CELLS[cell]));
  },
  egress(context, { text }, program) {
    record(context, "egress", { program, text });
  },
  kafka(context, { topic, key, text }) {
    context.send(kafkaEgressMessage({ typename: "workload/kafka", topic, key, value: text }));
  },
  kinesis(context, { stream, key, text }) {
    const typename = "workload/kinesis";
    context.send(kinesisEgressMessage({ typename, stream, partitionKey: key, value: text }));
  },
  fail_once(_, { mark }) {
    if (isNew(mark)) throw new Error(`fails once: ${mark}`);
  },
  crash_once(_, { mark }) {
    if (isNew(mark)) process.exit(1);
  },
  report(context, { round }) {
    const { storage } = context;
    const cells = {};
    for (const cell of Object.keys(CELLS)) cells[cell] = shown(storage[cell]);
    record(context, "report", {
      round,
      total: shown(storage.total),
      journal: storage.journal,
      cells,
    });
  },
};

function record(context, kind, fields) {
  const value = { kind, at: textOf(context.self), ...fields };
  context.send(egressMessageBuilder({ typename: "workload/records", value, valueType: RECORD }));
}

// A value in the form that `set` takes: a long is text.
function shown(value) {
  return typeof value === "bigint" ? value.toString() : value;
}

function taken(cell, value) {
  return cell === "count" ? BigInt(value) : value;
}

function messageTo(address, value, valueType) {
  const [, typename, id] = address.match(/^([^/]*\/[^/]*)\/(.*)$/s);
  return messageBuilder({ typename, id, value, valueType });
}

function callerOf(context) {
  return context.caller === null ? null : textOf(context.caller);
}

function textOf(address) {
  return `${address.typename}/${address.id}`;
}

// Whether the mark was not there yet. It is now.
function isNew(mark) {
  try {
    fs.closeSync(fs.openSync(path.join(process.env.MARKS, mark), "wx"));
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

const functions = new StateFun();
for (const typename of TYPES) {
  functions.bind({ typename, fn: take, specs });
}
process.stdin.on("close", () => process.exit(0)).resume();
http
  .createServer(functions.handler())
  .listen(Number(process.env.PORT), "127.0.0.1", () => console.log("ready"));
