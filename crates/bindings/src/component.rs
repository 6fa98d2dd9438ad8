//! The two ends of a component's binding.
//!
//! The near end is a component: it passes each call on and serves, in the caller's thread, what
//! the far end asks of its context meanwhile. The far end holds the part and gives it a context
//! that asks back. A call is one conversation: nothing else is said until it is done.

use libos_abi::{
    Denial, DenyReason, Digest, Error, Event, OpId, Pid, Reply, Syscall, wire::FRAME_BYTES_MAX,
};
use libos_port::{
    Authority, BadSnapshot, Caller, Component, Context, Decision, Manifest, Query, Reach, Stop,
};
use parking_lot::Mutex;

use crate::{
    BindingError,
    error::{broken, too_large},
    link::Link,
    message::{Asked, FromPart, Hello, Role, Served, ToPart},
};

/// The near end of a component that lives elsewhere.
pub struct RemoteComponent {
    manifest: Manifest,
    near: Mutex<Near>,
}

/// The near end of an authority that lives elsewhere.
pub struct RemoteAuthority(RemoteComponent);

struct Near {
    link: Link<ToPart, FromPart>,
    /// Why the binding is broken, once it is.
    broken: Option<&'static str>,
}

impl Near {
    /// Runs a conversation. One that fails is the last, unless nothing of it was said.
    fn converse<T>(
        &mut self,
        op: OpId,
        talk: impl FnOnce(&mut Link<ToPart, FromPart>) -> Result<T, BindingError>,
    ) -> Result<T, Error> {
        if let Some(kind) = self.broken {
            return Err(broken(kind, op).into());
        }
        talk(&mut self.link).map_err(|error| {
            if !matches!(error, BindingError::TooLarge { .. }) {
                tracing::error!(%error, "a component cannot be reached any more");
                self.broken = Some(error.kind());
            }
            error.fault(op).into()
        })
    }

    /// Says something that has no answer. Should it be lost, the next call tells.
    fn tell(&mut self, message: ToPart) {
        let told = self.converse(OpId::default(), |link| {
            link.out.send(message).map_err(|error| match error {
                // It cannot be left out: the far end would have another state.
                BindingError::TooLarge { .. } => BindingError::Unexpected("an overlong event"),
                other => other,
            })
        });
        drop(told);
    }
}

impl RemoteComponent {
    pub(crate) fn new(manifest: Manifest, link: Link<ToPart, FromPart>) -> Self {
        Self { manifest, near: Mutex::new(Near { link, broken: None }) }
    }
}

impl RemoteAuthority {
    pub(crate) fn new(manifest: Manifest, link: Link<ToPart, FromPart>) -> Self {
        Self(RemoteComponent::new(manifest, link))
    }
}

impl Component for RemoteComponent {
    fn manifest(&self) -> Manifest {
        self.manifest
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        let op = cx.op();
        let served = Served {
            now_ms: cx.now_ms(),
            started_ms: cx.started_ms(),
            op,
            caller: cx.caller().clone(),
            call: call.clone(),
        };
        self.near.get_mut().converse(op, |link| serve(link, cx, served))?
    }

    fn apply(&mut self, event: &Event) {
        self.near.get_mut().tell(ToPart::Apply(event.clone()));
    }

    fn begin(&mut self) {
        self.near.get_mut().tell(ToPart::Begin);
    }

    fn rollback(&mut self) {
        self.near.get_mut().tell(ToPart::Rollback);
    }

    /// Of a component that is gone: the digest of nothing, which is no state's.
    fn digest(&self) -> Digest {
        let digest = self.near.lock().converse(OpId::default(), |link| {
            link.out.send(ToPart::Digest)?;
            match link.incoming.receive()? {
                FromPart::Digest(digest) => Ok(digest),
                other => Err(unexpected(&other)),
            }
        });
        digest.unwrap_or_default()
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        let from = out.len();
        let saved = self.near.lock().converse(OpId::default(), |link| {
            link.out.send(ToPart::Save)?;
            loop {
                match link.incoming.receive()? {
                    FromPart::State { piece, is_last } => {
                        out.extend(piece);
                        if is_last {
                            return Ok(Ok(()));
                        }
                    }
                    FromPart::Refused(why) => return Ok(Err(why)),
                    other => return Err(unexpected(&other)),
                }
            }
        });
        let saved = saved.unwrap_or(Err(BadSnapshot::Unreachable("it is gone")));
        if saved.is_err() {
            out.truncate(from);
        }
        saved
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        let loaded = self.near.get_mut().converse(OpId::default(), |link| {
            for (piece, is_last) in pieces(bytes) {
                link.out.send(ToPart::Load { piece, is_last })?;
            }
            match link.incoming.receive()? {
                FromPart::Loaded => Ok(Ok(())),
                FromPart::Refused(why) => Ok(Err(why)),
                other => Err(unexpected(&other)),
            }
        });
        loaded.unwrap_or(Err(BadSnapshot::Unreachable("it is gone")))
    }
}

