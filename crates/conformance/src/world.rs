//! The rest of the system, as a component under test sees it.
//!
//! It answers what components ask of each other. A case says where an answer differs from the
//! ordinary one, and looks at what was sent.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use libos_abi::{
    CapId, Effect, Error, Event, Fault, Need, Reply, Resource, Syscall, capability,
    image::{self, Image},
    process::PlannerSpec,
};
use serde_json::json;

use crate::text;

/// An answer of a case's own.
type Answer = Rc<dyn Fn(&Syscall) -> Result<Reply, Error>>;

/// What the rest of the system answers, and what it was sent.
pub struct World {
    /// The time, in milliseconds since the epoch.
    pub now_ms: u64,
    /// The image of every process that calls.
    pub image: String,
    /// The tool groups that every process that calls has activated.
    pub tool_groups: Vec<String>,
    /// The images that are registered: `plain`, and `worker` with a planner.
    pub images: BTreeMap<String, Image>,
    /// What `capability.explain` says of a resource; of any other, deny.
    pub explains: BTreeMap<Resource, Effect>,
    /// What the last call sent.
    pub sent: Vec<Syscall>,
    /// The events of the running transaction.
    pub events: Vec<Event>,
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
            image: "plain".into(),
            tool_groups: Vec::new(),
            images: images.into_iter().map(|image| (image.name.clone(), image)).collect(),
            explains: BTreeMap::new(),
            sent: Vec::new(),
            events: Vec::new(),
            answers: BTreeMap::new(),
            refusals: BTreeMap::new(),
            refused: 0,
            capabilities: 0,
        }
    }
}

impl World {
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

    /// Every capability that the last call had issued.
    #[must_use]
    pub fn issued(&self) -> Vec<capability::Issue> {
        let issue = |call: &Syscall| match call {
            Syscall::Capability(capability::Call::Issue(issue)) => Some(issue.clone()),
            _ => None,
        };
        self.sent.iter().filter_map(issue).collect()
    }

    /// Takes a call of the component.
    pub(crate) fn serve(&mut self, call: Syscall) -> Result<Reply, Error> {
        self.sent.push(call.clone());
        let reply = match self.is_refused(call.info().name) {
            true => Err(capability::FailureKind::BadGrant.because("as the case says")),
            false => self.reply(&call),
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

    fn reply(&mut self, call: &Syscall) -> Result<Reply, Error> {
        if let Some(answer) = self.answers.get(call.info().name) {
            return answer(call);
        }
        match call {
            Syscall::Capability(capability::Call::Issue(_)) => {
                let capability = self.make();
                Ok(capability::Reply::Issue(capability::Granted { capability }).into())
            }
            Syscall::Capability(capability::Call::Derive(derive)) => {
                let capabilities = derive.grants.iter().map(|_| self.make()).collect();
                Ok(capability::Reply::Derive(capability::GrantedAll { capabilities }).into())
            }
            Syscall::Capability(capability::Call::Explain(explain)) => {
                let effect = self.explains.get(&explain.on).copied();
                Ok(capability::Reply::Explain(capability::Explanation {
                    need: Need { right: explain.right, on: explain.on.clone() },
                    effect: effect.unwrap_or(Effect::Deny),
                    reason: None,
                    weighed: Vec::new(),
                    text: String::new(),
                })
                .into())
            }
            Syscall::Image(image::Call::Inspect(inspect)) => self
                .images
                .get(&inspect.image)
                .map(|image| image::Reply::Inspect(image.clone()).into())
                .ok_or_else(|| image::FailureKind::NotFound.because("no such image")),
            other => Err(Fault::Unsupported { call: other.info().name.into() }.into()),
        }
    }

    fn make(&mut self) -> CapId {
        self.capabilities += 1;
        CapId(self.capabilities)
    }
}
