// URL and URLSearchParams, after the URL Standard.
//
// Not there: names that are not ASCII (they would take the tables of IDNA), drive letters in file
// URLs, and object URLs.
(function (global) {
  "use strict";
  const SPECIAL = { "ftp:": 21, "file:": null, "http:": 80, "https:": 443, "ws:": 80, "wss:": 443 };
  const isSpecial = (url) => Object.hasOwn(SPECIAL, url.scheme);
  const fail = (what) => {
    throw new TypeError(`Invalid URL: ${what}`);
  };

  // ---- Percent encoding ----

  const QUERY = ' "#<>';
  const PATH = `${QUERY}?^\`{}`;
  const USER = `${PATH}/:;=@[\\]|`;
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();

  const percent = (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;

  // Encodes controls, everything beyond ASCII, and what `set` names.
  function encode(text, set) {
    let out = "";
    for (const character of text) {
      const point = character.codePointAt(0);
      if (point > 0x1f && point < 0x7f && !set.includes(character)) out += character;
      else for (const byte of encoder.encode(character)) out += percent(byte);
    }
    return out;
  }

  function decode(text) {
    if (!text.includes("%")) return text;
    const bytes = [];
    const source = encoder.encode(text);
    for (let at = 0; at < source.length; at += 1) {
      const hex = String.fromCharCode(source[at + 1] ?? 0, source[at + 2] ?? 0);
      if (source[at] === 0x25 && /^[0-9a-f]{2}$/i.test(hex)) {
        bytes.push(parseInt(hex, 16));
        at += 2;
      } else bytes.push(source[at]);
    }
    return decoder.decode(new Uint8Array(bytes));
  }

  // ---- Hosts ----

  const FORBIDDEN_HOST = /[\0\t\n\r #/:<>?@[\\\]^|]/;
  const FORBIDDEN_DOMAIN = /[\0-\x20"#%/:<>?@[\\\]^`{|}\x7f]/;

  function number(part) {
    if (/^0x[0-9a-f]*$/i.test(part)) return parseInt(part.slice(2) || "0", 16);
    if (/^0[0-7]*$/.test(part)) return parseInt(part, 8);
    if (/^[1-9][0-9]*$/.test(part)) return parseInt(part, 10);
    return NaN;
  }

  function endsInNumber(host) {
    const parts = host.split(".");
    if (parts.at(-1) === "" && parts.length > 1) parts.pop();
    const last = parts.at(-1);
    return /^[0-9]+$/.test(last) || /^0x[0-9a-f]*$/i.test(last);
  }

  function ipv4(host) {
    const parts = host.split(".");
    if (parts.at(-1) === "" && parts.length > 1) parts.pop();
    const numbers = parts.map(number);
    const last = numbers.pop();
    const bad = numbers.length > 3 || numbers.some((it) => !(it <= 255));
    if (bad || !(last < 256 ** (4 - numbers.length))) fail(host);
    let address = last;
    numbers.forEach((it, index) => (address += it * 256 ** (3 - index)));
    return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
  }

  function ipv6Pieces(text) {
    const dotted = /^(.*:)(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
    if (dotted) {
      const bytes = dotted.slice(2).map(Number);
      if (bytes.some((it, at) => it > 255 || `${it}` !== dotted[at + 2])) fail(text);
      const pair = (high, low) => (high * 256 + low).toString(16);
      text = `${dotted[1]}${pair(bytes[0], bytes[1])}:${pair(bytes[2], bytes[3])}`;
    }
    const halves = text.split("::");
    if (halves.length > 2) fail(text);
    const [front, back] = halves.map((half) => (half === "" ? [] : half.split(":")));
    const missing = 8 - front.length - (back?.length ?? 0);
    if (back === undefined ? missing !== 0 : missing < 1) fail(text);
    const pieces = [...front, ...Array(back ? missing : 0).fill("0"), ...(back ?? [])];
    if (pieces.some((piece) => !/^[0-9a-f]{1,4}$/i.test(piece))) fail(text);
    return pieces.map((piece) => parseInt(piece, 16));
  }

  function ipv6(text) {
    const pieces = ipv6Pieces(text);
    let [start, length] = [-1, 1];
    for (let at = 0; at < 8; at += 1) {
      let end = at;
      while (pieces[end] === 0) end += 1;
      if (end - at > length) [start, length] = [at, end - at];
    }
    const hex = pieces.map((piece) => piece.toString(16));
    if (start < 0) return `[${hex.join(":")}]`;
    return `[${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}]`;
  }

  function host(text, special) {
    if (text.startsWith("[")) return text.endsWith("]") ? ipv6(text.slice(1, -1)) : fail(text);
    if (!special) return FORBIDDEN_HOST.test(text) ? fail(text) : encode(text, "");
    const domain = decode(text).toLowerCase();
    if (/[^\0-\x7f]/.test(domain)) fail(`${text}: a name beyond ASCII`);
    if (domain === "" || FORBIDDEN_DOMAIN.test(domain)) fail(text);
    return endsInNumber(domain) ? ipv4(domain) : domain;
  }

  // ---- Parsing ----

  function setPort(url, text) {
    if (text === "") return void (url.port = null);
    if (!/^[0-9]+$/.test(text) || Number(text) > 65535) fail(text);
    url.port = Number(text) === SPECIAL[url.scheme] ? null : Number(text);
  }

  function setHost(url, text) {
    url.host = text === "" && url.scheme === "file:" ? "" : null;
    if (url.host === null) {
      if (text === "" && isSpecial(url)) fail("it has no host");
      url.host = text === "" ? "" : host(text, isSpecial(url));
    }
    if (url.scheme === "file:" && url.host === "localhost") url.host = "";
  }

  function setAuthority(url, text) {
    const at = text.lastIndexOf("@");
    const [, name, colon, port] = /^(\[[^\]]*\]|[^:]*)(:?)(.*)$/s.exec(text.slice(at + 1));
    if (url.scheme === "file:" && (at >= 0 || colon !== "")) fail(text);
    if (at >= 0) {
      const [user, ...rest] = text.slice(0, at).split(":");
      url.username = encode(user, USER);
      url.password = encode(rest.join(":"), USER);
    }
    if (name === "" && (at >= 0 || colon !== "")) fail("it has no host");
    if (colon === "" && port !== "") fail(text);
    setHost(url, name);
    setPort(url, port);
  }

  // The segments of a path, below those of `above`.
  function segments(url, text, above) {
    const path = [...above];
    const parts = text.split(isSpecial(url) ? /[/\\]/ : "/");
    parts.forEach((part, index) => {
      const dots = part.replace(/%2e/gi, ".");
      const isLast = index === parts.length - 1;
      if (dots === "..") path.pop();
      if (dots === "." || dots === "..") {
        if (isLast) path.push("");
      } else path.push(encode(part, PATH));
    });
    return path;
  }

  function setQuery(url, text) {
    url.query = text === null ? null : encode(text, isSpecial(url) ? `${QUERY}'` : QUERY);
  }

  function setFragment(url, text) {
    url.fragment = text === null ? null : encode(text, ' "<>`');
  }

  function after(text, mark) {
    const at = text.indexOf(mark);
    return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
  }

  function blank(scheme) {
    const whole = { host: null, port: null, path: [], query: null, fragment: null };
    return { scheme, username: "", password: "", ...whole };
  }

  // A path and what follows, of a URL without an authority of its own.
  function relative(url, text, query, base) {
    const { username, password, host, port } = base;
    Object.assign(url, { username, password, host, port });
    const isRooted = isSpecial(url) ? /^[/\\]/.test(text) : text.startsWith("/");
    if (isRooted) url.path = segments(url, text.slice(1), []);
    else if (text === "") url.path = [...base.path];
    else url.path = segments(url, text, base.path.slice(0, -1));
    setQuery(url, text === "" && query === null ? base.query : query);
  }

  function parseAfterScheme(url, text, query, base) {
    const special = isSpecial(url);
    const slashes = special ? /^[/\\]{2}/ : /^\/\//;
    const follows = base !== null && base.scheme === url.scheme && special;
    if (slashes.test(text) || (special && !follows && url.scheme !== "file:")) {
      const skipped = special && url.scheme !== "file:" ? /^[/\\]*/ : /^..?/s;
      const rest = text.replace(skipped, "");
      const end = rest.search(special ? /[/\\]/ : "/");
      setAuthority(url, end < 0 ? rest : rest.slice(0, end));
      if (end >= 0) url.path = segments(url, rest.slice(end + 1), []);
      setQuery(url, query);
    } else if (follows) {
      relative(url, text, query, base);
    } else if (special || text.startsWith("/")) {
      if (special) url.host = "";
      url.path = segments(url, text.replace(/^[/\\]/, ""), []);
      setQuery(url, query);
    } else {
      url.path = encode(text, "");
      setQuery(url, query);
    }
  }

  function parse(input, base) {
    const trimmed = input.replace(/^[\0-\x20]+|[\0-\x20]+$/g, "").replace(/[\t\n\r]/g, "");
    const [whole, fragment] = after(trimmed, "#");
    const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(whole)?.[0];
    const url = blank((scheme ?? base?.scheme ?? fail(input)).toLowerCase());
    const [text, query] = after(scheme === undefined ? whole : whole.slice(scheme.length), "?");
    if (scheme !== undefined) parseAfterScheme(url, text, query, base);
    else if (typeof base.path === "string") {
      if (whole !== "" || fragment === null) fail(input);
      Object.assign(url, base);
    } else if (isSpecial(url) ? /^[/\\]{2}/.test(text) : text.startsWith("//")) {
      parseAfterScheme(url, text, query, null);
    } else relative(url, text, query, base);
    setFragment(url, fragment);
    if (isSpecial(url) && url.path.length === 0) url.path = [""];
    return url;
  }

  function pathOf(url) {
    return typeof url.path === "string" ? url.path : url.path.map((it) => `/${it}`).join("");
  }

  function hostOf(url) {
    return url.host === null ? "" : url.host + (url.port === null ? "" : `:${url.port}`);
  }

  function written(url) {
    let text = url.scheme;
    if (url.host !== null) {
      text += "//";
      if (url.username !== "" || url.password !== "") {
        text += `${url.username}${url.password === "" ? "" : `:${url.password}`}@`;
      }
      text += hostOf(url);
    } else if (typeof url.path !== "string" && url.path.length > 1 && url.path[0] === "") {
      text += "/.";
    }
    text += pathOf(url) + (url.query === null ? "" : `?${url.query}`);
    return text + (url.fragment === null ? "" : `#${url.fragment}`);
  }

  // ---- URLSearchParams ----

  const formDecoded = (text) => decode(text.replaceAll("+", " "));
  const FORM = /^[A-Za-z0-9*\-._]$/;

  function formEncoded(text) {
    let out = "";
    for (const character of text) {
      if (FORM.test(character)) out += character;
      else if (character === " ") out += "+";
      else for (const byte of encoder.encode(character)) out += percent(byte);
    }
    return out;
  }

  function pairs(init) {
    if (typeof init === "object" && init !== null) {
      const entries = Symbol.iterator in init ? [...init] : Object.entries(init);
      return entries.map((entry) => {
        const pair = [...entry];
        if (pair.length !== 2) throw new TypeError("a pair of a name and a value is needed");
        return pair.map(String);
      });
    }
    const parts = String(init).replace(/^\?/, "").split("&").filter(Boolean);
    return parts.map((part) => after(part, "=").map((it) => formDecoded(it ?? "")));
  }

  let changed;

  class URLSearchParams {
    #list;
    #changed = () => {};

    constructor(init = "") {
      this.#list = pairs(init);
    }
    static {
      changed = (params, init, then) => {
        params.#list = pairs(init);
        params.#changed = then;
      };
    }
    get size() {
      return this.#list.length;
    }
    append(name, value) {
      this.#list.push([String(name), String(value)]);
      this.#changed();
    }
    delete(name, value) {
      const other = (pair) => pair[0] !== String(name);
      const differs = (pair) => other(pair) || pair[1] !== String(value);
      this.#list = this.#list.filter(value === undefined ? other : differs);
      this.#changed();
    }
    get(name) {
      return this.#list.find((pair) => pair[0] === String(name))?.[1] ?? null;
    }
    getAll(name) {
      return this.#list.filter((pair) => pair[0] === String(name)).map((pair) => pair[1]);
    }
    has(name, value) {
      return this.getAll(name).some((it) => value === undefined || it === String(value));
    }
    set(name, value) {
      const first = this.#list.find((pair) => pair[0] === String(name));
      if (first === undefined) return this.append(name, value);
      first[1] = String(value);
      this.#list = this.#list.filter((pair) => pair === first || pair[0] !== first[0]);
      this.#changed();
    }
    sort() {
      this.#list.sort(([a], [b]) => (a < b ? -1 : Number(a > b)));
      this.#changed();
    }
    forEach(visit, self) {
      for (const [name, value] of this) visit.call(self, value, name, this);
    }
    *entries() {
      for (const [name, value] of this.#list) yield [name, value];
    }
    *keys() {
      for (const [name] of this.#list) yield name;
    }
    *values() {
      for (const [, value] of this.#list) yield value;
    }
    [Symbol.iterator]() {
      return this.entries();
    }
    toString() {
      return this.#list.map((pair) => pair.map(formEncoded).join("=")).join("&");
    }
  }

  // ---- URL ----

  // Does a change on a copy; one that makes no URL changes nothing, as the standard has it.
  function attempt(url, change) {
    const copy = { ...url };
    try {
      change(copy);
      return copy;
    } catch {
      return url;
    }
  }

  class URL {
    #url;
    #params = new URLSearchParams();

    constructor(input, base) {
      const above = base === undefined ? null : parse(`${base}`, null);
      this.#set(parse(`${input}`, above));
    }
    static canParse(input, base) {
      return URL.parse(input, base) !== null;
    }
    static parse(input, base) {
      try {
        return new URL(input, base);
      } catch {
        return null;
      }
    }

    #set(url) {
      this.#url = url;
      changed(this.#params, url.query ?? "", () => {
        const query = this.#params.toString();
        this.#url.query = query === "" ? null : query;
      });
    }
    #change(change) {
      this.#set(attempt(this.#url, change));
    }
    // Whether it can have a user, a password and a port.
    get #hasAuthority() {
      return Boolean(this.#url.host) && this.#url.scheme !== "file:";
    }

    get href() {
      return written(this.#url);
    }
    set href(text) {
      this.#set(parse(`${text}`, null));
    }
    get origin() {
      const { scheme } = this.#url;
      if (!isSpecial(this.#url) || scheme === "file:") return "null";
      return `${scheme}//${hostOf(this.#url)}`;
    }
    get protocol() {
      return this.#url.scheme;
    }
    set protocol(text) {
      this.#change((url) => {
        const scheme = /^[a-z][a-z0-9+.-]*(?=:|$)/i.exec(text)?.[0] ?? fail(text);
        const next = { ...url, scheme: `${scheme.toLowerCase()}:` };
        if (isSpecial(next) !== isSpecial(url)) fail(text);
        if (next.scheme === "file:" && (url.port !== null || url.username !== "")) fail(text);
        url.scheme = next.scheme;
        setPort(url, `${url.port ?? ""}`);
      });
    }
    get username() {
      return this.#url.username;
    }
    set username(text) {
      if (this.#hasAuthority) this.#change((url) => (url.username = encode(`${text}`, USER)));
    }
    get password() {
      return this.#url.password;
    }
    set password(text) {
      if (this.#hasAuthority) this.#change((url) => (url.password = encode(`${text}`, USER)));
    }
    get host() {
      return hostOf(this.#url);
    }
    set host(text) {
      this.#change((url) => {
        if (typeof url.path === "string") fail(text);
        const [, name, port] = /^(\[[^\]]*\]|[^:/?#]*)(?::([0-9]*))?/.exec(`${text}`);
        setHost(url, name);
        if (port) setPort(url, port);
      });
    }
    get hostname() {
      return this.#url.host ?? "";
    }
    set hostname(text) {
      this.#change((url) => {
        if (typeof url.path === "string") fail(text);
        setHost(url, /^(\[[^\]]*\]|[^:/?#]*)/.exec(`${text}`)[1]);
      });
    }
    get port() {
      return `${this.#url.port ?? ""}`;
    }
    set port(text) {
      if (!this.#hasAuthority) return;
      const digits = /^[0-9]*/.exec(`${text}`)[0];
      if (digits !== "" || `${text}` === "") this.#change((url) => setPort(url, digits));
    }
    get pathname() {
      return pathOf(this.#url);
    }
    set pathname(text) {
      this.#change((url) => {
        if (typeof url.path === "string") fail(text);
        const rooted = isSpecial(url) ? /^[/\\]/ : /^\//;
        url.path = segments(url, `${text}`.replace(rooted, ""), []);
      });
    }
    get search() {
      return this.#url.query ? `?${this.#url.query}` : "";
    }
    set search(text) {
      const query = `${text}`.replace(/^\?/, "");
      this.#change((url) => setQuery(url, query === "" ? null : query));
    }
    get searchParams() {
      return this.#params;
    }
    get hash() {
      return this.#url.fragment ? `#${this.#url.fragment}` : "";
    }
    set hash(text) {
      const fragment = `${text}`.replace(/^#/, "");
      this.#change((url) => setFragment(url, fragment === "" ? null : fragment));
    }
    toString() {
      return this.href;
    }
    toJSON() {
      return this.href;
    }
  }

  Object.assign(global, { URL, URLSearchParams });
})
