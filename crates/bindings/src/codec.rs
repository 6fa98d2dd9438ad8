//! The encoding of messages into frames, by the wire codec of the ABI.
//!
//! Each message has a number, which is the kind in the head of its frame; numbers are for ever.
//! Bodies are tuples of ABI types, so the one codec of `libos-abi` encodes them. A head that names
//! another call than its body is malformed.

use std::sync::Arc;

use libos_abi::{
    Json, OpId, Pattern, Pid, Rights, Syscall,
    tool::Program,
    wire::{self, WireError},
};
use libos_port::{
    BadSnapshot, Caller, Decision, EffectOutcome, Reach, ReachRule, Reconciled, Stop,
};

use crate::{
    BindingError,
    frame::Head,
    message::{Asked, FromPart, FromProvider, Hello, Ordered, Role, Served, ToPart, ToProvider},
};

/// What can stand in a frame.
pub(crate) trait Message: Sized + Send + 'static {
    /// Its head and its body.
    fn encode(&self) -> (Head, Vec<u8>);

    /// The message of a head and a body.
    fn decode(head: Head, body: &[u8]) -> Result<Self, BindingError>;

    /// Whether the far end acts on it now. What does not is kept until something does: a mark
    /// before a call, an event before the reply.
    fn is_urgent(&self) -> bool {
        true
    }
}

impl From<WireError> for BindingError {
    fn from(error: WireError) -> Self {
        Self::Malformed(error)
    }
}

fn plain(kind: u16) -> Head {
    Head { kind, service: 0, method: 0 }
}

fn about(kind: u16, call: &Syscall) -> Head {
    let info = call.info();
    Head { kind, service: info.service_number, method: info.number }
}

/// Checks that a head names the call of its body.
fn agree(head: Head, call: &Syscall) -> Result<(), WireError> {
    match about(head.kind, call) == head {
        true => Ok(()),
        false => {
            Err(WireError::new(format!("its head names another call than {}", call.info().name)))
        }
    }
}

fn unknown(what: &str, number: impl std::fmt::Display) -> BindingError {
    WireError::new(format!("there is no {what} with number {number}")).into()
}

fn hello(kind: u16, hello: &Hello) -> (Head, Vec<u8>) {
    let role: u8 = match hello.role {
        Role::Component => 1,
        Role::Authority => 2,
        Role::Provider => 3,
    };
    (plain(kind), wire::encode(&(role, &hello.serves, &hello.imports)))
}

fn read_hello(body: &[u8]) -> Result<Hello, BindingError> {
    let (role, serves, imports): (u8, Vec<String>, Vec<String>) = wire::decode(body)?;
    let role = match role {
        1 => Role::Component,
        2 => Role::Authority,
        3 => Role::Provider,
        other => return Err(unknown("role", other)),
    };
    Ok(Hello { role, serves, imports })
}

impl Message for ToPart {
    fn encode(&self) -> (Head, Vec<u8>) {
        match self {
            Self::Call(served) => {
                let Served { now_ms, started_ms, op, caller, call } = &**served;
                let Caller { principal, admission } = caller;
                let body = (now_ms, started_ms, op, principal, admission, call);
                (about(1, call), wire::encode(&body))
            }
            Self::Answer(outcome) => (plain(2), wire::encode(outcome)),
            Self::Decide(asked) => {
                let Asked { subject, ancestors, needs, call, op, label, now_ms } = &**asked;
                let body = (subject, ancestors, needs, call, op, label, now_ms);
                (about(3, call), wire::encode(&body))
            }
            Self::Apply(event) => (plain(4), wire::encode(event)),
            Self::Begin => (plain(5), Vec::new()),
            Self::Rollback => (plain(6), Vec::new()),
            Self::Digest => (plain(7), Vec::new()),
            Self::Save => (plain(8), Vec::new()),
            Self::Load { piece, is_last } => (plain(9), wire::encode(&(piece, is_last))),
            Self::Reach { subject, kinds, now_ms } => {
                (plain(10), wire::encode(&(subject, kinds, now_ms)))
            }
        }
    }

    fn decode(head: Head, body: &[u8]) -> Result<Self, BindingError> {
        Ok(match head.kind {
            1 => {
                let (now_ms, started_ms, op, principal, admission, call) = wire::decode(body)?;
                agree(head, &call)?;
                let caller = Caller { principal, admission };
                Self::Call(Box::new(Served { now_ms, started_ms, op, caller, call }))
            }
            2 => Self::Answer(wire::decode(body)?),
            3 => {
                let (subject, ancestors, needs, call, op, label, now_ms) = wire::decode(body)?;
                agree(head, &call)?;
                Self::Decide(Box::new(Asked { subject, ancestors, needs, call, op, label, now_ms }))
            }
            4 => Self::Apply(wire::decode(body)?),
            5 => Self::Begin,
            6 => Self::Rollback,
            7 => Self::Digest,
            8 => Self::Save,
            9 => {
                let (piece, is_last) = wire::decode(body)?;
                Self::Load { piece, is_last }
            }
            10 => {
                let (subject, kinds, now_ms) = wire::decode(body)?;
                Self::Reach { subject, kinds, now_ms }
            }
            other => return Err(unknown("message to a component", other)),
        })
    }

