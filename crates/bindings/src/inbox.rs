//! The hand-over: messages from any thread to the one that takes them.
//!
//! A sender wakes the taker only when that sleeps. The taker takes everything that is there at
//! once, so that many messages cost one lock. Before it sleeps it yields its processor a few times:
//! an answer that comes at once then costs no wake-up, which is tens of microseconds on an idle
//! virtual machine. It never spins: on a host with few processors spinning takes the time of those
//! it waits for. `tests/handover.rs` explores the interleavings of senders and taker with loom: no
//! message is lost, none comes twice, and no wake-up is missed.

use std::{collections::VecDeque, time::Duration};

#[cfg(feature = "loom")]
use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
#[cfg(not(feature = "loom"))]
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// How often the taker looks before it sleeps: for some microseconds on an idle host. To loom,
/// yielding is another interleaving of the same steps.
const LOOKS: usize = if cfg!(feature = "loom") { 0 } else { 6 };

/// How often it yields between two looks, so that it does not take messages one by one, and the
/// lock from those who send more.
const YIELDS: usize = 4;

/// Makes a hand-over.
#[must_use]
pub fn inbox<T>() -> (Sender<T>, Inbox<T>) {
    let state = State { queue: VecDeque::new(), senders: 1, is_open: true, is_asleep: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), news: Condvar::new() });
    (Sender(Arc::clone(&shared)), Inbox { shared, taken: VecDeque::new() })
}

struct Shared<T> {
    state: Mutex<State<T>>,
    news: Condvar,
}

struct State<T> {
    queue: VecDeque<T>,
    senders: usize,
    /// Whether the taker is there.
    is_open: bool,
    is_asleep: bool,
}

impl<T> Shared<T> {
    /// Nothing that holds the lock can panic, so there is nothing that a panic could have broken.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes the state and wakes the taker if it sleeps.
    fn tell(&self, mut state: MutexGuard<'_, State<T>>) {
        let is_asleep = std::mem::take(&mut state.is_asleep);
        drop(state);
        if is_asleep {
            self.news.notify_one();
        }
    }
}

/// Sends messages, from any thread. The taker learns when the last one is dropped.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Sends a message.
    ///
    /// # Errors
    /// The message, when the taker is gone.
    pub fn send(&self, message: T) -> Result<(), T> {
        let mut state = self.0.lock();
        if !state.is_open {
            return Err(message);
        }
        state.queue.push_back(message);
        self.0.tell(state);
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        if state.senders == 0 {
            self.0.tell(state);
        }
    }
}

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// None is there, or came in the time given.
    Nothing,
    /// Every sender is gone and everything they sent was taken.
    Closed,
}

/// Takes messages, in the order in which they were sent.
pub struct Inbox<T> {
    shared: Arc<Shared<T>>,
    /// What was taken out of the queue together and is to be given out next.
    taken: VecDeque<T>,
}

impl<T> Inbox<T> {
    /// The next message, if one is there.
    ///
    /// # Errors
    /// [`Empty`].
    pub fn try_take(&mut self) -> Result<T, Empty> {
        if let Some(message) = self.taken.pop_front() {
            return Ok(message);
        }
        let mut state = self.shared.lock();
        std::mem::swap(&mut state.queue, &mut self.taken);
        let senders = state.senders;
        drop(state);
        match (self.taken.pop_front(), senders) {
            (Some(message), _) => Ok(message),
            (None, 0) => Err(Empty::Closed),
            (None, _) => Err(Empty::Nothing),
        }
    }

    /// The next message, if one is there before the taker has yielded a few times.
    fn try_take_often(&mut self) -> Result<T, Empty> {
        for _ in 0..LOOKS {
            match self.try_take() {
                Err(Empty::Nothing) => (0..YIELDS).for_each(|_| std::thread::yield_now()),
                taken => return taken,
            }
        }
        self.try_take()
    }

    /// Whether no message is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.shared.lock().queue.is_empty()
    }

    /// The next message, sleeping until there is one.
    ///
    /// # Errors
    /// [`Empty::Closed`].
    pub fn take(&mut self) -> Result<T, Empty> {
        loop {
            match self.try_take_often() {
                Err(Empty::Nothing) => {}
                taken => return taken,
            }
            let mut state = self.shared.lock();
            while state.queue.is_empty() && state.senders > 0 {
                state.is_asleep = true;
                let waited = self.shared.news.wait(state);
                state = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
                state.is_asleep = false;
            }
        }
    }

    /// The next message, sleeping for about this long at most. It may be back early: whoever waits
    /// for a point in time looks at a clock.
    ///
    /// # Errors
    /// [`Empty`].
    pub fn take_within(&mut self, time: Duration) -> Result<T, Empty> {
        match self.try_take_often() {
            Err(Empty::Nothing) => {}
            taken => return taken,
        }
        let mut state = self.shared.lock();
        if state.queue.is_empty() && state.senders > 0 {
            state.is_asleep = true;
            let waited = self.shared.news.wait_timeout(state, time);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            state.is_asleep = false;
        }
        drop(state);
        self.try_take()
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_open = false;
        // What nobody takes is dropped here, outside of the lock: it may hold senders.
        let left = std::mem::take(&mut state.queue);
        drop(state);
        drop(left);
    }
}
