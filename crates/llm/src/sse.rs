//! Server-sent events: pieces of a stream in, events out.
//!
//! As the HTML standard has them, without what nobody here looks at (`id`, `retry`). A stream may
//! be cut anywhere, within a character too; an event counts once its blank line has come.

use crate::limits::EVENT_BYTES_MAX;

/// An event whose data is too long, or no UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadEvent;

/// What has come of a stream and is no whole event yet.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    /// The last line ended with a carriage return, of which a line feed may be the rest.
    after_return: bool,
    data: Option<String>,
}

impl Events {
    /// Takes a piece of the stream; the data of each event that is whole now, in order.
    ///
    /// # Errors
    /// [`BadEvent`]; what comes then is not looked at.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<Vec<String>, BadEvent> {
        let mut whole = Vec::new();
        for byte in piece {
            match byte {
                b'\n' if std::mem::take(&mut self.after_return) => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    whole.extend(self.end_line()?);
                }
                byte => {
                    self.after_return = false;
                    self.line.push(*byte);
                }
            }
            let data = self.data.as_ref().map_or(0, String::len);
            if self.line.len() + data > EVENT_BYTES_MAX {
                return Err(BadEvent);
            }
        }
        Ok(whole)
    }

    fn end_line(&mut self) -> Result<Option<String>, BadEvent> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(self.data.take());
        }
        let line = String::from_utf8(line).map_err(|_| BadEvent)?;
        let line = line.strip_prefix('\u{feff}').unwrap_or(&line);
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                none => *none = Some(value.to_owned()),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(stream: &[u8], piece: usize) -> Result<Vec<String>, BadEvent> {
        let mut events = Events::default();
        let mut whole = Vec::new();
        for piece in stream.chunks(piece) {
            whole.extend(events.take(piece)?);
        }
        Ok(whole)
    }

    #[test]
    fn events_are_the_same_however_the_stream_is_cut() {
        let stream = "\u{feff}: a comment\n\nevent: x\ndata: {\"a\":\"é\"}\n\n\
                      data:1\ndata: 2\r\n\r\nid: 4\rdata\r\rdata: never whole\n";
        let wanted = ["{\"a\":\"é\"}", "1\n2", ""];
        for piece in 1..stream.len() {
            let got = all(stream.as_bytes(), piece).expect("it is a stream");
            assert_eq!(got, wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused() {
        let long = [b"data: ".to_vec(), vec![b'x'; EVENT_BYTES_MAX + 1]].concat();
        assert_eq!(all(&long, 65_536), Err(BadEvent));
        let lines = "data: 0123456789\n".repeat(EVENT_BYTES_MAX / 10);
        assert_eq!(all(lines.as_bytes(), 65_536), Err(BadEvent));
        assert_eq!(all(b"data: \xff\n\n", 4), Err(BadEvent));
    }
}
