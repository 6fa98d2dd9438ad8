//! The board as bytes. The index of subscriptions is built anew.

use std::sync::Arc;

use libos_abi::{
    Pid,
    events::{Occurrence, Subscription},
    wire,
};
use libos_port::{BadSnapshot, load_version, save_version};

use super::{Board, Subscriber};

/// Raised whenever a board is written in another way.
const VERSION: u32 = 1;

type Saved = (Pid, Vec<Subscription>, Vec<Occurrence>, [u64; 3]);

impl Board {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Self { subscribers, index: _ } = self;
        save_version(VERSION, out);
        let subscribers = subscribers.iter().map(|(pid, subscriber)| -> Saved {
            let Subscriber { subscriptions, queue, last, cursor, dropped } = &**subscriber;
            let subscriptions = subscriptions.iter().copied().collect();
            let queue = queue.iter().copied().collect();
            (*pid, subscriptions, queue, [*last, *cursor, *dropped])
        });
        wire::encode_each(subscribers, out);
    }

    pub(crate) fn load(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut board = Self::default();
        let mut bytes = load_version(VERSION, bytes)?;
        bytes.each(|(pid, subscriptions, queue, [last, cursor, dropped]): Saved| {
            let entries = subscriptions.iter().map(|it| (it.object, it.kind, pid));
            board.index.extend(entries);
            let (subscriptions, queue) =
                (subscriptions.into_iter().collect(), queue.into_iter().collect());
            let subscriber = Subscriber { subscriptions, queue, last, cursor, dropped };
            board.subscribers.insert(pid, Arc::new(subscriber));
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.end()?;
        Ok(board)
    }
}
