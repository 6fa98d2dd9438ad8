//! The two ends of a provider's binding.
//!
//! Many orders are under way at once, so messages carry the order's number. At the near end a
//! thread hears what the far end says and hands it to the order it is about; calls that an effect
//! makes through its port are made there, by the future that waits for the effect. An order whose
//! future is dropped is abandoned at the far end too.

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    thread,
};

use futures_channel::{mpsc, oneshot};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{AbortHandle, Abortable},
    stream::FuturesUnordered,
};
use libos_abi::{Fault, OpId, Outcome, Syscall, wire};
use libos_port::{BoxFuture, EffectOutcome, Order, Port, Provider, Reconciled};
use parking_lot::Mutex;

use crate::{
    BindingError,
    error::{broken, too_large},
    link::{Incoming, Link, Outgoing},
    message::{FromProvider, Ordered, ToProvider},
};

/// Where the effects of a provider run: `|task| drop(tokio::spawn(task))`, for one that needs
/// tokio.
pub type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// How many calls of one order may wait to be made: a tool makes one after the other, or a few.
const CALLS_WAITING_MAX: usize = 256;

type Out<M> = Arc<Mutex<Box<dyn Outgoing<M>>>>;

/// The near end of a provider that lives elsewhere.
pub struct RemoteProvider {
    serves: &'static [&'static str],
    near: Near,
}

#[derive(Clone)]
struct Near {
    out: Out<ToProvider>,
    orders: Arc<Orders>,
}

/// What the far end says of one order.
enum Said {
    Submit { call: u64, what: Box<Syscall> },
    Done(EffectOutcome),
    Reconciled(Reconciled),
}

/// The orders under way.
#[derive(Default)]
struct Orders {
    last: AtomicU64,
    /// Nothing once the binding is broken.
    open: Mutex<Option<HashMap<u64, mpsc::Sender<Said>>>>,
}

/// One order under way. Dropped before its end, it is abandoned.
struct Ticket {
    id: u64,
    said: mpsc::Receiver<Said>,
    near: Near,
    is_over: bool,
}

impl RemoteProvider {
    pub(crate) fn new(
        serves: &'static [&'static str],
        link: Link<ToProvider, FromProvider>,
    ) -> io::Result<Self> {
        let Link { out, incoming } = link;
        let orders =
            Arc::new(Orders { open: Mutex::new(Some(HashMap::new())), ..Orders::default() });
        let heard = Arc::clone(&orders);
        thread::Builder::new().name("libos-orders".into()).spawn(move || hear(incoming, &heard))?;
        Ok(Self { serves, near: Near { out: Arc::new(Mutex::new(out)), orders } })
    }
}

/// Hands on what the far end says, until it says no more.
fn hear(mut incoming: Box<dyn Incoming<FromProvider>>, orders: &Orders) {
    let error = loop {
        let (id, said) = match incoming.receive() {
            Ok(FromProvider::Submit { id, call, what }) => (id, Said::Submit { call, what }),
            Ok(FromProvider::Done { id, outcome }) => (id, Said::Done(outcome)),
            Ok(FromProvider::Reconciled { id, known }) => (id, Said::Reconciled(known)),
            Ok(FromProvider::Hello(_)) => break BindingError::Unexpected("hello"),
            Err(error) => break error,
        };
        let mut open = orders.open.lock();
        let order = open.as_mut().and_then(|open| open.get_mut(&id));
        // An order that was abandoned hears nothing more.
        if let Some(order) = order
            && order.try_send(said).is_err_and(|error| error.is_full())
        {
            break BindingError::Unexpected("more calls than an order may make at once");
        }
    };
    match error {
        BindingError::Closed => {}
        error => tracing::error!(%error, "a provider cannot be reached any more"),
    }
    // Every order under way sees its channel closed.
    *orders.open.lock() = None;
}

impl Near {
    /// Places an order.
    fn place(&self, message: impl FnOnce(u64) -> ToProvider) -> Result<Ticket, BindingError> {
        let id = self.orders.last.fetch_add(1, Ordering::Relaxed);
        let (sender, said) = mpsc::channel(CALLS_WAITING_MAX);
        match &mut *self.orders.open.lock() {
            Some(open) => drop(open.insert(id, sender)),
            None => return Err(BindingError::Closed),
        }
        let near = self.clone();
        let mut ticket = Ticket { id, said, near, is_over: false };
        let sent = self.out.lock().send(message(id));
        ticket.is_over = sent.is_err();
        sent.map(|()| ticket)
    }