    fn is_urgent(&self) -> bool {
        !matches!(self, Self::Apply(_) | Self::Begin | Self::Rollback)
    }
}

impl Message for FromPart {
    fn encode(&self) -> (Head, Vec<u8>) {
        match self {
            Self::Hello(it) => hello(1, it),
            Self::Emit(event) => (plain(2), wire::encode(event)),
            Self::Send(call) => (about(3, call), wire::encode(call)),
            Self::Done(result) => (
                plain(4),
                match result {
                    Ok(reply) => wire::encode(&(0_u8, reply)),
                    Err(Stop::Error(error)) => wire::encode(&(1_u8, error)),
                    Err(Stop::Wait(wait)) => wire::encode(&(2_u8, wait)),
                    Err(Stop::Perform) => wire::encode(&(3_u8, ())),
                    Err(Stop::Run(program)) => wire::encode(&(4_u8, program)),
                },
            ),
            Self::Decided(decision) => (
                plain(5),
                match decision {
                    Decision::Allow { by, charges } => wire::encode(&(0_u8, (by, charges))),
                    Decision::Ask { by } => wire::encode(&(1_u8, by)),
                    Decision::Deny(denial) => wire::encode(&(2_u8, denial)),
                },
            ),
            Self::Reached(reach) => (plain(10), wire::encode(&rules(reach))),
            Self::Digest(digest) => (plain(6), wire::encode(digest)),
            Self::State { piece, is_last } => (plain(7), wire::encode(&(piece, is_last))),
            Self::Loaded => (plain(8), Vec::new()),
            Self::Refused(why) => (
                plain(9),
                match why {
                    BadSnapshot::Version { found, expected } => {
                        wire::encode(&(0_u8, (found, expected)))
                    }
                    BadSnapshot::Malformed(error) => wire::encode(&(1_u8, error.to_string())),
                    BadSnapshot::Parts => wire::encode(&(2_u8, ())),
                    BadSnapshot::Digest => wire::encode(&(3_u8, ())),
                    BadSnapshot::Unreachable(_) => wire::encode(&(4_u8, ())),
                },
            ),
        }
    }

    fn decode(head: Head, body: &[u8]) -> Result<Self, BindingError> {
        Ok(match head.kind {
            1 => Self::Hello(read_hello(body)?),
            2 => Self::Emit(wire::decode(body)?),
            3 => {
                let call = wire::decode(body)?;
                agree(head, &call)?;
                Self::Send(call)
            }
            4 => Self::Done(match choice(body)? {
                (0, body) => Ok(wire::decode(body)?),
                (1, body) => Err(Stop::Error(wire::decode(body)?)),
                (2, body) => Err(Stop::Wait(wire::decode(body)?)),
                (3, []) => Err(Stop::Perform),
                (4, body) => Err(Stop::Run(wire::decode(body)?)),
                (other, _) => return Err(unknown("ending of a call", other)),
            }),
            5 => Self::Decided(match choice(body)? {
                (0, body) => {
                    let (by, charges) = wire::decode(body)?;
                    Decision::Allow { by, charges }
                }
                (1, body) => Decision::Ask { by: wire::decode(body)? },
                (2, body) => Decision::Deny(wire::decode(body)?),
                (other, _) => return Err(unknown("decision", other)),
            }),
            6 => Self::Digest(wire::decode(body)?),
            7 => {
                let (piece, is_last) = wire::decode(body)?;
                Self::State { piece, is_last }
            }
            8 => Self::Loaded,
            9 => Self::Refused(match choice(body)? {
                (0, body) => {
                    let (found, expected) = wire::decode(body)?;
                    BadSnapshot::Version { found, expected }
                }
                (1, body) => WireError::new(wire::decode::<String>(body)?).into(),
                (2, []) => BadSnapshot::Parts,
                (3, []) => BadSnapshot::Digest,
                (4, []) => BadSnapshot::Unreachable("a part behind the far end"),
                (other, _) => return Err(unknown("refusal", other)),
            }),
            10 => Self::Reached(read_rules(wire::decode(body)?)),
            other => return Err(unknown("message from a component", other)),
        })
    }

    fn is_urgent(&self) -> bool {
        !matches!(self, Self::Emit(_))
    }
}

/// The number of a choice, and the rest.
fn choice(body: &[u8]) -> Result<(u8, &[u8]), BindingError> {
    let (number, rest) = body.split_first().ok_or_else(|| WireError::new("the body is empty"))?;
    Ok((*number, rest))
}

type Rules = Vec<(bool, Pattern, Rights)>;

fn rules(reach: &Reach) -> Rules {
    let rules = reach.rules.iter();
    rules.map(|ReachRule { allows, on, rights }| (*allows, on.clone(), *rights)).collect()
}

