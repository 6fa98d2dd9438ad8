//! Contents that are too large for a message: what a call takes from an object, and what it keeps
//! as one.
//!
//! What a call takes is decided before a human is asked or an effect begins, and stays with the
//! operation: whatever becomes of the object, what was approved is what is sent, also after a
//! crash.
//! What a call keeps becomes an object in the transaction of its outcome.

use libos_abi::{
    Error, Fault, KeptContent, Label, Labelled, OpId, Outcome, Pid, event::OpEvent, object,
};

use crate::{kernel::Kernel, ops::Op, tx::Tx};

/// The longest type of an object that a call is kept as: a word.
const WORD_BYTES_MAX: usize = 128;

impl Kernel {
    /// Refuses a call that is to keep what cannot be kept.
    pub(crate) fn check_keeps(tx: &Tx, op: &Op) -> Result<(), Error> {
        for word in op.call.keeps().into_iter().flatten() {
            if tx.caller.pid().is_none() {
                return Err(Fault::bad("objects belong to processes; a host keeps none").into());
            }
            let is_word = !word.is_empty() && !word.contains(char::is_control);
            if !is_word || word.len() > WORD_BYTES_MAX {
                let what = format!("the type of an object is a word of {WORD_BYTES_MAX} bytes");
                return Err(Fault::bad(what).into());
            }
        }
        Ok(())
    }

    /// Decides what the call takes from an object: the content that it has now.
    pub(crate) fn draw(&mut self, tx: &mut Tx, id: OpId) -> Result<(), Error> {
        let drawn = self.ops.get(id).filter(|op| op.content.is_none());
        let Some(from) = drawn.and_then(|op| op.call.takes()) else { return Ok(()) };
        let content = self.ask(tx, object::GetContent { id: from });
        let content = content.map_err(|error| Fault::bad(format!("nothing to take: {error}")))?;
        self.emit(tx, OpEvent::Drawn { op: id, parts: content.parts.into() });
        Ok(())
    }

    /// The label of what a call takes from an object.
    pub(crate) fn label_of_content(&self, op: &Op) -> Label {
        let from = op.call.takes().map(Labelled::Object);
        from.map_or(Label::BOTTOM, |from| self.labels.of(&from))
    }

    /// Makes the objects that a call keeps contents as, with the label of its caller.
    pub(crate) fn collect(&mut self, tx: &mut Tx, id: OpId, outcome: &mut Outcome) {
        let Some(op) = self.ops.get(id) else { return };
        let (Some(owner), Ok(reply)) = (op.caller.pid(), outcome.as_mut()) else { return };
        let words = op.call.keeps();
        if words == [None, None] {
            return;
        }
        let words = words.map(|word| word.map(str::to_owned));
        let mut result = Ok(());
        for (word, kept) in words.into_iter().zip(reply.kept()) {
            let Some(word) = word else { continue };
            result = result.and(self.keep(tx, owner, word, kept));
        }
        if let Err(error) = result {
            let kind = format!("not_kept.{}", error.code());
            *outcome = Err(Fault::ProviderFailed { kind, op: id }.into());
        }
    }

    fn keep(
        &mut self,
        tx: &mut Tx,
        owner: Pid,
        r#type: String,
        kept: Option<&mut KeptContent>,
    ) -> Result<(), Error> {
        let kept = kept.ok_or_else(|| Fault::bad("its provider keeps nothing"))?;
        let parts = std::mem::take(&mut kept.parts);
        kept.id = self.ask(tx, object::Collect { owner, r#type, parts })?.id;
        let mark = self.mark(owner);
        self.raise(tx, Labelled::Object(kept.id), mark);
        Ok(())
    }
}
