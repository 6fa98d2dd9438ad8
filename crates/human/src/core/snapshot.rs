//! The desk as bytes. Who waits for what is built anew from the requests.

use std::sync::Arc;

use libos_abi::{human::Request, wire};
use libos_port::{BadSnapshot, load_version, save_version};

use super::{Account, Desk, RequestState, askers};

/// Raised whenever a desk is written in another way.
const VERSION: u32 = 2;

/// The number of an account in the bytes.
fn number(account: Account) -> u8 {
    match account {
        Account::Approval => 0,
        Account::Own => 1,
        Account::Extension => 2,
        Account::Unknown => 3,
        Account::Release => 4,
    }
}

fn account(number: u8) -> Result<Account, BadSnapshot> {
    const ALL: [Account; 5] =
        [Account::Approval, Account::Own, Account::Extension, Account::Unknown, Account::Release];
    ALL.into_iter()
        .find(|account| self::number(*account) == number)
        .ok_or_else(|| wire::WireError::new("an account that is none").into())
}

impl Desk {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Self { last, requests, by_op, pending: _, waiting: _, made, refused } = self;
        save_version(VERSION, out);
        wire::encode_into(last, out);
        wire::encode_each(requests.values(), out);
        wire::encode_each(by_op.iter().map(|((op, of), id)| (*op, number(*of), *id)), out);
        wire::encode_each(made.iter(), out);
        wire::encode_each(refused.iter(), out);
    }

    pub(crate) fn load(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut desk = Self::default();
        let mut bytes = load_version(VERSION, bytes)?;
        desk.last = bytes.read()?;
        bytes.each(|request: Request| {
            desk.take_in(request);
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.each(|(op, of, id)| {
            desk.by_op.insert((op, account(of)?), id);
            Ok::<(), BadSnapshot>(())
        })?;
        desk.made = bytes.all()?;
        desk.refused = bytes.all()?;
        bytes.end()?;
        Ok(desk)
    }

    fn take_in(&mut self, request: Request) {
        let id = request.id;
        if request.state == RequestState::Pending {
            self.pending.insert((request.root, id));
            // Whoever made an unknown effect does not wait for its answer.
            if !matches!(request.ask, libos_abi::human::Ask::Unknown { .. }) {
                self.waiting.extend(askers(&request).map(|asker| (asker.pid, id)));
            }
        }
        self.requests.insert(id, Arc::new(request));
    }
}
