//! A world with one engine in it: grants and calls written as text, decisions read as text.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

use libos_abi::{
    CapId, CapabilityInfo, Demand, DenyReason, Digest, Error, Event, GrantSpec, Label, Manifest,
    Need, OpId, Pid, Principal, Reply, Request, Syscall,
    capability::{
        Bound, Charge, Delegate, Derive, End, Grant, Issue, Keep, List, May, Reserve, Revoke,
        Settle,
    },
    event::CapabilityEvent,
    wire,
};
use libos_capability::Capabilities;
use libos_port::{Authority, Caller, Component, Context, Decision, Query, Stop};

/// A context that records events.
pub(crate) struct Fake {
    pub(crate) caller: Caller,
    pub(crate) now_ms: u64,
    pub(crate) op: OpId,
    pub(crate) events: Vec<Event>,
}

impl Context for Fake {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }
    fn caller(&self) -> &Caller {
        &self.caller
    }
    fn op(&self) -> OpId {
        self.op
    }
    fn started_ms(&self) -> u64 {
        self.now_ms
    }
    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }
    fn send(&mut self, call: Syscall) -> Result<Reply, Error> {
        panic!("the engine imports nothing, and sent {}", call.info().name)
    }
}

/// One engine, its journal and a clock.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) engine: Capabilities,
    pub(crate) journal: Vec<Event>,
    pub(crate) now_ms: u64,
}

pub(crate) fn host() -> Principal {
    Principal::Host("test".into())
}

