//! Contents that are too large for a message: what a call takes from an object, and what it keeps
//! as one.
//!
//! What a call takes is decided before a human is asked or an effect begins, and stays with the
//! operation: whatever becomes of the object, what was approved is what is sent, also after a
//! crash.
//! What a call keeps becomes an object in the transaction of its outcome.

use std::sync::Arc;

use libos_abi::{
    Digest, Digester, Error, Fault, Json, KeptContent, Label, Labelled, ObjectId, OpId, Outcome,
    Pid, event::OpEvent, llm, object,
};

use crate::{kernel::Kernel, ops::Op, tx::Tx};

/// The longest type of an object that a call is kept as: a word.
const WORD_BYTES_MAX: usize = 128;

/// What a call takes from an object, once that is decided.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// The parts of the whole.
    Parts(Arc<[Json]>),
    /// The digest of the digests of the entries that it names.
    Excerpt(Digest),
}

impl Content {
    /// Adds what tells it from another to a digest.
    pub(crate) fn digest(&self, digester: &mut Digester) {
        match self {
            Self::Parts(parts) => parts.iter().for_each(|part| digester.update(&part.0.digest().0)),
            Self::Excerpt(digest) => digester.update(&digest.0),
        }
    }
}

fn digest_of(entries: &[Json]) -> Digest {
    let mut digester = Digester::default();
    entries.iter().for_each(|entry| digester.update(&entry.0.digest().0));
    digester.digest()
}

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

    /// Decides what the call takes from an object: the content that it has now. Of an excerpt only
    /// the digest is noted: entries do not change, so what it names is found again.
    pub(crate) fn draw(&mut self, tx: &mut Tx, id: OpId) -> Result<(), Error> {
        let Some(op) = self.ops.get(id).filter(|op| op.content.is_none()) else { return Ok(()) };
        if let Some(excerpt) = op.call.excerpt().cloned() {
            let digest = digest_of(&self.excerpt(tx, &excerpt)?);
            self.emit(tx, OpEvent::Excerpted { op: id, digest });
        } else if let Some(from) = op.call.takes() {
            let parts = self.content_of(tx, from)?.into();
            self.emit(tx, OpEvent::Drawn { op: id, parts });
        }
        Ok(())
    }

    /// What was decided to be taken, for who performs the call.
    pub(crate) fn drawn(&mut self, tx: &mut Tx, id: OpId) -> Result<Option<Arc<[Json]>>, Error> {
        let Some(op) = self.ops.get(id) else { return Ok(None) };
        let (decided, excerpt) = match (&op.content, op.call.excerpt()) {
            (Some(Content::Parts(parts)), _) => return Ok(Some(Arc::clone(parts))),
            (Some(Content::Excerpt(digest)), Some(excerpt)) => (*digest, excerpt.clone()),
            _ => return Ok(None),
        };
        let entries = self.excerpt(tx, &excerpt)?;
        match digest_of(&entries) == decided {
            true => Ok(Some(entries.into())),
            false => Err(Fault::bad("nothing to take: the conversation is another by now").into()),
        }
    }

    fn excerpt(&mut self, tx: &mut Tx, excerpt: &llm::Excerpt) -> Result<Vec<Json>, Error> {
        let entries = self.content_of(tx, excerpt.object)?;
        excerpt.of(&entries).map_err(|why| llm::FailureKind::BadRequest.because(why))
    }

    fn content_of(&mut self, tx: &mut Tx, id: ObjectId) -> Result<Vec<Json>, Error> {
        let content = self.ask(tx, object::GetContent { id });
        let content = content.map_err(|error| Fault::bad(format!("nothing to take: {error}")))?;
        Ok(content.parts)
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
