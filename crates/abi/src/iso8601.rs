//! A point in time as text, in a place of its own size: telling the time allocates nothing.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    ops::Deref,
    str::FromStr,
};

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The longest text, in bytes: that of the last millisecond a `u64` counts has 29.
const BYTES_MAX: usize = 32;

/// A point in time as text, such as `2026-11-22T21:08:28.000Z`. Encodes, prints and reads like the
/// text.
///
/// ```
/// use libos_abi::Iso8601;
/// assert_eq!(&*Iso8601::of(951_782_400_000), "2000-02-29T00:00:00.000Z");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Iso8601 {
    bytes: [u8; BYTES_MAX],
    len: u8,
}

/// A text that is longer than any point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a point in time has at most {BYTES_MAX} bytes, as in `2026-11-22T21:08:28.000Z`")]
pub struct BadTime;

impl Iso8601 {
    /// The text of a point in time, in UTC. Years past 9999 get more digits.
    #[must_use]
    pub fn of(unix_ms: u64) -> Self {
        let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
        let (year, month, day) = civil(days);
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, ms) = (ms / 1_000 % 60, ms % 1_000);
        let mut text = Self { bytes: [0; BYTES_MAX], len: 0 };
        write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
            .expect("the year of the last millisecond has nine digits");
        text
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years begin
/// in March here, so that the leap day is the last (Howard Hinnant, "chrono-compatible low-level
/// date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

impl fmt::Write for Iso8601 {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let start = usize::from(self.len);
        let place = self.bytes.get_mut(start..start + more.len()).ok_or(fmt::Error)?;
        place.copy_from_slice(more.as_bytes());
        self.len += more.len() as u8;
        Ok(())
    }
}

impl Deref for Iso8601 {
    type Target = str;
    fn deref(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.len)];
        std::str::from_utf8(bytes).expect("only whole texts are written into it")
    }
}

impl FromStr for Iso8601 {
    type Err = BadTime;
    fn from_str(text: &str) -> Result<Self, BadTime> {
        let mut time = Self { bytes: [0; BYTES_MAX], len: 0 };
        time.write_str(text).map_err(|_| BadTime)?;
        Ok(time)
    }
}

impl PartialEq<&str> for Iso8601 {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Iso8601 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Display for Iso8601 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Encode for Iso8601 {
    fn encode<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        (**self).encode(e)
    }
}

impl<C> Decode<C> for Iso8601 {
    fn decode<D: Decoder<Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        let text: String = Decode::decode(d)?;
        text.parse().map_err(|error: BadTime| DecodeError::OtherString(error.to_string()))
    }
}

bincode::impl_borrow_decode!(Iso8601);

impl Serialize for Iso8601 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Iso8601 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Iso8601 {
    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_in_utc() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_381_708_000, "2026-11-22T21:08:28.000Z"),
            (4_107_542_399_001, "2100-02-28T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Iso8601::of(unix_ms), text);
        }
        assert!(Iso8601::of(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = civil(0);
        for days in 1..300_000 {
            let (year, month, day) = civil(days);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let expected = match before {
                (y, 12, 31) => (y + 1, 1, 1),
                (y, 2, 28) if !leap => (y, 3, 1),
                (y, m, d)
                    if d == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][m as usize - 1] =>
                {
                    (y, m + 1, 1)
                }
                (y, m, d) => (y, m, d + 1),
            };
            assert_eq!((year, month, day), expected);
            before = expected;
        }
    }

    #[test]
    fn it_is_the_text_on_every_wire() {
        let time = Iso8601::of(7);
        assert_eq!(crate::wire::encode(&time), crate::wire::encode(&time.to_string()));
        assert_eq!(crate::wire::decode::<Iso8601>(&crate::wire::encode(&time)).unwrap(), time);
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"1970-01-01T00:00:00.007Z\"");
        assert_eq!(serde_json::from_str::<Iso8601>(&json).unwrap(), time);
        let long = "1".repeat(33);
        assert_eq!(long.parse::<Iso8601>(), Err(BadTime));
        assert!(crate::wire::decode::<Iso8601>(&crate::wire::encode(&long)).is_err());
        let cut: Result<Iso8601, _> = "1".repeat(32).parse();
        assert_eq!(cut.unwrap().len(), 32);
    }
}