impl World {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Makes a call in a transaction of its own.
    pub(crate) fn call<R: Request>(
        &mut self,
        caller: Principal,
        request: R,
    ) -> Result<R::Reply, Error> {
        let mut fake = Fake {
            caller: Caller { principal: caller, admission: None },
            now_ms: self.now_ms,
            op: OpId(0),
            events: Vec::new(),
        };
        self.engine.begin();
        match self.engine.call(&mut fake, &request.into()) {
            Ok(reply) => {
                self.journal.append(&mut fake.events);
                Ok(R::reply(reply).expect("a reply of the call's own type"))
            }
            Err(Stop::Error(error)) => {
                assert!(fake.events.is_empty(), "a refused call changes nothing");
                self.engine.rollback();
                Err(error)
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    pub(crate) fn host_grants(&mut self, to: u64, text: &str) -> Result<CapId, Error> {
        let (to, grant) = (Pid(to), grant(text));
        self.call(host(), Grant { to, grant }).map(|made| made.capability)
    }

    pub(crate) fn delegate(&mut self, from: u64, to: u64, text: &str) -> Result<CapId, Error> {
        let (to, grant) = (Pid(to), grant(text));
        self.call(Principal::Process(Pid(from)), Delegate { to, grant }).map(|made| made.capability)
    }

    pub(crate) fn derive(
        &mut self,
        parent: u64,
        child: u64,
        texts: &[&str],
    ) -> Result<Vec<CapId>, Error> {
        let derive = Derive {
            parent: Pid(parent),
            child: Pid(child),
            grants: texts.iter().map(|text| grant(text)).collect(),
        };
        self.call(host(), derive).map(|made| made.capabilities)
    }

    pub(crate) fn issue(&mut self, issue: Issue) -> Result<CapId, Error> {
        self.call(host(), issue).map(|made| made.capability)
    }

    pub(crate) fn revoke(&mut self, caller: Principal, id: CapId) -> Result<Vec<CapId>, Error> {
        let revoke = Revoke { capability: id, reason: None };
        self.call(caller, revoke).map(|made| made.capabilities)
    }

    pub(crate) fn reserve(&mut self, op: u64, charges: Vec<Charge>) -> Result<(), Error> {
        let op = OpId(op);
        self.call(host(), Reserve { op, charges })
    }

    pub(crate) fn settle(&mut self, op: u64, give_back: bool) {
        let op = OpId(op);
        self.call(host(), Settle { op, give_back }).unwrap();
    }

    /// Bounds a process by a manifest written as JSON.
    pub(crate) fn bound(
        &mut self,
        pid: u64,
        parent: Option<u64>,
        manifest: &str,
    ) -> Result<(), Error> {
        let (pid, parent) = (Pid(pid), parent.map(Pid));
        self.call(host(), Bound { pid, parent, manifest: Some(self::manifest(manifest)) })
    }

    pub(crate) fn keep(
        &mut self,
        subject: u64,
        keep: &[u64],
        memory: bool,
    ) -> Result<Vec<CapId>, Error> {
        let keep = keep.iter().copied().map(CapId).collect();
        let subject = Pid(subject);
        self.call(host(), Keep { subject, keep, memory }).map(|gone| gone.capabilities)
    }

    /// Whether a process may do something, written as `read fs:workspace/a`.
    pub(crate) fn may(&mut self, pid: u64, text: &str) -> bool {
        let Need { right, on } = need(text);
        self.call(host(), May { pid: Pid(pid), right, on }).unwrap().allowed
    }

    /// Every capability, in force or not.
    pub(crate) fn listed(&mut self) -> Vec<CapabilityInfo> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let list = List { pid: None, all: Some(true), after, limit: None };
            let page = self.call(host(), list).unwrap();
            found.extend(page.capabilities);
            match page.more_after {
                Some(last) => after = Some(last),
                None => return found,
            }
        }
    }

    pub(crate) fn end(&mut self, subject: u64) {
        let subject = Pid(subject);
        self.call(host(), End { subject }).unwrap();
    }

    pub(crate) fn decision(
        &self,
        pid: u64,
        ancestors: &[Pid],
        call: &Syscall,
        op: u64,
    ) -> Decision {
        let Demand::Rights(needs) = call.demand() else {
            panic!("{} demands no right", call.info().name)
        };
        self.engine.decide(&Query {
            subject: Pid(pid),
            ancestors,
            needs: &needs,
            call,
            digest: &|| digest(call),
            op: OpId(op),
            label: Label::BOTTOM,
            now_ms: self.now_ms,
        })
    }

    pub(crate) fn decide_needs(&self, pid: u64, needs: &[Need], call: &Syscall) -> Decision {
        self.engine.decide(&Query {
            subject: Pid(pid),
            ancestors: &[],
            needs,
            call,
            digest: &|| digest(call),
            op: OpId(1),
            label: Label::BOTTOM,
            now_ms: self.now_ms,
        })
    }

    pub(crate) fn live_digest(&self) -> Digest {
        self.engine.digest()
    }

    pub(crate) fn folded_digest(&self) -> Digest {
        self.folded().digest()
    }

    /// What is decided for `call`, written as `fs.read {"path": "workspace/a"}`, as text.
    pub(crate) fn decide(&self, pid: u64, text: &str) -> String {
        show(&self.decision(pid, &[], &call(text), 1))
    }

    /// Decides, and when allowed sets aside what the call takes under `op`.
    pub(crate) fn admit(&mut self, pid: u64, text: &str, op: u64) -> bool {
        match self.decision(pid, &[], &call(text), op) {
            Decision::Allow { charges, .. } => self.reserve(op, charges).is_ok(),
            _ => false,
        }
    }

    /// An engine that has folded the journal, and nothing else.
    pub(crate) fn folded(&self) -> Capabilities {
        let mut engine = Capabilities::new();
        self.journal.iter().for_each(|event| engine.apply(event));
        engine
    }

    pub(crate) fn granted(&self) -> usize {
        let granted =
            |event: &&Event| matches!(event, Event::Capability(CapabilityEvent::Granted(_)));
        self.journal.iter().filter(granted).count()
    }
}

pub(crate) fn digest(call: &Syscall) -> Digest {
    Digest::of(&wire::encode(call))
}

/// `allow fs:workspace/* read+write uses=1 when={"path":{...}}`
pub(crate) fn grant(text: &str) -> GrantSpec {
    let mut words = text.split_whitespace();
    let mut next = || words.next().expect("effect, pattern, rights");
    let (effect, on, rights) = (next(), next(), next());
    let rights: Vec<&str> = match rights {
        "-" => Vec::new(),
        rights => rights.split('+').collect(),
    };
    let mut json = serde_json::json!({ "effect": effect, "on": on, "rights": rights });
    for word in words {
        let (key, value) = word.split_once('=').expect("key=value");
        json[key] = serde_json::from_str(value).expect("a JSON value without spaces");
    }
    serde_json::from_value(json).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) fn manifest(text: &str) -> Manifest {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) fn need(text: &str) -> Need {
    let (right, on) = text.split_once(' ').expect("right and resource");
    let right = serde_json::from_value(right.into()).expect("a right");
    Need { right, on: on.parse().expect("a resource") }
}

pub(crate) fn call(text: &str) -> Syscall {
    let (name, args) = text.split_once(' ').unwrap_or((text, "{}"));
    Syscall::from_json(name, serde_json::from_str(args).expect("JSON")).expect("a call")
}

pub(crate) fn read(path: &str) -> String {
    format!("fs.read {{\"path\":\"{path}\"}}")
}

pub(crate) fn show(decision: &Decision) -> String {
    let list = |ids: &[CapId]| {
        let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
        ids.join(",")
    };
    match decision {
        Decision::Allow { by, charges } => {
            let mut text = format!("allow {}", list(by));
            for charge in charges {
                text += &format!("; {} takes", charge.capability.0);
                for (amount, name) in [(u64::from(charge.uses), "use"), (charge.calls, "call")] {
                    if amount > 0 {
                        text += &format!(" {amount} {name}");
                    }
                }
                for sum in &charge.sums {
                    text += &format!(" {} of {}", sum.amount, sum.arg);
                }
            }
            text
        }
        Decision::Ask { by } => format!("ask {}", list(by)),
        Decision::Deny(denial) => match &denial.reason {
            DenyReason::NoGrant => "no grant".into(),
            DenyReason::DenyRule(id) => format!("denied by {}", id.0),
            DenyReason::Conditions(id) => format!("conditions of {}", id.0),
            DenyReason::Exhausted(id) => format!("exhausted {}", id.0),
            DenyReason::Limit(id) => format!("limit of {}", id.0),
            DenyReason::Expired(id) => format!("expired {}", id.0),
            DenyReason::Revoked(id) => format!("revoked {}", id.0),
            DenyReason::Manifest(what) => format!("outside: {what}"),
            other => format!("{other:?}"),
        },
    }
}
