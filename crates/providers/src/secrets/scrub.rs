//! Finding secrets in what comes back, in every form in which programs and servers write them.
//!
//! A secret is looked for as it is and percent-encoded, escaped as in JSON and HTML, in hexadecimal
//! and in base64, also where it is only a part of what was encoded. It is replaced by its name.
//! What was transformed in another way (compressed, encrypted, turned around, encoded twice) is not
//! found: that a secret reaches nobody who would do so is a matter of the hosts and variables it is
//! bound to.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

/// How many characters of white space and separators may stand between two characters.
const BREAK_BYTES_MAX: usize = 4;
/// The longest form of one character: `&#x41;` or `\u0041`.
const UNIT_BYTES_MAX: usize = 6;
/// How much is taken in before it is looked through.
const CHUNK_BYTES: usize = 16 * 1024;

/// One secret in all its forms.
struct Forms {
    mark: String,
    plain: Vec<u8>,
    /// What all base64 texts of something that contains it have in common, for each of the three
    /// places at which it can begin.
    base64: [Vec<u8>; 3],
}

/// What finds secrets.
#[derive(Default)]
pub(crate) struct Scrubber {
    secrets: Vec<Forms>,
    /// Whether a form can begin with this byte.
    begins: Option<Box<[bool; 256]>>,
    longest: usize,
}

