// TextEncoder and TextDecoder: UTF-8, as the Encoding Standard has them.
(function (global) {
  "use strict";
  const { fromCodePoint } = String;
  const codePointAt = Function.prototype.call.bind(String.prototype.codePointAt);
  const LABELS = ["utf-8", "utf8", "unicode-1-1-utf-8"];
  const REPLACEMENT = 0xfffd;

  function encoded(text) {
    const bytes = [];
    for (let at = 0; at < text.length; at += 1) {
      let point = codePointAt(text, at);
      if (point > 0xffff) at += 1;
      else if (point >= 0xd800 && point <= 0xdfff) point = REPLACEMENT;
      if (point < 0x80) bytes.push(point);
      else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 63));
      else if (point < 0x10000) {
        bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
      } else {
        bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 63));
        bytes.push(0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
      }
    }
    return new Uint8Array(bytes);
  }

  class TextEncoder {
    get encoding() {
      return "utf-8";
    }
    encode(text = "") {
      return encoded(`${text}`);
    }
    encodeInto(text, target) {
      let read = 0;
      let written = 0;
      for (const character of `${text}`) {
        const bytes = encoded(character);
        if (written + bytes.length > target.length) break;
        target.set(bytes, written);
        written += bytes.length;
        read += character.length;
      }
      return { read, written };
    }
  }

  function bytesOf(input) {
    if (input === undefined) return new Uint8Array();
    if (ArrayBuffer.isView(input)) {
      return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    }
    return new Uint8Array(input);
  }

  class TextDecoder {
    #fatal;
    #ignoreBom;
    #begun = false;
    // What is left of a character: its bits, the bytes it needs, the bounds of the next byte.
    #point = 0;
    #needed = 0;
    #lower = 0x80;
    #upper = 0xbf;

    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      if (!LABELS.includes(`${label}`.trim().toLowerCase())) {
        throw new RangeError(`the encoding \`${label}\` is not supported; utf-8 is`);
      }
      this.#fatal = Boolean(fatal);
      this.#ignoreBom = Boolean(ignoreBOM);
    }
    get encoding() {
      return "utf-8";
    }
    get fatal() {
      return this.#fatal;
    }
    get ignoreBOM() {
      return this.#ignoreBom;
    }

    #bad() {
      this.#reset();
      if (this.#fatal) throw new TypeError("the bytes are not valid UTF-8");
      return REPLACEMENT;
    }

    #reset() {
      this.#needed = this.#point = 0;
      this.#lower = 0x80;
      this.#upper = 0xbf;
    }

    // The first byte of a character; its code point if that was all, or -1.
    #lead(byte) {
      if (byte < 0x80) return byte;
      if (byte >= 0xc2 && byte <= 0xdf) {
        this.#needed = 1;
        this.#point = byte & 31;
      } else if (byte >= 0xe0 && byte <= 0xef) {
        if (byte === 0xe0) this.#lower = 0xa0;
        if (byte === 0xed) this.#upper = 0x9f;
        this.#needed = 2;
        this.#point = byte & 15;
      } else if (byte >= 0xf0 && byte <= 0xf4) {
        if (byte === 0xf0) this.#lower = 0x90;
        if (byte === 0xf4) this.#upper = 0x8f;
        this.#needed = 3;
        this.#point = byte & 7;
      } else return this.#bad();
      return -1;
    }

    decode(input, { stream = false } = {}) {
      const bytes = bytesOf(input);
      let text = "";
      const add = (point) => {
        const isBom = point === 0xfeff && !this.#begun && !this.#ignoreBom;
        this.#begun = true;
        if (!isBom) text += fromCodePoint(point);
      };
      for (let at = 0; at < bytes.length; at += 1) {
        const byte = bytes[at];
        if (this.#needed === 0) {
          const point = this.#lead(byte);
          if (point >= 0) add(point);
        } else if (byte < this.#lower || byte > this.#upper) {
          add(this.#bad());
          at -= 1;
        } else {
          this.#lower = 0x80;
          this.#upper = 0xbf;
          this.#point = (this.#point << 6) | (byte & 63);
          this.#needed -= 1;
          if (this.#needed === 0) add(this.#point);
        }
      }
      if (!stream) {
        if (this.#needed !== 0) add(this.#bad());
        this.#begun = false;
      }
      return text;
    }
  }

  Object.assign(global, { TextEncoder, TextDecoder });
})
