// The runtime that a tool meets: the bindings, the batch of queued calls, the console.
//
// It takes the one door to the host, a help of the engine and the table of services, and gives the
// driver that the engine's loop calls. A tool shares this realm: what it can change of it changes the tool alone.
// So everything used here is taken before a tool runs, lists are linked by hand, and texts are put
// together by hand; and still nothing here is a boundary. The host judges every batch as hostile.
(function (door, forgetStack, services) {
  "use strict";
  const { Error, Map, Promise, TypeError, String: text } = globalThis;
  const { stringify, parse } = JSON;
  const { freeze, hasOwn } = Object;
  const { isArray } = Array;
  const { isError } = Error;
  const uncurried = (method) => Function.prototype.call.bind(method);
  const slice = uncurried(text.prototype.slice);
  const mapSet = uncurried(Map.prototype.set);
  const mapDelete = uncurried(Map.prototype.delete);
  const mapEach = uncurried(Map.prototype.forEach);

  // Without threads it is of no use.
  delete globalThis.SharedArrayBuffer;

  const LOG_CHARS_MAX = 64 * 1024;
  const LINE_CHARS_MAX = 8 * 1024;

  // ---- Errors ----

  const MADE_BY_THE_HOST = {};
  let numberOf;

  // A call that ended in an error. `number` is its place in the host's own record of this run:
  // what the host later says of the failure it takes from there, never from here.
  class SyscallError extends Error {
    #number;
    constructor(key, call, error) {
      if (key !== MADE_BY_THE_HOST) throw new TypeError("only the host makes a SyscallError");
      super(error.message);
      this.code = error.code;
      this.call = call;
      this.#number = error.number;
      // The engine notes the place where a tool awaits the call.
      forgetStack(this);
    }
    static {
      numberOf = (error) => (#number in error ? error.#number : undefined);
    }
  }
  SyscallError.prototype.name = "SyscallError";

  function shown(value) {
    if (typeof value === "string") return value;
    try {
      if (isError(value)) return `${value.name}: ${value.message}`;
      const json = stringify(value);
      return json === undefined ? text(value) : json;
    } catch {
      return "(it cannot be printed)";
    }
  }

  // ---- Calls ----

  let first = null;
  let last = null;

  function submit(call, args) {
    return new Promise((resolve, reject) => {
      const json = args === undefined ? "{}" : stringify(args);
      if (json === undefined) throw new TypeError(`the arguments of ${call} are no JSON`);
      const body = `{"op":${stringify(call)},"args":${json}}`;
      const queued = { __proto__: null, call, body, resolve, reject, next: null };
      if (last === null) first = queued;
      else last.next = queued;
      last = queued;
    });
  }

  function settle(queued, reply) {
    if (reply !== undefined && hasOwn(reply, "ok")) queued.resolve(reply.ok);
    else queued.reject(new SyscallError(MADE_BY_THE_HOST, queued.call, reply.err));
  }

  // Hands everything queued to the host as one batch; false if there is nothing.
  function flush() {
    if (first === null) return false;
    let batch = first;
    first = last = null;
    let request = "";
    for (let item = batch; item !== null; item = item.next) {
      request += (request === "" ? "[" : ",") + item.body;
    }
    const replies = parse(door(request + "]"));
    for (let index = 0; batch !== null; index += 1, batch = batch.next) {
      settle(batch, isArray(replies) ? replies[index] : replies);
    }
    return true;
  }

  const libos = { __proto__: null };
  for (const [service, methods] of Object.entries(services)) {
    const bound = { __proto__: null };
    for (const method of methods) {
      const call = `${service}.${method}`;
      bound[method] = (args) => submit(call, args);
    }
    libos[service] = freeze(bound);
  }
  libos.syscall = (call, args) => submit(text(call), args);
  libos.SyscallError = SyscallError;
  freeze(SyscallError.prototype);
  freeze(SyscallError);
  freeze(libos);

  // ---- The console ----

  let logs = "";
  let logged = 0;

  function log(line) {
    if (logged >= LOG_CHARS_MAX) return;
    const kept = line.length > LINE_CHARS_MAX ? slice(line, 0, LINE_CHARS_MAX) + "…" : line;
    logged += kept.length + 1;
    logs += (logs === "" ? "" : ",") + stringify(kept);
  }

  const printer = (prefix) => (...values) => {
    let line = prefix;
    for (let index = 0; index < values.length; index += 1) {
      line += (index === 0 ? "" : " ") + shown(values[index]);
    }
    log(line);
  };
  globalThis.console = freeze({
    __proto__: null,
    debug: printer(""),
    error: printer("error: "),
    info: printer(""),
    log: printer(""),
    warn: printer("warning: "),
  });

  // ---- The end of a run ----

  const unhandled = new Map();

  function envelope(key, json) {
    return `{"${key}":${json},"logs":[${logs}]}`;
  }

  function field(name, value) {
    return typeof value === "string" ? `,"${name}":${stringify(value)}` : "";
  }

  function fail(kind, error) {
    let json = `{"kind":"${kind}"`;
    if (isError(error)) {
      json += field("name", error.name) + field("message", error.message);
      json += field("stack", error.stack);
      const number = numberOf(error);
      if (number !== undefined) json += `,"number":${number}`;
    } else if (error !== undefined) {
      json += field("message", shown(error));
    }
    return envelope("err", json + "}");
  }

  function namesOfQueued() {
    let names = "";
    for (let item = first; item !== null; item = item.next) {
      names += (names === "" ? "" : ", ") + item.call;
    }
    return names;
  }

  function done(value) {
    const json = stringify(value);
    if (first !== null) return fail("unawaited", namesOfQueued());
    mapEach(unhandled, (reason) => log(`warning: nobody handled ${shown(reason)}`));
    return envelope("ok", json === undefined ? "null" : json);
  }

  async function run(tool, args) {
    if (typeof tool !== "function") throw new TypeError("the default export is no function");
    return await tool(parse(args), libos);
  }

  function rejected(promise, reason, handled) {
    if (handled) mapDelete(unhandled, promise);
    else mapSet(unhandled, promise, reason);
  }

  return freeze({ __proto__: null, done, fail, flush, rejected, run });
})
