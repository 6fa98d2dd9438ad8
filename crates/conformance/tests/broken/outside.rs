//! Broken providers and a broken journal.

use std::sync::Arc;

use libos_abi::{Error, Fault, FsPath, Reply, Seq, Syscall, Text, fs, http, shell};
use libos_conformance::{
    Binding, site,
    suites::{fs as files, http as https, journal, shell as shells},
    toys::{Files, Http, Shell},
};
use libos_journal::{Batch, Blobs, Head, Journal, JournalError, MemoryJournal, Sync};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider, Reconciled};

use crate::{breaks, named};

/// A provider with its orders or its outcomes replaced.
struct Altered<P> {
    part: P,
    order: fn(&mut Order),
    outcome: fn(&Order, EffectOutcome) -> EffectOutcome,
    reconciled: fn(Reconciled) -> Reconciled,
}

impl<P: Provider> Altered<P> {
    fn of(part: P) -> Self {
        Self {
            part,
            order: |_| {},
            outcome: |_, outcome| outcome,
            reconciled: |reconciled| reconciled,
        }
    }
}

impl<P: Provider> Provider for Altered<P> {
    fn serves(&self) -> &'static [&'static str] {
        self.part.serves()
    }
    fn perform(&self, mut order: Order) -> BoxFuture<'static, EffectOutcome> {
        (self.order)(&mut order);
        let (outcome, given) = (self.outcome, order.clone());
        let performed = self.part.perform(order);
        Box::pin(async move { outcome(&given, performed.await) })
    }
    fn reconcile(&self, order: Order) -> BoxFuture<'static, Reconciled> {
        let (reconciled, settled) = (self.reconciled, self.part.reconcile(order));
        Box::pin(async move { reconciled(settled.await) })
    }
}

#[test]
fn a_provider_that_names_a_folder_of_the_host_is_named() {
    let make = || Altered {
        outcome: |order, outcome| match outcome {
            EffectOutcome::NotStarted(_) | EffectOutcome::Failed(_) => {
                let kind = format!("no such file in {}", order.workspace.as_deref().unwrap_or(""));
                let fault = Fault::ProviderFailed { kind, op: order.op };
                EffectOutcome::Failed(Error::from(fault))
            }
            outcome => outcome,
        },
        ..Altered::of(Files::default())
    };
    breaks(&files::CONTRACT, "I-84", &files::factory(make));
}

#[test]
fn a_provider_whose_mount_leaks_is_named() {
    let make = || Altered {
        order: |order| {
            if let Syscall::Fs(fs::Call::Read(read)) = &mut order.call {
                read.path = FsPath::from(read.path.0.replace("../", "").as_str());
            }
            if let Syscall::Fs(fs::Call::Write(write)) = &mut order.call {
                write.path = FsPath::from(write.path.0.replace("../", "").as_str());
            }
        },
        ..Altered::of(Files::default())
    };
    breaks(&files::CONTRACT, "I-35", &files::factory(make));
}

#[test]
fn a_provider_that_replaces_what_it_should_not_is_named() {
    let make = || Altered {
        order: |order| {
            if let Syscall::Fs(fs::Call::Write(write)) = &mut order.call {
                write.overwrite = None;
            }
        },
        ..Altered::of(Files::default())
    };
    breaks(&files::CONTRACT, "I-37", &files::factory(make));
}

#[test]
fn a_provider_that_does_not_look_what_happened_is_named() {
    let make =
        || Altered { reconciled: |_| Reconciled::DidNotHappen, ..Altered::of(Files::default()) };
    breaks(&files::CONTRACT, "I-19", &files::factory(make));
}

#[test]
fn a_provider_that_takes_arguments_for_a_line_of_a_shell_is_named() {
    let make = || Altered {
        order: |order| {
            if let Syscall::Shell(shell::Call::Run(run)) = &mut order.call {
                run.argv = run.argv.join(" ").split_whitespace().map(String::from).collect();
            }
        },
        ..Altered::of(Shell)
    };
    breaks(&shells::CONTRACT, "I-28", &shells::factory(make));
}

#[test]
fn a_provider_that_follows_a_redirect_is_named() {
    let make = || Altered {
        order: |order| {
            if let Syscall::Http(http::Call::Fetch(fetch)) = &mut order.call
                && fetch.url == site::page("/away")
            {
                fetch.url = site::page("/echo?away");
            }
        },
        ..Altered::of(Http)
    };
    breaks(&https::CONTRACT, "I-260", &https::factory(make));
}

#[test]
fn a_provider_that_tells_what_a_server_said_of_a_secret_is_named() {
    let make = || Altered {
        outcome: |_, outcome| match outcome {
            EffectOutcome::Done(Reply::Http(http::Reply::Fetch(mut told))) => {
                let text = told.body.as_str().unwrap_or_default();
                told.body = text.replace("[secret:suite]", site::SECRET_VALUE).into();
                EffectOutcome::Done(http::Reply::Fetch(told).into())
            }
            outcome => outcome,
        },
        ..Altered::of(Http)
    };
    breaks(&https::CONTRACT, "I-261", &https::factory(make));
}

#[test]
fn a_provider_that_takes_every_end_for_a_good_one_is_named() {
    let make = || Altered {
        outcome: |_, outcome| match outcome {
            EffectOutcome::Done(Reply::Shell(shell::Reply::Run(ended))) => {
                let good = shell::Ended { exit_code: Some(0), stdout: Text::default(), ..*ended };
                EffectOutcome::Done(shell::Reply::Run(good.into()).into())
            }
            outcome => outcome,
        },
        ..Altered::of(Shell)
    };
    breaks(&shells::CONTRACT, "I-86", &shells::factory(make));
}

/// A journal that does not look, or looks too far.
struct Careless {
    part: MemoryJournal,
    believes: bool,
}

impl Journal for Careless {
    fn append(&mut self, batch: &Batch, sync: Sync) -> Result<Head, JournalError> {
        self.part.append(batch, sync)
    }
    fn flush(&mut self) -> Result<Head, JournalError> {
        self.part.flush()
    }
    fn head(&self) -> Head {
        self.part.head()
    }
    fn read(&self, from: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        self.part.read(from, if self.believes { limit } else { usize::MAX })
    }
    fn blobs(&self) -> Arc<dyn Blobs> {
        self.part.blobs()
    }
    fn verify(&self, against: Option<&Head>) -> Result<Head, JournalError> {
        if self.believes { Ok(self.part.head()) } else { self.part.verify(against) }
    }
}

#[test]
fn a_journal_that_believes_every_head_is_named() {
    let make = |_: &_| Careless { part: MemoryJournal::new(), believes: true };
    named(&journal::CONTRACT.check(Binding::Direct, &journal::factory(make)), "I-33");
}

#[test]
fn a_journal_that_reads_without_bound_is_named() {
    let make = |_: &_| Careless { part: MemoryJournal::new(), believes: false };
    named(&journal::CONTRACT.check(Binding::Direct, &journal::factory(make)), "I-30");
}