/// How much of a state one message carries: it fits a frame, with room around it.
const PIECE_BYTES: usize = FRAME_BYTES_MAX - (1 << 10);

/// A state in pieces, one at least, and which is the last.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = (Vec<u8>, bool)> {
    let count = bytes.len().div_ceil(PIECE_BYTES).max(1);
    (0..count).map(move |at| {
        let from = at * PIECE_BYTES;
        let to = bytes.len().min(from + PIECE_BYTES);
        (bytes[from..to].to_vec(), at + 1 == count)
    })
}

/// Passes a call on and serves what it asks of its context, until it is done.
fn serve(
    link: &mut Link<ToPart, FromPart>,
    cx: &mut dyn Context,
    served: Served,
) -> Result<Result<Reply, Stop>, BindingError> {
    link.out.send(ToPart::Call(Box::new(served)))?;
    loop {
        match link.incoming.receive()? {
            FromPart::Emit(event) => cx.emit(event),
            FromPart::Send(call) => {
                let answer = cx.send(call);
                or_too_large(link.out.send(ToPart::Answer(answer)), |limit| {
                    link.out.send(ToPart::Answer(Err(too_large(limit).into())))
                })?;
            }
            FromPart::Done(result) => return Ok(result),
            other => return Err(unexpected(&other)),
        }
    }
}

/// What to send in place of a message that is too large.
fn or_too_large(
    sent: Result<(), BindingError>,
    instead: impl FnOnce(usize) -> Result<(), BindingError>,
) -> Result<(), BindingError> {
    match sent {
        Err(BindingError::TooLarge { limit, .. }) => instead(limit),
        sent => sent,
    }
}

impl Component for RemoteAuthority {
    fn manifest(&self) -> Manifest {
        self.0.manifest()
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        self.0.call(cx, call)
    }

    fn apply(&mut self, event: &Event) {
        self.0.apply(event);
    }

    fn begin(&mut self) {
        self.0.begin();
    }

    fn rollback(&mut self) {
        self.0.rollback();
    }

    fn digest(&self) -> Digest {
        self.0.digest()
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        self.0.save(out)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        self.0.load(bytes)
    }
}

impl Authority for RemoteAuthority {
    /// An authority that is gone allows nothing.
    fn decide(&self, query: &Query<'_>) -> Decision {
        let asked = Asked {
            subject: query.subject,
            ancestors: query.ancestors.to_vec(),
            needs: query.needs.to_vec(),
            call: query.call.clone(),
            op: query.op,
            label: query.label,
            now_ms: query.now_ms,
        };
        let decision = self.0.near.lock().converse(query.op, |link| {
            link.out.send(ToPart::Decide(Box::new(asked)))?;
            match link.incoming.receive()? {
                FromPart::Decided(decision) => Ok(decision),
                other => Err(unexpected(&other)),
            }
        });
        decision.unwrap_or_else(|_| {
            let need = query.needs.first().cloned();
            Decision::Deny(Denial { need, reason: DenyReason::NoGrant })
        })
    }

    /// A program reaches nothing for an authority that is gone.
    fn reach(&self, subject: Pid, kinds: &[&str], now_ms: u64) -> Reach {
        let kinds = kinds.iter().map(ToString::to_string).collect();
        let reach = self.0.near.lock().converse(OpId(0), |link| {
            link.out.send(ToPart::Reach { subject, kinds, now_ms })?;
            match link.incoming.receive()? {
                FromPart::Reached(reach) => Ok(reach),
                other => Err(unexpected(&other)),
            }
        });
        reach.unwrap_or_default()
    }
}

fn unexpected(message: &FromPart) -> BindingError {
    BindingError::Unexpected(match message {
        FromPart::Hello(_) => "hello",
        FromPart::Emit(_) => "emit",
        FromPart::Send(_) => "send",
        FromPart::Done(_) => "done",
        FromPart::Decided(_) => "decided",
        FromPart::Reached(_) => "reached",
        FromPart::Digest(_) => "digest",
        FromPart::State { .. } => "state",
        FromPart::Loaded => "loaded",
        FromPart::Refused(_) => "refused",
    })
}

/// The part at the far end.
pub(crate) enum Part<'a> {
    Component(&'a mut dyn Component),
    Authority(&'a mut dyn Authority),
}

impl Part<'_> {
    fn component(&mut self) -> &mut dyn Component {
        match self {
            Self::Component(part) => *part,
            Self::Authority(part) => *part,
        }
    }

    pub(crate) fn hello(&mut self) -> Hello {
        let role = match self {
            Self::Component(_) => Role::Component,
            Self::Authority(_) => Role::Authority,
        };
        let Manifest { serves, imports } = self.component().manifest();
        let [serves, imports] =
            [serves, imports].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Hello { role, serves, imports }
    }
}

