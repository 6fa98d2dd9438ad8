//! What a program reads and writes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The beginning of an output. What is over the limit is read and dropped, so that a program that
/// writes much is never held up.
pub(super) struct Capture {
    kept: Vec<u8>,
    max: usize,
    cut: bool,
    ended: bool,
}

impl Capture {
    pub(super) fn new(max: usize) -> Self {
        Self { kept: Vec::new(), max, cut: false, ended: false }
    }

    /// Reads to the end.
    pub(super) async fn drain(&mut self, pipe: Option<impl AsyncRead + Unpin>) -> io::Result<()> {
        let mut chunk = vec![0_u8; 16 * 1024];
        if let Some(mut pipe) = pipe {
            loop {
                let count = pipe.read(&mut chunk).await?;
                if count == 0 {
                    break;
                }
                let keep = count.min(self.max - self.kept.len());
                self.kept.extend_from_slice(&chunk[..keep]);
                self.cut |= keep < count;
            }
        }
        self.ended = true;
        Ok(())
    }

    /// The output within the limit as UTF-8, bytes that are not replaced, and whether it was cut.
    pub(super) fn into_text(mut self) -> (String, bool) {
        let mut cut = self.cut || !self.ended;
        if let (true, Err(error)) = (cut, std::str::from_utf8(&self.kept))
            && error.error_len().is_none()
        {
            self.kept.truncate(error.valid_up_to());
        }
        let mut text = match String::from_utf8(self.kept) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        // A replacement takes three bytes for one.
        if text.len() > self.max {
            text.truncate(text.floor_char_boundary(self.max));
            cut = true;
        }
        (text, cut)
    }
}
