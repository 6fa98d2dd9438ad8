//! One capability as bytes. What follows from the one it was cut from is built anew.

use std::sync::Arc;

use libos_abi::{Binding, CapId, GrantSpec, Origin, Pattern, Pid, wire};
use libos_port::BadSnapshot;

use super::{Amounts, Cap, Extra, Fate, Tally, Terms};

/// Uses, calls and sums.
type SavedAmounts = (u32, u64, Vec<(String, u64)>);

/// A capability, as it is read.
pub(crate) struct SavedCap {
    id: CapId,
    subject: Pid,
    pub(crate) grant: GrantSpec,
    origin: Origin,
    parent: u64,
    ends_at_ms: u64,
    fate: Fate,
    extra: Option<Box<Extra>>,
}

impl Amounts {
    fn saved(&self) -> SavedAmounts {
        let Self { uses, calls, sums } = self;
        (*uses, *calls, sums.iter().map(|(arg, sum)| (arg.clone(), *sum)).collect())
    }

    fn of((uses, calls, sums): SavedAmounts) -> Self {
        Self { uses, calls, sums: sums.into_iter().collect() }
    }
}

impl Cap {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Self { id, subject, on, terms, origin, parent, ends_at_ms, .. } = self;
        let Self { extra, fate, inherits: _, plain: _, .. } = self;
        let Terms { effect, rights, uses, delegable, calls_max, when, compiled: _ } = &**terms;
        let Fate { revoked, cut_off, ended } = fate;
        wire::encode_into(&(id, subject, on, effect, rights, uses, delegable), out);
        wire::encode_into(&(calls_max, when, origin, parent, ends_at_ms), out);
        wire::encode_into(&(revoked, cut_off, ended), out);
        let extra = extra.as_deref().map(|Extra { binding, tally: Tally { spent, held } }| {
            (binding.clone(), spent.saved(), held.saved())
        });
        wire::encode_into(&extra, out);
    }

    /// The capability that was saved; `above` is the one it was cut from.
    pub(crate) fn of(
        saved: SavedCap,
        on: Pattern,
        terms: Arc<Terms>,
        above: Option<&Self>,
    ) -> Self {
        let SavedCap { id, subject, grant: _, origin, parent, ends_at_ms, fate, extra } = saved;
        let inherits = above.is_some_and(|above| !above.plain);
        let plain = !inherits && !terms.bind();
        Self { id, subject, on, terms, origin, parent, ends_at_ms, extra, fate, inherits, plain }
    }
}

impl SavedCap {
    pub(crate) fn read(bytes: &mut wire::Reader<'_>) -> Result<Self, BadSnapshot> {
        let (id, subject, on, effect, rights, uses, delegable) = bytes.read()?;
        let (calls_max, when, origin, parent, ends_at_ms) = bytes.read()?;
        let grant =
            GrantSpec { effect, on, rights, uses, expires: None, delegable, calls_max, when };
        let (revoked, cut_off, ended) = bytes.read()?;
        let extra: Option<(Option<Binding>, SavedAmounts, SavedAmounts)> = bytes.read()?;
        let extra = extra.map(|(binding, spent, held)| {
            let tally = Tally { spent: Amounts::of(spent), held: Amounts::of(held) };
            Box::new(Extra { binding, tally })
        });
        let fate = Fate { revoked, cut_off, ended };
        Ok(Self { id, subject, grant, origin, parent, ends_at_ms, fate, extra })
    }

    /// The one it was cut from.
    pub(crate) fn parent(&self) -> Option<CapId> {
        (self.parent != 0).then_some(CapId(self.parent))
    }
}
