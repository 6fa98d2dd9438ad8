// crypto.randomUUID and crypto.getRandomValues, from the engine's seeded generator.
//
// What they give follows from the seed of the run, so that a tool that runs again gets the same.
// It is unique enough for a name and no secret.
(function (global) {
  "use strict";
  const { floor, random } = Math;
  const BYTES_MAX = 65536;
  const INTEGERS = [
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    BigInt64Array,
    BigUint64Array,
  ];

  function getRandomValues(array) {
    if (!INTEGERS.some((it) => array instanceof it)) {
      throw new DOMException("an array of integers is needed", "TypeMismatchError");
    }
    if (array.byteLength > BYTES_MAX) {
      throw new DOMException(`${BYTES_MAX} bytes at the most`, "QuotaExceededError");
    }
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = floor(random() * 256);
    return array;
  }

  function randomUUID() {
    const bytes = getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = bytes.toHex();
    const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
    return `${parts.join("-")}-${hex.slice(20)}`;
  }

  global.crypto = Object.freeze({ __proto__: null, getRandomValues, randomUUID });
})
