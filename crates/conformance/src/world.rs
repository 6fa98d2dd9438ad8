//! The rest of the system, as a component under test sees it.
//!
//! It answers what components ask of each other. A case says where an answer differs from the
//! ordinary one, and looks at what was sent.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

use libos_abi::{
    CapId, DenyReason, Effect, Error, Event, Fault, Label, Need, ObjectId, Pid, Reply, Resource,
    Right, Syscall, capability,
    image::{self, Image},
    object,
    process::{self, PlannerSpec},
};
use serde_json::json;

use crate::text;

/// An answer of a case's own.
type Answer = Rc<dyn Fn(&Syscall) -> Result<Reply, Error>>;

/// What the rest of the system answers, and what it was sent.
#[derive(Clone)]
pub struct World {
    /// The time, in milliseconds since the epoch.
    pub now_ms: u64,
    /// The label of what every process that calls has taken in.
    pub label: Label,
    /// The root of a process's task, where that is another process.
    pub roots: BTreeMap<u64, u64>,
    /// The image of every process that calls.
    pub image: String,
    /// The tool groups that every process that calls has activated.
    pub tool_groups: Vec<String>,
    /// The images that are registered: `plain`, and `worker` with a planner.
    pub images: BTreeMap<String, Image>,
    /// What processes may do where [`says`](Self::says) does not say otherwise; deny at first.
    pub otherwise: Effect,
    /// The objects that are there.
    pub objects: BTreeSet<ObjectId>,
    /// What the last call sent.
    pub sent: Vec<Syscall>,
    /// The events of the running transaction.
    pub events: Vec<Event>,
    said: BTreeMap<(Pid, Right, Resource), Effect>,
    answers: BTreeMap<&'static str, Answer>,
    /// For each call, how many more go through before one is refused.
    refusals: BTreeMap<&'static str, VecDeque<u64>>,
    pub(crate) refused: u64,
    capabilities: u64,
}

impl Default for World {
    fn default() -> Self {
        let image = |name: &str, planner: Option<&str>| Image {
            planner: planner.map(|kind| PlannerSpec { kind: kind.into(), program: "p".into() }),
            ..text::from(json!({ "name": name, "version": "1" }))
        };
        let images = [image("plain", None), image("worker", Some("script"))];
        Self {
            now_ms: 0,
            label: Label::BOTTOM,
            roots: BTreeMap::new(),
            image: "plain".into(),
            tool_groups: Vec::new(),
            images: images.into_iter().map(|image| (image.name.clone(), image)).collect(),
            otherwise: Effect::Deny,
            objects: BTreeSet::new(),
            sent: Vec::new(),
            events: Vec::new(),
            said: BTreeMap::new(),
            answers: BTreeMap::new(),
            refusals: BTreeMap::new(),
            refused: 0,
            capabilities: 0,
        }
    }
}

impl World {
    /// Says what is decided from now on when a process wants a right over a resource.
    pub fn says(&mut self, pid: u64, right: Right, on: Resource, effect: Effect) {
        self.said.insert((Pid(pid), right, on), effect);
    }

    /// Refuses the `nth` call of this name from now on, counted from 1, with `bad_grant`.
    pub fn refuse(&mut self, name: &'static str, nth: u64) {
        assert!(nth > 0, "calls are counted from 1");
        self.refusals.entry(name).or_default().push_back(nth);
    }

    /// Answers calls of this name from now on.
    pub fn answer(
        &mut self,
        name: &'static str,
        answer: impl Fn(&Syscall) -> Result<Reply, Error> + 'static,
    ) {
        self.answers.insert(name, Rc::new(answer));
    }

    /// Answers calls of this name in the ordinary way again.
    pub fn answer_as_ever(&mut self, name: &str) {
        self.answers.remove(name);
    }

    /// Every capability that the last call had issued.
    #[must_use]
    pub fn issued(&self) -> Vec<capability::Issue> {
        let issue = |call: &Syscall| match call {
            Syscall::Capability(capability::Call::Issue(issue)) => Some((**issue).clone()),
            _ => None,
        };
        self.sent.iter().filter_map(issue).collect()
    }

