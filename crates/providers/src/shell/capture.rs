//! What a program reads and writes.

use std::io;

use libos_abi::{Error, KeptContent, Text};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{
    content::{Keeper, Told},
    secrets::{Scrubber, Stream},
};

/// The beginning of an output. What is over the limit is read and dropped, so that a program that
/// writes much is never held up. Secrets are taken out before anything is kept.
/// An output that is kept as an object is handed on instead.
pub(super) struct Capture<'s> {
    keeper: Option<Keeper>,
    stream: Stream<'s>,
    max: usize,
    cut: bool,
    ended: bool,
}

impl<'s> Capture<'s> {
    pub(super) fn new(max: usize, scrubber: &'s Scrubber, keeper: Option<Keeper>) -> Self {
        Self { keeper, stream: Stream::new(scrubber), max, cut: false, ended: false }
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
                match &mut self.keeper {
                    Some(keeper) if !keeper.is_full() => {
                        self.stream.take(&chunk[..count]);
                        keeper.take(&self.stream.drain()).await.map_err(io::Error::other)?;
                    }
                    Some(_) => {}
                    None if self.stream.len() > self.max => self.cut = true,
                    None => self.stream.take(&chunk[..count]),
                }
            }
        }
        self.ended = true;
        Ok(())
    }

    /// What is told of the output.
    pub(super) async fn told(mut self) -> Result<(Text, bool, Option<KeptContent>), Error> {
        let Some(mut keeper) = self.keeper.take() else {
            let (text, cut) = self.into_text();
            return Ok((text.into(), cut, None));
        };
        keeper.take(&self.stream.finish()).await?;
        let Told { head, truncated, kept, .. } = keeper.finish().await?;
        Ok((head, truncated || !self.ended, Some(kept)))
    }

    /// The output within the limit as UTF-8, bytes that are not replaced, and whether it was cut.
    fn into_text(self) -> (String, bool) {
        let mut kept = self.stream.finish();
        let mut cut = self.cut || !self.ended || kept.len() > self.max;
        kept.truncate(self.max);
        if let (true, Err(error)) = (cut, std::str::from_utf8(&kept))
            && error.error_len().is_none()
        {
            kept.truncate(error.valid_up_to());
        }
        let mut text = match String::from_utf8(kept) {
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