    fn answer(&self, id: u64, call: u64, outcome: Outcome) {
        let mut out = self.out.lock();
        let sent = out.send(ToProvider::Answer { id, call, outcome });
        if let Err(BindingError::TooLarge { limit, .. }) = sent {
            let outcome = Err(too_large(limit).into());
            // Should the far end be gone, the order hears of it by itself.
            drop(out.send(ToProvider::Answer { id, call, outcome }));
        }
    }
}

impl Ticket {
    /// What becomes of the order. Makes the calls it makes meanwhile, in the order they came.
    async fn end(&mut self, port: &dyn Port) -> Option<Said> {
        let mut calls = FuturesUnordered::new();
        loop {
            let said = poll_fn(|cx| {
                while let Poll::Ready(Some((call, outcome))) = calls.poll_next_unpin(cx) {
                    self.near.answer(self.id, call, outcome);
                }
                self.said.poll_next_unpin(cx)
            });
            match said.await {
                Some(Said::Submit { call, what }) => {
                    calls.push(async move { (call, port.submit(*what).await) });
                }
                said => {
                    self.is_over = true;
                    return said;
                }
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(open) = &mut *self.near.orders.open.lock() {
            open.remove(&self.id);
        }
        if !self.is_over {
            // A far end that is gone has abandoned it already.
            drop(self.near.out.lock().send(ToProvider::Abandon { id: self.id }));
        }
    }
}

impl Provider for RemoteProvider {
    fn serves(&self) -> &'static [&'static str] {
        self.serves
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let near = self.near.clone();
        Box::pin(async move {
            let (op, port) = (order.op, Arc::clone(&order.port));
            let order = match enclosed(order).await {
                Ok(order) => Box::new(order),
                Err(fault) => return EffectOutcome::NotStarted(fault.into()),
            };
            let mut ticket = match near.place(|id| ToProvider::Perform { id, order }) {
                Ok(ticket) => ticket,
                Err(error) => return not_placed(&error, op),
            };
            match ticket.end(port.as_ref()).await {
                Some(Said::Done(outcome)) => outcome,
                _ => EffectOutcome::Unknown("the provider went away".into()),
            }
        })
    }

    fn reconcile(&self, order: Order) -> BoxFuture<'static, Reconciled> {
        let near = self.near.clone();
        Box::pin(async move {
            let port = Arc::clone(&order.port);
            let Ok(order) = enclosed(order).await.map(Box::new) else {
                return Reconciled::Unknown;
            };
            let Ok(mut ticket) = near.place(|id| ToProvider::Reconcile { id, order }) else {
                return Reconciled::Unknown;
            };
            match ticket.end(port.as_ref()).await {
                Some(Said::Reconciled(known)) => known,
                _ => Reconciled::Unknown,
            }
        })
    }
}

/// An order with all that it takes: at the far end there is no store.
async fn enclosed(mut order: Order) -> Result<Ordered, Fault> {
    if let Some(parts) = order.content.take() {
        let mut content = Vec::with_capacity(parts.len());
        let mut bytes = 0;
        for part in parts.iter() {
            bytes += part.0.bytes();
            if bytes > wire::FRAME_BYTES_MAX as u64 {
                return Err(too_large(wire::FRAME_BYTES_MAX));
            }
            content.push(order.parts.load(part.clone()).await?);
        }
        order.content = Some(content.into());
    }
    Ok(Ordered::from(order))
}

/// The outcome of an order that could not be placed. Part of it may have left.
fn not_placed(error: &BindingError, op: OpId) -> EffectOutcome {
    match error {
        BindingError::TooLarge { .. } => EffectOutcome::NotStarted(error.fault(op).into()),
        BindingError::Closed => EffectOutcome::NotStarted(broken(error.kind(), op).into()),
        other => EffectOutcome::Unknown(other.to_string()),
    }
}

