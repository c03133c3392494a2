#!/usr/bin/env python3
"""make.py BINARY FOLDER: fills FOLDER/data with one row of everything, and copies it stopped and killed."""
import base64, gzip, json, os, re, shutil, signal, struct, subprocess, sys, time, urllib.request, urllib.error
binary, out = sys.argv[1], sys.argv[2]
here = os.path.dirname(os.path.abspath(__file__))
shutil.rmtree(out, ignore_errors=True); os.makedirs(out)
data = out + "/data"

def post(url, body=b"", kind="text/plain", key=None):
    headers = {"content-type": kind}
    if key: headers["idempotency-key"] = key
    request = urllib.request.Request(url, data=body if isinstance(body, bytes) else body.encode(), headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer: return answer.read().decode()

def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer: return json.load(answer)

def until(what, ask):
    for _ in range(400):
        if ask(): return
        time.sleep(0.05)
    raise SystemExit("gave up waiting for " + what)

class Process:
    def __init__(self, *args):
        self.child = subprocess.Popen([binary, *args], stdout=subprocess.PIPE, stderr=open(out + "/stderr", "a"), stdin=subprocess.DEVNULL, text=True)
    def line(self):
        line = self.child.stdout.readline()
        if not line: raise SystemExit("ended: " + open(out + "/stderr").read())
        return line.strip()

def start():
    process = Process("run", here + "/module.yaml", here + "/closed-egress.yaml", "--data", data, "--admin", "127.0.0.1:0", "--attempts", "1",
        "--set", "FUNCTIONS=http://127.0.0.1:1/", "--set", f"SINK=http://{sink}", "--log", "error")
    names = {}
    while (line := process.line()) != "ready":
        name, address = line.split(" listens on "); names[name] = "http://" + address
    process.child.stdout.close()  # from now on the egress cannot print
    return process, names["http ingress"], names["admin api"]

sinkp = Process("sink", "127.0.0.1:0", "--json")
sink = json.loads(sinkp.line())["listening"]
import threading
threading.Thread(target=lambda: [None for _ in sinkp.child.stdout], daemon=True).start()
p, http, admin = start()
cli = lambda *a: subprocess.run([binary, *a, "--admin", admin.removeprefix("http://")], check=True, capture_output=True, text=True, timeout=20).stdout
print(post(http + "/call/statefun.samples/greeter/ann", "hello", key="first"), post(http + "/call/statefun.samples/greeter/ann", "hello"))
print(post(http + "/call/statefun.samples/counter/shop", "41", key="sum"))
values = [("bool", b"\x08\x01"), ("int", b"\x0d" + struct.pack("<i", -7)), ("long", b"\x09" + struct.pack("<q", 1 << 40)),
    ("float", b"\x0d" + struct.pack("<f", 1.5)), ("double", b"\x09" + struct.pack("<d", -2.25)), ("string", b"\x0a\x05hello")]
lines = [{"address": "test/values/all", "state": n, "typename": "io.statefun.types/" + n, "base64": base64.b64encode(b).decode()} for n, b in values]
lines += [{"address": "test/values/all", "state": n, "typename": t, "base64": base64.b64encode(b).decode()} for n, t, b in
    [("json", "statefun/json", b'{"a": [1, 2]}'), ("bytes", "test/bytes", bytes([0, 255, 254, 10]))]]
open(out + "/state.jsonl", "w").write("".join(json.dumps(l) + "\n" for l in lines))
print(cli("state", "import", out + "/state.jsonl"))
print(post(http + "/call/statefun.samples/reminder/far", "in 876000h see you"))
for n in (1, 2): print(post(http + f"/call/statefun.samples/reminder/egress-{n}", f"in 10ms record {n}"))
print(post(http + "/send/test/broken/one", "keep me"))
def send(pipeline, id, **document): post(f"{http}/send/pipelines/{pipeline}/{id}", json.dumps(document), "application/json", f"{pipeline}-{document['number']}")
post(f"http://{sink}/status/400")
send("free", "a", number=1); send("ordered", "a", number=2, customer="dead")
deliveries = lambda: json.loads(cli("deliveries", "list", "--limit", "1000", "--json"))["items"]
until("dead letters", lambda: len(json.loads(cli("dead-letters", "list", "--json"))["items"]) == 2)
post(f"http://{sink}/status/503")
for n in (10, 11, 12): send("free", "a", number=n)
for n in (20, 21, 22, 23): send("ordered", "a", number=n, customer="c")
time.sleep(3)
# What has been stored so far goes to the tables once 40 MB of log are written.
def fill(size):
    line = {"address": "test/values/all", "state": "filler", "typename": "test/bytes", "base64": base64.b64encode(b"x" * size).decode()}
    open(out + "/filler.jsonl", "w").write(json.dumps(line) + "\n")
    cli("state", "import", out + "/filler.jsonl")
for n in range(90): fill(500_000)
fill(10)
until("tables", lambda: os.path.exists(data + "/tables.redb"))
for n in (13, 14): send("free", "a", number=n)
for n in (30, 31): send("packed", "a", number=n)
before = {d["id"] for d in deliveries()}
send("free", "a", number=15)
until("one more", lambda: len(deliveries()) > len(before))
print(cli("deliveries", "list", "--all"))
(new,) = [d for d in deliveries() if d["id"] not in before]
print(new)
print(cli("deliveries", "cancel", new.get("address") or new["id"], "--actor", "ann", "--reason", "no longer wanted"))
print(cli("deliveries", "list", "--all")); print(cli("queues")); print(cli("state", "list", "--all"))
time.sleep(1)
p.child.send_signal(signal.SIGTERM); assert p.child.wait(30) == 0
def keep(name):
    to = out + "/" + name; os.makedirs(to)
    for file in sorted(os.listdir(data)):
        if file in ("lock", "reserve"): continue
        bytes_ = open(data + "/" + file, "rb").read()
        with open(f"{to}/{file}.gz", "wb") as f:
            with gzip.GzipFile("", "wb", 9, f, mtime=0) as g: g.write(bytes_)
        print(name, file, len(bytes_), os.path.getsize(f"{to}/{file}.gz"))
keep("stopped")
p, http, admin = start()
print(post(http + "/call/statefun.samples/counter/shop", "1"))
send("free", "a", number=16)
known = before | {new["id"]}
until("sixteen", lambda: any(d["id"] not in known for d in deliveries()))
p.child.kill(); p.child.wait()
sinkp.child.kill()
keep("killed")
