//! The object store alone: values with versions, names and links, folded from events.
//!
//! The store asks for one thing: whoever makes an object gets the authority over it
//! (`capability.issue`). This program has no authority to give and only counts what was asked.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;

use libos_abi::{
    CapId, Event, Fault, Json, ObjectId, OpId, Pid, Principal, Reply, Request, Syscall, capability,
    namespace, object,
};
use libos_objects::Objects;
use libos_port::{Caller, Component, Context, Stop};
use serde_json::json;

/// The surroundings of a call: who makes it, where its events go, who answers the store.
struct Desk {
    caller: Caller,
    journal: Vec<Event>,
    issued: u64,
}

impl Context for Desk {
    fn now_ms(&self) -> u64 {
        0
    }
    fn caller(&self) -> &Caller {
        &self.caller
    }
    fn op(&self) -> OpId {
        OpId(0)
    }
    fn started_ms(&self) -> u64 {
        0
    }
    fn emit(&mut self, event: Event) {
        self.journal.push(event);
    }
    fn send(&mut self, call: Syscall) -> Result<Reply, libos_abi::Error> {
        match call {
            Syscall::Capability(capability::Call::Issue(_)) => {
                self.issued += 1;
                let granted = capability::Granted { capability: CapId(self.issued) };
                Ok(capability::Reply::Issue(granted).into())
            }
            Syscall::Capability(capability::Call::May(_)) => {
                Ok(capability::Reply::May(capability::MayReply { allowed: true }).into())
            }
            other => Err(Fault::Unsupported { call: other.info().name.into() }.into()),
        }
    }
}

/// Objects with their surroundings.
struct Store {
    objects: Objects,
    desk: Desk,
}

impl Store {
    fn new() -> Self {
        let caller = Caller { principal: Principal::Process(Pid(1)), admission: None };
        Self { objects: Objects::default(), desk: Desk { caller, journal: Vec::new(), issued: 0 } }
    }

    /// Makes a call; one that is refused leaves nothing behind.
    fn call<R: Request>(&mut self, call: R) -> Result<R::Reply, Box<dyn Error>> {
        let events = self.desk.journal.len();
        self.objects.begin();
        let reply = self.objects.call(&mut self.desk, &call.into()).map_err(|stop| {
            self.objects.rollback();
            self.desk.journal.truncate(events);
            match stop {
                Stop::Error(error) => error.to_string(),
                other => format!("{other:?}"),
            }
        })?;
        Ok(R::reply(reply).ok_or("the reply of another call")?)
    }
}

fn note(text: &str, name: Option<&str>) -> Result<object::Create, serde_json::Error> {
    serde_json::from_value(json!({
        "type": "note",
        "payload": { "text": text },
        "name": name,
        "namespace": name.map(|_| "desk"),
    }))
}

fn link(from: ObjectId, to: ObjectId) -> Result<object::MakeLink, serde_json::Error> {
    serde_json::from_value(json!({ "from": from, "relation": "about", "to": to }))
}

fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let mut store = Store::new();
    let mut said = Vec::new();

    store.call(namespace::Create { namespace: "desk".into() })?;
    let plan = store.call(note("draft", Some("plan"))?)?;
    let remark = store.call(note("too short", None)?)?;
    store.call(link(remark.id, plan.id)?)?;
    said.push(format!("made {} and {}", plan.id, remark.id));

    // An update names the version it is about, so that nobody overwrites what they have not seen.
    let update = |text: &str| object::Update {
        id: plan.id,
        payload: Json::from(&json!({ "text": text })),
        expected_version: Some(plan.version),
    };
    let updated = store.call(update("longer"))?;
    let late = store.call(update("lost"));
    said.push(format!("version {}; a late update: {}", updated.version, late.is_ok()));

    let lookup = namespace::Lookup { namespace: "desk".into(), name: "plan".into() };
    let found = store.call(lookup)?;
    let read = store.call(object::Read { id: found.id })?;
    said.push(format!("desk/plan is {}", read.payload.value()?["text"]));
    let links = store.call(object::ListLinks { id: remark.id })?;
    said.push(format!("the remark is about {} object", links.links.len()));

    let taken = store.call(note("another", Some("plan"))?);
    said.push(format!("the name again: {}", taken.is_ok()));

    // The events are all there is to keep.
    let mut again = Objects::default();
    store.desk.journal.iter().for_each(|event| again.apply(event));
    let same = again.digest() == store.objects.digest();
    said.push(format!("folded from {} events: {same}", store.desk.journal.len()));
    Ok(said)
}

fn main() -> Result<(), Box<dyn Error>> {
    run()?.iter().for_each(|line| println!("{line}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_objects_and_their_history() {
        assert_eq!(
            run().unwrap(),
            [
                "made obj-1.1 and obj-1.2",
                "version 2; a late update: false",
                "desk/plan is \"longer\"",
                "the remark is about 1 object",
                "the name again: false",
                "folded from 5 events: true",
            ]
        );
    }
}