    /// Takes a call of the component.
    pub(crate) fn serve(&mut self, by: Option<Pid>, call: Syscall) -> Result<Reply, Error> {
        self.sent.push(call.clone());
        let reply = match self.is_refused(call.info().name) {
            true => Err(capability::FailureKind::BadGrant.because("as the case says")),
            false => self.reply(by, &call),
        };
        self.refused += u64::from(reply.is_err());
        reply
    }

    fn is_refused(&mut self, name: &str) -> bool {
        let Some(refusals) = self.refusals.get_mut(name) else {
            return false;
        };
        refusals.iter_mut().for_each(|left| *left -= 1);
        let before = refusals.len();
        refusals.retain(|left| *left > 0);
        refusals.len() < before
    }

    fn reply(&mut self, by: Option<Pid>, call: &Syscall) -> Result<Reply, Error> {
        if let Some(answer) = self.answers.get(call.info().name) {
            return answer(call);
        }
        match call {
            Syscall::Capability(call) => self.capability(by, call),
            Syscall::Image(image::Call::Inspect(call)) => self
                .images
                .get(&call.image)
                .map(|image| image::Reply::Inspect(image.clone().into()).into())
                .ok_or_else(|| image::FailureKind::NotFound.because("no such image")),
            Syscall::Object(object::Call::Stat(call)) if self.objects.contains(&call.id) => {
                Ok(object::Reply::Stat(info(call.id)).into())
            }
            Syscall::Object(object::Call::Stat(_)) => {
                Err(object::FailureKind::NotFound.because("no such object"))
            }
            Syscall::Object(object::Call::ForkSpace(_)) => Ok(object::Reply::ForkSpace(()).into()),
            Syscall::Object(object::Call::MergeSpace(_)) => {
                let nothing = json!({ "adopted": [], "updated": [], "kept": [] });
                Ok(object::Reply::MergeSpace(text::from(nothing)).into())
            }
            Syscall::Object(object::Call::DropSpace(_)) => {
                let dropped = process::Discarded { objects: 7 };
                Ok(object::Reply::DropSpace(dropped).into())
            }
            Syscall::Process(process::Call::Extend(_)) => Ok(process::Reply::Extend(()).into()),
            other => Err(Fault::Unsupported { call: other.info().name.into() }.into()),
        }
    }

    fn capability(&mut self, by: Option<Pid>, call: &capability::Call) -> Result<Reply, Error> {
        use capability::{Call, Reply as Of};
        Ok(match call {
            Call::Issue(_) => Of::Issue(capability::Granted { capability: self.make() }).into(),
            Call::Derive(derive) => {
                let capabilities = derive.grants.iter().map(|_| self.make()).collect();
                Of::Derive(capability::GrantedAll { capabilities }).into()
            }
            Call::Explain(call) => {
                let effect = self.effect(call.pid.or(by), call.right, &call.on);
                Of::Explain(capability::Explanation {
                    need: Need { right: call.right, on: call.on.clone() },
                    effect,
                    reason: (effect == Effect::Deny).then_some(DenyReason::NoGrant),
                    weighed: Vec::new(),
                    text: String::new(),
                })
                .into()
            }
            Call::May(call) => {
                let allowed = self.effect(Some(call.pid), call.right, &call.on) == Effect::Allow;
                Of::May(capability::MayReply { allowed }).into()
            }
            Call::Bound(_) => Of::Bound(()).into(),
            Call::Requestable(_) => Of::Requestable(()).into(),
            Call::Keep(_) => Of::Keep(capability::Revoked { capabilities: Vec::new() }).into(),
            other => {
                let call = Syscall::from(other.clone()).info().name.into();
                return Err(Fault::Unsupported { call }.into());
            }
        })
    }

    fn effect(&self, pid: Option<Pid>, right: Right, on: &Resource) -> Effect {
        let said = pid.and_then(|pid| self.said.get(&(pid, right, on.clone())));
        said.copied().unwrap_or(self.otherwise)
    }

    fn make(&mut self) -> CapId {
        self.capabilities += 1;
        CapId(self.capabilities)
    }
}

/// What is shown of an object.
fn info(id: ObjectId) -> object::ObjectInfo {
    text::from(json!({
        "id": id, "type": "note", "version": 1, "digest": libos_abi::Digest::of(b""), "bytes": 0,
        "owner": id.space, "namespace": null, "name": null, "parents": [], "created_at_ms": 0,
        "updated_at_ms": 0, "tags": [], "immutable": false, "released": false,
    }))
}