/// The far end: what is under way.
struct Far {
    out: Out<FromProvider>,
    running: Mutex<HashMap<u64, AbortHandle>>,
    /// Calls that wait for their outcome, by order and number.
    asked: Mutex<HashMap<(u64, u64), oneshot::Sender<Outcome>>>,
}

impl Far {
    fn say(&self, message: FromProvider) -> Result<(), BindingError> {
        self.out.lock().send(message)
    }

    fn forget(&self, id: u64) {
        if let Some(effect) = self.running.lock().remove(&id) {
            effect.abort();
        }
        self.asked.lock().retain(|(order, _), _| *order != id);
    }
}

/// The port of an effect at the far end.
struct FarPort {
    id: u64,
    last: AtomicU64,
    far: Arc<Far>,
}

impl Port for FarPort {
    fn submit(&self, what: Syscall) -> BoxFuture<'_, Outcome> {
        let call = self.last.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let (sender, outcome) = oneshot::channel();
            self.far.asked.lock().insert((self.id, call), sender);
            let what = Box::new(what);
            match self.far.say(FromProvider::Submit { id: self.id, call, what }) {
                Ok(()) => outcome.await.unwrap_or_else(|_| Err(Fault::Cancelled.into())),
                Err(BindingError::TooLarge { limit, .. }) => Err(too_large(limit).into()),
                Err(_) => Err(Fault::Cancelled.into()),
            }
        })
    }
}

/// Serves the far end until the near end is gone, then drops what is under way.
pub(crate) fn serve(
    link: Link<FromProvider, ToProvider>,
    part: &Arc<dyn Provider>,
    spawn: &Spawn,
) -> Result<(), BindingError> {
    let Link { out, mut incoming } = link;
    let far = Arc::new(Far {
        out: Arc::new(Mutex::new(out)),
        running: Mutex::default(),
        asked: Mutex::default(),
    });
    let ended = loop {
        match incoming.receive() {
            Ok(ToProvider::Perform { id, order }) => {
                let effect = part.perform(order.with(port(&far, id)));
                let done = move |outcome| FromProvider::Done { id, outcome };
                run(&far, id, spawn, effect.map(done).boxed());
            }
            Ok(ToProvider::Reconcile { id, order }) => {
                let known = part.reconcile(order.with(port(&far, id)));
                let reconciled = move |known| FromProvider::Reconciled { id, known };
                run(&far, id, spawn, known.map(reconciled).boxed());
            }
            Ok(ToProvider::Abandon { id }) => far.forget(id),
            Ok(ToProvider::Answer { id, call, outcome }) => {
                if let Some(asked) = far.asked.lock().remove(&(id, call)) {
                    // An effect that no longer waits does not need it.
                    drop(asked.send(outcome));
                }
            }
            Err(BindingError::Closed) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    far.running.lock().drain().for_each(|(_, effect)| effect.abort());
    far.asked.lock().clear();
    ended
}

fn port(far: &Arc<Far>, id: u64) -> Arc<dyn Port> {
    Arc::new(FarPort { id, last: AtomicU64::new(0), far: Arc::clone(far) })
}

/// Runs one effect and says what became of it, unless it is abandoned.
fn run(far: &Arc<Far>, id: u64, spawn: &Spawn, effect: BoxFuture<'static, FromProvider>) {
    let (handle, registration) = AbortHandle::new_pair();
    far.running.lock().insert(id, handle);
    let owed = Owed { id, far: Arc::clone(far) };
    spawn(Box::pin(async move {
        if let Ok(message) = Abortable::new(effect, registration).await {
            owed.pay(message);
        }
    }));
}

/// A word on an effect that the near end waits for. It is said even if the effect panics, or is
/// dropped by whoever was to run it.
struct Owed {
    id: u64,
    far: Arc<Far>,
}

impl Owed {
    fn pay(&self, message: FromProvider) {
        let id = self.id;
        if self.far.running.lock().remove(&id).is_none() {
            return;
        }
        if let Err(BindingError::TooLarge { limit, .. }) = self.far.say(message) {
            let outcome = EffectOutcome::Failed(too_large(limit).into());
            // Should the near end be gone, nobody waits for it.
            drop(self.far.say(FromProvider::Done { id, outcome }));
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let outcome = EffectOutcome::Unknown("the provider gave the effect up".into());
        self.pay(FromProvider::Done { id: self.id, outcome });
    }
}
