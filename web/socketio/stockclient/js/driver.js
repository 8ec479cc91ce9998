// Drives stock Socket.IO clients as it is told on standard input, and tells on standard output what happens to them, one
// JSON object a line. Binary data is {"$bin": base64} in both directions; undefined is {"$undefined": true} on the way in.
const { io } = require("socket.io-client");

const clients = new Map();

const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");

function toJSON(v) {
  if (Buffer.isBuffer(v) || v instanceof Uint8Array || v instanceof ArrayBuffer) {
    return { $bin: Buffer.from(v).toString("base64") };
  }
  if (Array.isArray(v)) return v.map(toJSON);
  if (v && typeof v === "object") return Object.fromEntries(Object.entries(v).map(([k, e]) => [k, toJSON(e)]));
  return v;
}

function fromJSON(v) {
  if (v && typeof v === "object") {
    if (v.$undefined) return undefined;
    if (typeof v.$bin === "string") return Buffer.from(v.$bin, "base64");
    if (Array.isArray(v)) return v.map(fromJSON);
    return Object.fromEntries(Object.entries(v).map(([k, e]) => [k, fromJSON(e)]));
  }
  return v;
}

const ops = {
  open({ client, url, options }) {
    const socket = io(url, { forceNew: true, ...options });
    clients.set(client, socket);
    const tell = (kind, more) => say({ client, kind, ...more });
    const transport = () => socket.io.engine.transport.name;
    const upgradable = () => socket.io.engine.once("upgrade", () => tell("upgrade", { transport: transport() }));
    socket.io.on("open", upgradable);
    socket.io.on("ping", () => tell("ping")); // answered already
    socket.on("connect", () => tell("connect", { id: socket.id, transport: transport() }));
    socket.on("connect_error", (e) => tell("connect_error", { message: e.message, data: e.data }));
    socket.on("disconnect", (reason) => tell("disconnect", { reason }));
    // An acknowledgement that is asked for is given at once, with the event's arguments.
    socket.onAny((name, ...args) => {
      const ack = args.at(-1);
      if (typeof ack === "function") {
        args.pop();
        ack(...args);
      }
      tell("event", { name, args: args.map(toJSON) });
    });
  },
  emit({ client, name, args }) {
    clients.get(client).emit(name, ...args.map(fromJSON));
  },
  ask({ client, name, args }) {
    clients.get(client).emit(name, ...args.map(fromJSON), (...answer) =>
      say({ client, kind: "ack", name, args: answer.map(toJSON) }));
  },
  connect({ client }) {
    clients.get(client).connect();
  },
  disconnect({ client }) {
    clients.get(client).disconnect();
  },
  freeze({ ms }) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  },
};

require("readline").createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    ops[command.op](command);
  })
  .on("close", () => process.exit(0));
