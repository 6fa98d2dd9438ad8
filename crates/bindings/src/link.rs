//! Links: one end of a binding, whatever carries it.
//!
//! A link has two halves. Over channels a message is moved; over a stream it becomes a frame, and
//! frames that nobody waits for are kept until one that somebody does.

use std::io::{Read, Write};

use crossbeam_channel::{Receiver, Sender};

use crate::{BindingError, codec::Message, frame};

/// How many messages a channel holds: enough that two threads seldom wait for each other.
const QUEUE_MESSAGES_MAX: usize = 64;

/// How many bytes are kept before they are written without need.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Where messages go.
pub(crate) trait Outgoing<M>: Send {
    /// Sends a message. One that is too large is not sent, and the link goes on.
    fn send(&mut self, message: M) -> Result<(), BindingError>;
}

/// Where messages come from.
pub(crate) trait Incoming<M>: Send {
    /// The next message, once there is one.
    fn receive(&mut self) -> Result<M, BindingError>;
}

/// One end.
pub(crate) struct Link<O, I> {
    pub(crate) out: Box<dyn Outgoing<O>>,
    pub(crate) incoming: Box<dyn Incoming<I>>,
}

impl<M: Send> Outgoing<M> for Sender<M> {
    fn send(&mut self, message: M) -> Result<(), BindingError> {
        Sender::send(self, message).map_err(|_| BindingError::Closed)
    }
}

impl<M: Send> Incoming<M> for Receiver<M> {
    fn receive(&mut self) -> Result<M, BindingError> {
        self.recv().map_err(|_| BindingError::Closed)
    }
}

/// Both ends of a link over bounded channels.
pub(crate) fn channels<O, I>() -> (Link<O, I>, Link<I, O>)
where
    O: Send + 'static,
    I: Send + 'static,
{
    let (one_out, other_in) = crossbeam_channel::bounded(QUEUE_MESSAGES_MAX);
    let (other_out, one_in) = crossbeam_channel::bounded(QUEUE_MESSAGES_MAX);
    (
        Link { out: Box::new(one_out), incoming: Box::new(one_in) },
        Link { out: Box::new(other_out), incoming: Box::new(other_in) },
    )
}

/// One end of a link over a stream.
pub(crate) fn stream<O: Message, I: Message>(
    reader: Box<dyn Read + Send>,
    writer: Box<dyn Write + Send>,
) -> Link<O, I> {
    Link {
        out: Box::new(Frames { writer, kept: Vec::new(), is_broken: false }),
        incoming: Box::new(Framed { reader }),
    }
}

struct Frames {
    writer: Box<dyn Write + Send>,
    kept: Vec<u8>,
    /// Part of a frame may have left: nothing may follow it.
    is_broken: bool,
}

impl<M: Message> Outgoing<M> for Frames {
    fn send(&mut self, message: M) -> Result<(), BindingError> {
        if self.is_broken {
            return Err(BindingError::Closed);
        }
        let (head, body) = message.encode();
        frame::write(head, &body, &mut self.kept)?;
        if message.is_urgent() || self.kept.len() >= KEPT_BYTES_MAX {
            let written = self.writer.write_all(&self.kept).and_then(|()| self.writer.flush());
            self.kept.clear();
            self.is_broken = written.is_err();
            written?;
        }
        Ok(())
    }
}

struct Framed {
    reader: Box<dyn Read + Send>,
}

impl<M: Message> Incoming<M> for Framed {
    fn receive(&mut self) -> Result<M, BindingError> {
        let (head, body) = frame::read(&mut self.reader)?;
        M::decode(head, &body)
    }
}
