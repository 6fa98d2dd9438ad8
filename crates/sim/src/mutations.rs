//! The bugs that can be planted, each at one place of the parts that ship.

pub use libos_port::plant;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Mutation {
    /// Its name, as the place asks for it.
    pub name: &'static str,
    /// What is broken.
    pub what: &'static str,
}

const fn bug(name: &'static str, what: &'static str) -> Mutation {
    Mutation { name, what }
}

/// All of them.
pub const ALL: &[Mutation] = &[
    bug("skip_intent_sync", "an intent is not put on disk"),
    bug("skip_outcome_sync", "an outcome is not put on disk"),
    bug("reply_before_commit", "replies leave before their records"),
    bug("news_before_commit", "news leave before their records"),
    bug("perform_before_intent", "an effect starts before its intent"),
    bug("drop_memo", "finished steps are forgotten"),
    bug("keep_memos", "steps of ended processes are kept"),
    bug("accept_stale_run", "runs that are over go on acting"),
    bug("reuse_run", "each run has the same number"),
    bug("settle_twice", "an effect ends twice"),
    bug("give_back_always", "every effect gives its uses back"),
    bug("give_back_revives", "giving back a use revives the grant"),
    bug("take_nothing", "finite grants are not charged"),
    bug("retry_unknown", "an effect nobody knows of is repeated"),
    bug("repeat_irreversible", "a crash repeats what cannot be undone"),
    bug("lose_child_wakeup", "who waits for a child is not woken"),
    bug("lose_message_wakeup", "who waits for a message is not woken"),
    bug("keep_waiting_runs", "a run that only waits keeps its slot"),
    bug("lose_answer", "who asked a human is not told"),
    bug("answer_twice", "a request can be answered again"),
    bug("once_is_twice", "an approval for once holds for two"),
    bug("approval_fits_any_call", "an approval fits any call"),
    bug("forget_denials", "denials are not handed on"),
    bug("revoke_only_the_top", "what was cut from a grant outlives it"),
    bug("ignore_manifests", "a manifest does not bound calls"),
    bug("charge_nothing", "calls are not charged"),
    bug("charge_twice", "calls are charged twice"),
    bug("ignore_budgets_above", "budgets do not bind those below"),
    bug("lose_message", "messages are lost"),
    bug("deliver_twice", "messages are delivered again"),
    bug("replay_forgets_charges", "replay leaves charges out"),
    bug("restore_revives", "a restore gives back what was revoked"),
    bug("restore_forgets_steps", "a restore forgets finished steps"),
    bug("ignore_clearances", "data goes anywhere, whatever its label"),
    bug("read_without_label", "what is read has no label"),
];