/// Serves the far end until the near end is gone.
pub(crate) fn serve_part(
    mut link: Link<FromPart, ToPart>,
    mut part: Part<'_>,
) -> Result<(), BindingError> {
    let mut state = Vec::new();
    loop {
        let message = match link.incoming.receive() {
            Err(BindingError::Closed) => return Ok(()),
            message => message?,
        };
        match (message, &mut part) {
            (ToPart::Call(served), part) => serve_call(&mut link, part.component(), &served)?,
            (ToPart::Decide(asked), Part::Authority(authority)) => {
                let decision = decide(&**authority, &asked);
                link.out.send(FromPart::Decided(decision))?;
            }
            (ToPart::Reach { subject, kinds, now_ms }, Part::Authority(authority)) => {
                let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
                let reach = authority.reach(subject, &kinds, now_ms);
                link.out.send(FromPart::Reached(reach))?;
            }
            (ToPart::Reach { .. }, Part::Component(_)) => {
                return Err(BindingError::Unexpected("reach"));
            }
            (ToPart::Decide(_), Part::Component(_)) => {
                return Err(BindingError::Unexpected("decide"));
            }
            (ToPart::Apply(event), part) => part.component().apply(&event),
            (ToPart::Begin, part) => part.component().begin(),
            (ToPart::Rollback, part) => part.component().rollback(),
            (ToPart::Digest, part) => {
                link.out.send(FromPart::Digest(part.component().digest()))?;
            }
            (ToPart::Save, part) => send_state(&mut link, part.component())?,
            (ToPart::Load { piece, is_last: false }, _) => state.extend(piece),
            (ToPart::Load { piece, is_last: true }, part) => {
                state.extend(piece);
                let loaded = part.component().load(&std::mem::take(&mut state));
                link.out.send(loaded.map_or_else(FromPart::Refused, |()| FromPart::Loaded))?;
            }
            (ToPart::Answer(_), _) => return Err(BindingError::Unexpected("answer")),
        }
    }
}

fn send_state(
    link: &mut Link<FromPart, ToPart>,
    part: &mut dyn Component,
) -> Result<(), BindingError> {
    let mut bytes = Vec::new();
    if let Err(why) = part.save(&mut bytes) {
        return link.out.send(FromPart::Refused(why));
    }
    pieces(&bytes)
        .try_for_each(|(piece, is_last)| link.out.send(FromPart::State { piece, is_last }))
}

fn decide(authority: &dyn Authority, asked: &Asked) -> Decision {
    authority.decide(&Query {
        subject: asked.subject,
        ancestors: &asked.ancestors,
        needs: &asked.needs,
        call: &asked.call,
        digest: &|| asked.call.digest(),
        op: asked.op,
        label: asked.label,
        now_ms: asked.now_ms,
    })
}

fn serve_call(
    link: &mut Link<FromPart, ToPart>,
    part: &mut dyn Component,
    served: &Served,
) -> Result<(), BindingError> {
    let mut cx = Asking { link, served, lost: None };
    let result = part.call(&mut cx, &served.call);
    let result = match cx.lost {
        None => result,
        // What was emitted is not whole: the transaction must not stand.
        Some(BindingError::TooLarge { limit, .. }) => Err(too_large(limit).into()),
        Some(error) => return Err(error),
    };
    or_too_large(link.out.send(FromPart::Done(result)), |limit| {
        link.out.send(FromPart::Done(Err(too_large(limit).into())))
    })
}

/// The context of a call at the far end: it asks the near end.
struct Asking<'a> {
    link: &'a mut Link<FromPart, ToPart>,
    served: &'a Served,
    /// The first thing that could not be said or heard.
    lost: Option<BindingError>,
}

impl Asking<'_> {
    fn ask(&mut self, call: Syscall) -> Result<Result<Reply, Error>, BindingError> {
        self.link.out.send(FromPart::Send(call))?;
        match self.link.incoming.receive()? {
            ToPart::Answer(answer) => Ok(answer),
            _ => Err(BindingError::Unexpected("something else than an answer")),
        }
    }
}

impl Context for Asking<'_> {
    fn now_ms(&self) -> u64 {
        self.served.now_ms
    }

    fn caller(&self) -> &Caller {
        &self.served.caller
    }

    fn op(&self) -> OpId {
        self.served.op
    }

    fn started_ms(&self) -> u64 {
        self.served.started_ms
    }

    fn emit(&mut self, event: Event) {
        if self.lost.is_none() {
            self.lost = self.link.out.send(FromPart::Emit(event)).err();
        }
    }

    fn send(&mut self, call: Syscall) -> Result<Reply, Error> {
        if let Some(lost) = &self.lost {
            return Err(lost.fault(self.served.op).into());
        }
        self.ask(call).unwrap_or_else(|error| {
            let fault = error.fault(self.served.op);
            if !matches!(error, BindingError::TooLarge { .. }) {
                self.lost = Some(error);
            }
            Err(fault.into())
        })
    }
}