fn read_rules(rules: Rules) -> Reach {
    let rules = rules.into_iter();
    let rules = rules.map(|(allows, on, rights)| ReachRule { allows, on, rights });
    Reach { rules: rules.collect() }
}

fn order(kind: u16, id: u64, order: &Ordered) -> (Head, Vec<u8>) {
    let Ordered { op, pid, call, cwd, workspace, waited_ms, reach, program, content } = order;
    let head = (id, op, pid, call, waited_ms);
    (about(kind, call), wire::encode(&(head, cwd, workspace, rules(reach), (program, content))))
}

fn read_order(head: Head, body: &[u8]) -> Result<(u64, Box<Ordered>), BindingError> {
    type Named = (u64, OpId, Option<Pid>, Syscall, u64);
    type With = (Option<Arc<Program>>, Option<Arc<[Json]>>);
    let (head_of, cwd, workspace, reach, with): (Named, _, _, _, With) = wire::decode(body)?;
    let ((id, op, pid, call, waited_ms), (program, content)) = (head_of, with);
    agree(head, &call)?;
    let reach = read_rules(reach);
    let order = Ordered { op, pid, call, cwd, workspace, waited_ms, reach, program, content };
    Ok((id, Box::new(order)))
}

impl Message for ToProvider {
    fn encode(&self) -> (Head, Vec<u8>) {
        match self {
            Self::Perform { id, order: it } => order(1, *id, it),
            Self::Reconcile { id, order: it } => order(2, *id, it),
            Self::Abandon { id } => (plain(3), wire::encode(id)),
            Self::Answer { id, call, outcome } => (plain(4), wire::encode(&(id, call, outcome))),
        }
    }

    fn decode(head: Head, body: &[u8]) -> Result<Self, BindingError> {
        Ok(match head.kind {
            1 => {
                let (id, order) = read_order(head, body)?;
                Self::Perform { id, order }
            }
            2 => {
                let (id, order) = read_order(head, body)?;
                Self::Reconcile { id, order }
            }
            3 => Self::Abandon { id: wire::decode(body)? },
            4 => {
                let (id, call, outcome) = wire::decode(body)?;
                Self::Answer { id, call, outcome }
            }
            other => return Err(unknown("message to a provider", other)),
        })
    }
}

impl Message for FromProvider {
    fn encode(&self) -> (Head, Vec<u8>) {
        match self {
            Self::Hello(it) => hello(1, it),
            Self::Submit { id, call, what } => (about(2, what), wire::encode(&(id, call, &**what))),
            Self::Done { id, outcome } => (
                plain(3),
                match outcome {
                    EffectOutcome::Done(reply) => wire::encode(&(0_u8, id, reply)),
                    EffectOutcome::Failed(error) => wire::encode(&(1_u8, id, error)),
                    EffectOutcome::NotStarted(error) => wire::encode(&(2_u8, id, error)),
                    EffectOutcome::Unknown(why) => wire::encode(&(3_u8, id, why)),
                },
            ),
            Self::Reconciled { id, known } => (
                plain(4),
                match known {
                    Reconciled::Happened(reply) => wire::encode(&(0_u8, id, reply)),
                    Reconciled::DidNotHappen => wire::encode(&(1_u8, id)),
                    Reconciled::Unknown => wire::encode(&(2_u8, id)),
                },
            ),
        }
    }

    fn decode(head: Head, body: &[u8]) -> Result<Self, BindingError> {
        Ok(match head.kind {
            1 => Self::Hello(read_hello(body)?),
            2 => {
                let (id, call, what) = wire::decode(body)?;
                agree(head, &what)?;
                Self::Submit { id, call, what: Box::new(what) }
            }
            3 => {
                let (id, outcome) = match choice(body)? {
                    (0, body) => {
                        wire::decode(body).map(|(id, it)| (id, EffectOutcome::Done(it)))?
                    }
                    (1, body) => {
                        wire::decode(body).map(|(id, it)| (id, EffectOutcome::Failed(it)))?
                    }
                    (2, body) => {
                        wire::decode(body).map(|(id, it)| (id, EffectOutcome::NotStarted(it)))?
                    }
                    (3, body) => {
                        wire::decode(body).map(|(id, it)| (id, EffectOutcome::Unknown(it)))?
                    }
                    (other, _) => return Err(unknown("outcome of an effect", other)),
                };
                Self::Done { id, outcome }
            }
            4 => {
                let (id, known) = match choice(body)? {
                    (0, body) => {
                        wire::decode(body).map(|(id, it)| (id, Reconciled::Happened(it)))?
                    }
                    (1, body) => (wire::decode(body)?, Reconciled::DidNotHappen),
                    (2, body) => (wire::decode(body)?, Reconciled::Unknown),
                    (other, _) => return Err(unknown("reconciliation", other)),
                };
                Self::Reconciled { id, known }
            }
            other => return Err(unknown("message from a provider", other)),
        })
    }
}
