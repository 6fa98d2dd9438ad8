// structuredClone, without transfer: what HTML's structured clone does to the types that are here.
(function (global) {
  "use strict";
  const ERRORS = new Map(
    [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((it) => [
      it.name,
      it,
    ]),
  );

  // How a property is defined that anyone may change; `__proto__` is a name like any other.
  const OPEN = { configurable: true, enumerable: true, writable: true };

  function refuse(value) {
    const what = typeof value === "object" ? Object.prototype.toString.call(value) : typeof value;
    throw new DOMException(`${what} could not be cloned`, "DataCloneError");
  }

  function clonedError(error, seen) {
    const made = new (ERRORS.get(error.name) ?? Error)(error.message);
    seen.set(error, made);
    made.stack = error.stack;
    if ("cause" in error) made.cause = cloned(error.cause, seen);
    return made;
  }

  function clonedView(view, seen) {
    const buffer = cloned(view.buffer, seen);
    const length = view instanceof DataView ? view.byteLength : view.length;
    return new view.constructor(buffer, view.byteOffset, length);
  }

  function emptyLike(value) {
    if (Array.isArray(value)) return new Array(value.length);
    if (value instanceof Map) return new Map();
    if (value instanceof Set) return new Set();
    const tag = Object.prototype.toString.call(value);
    return tag === "[object Object]" ? {} : refuse(value);
  }

  function fill(made, value, seen) {
    if (value instanceof Map) {
      for (const [key, item] of [...value]) made.set(cloned(key, seen), cloned(item, seen));
    } else if (value instanceof Set) {
      for (const item of [...value]) made.add(cloned(item, seen));
    } else {
      for (const key of Object.keys(value)) {
        const item = { value: cloned(value[key], seen) };
        Object.defineProperty(made, key, { ...item, ...OPEN });
      }
    }
    return made;
  }

  function cloned(value, seen) {
    if (typeof value === "function" || typeof value === "symbol") refuse(value);
    if (typeof value !== "object" || value === null) return value;
    if (seen.has(value)) return seen.get(value);
    if (value instanceof Error) return clonedError(value, seen);
    let made;
    if (value instanceof Date) made = new Date(value.getTime());
    else if (value instanceof RegExp) made = new RegExp(value.source, value.flags);
    else if (value instanceof ArrayBuffer) made = value.slice(0);
    else if (ArrayBuffer.isView(value)) made = clonedView(value, seen);
    else if ([Boolean, Number, String, BigInt].some((it) => value instanceof it)) {
      made = Object(value.valueOf());
    } else {
      made = emptyLike(value);
      seen.set(value, made);
      return fill(made, value, seen);
    }
    seen.set(value, made);
    return made;
  }

  global.structuredClone = function structuredClone(value) {
    if (arguments.length === 0) throw new TypeError("structuredClone needs a value");
    return cloned(value, new Map());
  };
})