impl Scrubber {
    /// Of secrets by name and value.
    pub(super) fn of<'a>(secrets: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let secrets: Vec<Forms> = secrets.map(|(name, value)| Forms::of(name, value)).collect();
        let mut begins = Box::new([false; 256]);
        let mut longest = 0;
        for secret in &secrets {
            let firsts = secret.base64.iter().filter_map(|text| text.first());
            for first in firsts.chain(secret.plain.first()) {
                mark(&mut begins, *first);
                mark(&mut begins, alike(*first));
            }
            if let Some(first) = secret.plain.first() {
                let high = char::from_digit(u32::from(first >> 4), 16).unwrap_or('0');
                mark(&mut begins, u8::try_from(high).unwrap_or(b'0'));
            }
            let chars = 2 * secret.plain.len();
            longest = longest.max(chars * (UNIT_BYTES_MAX + BREAK_BYTES_MAX));
        }
        for first in [b'%', b'\\', b'&', b'+'] {
            mark(&mut begins, first);
        }
        Self { begins: (!secrets.is_empty()).then_some(begins), secrets, longest }
    }

    /// A text without secrets.
    pub(crate) fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.begins.is_none() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        self.scan(text.as_bytes(), text.len(), &mut out);
        // Forms and marks are ASCII, so what is left over is whole characters.
        Cow::Owned(String::from_utf8_lossy(&out).into_owned())
    }

    /// Copies what begins before `limit`; tells how much was taken.
    fn scan(&self, bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> usize {
        let Some(begins) = &self.begins else {
            out.extend_from_slice(&bytes[..limit]);
            return limit;
        };
        let mut at = 0;
        while at < limit {
            let found = begins[usize::from(bytes[at])].then(|| self.find(bytes, at)).flatten();
            match found {
                Some((end, mark)) => {
                    out.extend_from_slice(mark.as_bytes());
                    at = end;
                }
                None => {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
        }
        at
    }

    fn find(&self, bytes: &[u8], at: usize) -> Option<(usize, &str)> {
        self.secrets.iter().find_map(|secret| Some((secret.ends(bytes, at)?, &*secret.mark)))
    }
}

fn mark(begins: &mut [bool; 256], byte: u8) {
    begins[usize::from(byte.to_ascii_lowercase())] = true;
    begins[usize::from(byte.to_ascii_uppercase())] = true;
}

/// The character of the other alphabet of base64.
fn alike(byte: u8) -> u8 {
    match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }
}

impl Forms {
    fn of(name: &str, value: &str) -> Self {
        let plain = value.as_bytes().to_vec();
        let base64 = [0, 1, 2].map(|before| {
            let padded = [&[0; 2][..before], &plain].concat();
            let text = STANDARD_NO_PAD.encode(&padded).into_bytes();
            // A character that also holds bits of what stands before or behind is not certain.
            let first = (before * 8).div_ceil(6);
            let certain = padded.len() * 8 / 6;
            text[first..certain].to_vec()
        });
        Self { mark: format!("[secret:{name}]"), plain, base64 }
    }

    /// Where a form that begins at `at` ends.
    fn ends(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let plain = || self.ends_plain(bytes, at);
        let hex = || self.ends_hex(bytes, at);
        let base64 = || self.base64.iter().find_map(|text| ends_base64(text, bytes, at));
        plain().or_else(hex).or_else(base64)
    }

    /// As it is, whatever the case, each character perhaps encoded or escaped.
    fn ends_plain(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let mut end = at;
        for wanted in &self.plain {
            let is_it = |byte: u8| byte.eq_ignore_ascii_case(wanted);
            end = match unit(bytes, end) {
                Some((byte, next)) if is_it(byte) => next,
                // A form writes a space as `+`.
                _ if *wanted == b' ' && bytes.get(end) == Some(&b'+') => end + 1,
                _ if bytes.get(end).is_some_and(|byte| is_it(*byte)) => end + 1,
                _ => return None,
            };
        }
        Some(end)
    }

    fn ends_hex(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let mut end = at;
        for (index, wanted) in self.plain.iter().enumerate() {
            if index > 0 {
                end = past(bytes, end, |byte| b" \r\n\t:-".contains(&byte));
            }
            (hex(bytes.get(end..end + 2)?)? == u32::from(*wanted)).then_some(())?;
            end += 2;
        }
        Some(end)
    }
}

fn ends_base64(text: &[u8], bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    for (index, wanted) in text.iter().enumerate() {
        if index > 0 {
            end = past(bytes, end, |byte| b"\r\n".contains(&byte));
            for escaped in [b"\\r", b"\\n"] {
                end += if bytes[end..].starts_with(escaped) { 2 } else { 0 };
            }
        }
        let (byte, next) = unit(bytes, end)?;
        (byte == *wanted || byte == alike(*wanted)).then_some(())?;
        end = next;
    }
    Some(end)
}

/// Past a few characters that mean nothing.
fn past(bytes: &[u8], at: usize, is_break: impl Fn(u8) -> bool) -> usize {
    let rest = bytes[at..].iter().take(BREAK_BYTES_MAX);
    at + rest.take_while(|byte| is_break(**byte)).count()
}

/// One character at a place, however it is written, and where the next begins.
fn unit(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = &bytes[at..];
    let code = |digits: &[u8], used: usize| {
        let byte = u8::try_from(hex(digits)?).ok()?;
        Some((byte, at + used))
    };
    let encoded = match *rest {
        [b'%', high, low, ..] => code(&[high, low], 3),
        [b'\\', b'u', a, b, c, d, ..] => code(&[a, b, c, d], 6),
        [b'\\', b'x', high, low, ..] => code(&[high, low], 4),
        [b'\\', escaped, ..] => match escaped {
            b'"' | b'\\' | b'/' | b'\'' => Some((escaped, at + 2)),
            b'n' => Some((b'\n', at + 2)),
            b'r' => Some((b'\r', at + 2)),
            b't' => Some((b'\t', at + 2)),
            _ => None,
        },
        [b'&', ..] => entity(rest).map(|(byte, used)| (byte, at + used)),
        _ => None,
    };
    encoded.or_else(|| Some((*rest.first()?, at + 1)))
}

/// A character as HTML writes it, and how long that is.
fn entity(rest: &[u8]) -> Option<(u8, usize)> {
    let known: [(&[u8], u8); 6] = [
        (b"&amp;", b'&'),
        (b"&lt;", b'<'),
        (b"&gt;", b'>'),
        (b"&quot;", b'"'),
        (b"&apos;", b'\''),
        (b"&#43;", b'+'),
    ];
    if let Some((text, byte)) = known.iter().find(|(text, _)| rest.starts_with(text)) {
        return Some((*byte, text.len()));
    }
    let inner = rest.strip_prefix(b"&#")?;
    let end = inner.iter().take(UNIT_BYTES_MAX).position(|byte| *byte == b';')?;
    let number = std::str::from_utf8(&inner[..end]).ok()?;
    let byte = match number.strip_prefix(['x', 'X']) {
        Some(number) => u8::from_str_radix(number, 16),
        None => number.parse(),
    };
    Some((byte.ok()?, end + 3))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

/// A stream without secrets, wherever it is cut into pieces.
pub(crate) struct Stream<'s> {
    scrubber: &'s Scrubber,
    pending: Vec<u8>,
    clean: Vec<u8>,
}

impl<'s> Stream<'s> {
    pub(crate) fn new(scrubber: &'s Scrubber) -> Self {
        Self { scrubber, pending: Vec::new(), clean: Vec::new() }
    }

    /// Takes the next piece. What may be the beginning of a secret is held back.
    pub(crate) fn take(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
        let ready = self.pending.len().saturating_sub(self.scrubber.longest);
        if ready >= CHUNK_BYTES {
            self.release(ready);
        }
    }

    /// How much is known to be clean.
    pub(crate) fn len(&self) -> usize {
        self.clean.len()
    }

    /// Takes out what is known to be clean.
    pub(crate) fn drain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.clean)
    }

    /// All of it, once nothing more comes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.release(self.pending.len());
        self.clean
    }

    fn release(&mut self, limit: usize) {
        let taken = self.scrubber.scan(&self.pending, limit, &mut self.clean);
        self.pending.drain(..taken);
    }
}
