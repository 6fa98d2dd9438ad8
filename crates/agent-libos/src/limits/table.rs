//! Written by `LIBOS_WRITE_LIMITS=1 cargo test -p agent-libos --test limits`.

use super::Limit;

pub(super) fn table() -> Vec<Limit> {
    vec![
        Limit {
            part: "abi",
            name: "content_bytes_max",
            value: libos_abi::CONTENT_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "How many bytes one call keeps as an object: 64 MiB, which a disk takes in a second.",
        },
        Limit {
            part: "abi",
            name: "inline_bytes_max",
            value: libos_abi::INLINE_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "The size in bytes from which a payload is stored as a blob: a page, where one sequential write into a segment file becomes cheaper than a row.",
        },
        Limit {
            part: "abi",
            name: "path_bytes_max",
            value: libos_abi::PATH_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "The longest path, in bytes, as on Linux.",
        },
        Limit {
            part: "abi",
            name: "resource_bytes_max",
            value: libos_abi::RESOURCE_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "The longest resource or pattern, in bytes: a 4,096-byte path, percent-encoded at worst.",
        },
        Limit {
            part: "abi",
            name: "read_bytes_default",
            value: libos_abi::fs::READ_BYTES_DEFAULT as u64,
            unit: "bytes",
            reason:
                "How many bytes a read gives if the call does not say.",
        },
        Limit {
            part: "abi",
            name: "found_bytes_max",
            value: libos_abi::fs::FOUND_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of paths and lines that one search gives: a reply that a reader still takes in.",
        },
        Limit {
            part: "abi",
            name: "body_bytes_default",
            value: libos_abi::http::BODY_BYTES_DEFAULT as u64,
            unit: "bytes",
            reason:
                "How many bytes of a body a reply gives if the call does not say.",
        },
        Limit {
            part: "abi",
            name: "output_tokens_default",
            value: libos_abi::llm::OUTPUT_TOKENS_DEFAULT as u64,
            unit: "tokens",
            reason:
                "How many tokens an answer may have if neither the call nor the host says.",
        },
        Limit {
            part: "abi",
            name: "output_bytes_max",
            value: libos_abi::shell::OUTPUT_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "How many bytes of each output of a program are kept; the rest is read and dropped.",
        },
        Limit {
            part: "abi",
            name: "url_bytes_max",
            value: libos_abi::URL_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "The longest URL, in bytes: what most servers still take.",
        },
        Limit {
            part: "abi",
            name: "frame_bytes_max",
            value: libos_abi::wire::FRAME_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "The most bytes one encoded value may take: a file of 1 MiB (the largest text one call may carry) with room for its envelope and escaping.",
        },
        Limit {
            part: "abi",
            name: "record_bytes_max",
            value: libos_abi::wire::RECORD_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "The most bytes one record of the journal may take: a transaction may end many processes.",
        },
        Limit {
            part: "agent-libos",
            name: "running_max",
            value: crate::Limits::default().running_max as u64,
            unit: "processes",
            reason:
                "Processes that run at the same time: each holds a task and its planner's memory.",
        },
        Limit {
            part: "agent-libos",
            name: "batch_messages_max",
            value: crate::Limits::default().batch_messages_max as u64,
            unit: "messages",
            reason:
                "Messages to the core taken into one batch: bounds what one commit makes others wait.",
        },
        Limit {
            part: "agent-libos",
            name: "gather_us",
            value: crate::Limits::default().gather_us,
            unit: "microseconds",
            reason:
                "How long a commit waits for those who were answered together to come again, in microseconds: about what the commit itself takes.",
        },
        Limit {
            part: "agent-libos",
            name: "lazy_flush_ms",
            value: crate::Limits::default().lazy_flush_ms,
            unit: "milliseconds",
            reason:
                "How long a record may wait to be written while nothing needs it on disk, in milliseconds: bounds what watchers lag behind and what a crash makes the host do again.",
        },
        Limit {
            part: "agent-libos",
            name: "busy_flush_ms",
            value: crate::Limits::default().busy_flush_ms,
            unit: "milliseconds",
            reason:
                "The same while messages keep coming, in milliseconds: ten commits a second cost little.",
        },
        Limit {
            part: "agent-libos",
            name: "store_retry_ms",
            value: crate::Limits::default().store_retry_ms,
            unit: "milliseconds",
            reason:
                "How long a store that refuses is left alone before it is tried again, in milliseconds: soon enough to go on as soon as there is space, seldom enough to cost nothing.",
        },
        Limit {
            part: "agent-libos",
            name: "quiet_run_ms",
            value: crate::Limits::default().quiet_run_ms,
            unit: "milliseconds",
            reason:
                "How long a run that only waits may say nothing before it is dropped, in milliseconds: long enough to go on with what has ended, and a human who is asked notices no such pause.",
        },
        Limit {
            part: "agent-libos",
            name: "snapshot_records",
            value: crate::Limits::default().snapshot_records,
            unit: "records",
            reason:
                "Records after which the state is kept as a snapshot while there is work: a start folds so many and a few more, in a fifth of a second.",
        },
        Limit {
            part: "agent-libos",
            name: "snapshot_idle_records",
            value: crate::Limits::default().snapshot_idle_records,
            unit: "records",
            reason:
                "Records that make a snapshot worth taking at the end and once nothing happens: fewer are folded before a snapshot is read.",
        },
        Limit {
            part: "agent-libos",
            name: "snapshot_idle_ms",
            value: crate::Limits::default().snapshot_idle_ms,
            unit: "milliseconds",
            reason:
                "How long nothing happens before a snapshot is taken, in milliseconds: whoever comes next is not made to wait for it.",
        },
        Limit {
            part: "agent-libos",
            name: "snapshot_share",
            value: crate::Limits::default().snapshot_share as u64,
            unit: "parts",
            reason:
                "While a snapshot is taken everything waits, at most one part in so many of the time.",
        },
        Limit {
            part: "broker",
            name: "call_bytes_max",
            value: libos_broker::CALL_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "The most bytes a call may take besides its payloads, so that every record fits the journal: an argument list of the size that operating systems allow.",
        },
        Limit {
            part: "broker",
            name: "receipts_max",
            value: libos_broker::RECEIPTS_MAX as u64,
            unit: "receipts",
            reason:
                "The receipts that are kept of a process: what fits a context beside the work itself.",
        },
        Limit {
            part: "broker",
            name: "reply_bytes_max",
            value: libos_broker::REPLY_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "The most bytes a reply may take besides its payloads, so that every record fits the journal.",
        },
        Limit {
            part: "capability",
            name: "capabilities_of_one_subject_max",
            value: libos_capability::limits::CAPABILITIES_OF_ONE_SUBJECT_MAX as u64,
            unit: "capabilities",
            reason:
                "Capabilities one process may hold. A grant list a human could still review has tens; this is room for the kernel's own grants on objects, and bounds every walk over one subject.",
        },
        Limit {
            part: "capability",
            name: "list_max",
            value: libos_capability::limits::LIST_MAX as u64,
            unit: "processes",
            reason:
                "Capabilities in one reply of `capability.list`, as processes in one of `process.list`.",
        },
        Limit {
            part: "capability",
            name: "delegation_depth_max",
            value: libos_capability::limits::DELEGATION_DEPTH_MAX as u64,
            unit: "levels",
            reason:
                "How deep authority may be handed on. Each level can add conditions that every call of the lowest one evaluates; deeper teams than this were not seen.",
        },
        Limit {
            part: "capability",
            name: "conditions_max",
            value: libos_capability::limits::CONDITIONS_MAX as u64,
            unit: "conditions",
            reason:
                "Arguments one grant may put conditions on. No call has half as many.",
        },
        Limit {
            part: "capability",
            name: "text_bytes_max",
            value: libos_capability::limits::TEXT_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of one text in a condition: the longest path, which is the longest thing compared.",
        },
        Limit {
            part: "capability",
            name: "values_max",
            value: libos_capability::limits::VALUES_MAX as u64,
            unit: "values",
            reason:
                "Values in one `one_of`, and items in one list: they are compared one by one on every call.",
        },
        Limit {
            part: "capability",
            name: "regex_bytes_max",
            value: libos_capability::limits::REGEX_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of one regular expression as written.",
        },
        Limit {
            part: "capability",
            name: "regex_compiled_bytes_max",
            value: libos_capability::limits::REGEX_COMPILED_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of one regular expression once compiled: `\\w{1,100}` fits, nested counts of counts do not. A process may hold thousands of grants, so this bounds memory too.",
        },
        Limit {
            part: "capability",
            name: "manifest_entries_max",
            value: libos_capability::limits::MANIFEST_ENTRIES_MAX as u64,
            unit: "entries",
            reason:
                "Entries of one part of a manifest. A document a human could still review has tens, and every grant to a process below is held against each.",
        },
        Limit {
            part: "checkpoints",
            name: "of_process_max",
            value: libos_checkpoints::Limits::default().of_process_max,
            unit: "process",
            reason:
                "The checkpoints of one process: each keeps alive what it shares.",
        },
        Limit {
            part: "checkpoints",
            name: "reason_bytes_max",
            value: libos_checkpoints::Limits::default().reason_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a reason: a line of text.",
        },
        Limit {
            part: "checkpoints",
            name: "list_max",
            value: libos_checkpoints::Limits::default().list_max as u64,
            unit: "processes",
            reason:
                "The checkpoints in one list.",
        },
        Limit {
            part: "checkpoints",
            name: "diff_rows_max",
            value: libos_checkpoints::Limits::default().diff_rows_max as u64,
            unit: "rows",
            reason:
                "The rows of each table of a comparison: what a person looks through.",
        },
        Limit {
            part: "events",
            name: "queue_max",
            value: libos_events::QUEUE_MAX as u64,
            unit: "events",
            reason:
                "The events kept for one process that does not take them; then the oldest is dropped and counted. Some minutes of a busy process, and a few pages of memory. It is part of what a journal means, so it is no setting.",
        },
        Limit {
            part: "events",
            name: "subscriptions_max",
            value: libos_events::Limits::default().subscriptions_max as u64,
            unit: "subscriptions",
            reason:
                "The subscriptions of one process: they are listed whole.",
        },
        Limit {
            part: "events",
            name: "watchers_max",
            value: libos_events::Limits::default().watchers_max as u64,
            unit: "watchers",
            reason:
                "The subscriptions to one object: all are told in the transaction that changes it.",
        },
        Limit {
            part: "events",
            name: "events_default",
            value: libos_events::Limits::default().events_default as u64,
            unit: "events",
            reason:
                "The events that a call gives when it does not say how many.",
        },
        Limit {
            part: "events",
            name: "events_max",
            value: libos_events::Limits::default().events_max as u64,
            unit: "events",
            reason:
                "The events that a call gives at most: a page still fits one reply.",
        },
        Limit {
            part: "human",
            name: "question_bytes_max",
            value: libos_human::Limits::default().question_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a question with its context, and of an answer: what a person can still read.",
        },
        Limit {
            part: "human",
            name: "output_bytes_max",
            value: libos_human::Limits::default().output_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a message.",
        },
        Limit {
            part: "human",
            name: "reason_bytes_max",
            value: libos_human::Limits::default().reason_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of the reason for a permission: a card shows all of it.",
        },
        Limit {
            part: "human",
            name: "name_bytes_max",
            value: libos_human::Limits::default().name_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a human's name.",
        },
        Limit {
            part: "human",
            name: "pending_max",
            value: libos_human::Limits::default().pending_max,
            unit: "requests",
            reason:
                "The requests of one process that wait for an answer.",
        },
        Limit {
            part: "human",
            name: "task_pending_max",
            value: libos_human::Limits::default().task_pending_max,
            unit: "requests",
            reason:
                "The cards of one task that wait for an answer: more than a screen of them is not read.",
        },
        Limit {
            part: "human",
            name: "task_asks_max",
            value: libos_human::Limits::default().task_asks_max,
            unit: "requests",
            reason:
                "The cards one task makes over its life, so that no process wears its human down: ten a day for a year.",
        },
        Limit {
            part: "images",
            name: "image_file_bytes_max",
            value: libos_images::Limits::default().image_file_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of an `image.toml`: people write it.",
        },
        Limit {
            part: "images",
            name: "name_bytes_max",
            value: libos_images::Limits::default().name_bytes_max as u64,
            unit: "bytes",
            reason:
                "The bytes of an image's name, a tool's name, a planner's kind and a version: one line.",
        },
        Limit {
            part: "images",
            name: "description_bytes_max",
            value: libos_images::Limits::default().description_bytes_max as u64,
            unit: "bytes",
            reason:
                "The bytes of a description.",
        },
        Limit {
            part: "images",
            name: "prompt_bytes_max",
            value: libos_images::Limits::default().prompt_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a prompt: it is sent with every call to a model.",
        },
        Limit {
            part: "images",
            name: "program_bytes_max",
            value: libos_images::Limits::default().program_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a planner's program: the largest text one call may carry.",
        },
        Limit {
            part: "images",
            name: "tools_max",
            value: libos_images::Limits::default().tools_max as u64,
            unit: "tools",
            reason:
                "The tools in a table and its groups together: a host should be able to read the list.",
        },
        Limit {
            part: "images",
            name: "groups_max",
            value: libos_images::Limits::default().groups_max as u64,
            unit: "groups",
            reason:
                "The groups of tools: a model reads all their names before it chooses one.",
        },
        Limit {
            part: "images",
            name: "capabilities_max",
            value: libos_images::Limits::default().capabilities_max as u64,
            unit: "capabilities",
            reason:
                "The capabilities an image says it needs: people read them.",
        },
        Limit {
            part: "images",
            name: "generated_max",
            value: libos_images::Limits::default().generated_max as u64,
            unit: "tools",
            reason:
                "The tools that one process may have written: each is looked for by its name.",
        },
        Limit {
            part: "images",
            name: "source_bytes_max",
            value: libos_images::Limits::default().source_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a generated tool's source: the largest component in text form.",
        },
        Limit {
            part: "images",
            name: "needs_max",
            value: libos_images::Limits::default().needs_max as u64,
            unit: "needs",
            reason:
                "The calls a generated tool may declare, and the resources of one: people read them.",
        },
        Limit {
            part: "images",
            name: "tests_max",
            value: libos_images::Limits::default().tests_max as u64,
            unit: "tests",
            reason:
                "The tests of a generated tool: each is a run.",
        },
        Limit {
            part: "images",
            name: "test_calls_max",
            value: libos_images::Limits::default().test_calls_max as u64,
            unit: "calls",
            reason:
                "The calls that one test of a generated tool expects.",
        },
        Limit {
            part: "images",
            name: "context_bytes_max",
            value: libos_images::Limits::default().context_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a context policy: it is handed to the planner with each quantum.",
        },
        Limit {
            part: "images",
            name: "package_files_max",
            value: libos_images::Limits::default().package_files_max as u64,
            unit: "files",
            reason:
                "The files of a package: people look through them.",
        },
        Limit {
            part: "images",
            name: "package_bytes_max",
            value: libos_images::Limits::default().package_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of all files of a package together: they are texts and small pictures.",
        },
        Limit {
            part: "images",
            name: "skill_file_bytes_max",
            value: libos_images::Limits::default().skill_file_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a `SKILL.md`: a model reads all of it.",
        },
        Limit {
            part: "images",
            name: "skills_max",
            value: libos_images::Limits::default().skills_max as u64,
            unit: "skills",
            reason:
                "The skills that a process has taken up, and those that an image names.",
        },
        Limit {
            part: "journal",
            name: "record_bytes_max",
            value: libos_journal::Limits::default().record_bytes_max as u64,
            unit: "bytes",
            reason:
                "Longest record. Payloads belong in blobs; a record is bounded so that one read is.",
        },
        Limit {
            part: "journal",
            name: "blob_bytes_max",
            value: libos_journal::Limits::default().blob_bytes_max as u64,
            unit: "bytes",
            reason:
                "Longest blob. It is read in one piece, so it must fit in memory.",
        },
        Limit {
            part: "journal",
            name: "segment_bytes_max",
            value: libos_journal::Limits::default().segment_bytes_max,
            unit: "bytes",
            reason:
                "Length after which a segment file is followed by a new one, so that copies and backups of a growing store move one small file. A blob is never split: a longer one fills a segment.",
        },
        Limit {
            part: "journal",
            name: "lazy_bytes_max",
            value: libos_journal::Limits::default().lazy_bytes_max as u64,
            unit: "bytes",
            reason:
                "Lazy bytes (records and blobs) held in memory; the append that would exceed them first writes what is held.",
        },
        Limit {
            part: "journal",
            name: "lazy_records_max",
            value: libos_journal::Limits::default().lazy_records_max as u64,
            unit: "records",
            reason:
                "Lazy records held in memory: what a crash can lose, and the longest commit.",
        },
        Limit {
            part: "journal",
            name: "snapshots_max",
            value: libos_journal::Limits::default().snapshots_max as u64,
            unit: "snapshots",
            reason:
                "Snapshots kept: the newest, and older ones for when it is damaged or too new.",
        },
        Limit {
            part: "llm",
            name: "exchanges_max",
            value: libos_llm::limits::EXCHANGES_MAX as u64,
            unit: "exchanges",
            reason:
                "Exchanges with one endpoint that are under way at a time: each holds a connection.",
        },
        Limit {
            part: "llm",
            name: "event_bytes_max",
            value: libos_llm::limits::EVENT_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of one event of an answer: more is no answer of a model.",
        },
        Limit {
            part: "llm",
            name: "answer_bytes_max",
            value: libos_llm::limits::ANSWER_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of an answer as it streams: more than any model says in one.",
        },
        Limit {
            part: "objects",
            name: "payload_bytes_max",
            value: libos_objects::Limits::default().payload_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a payload together with what was appended to it: the largest text one call may carry, so that every object can be read in one reply.",
        },
        Limit {
            part: "objects",
            name: "content_bytes_max",
            value: libos_objects::Limits::default().content_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of a content that was kept as an object: what 64 MiB take as JSON at the worst, with every byte escaped. It is read in parts.",
        },
        Limit {
            part: "objects",
            name: "entry_bytes_max",
            value: libos_objects::Limits::default().entry_bytes_max,
            unit: "bytes",
            reason:
                "The bytes of one appended entry: an entry is a line of a log, not a document.",
        },
        Limit {
            part: "objects",
            name: "entries_max",
            value: libos_objects::Limits::default().entries_max as u64,
            unit: "entries",
            reason:
                "The entries appended to one object: a reply that refers to as many stored texts still fits a frame.",
        },
        Limit {
            part: "objects",
            name: "word_bytes_max",
            value: libos_objects::Limits::default().word_bytes_max as u64,
            unit: "bytes",
            reason:
                "The bytes of a type, name, tag or relation: they stay in memory and are shown on one line.",
        },
        Limit {
            part: "objects",
            name: "parents_max",
            value: libos_objects::Limits::default().parents_max as u64,
            unit: "parents",
            reason:
                "The parents of an object: the authority over each is decided in the same transaction.",
        },
        Limit {
            part: "objects",
            name: "tags_max",
            value: libos_objects::Limits::default().tags_max as u64,
            unit: "tags",
            reason:
                "The tags of an object: a search looks at each.",
        },
        Limit {
            part: "objects",
            name: "links_max",
            value: libos_objects::Limits::default().links_max as u64,
            unit: "links",
            reason:
                "The links that begin or end at one object: they are listed whole, and removed or carried along in one transaction when the object goes.",
        },
        Limit {
            part: "objects",
            name: "list_max",
            value: libos_objects::Limits::default().list_max as u64,
            unit: "processes",
            reason:
                "The objects that a list gives at most: as many of the largest fit one reply.",
        },
        Limit {
            part: "objects",
            name: "query_default",
            value: libos_objects::Limits::default().query_default as u64,
            unit: "objects",
            reason:
                "The objects that a search gives when it does not say how many.",
        },
        Limit {
            part: "objects",
            name: "query_max",
            value: libos_objects::Limits::default().query_max as u64,
            unit: "objects",
            reason:
                "The objects that a search gives at most: a page still fits one reply.",
        },
        Limit {
            part: "objects",
            name: "views_max",
            value: libos_objects::Limits::default().views_max as u64,
            unit: "views",
            reason:
                "The views of one process: a context and its history, kept in memory.",
        },
        Limit {
            part: "objects",
            name: "view_items_max",
            value: libos_objects::Limits::default().view_items_max as u64,
            unit: "items",
            reason:
                "The objects of one view: the authority over each is decided in one transaction.",
        },
        Limit {
            part: "objects",
            name: "tokens_default",
            value: libos_objects::Limits::default().tokens_default,
            unit: "tokens",
            reason:
                "The tokens of a rendering that does not say how many.",
        },
        Limit {
            part: "objects",
            name: "tokens_max",
            value: libos_objects::Limits::default().tokens_max,
            unit: "tokens",
            reason:
                "The tokens of a rendering: at four bytes each what one reply may carry.",
        },
        Limit {
            part: "planner",
            name: "load_depth_max",
            value: libos_planner::LOAD_DEPTH_MAX as u64,
            unit: "levels",
            reason:
                "How many scripts may start one another, one below the other, the first one included: deeper is taken for a mistake.",
        },
        Limit {
            part: "planner",
            name: "program_bytes_max",
            value: libos_planner::PROGRAM_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "The most bytes of a loaded program: the text of each script is in it, once for each start of it.",
        },
        Limit {
            part: "planner",
            name: "turns_max_default",
            value: libos_planner::TURNS_MAX_DEFAULT as u64,
            unit: "turns",
            reason:
                "Answers of a model before its process is ended: more is a model that goes in circles.",
        },
        Limit {
            part: "planner",
            name: "repairs_max",
            value: libos_planner::REPAIRS_MAX as u64,
            unit: "repairs",
            reason:
                "Answers in a row that cannot be used: a model that has not mended them by then never will.",
        },
        Limit {
            part: "planner",
            name: "quantum_bytes_default",
            value: libos_planner::QUANTUM_BYTES_DEFAULT as u64,
            unit: "bytes",
            reason:
                "Bytes that a conversation grows by before a quantum ends, at the least.",
        },
        Limit {
            part: "planner",
            name: "guide_bytes_max",
            value: libos_planner::GUIDE_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of a guide that a model is shown: more is read with a tool, where it is needed.",
        },
        Limit {
            part: "planner",
            name: "quantum_steps_max",
            value: libos_planner::QUANTUM_STEPS_MAX as u64,
            unit: "steps",
            reason:
                "The most steps of one quantum: what a crash makes a script run again.",
        },
        Limit {
            part: "providers",
            name: "file_bytes_max",
            value: libos_providers::limits::FILE_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of a file that one call reads or writes: a text, held in memory as a whole.",
        },
        Limit {
            part: "providers",
            name: "list_entries_default",
            value: libos_providers::limits::LIST_ENTRIES_DEFAULT as u64,
            unit: "processes",
            reason:
                "Entries that one call lists when it does not say.",
        },
        Limit {
            part: "providers",
            name: "list_entries_max",
            value: libos_providers::limits::LIST_ENTRIES_MAX as u64,
            unit: "processes",
            reason:
                "Entries that one call lists: a page still fits one reply.",
        },
        Limit {
            part: "providers",
            name: "find_results_default",
            value: libos_providers::limits::FIND_RESULTS_DEFAULT as u64,
            unit: "results",
            reason:
                "Lines or paths that one search gives when it does not say.",
        },
        Limit {
            part: "providers",
            name: "find_results_max",
            value: libos_providers::limits::FIND_RESULTS_MAX as u64,
            unit: "results",
            reason:
                "Lines or paths that one search gives.",
        },
        Limit {
            part: "providers",
            name: "find_line_bytes_max",
            value: libos_providers::limits::FIND_LINE_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of a line that a search shows.",
        },
        Limit {
            part: "providers",
            name: "find_entries_max",
            value: libos_providers::limits::FIND_ENTRIES_MAX as u64,
            unit: "entries",
            reason:
                "Files and folders that one search goes through from where it begins, and names of one folder: it is over in seconds.",
        },
        Limit {
            part: "providers",
            name: "find_depth_max",
            value: libos_providers::limits::FIND_DEPTH_MAX as u64,
            unit: "levels",
            reason:
                "Folders within folders that a search enters: each is an open descriptor.",
        },
        Limit {
            part: "providers",
            name: "find_bytes_max",
            value: libos_providers::limits::FIND_BYTES_MAX,
            unit: "bytes",
            reason:
                "Bytes that one search reads.",
        },
        Limit {
            part: "providers",
            name: "find_file_bytes_max",
            value: libos_providers::limits::FIND_FILE_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of one file that are searched: so many lines can still be counted.",
        },
        Limit {
            part: "providers",
            name: "ignore_file_bytes_max",
            value: libos_providers::limits::IGNORE_FILE_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of a `.gitignore` that are obeyed.",
        },
        Limit {
            part: "providers",
            name: "pattern_bytes_max",
            value: libos_providers::limits::PATTERN_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of a pattern of a search.",
        },
        Limit {
            part: "providers",
            name: "regex_bytes_max",
            value: libos_providers::limits::REGEX_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes that a compiled pattern of a search takes, and again what it keeps while it searches.",
        },
        Limit {
            part: "providers",
            name: "patch_hunks_max",
            value: libos_providers::limits::PATCH_HUNKS_MAX as u64,
            unit: "hunks",
            reason:
                "Hunks of a diff: each is looked for in the whole file.",
        },
        Limit {
            part: "providers",
            name: "watch_ms_default",
            value: libos_providers::limits::WATCH_MS_DEFAULT,
            unit: "milliseconds",
            reason:
                "How long one watch waits for a change when the call does not say, in milliseconds.",
        },
        Limit {
            part: "providers",
            name: "watch_ms_max",
            value: libos_providers::limits::WATCH_MS_MAX,
            unit: "milliseconds",
            reason:
                "How long one watch waits for a change, in milliseconds: an hour, then its caller says whether it still wants to know.",
        },
        Limit {
            part: "providers",
            name: "output_bytes_max",
            value: libos_providers::limits::OUTPUT_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of each output of a program that are kept: what a reader still takes in.",
        },
        Limit {
            part: "providers",
            name: "timeout_ms_default",
            value: libos_providers::limits::TIMEOUT_MS_DEFAULT,
            unit: "milliseconds",
            reason:
                "How long a program, a request or a call of a method takes when the call does not say, in milliseconds.",
        },
        Limit {
            part: "providers",
            name: "request_ms_max",
            value: libos_providers::limits::REQUEST_MS_MAX,
            unit: "milliseconds",
            reason:
                "How long a request or a call of a method takes at the most, in milliseconds.",
        },
        Limit {
            part: "providers",
            name: "timeout_ms_max",
            value: libos_providers::limits::TIMEOUT_MS_MAX,
            unit: "milliseconds",
            reason:
                "How long a program runs at the most, in milliseconds: a day, for work in the background. Whoever waits for it meanwhile is data.",
        },
        Limit {
            part: "providers",
            name: "view_rules_max",
            value: libos_providers::limits::VIEW_RULES_MAX as u64,
            unit: "rules",
            reason:
                "Rules of the kernel that confine one program: a folder with something kept out of it that no mount covers up is given entry by entry.",
        },
        Limit {
            part: "providers",
            name: "programs_seen_max",
            value: libos_providers::limits::PROGRAMS_SEEN_MAX as u64,
            unit: "programs",
            reason:
                "Programs whose digests are remembered while their files do not change.",
        },
        Limit {
            part: "providers",
            name: "links_max",
            value: libos_providers::limits::LINKS_MAX as u64,
            unit: "links",
            reason:
                "Symbolic links from the name of a program to its file: as the kernel's own.",
        },
        Limit {
            part: "providers",
            name: "open_files_max",
            value: libos_providers::limits::OPEN_FILES_MAX,
            unit: "files",
            reason:
                "Files that a process of a program holds open at a time.",
        },
        Limit {
            part: "providers",
            name: "written_file_bytes_max",
            value: libos_providers::limits::WRITTEN_FILE_BYTES_MAX,
            unit: "bytes",
            reason:
                "Bytes of a file that a program writes: 8 GiB, so that a runaway does not fill the disk.",
        },
        Limit {
            part: "providers",
            name: "processes_max",
            value: libos_providers::limits::PROCESSES_MAX,
            unit: "processes",
            reason:
                "Processes of a program at a time, where the kernel can count them by themselves.",
        },
        Limit {
            part: "providers",
            name: "body_bytes_max",
            value: libos_providers::limits::BODY_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of a body that one request carries or takes: a text, held in memory as a whole.",
        },
        Limit {
            part: "providers",
            name: "headers_max",
            value: libos_providers::limits::HEADERS_MAX as u64,
            unit: "headers",
            reason:
                "Headers of a request besides those that the provider sets, and of an answer.",
        },
        Limit {
            part: "providers",
            name: "head_bytes_max",
            value: libos_providers::limits::HEAD_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of the headers of a request, and of the whole head of an answer.",
        },
        Limit {
            part: "providers",
            name: "connect_ms_max",
            value: libos_providers::limits::CONNECT_MS_MAX,
            unit: "milliseconds",
            reason:
                "How long a name is looked up and a connection is made, in milliseconds: a host that is there answers sooner.",
        },
        Limit {
            part: "providers",
            name: "addresses_max",
            value: libos_providers::limits::ADDRESSES_MAX as u64,
            unit: "addresses",
            reason:
                "Addresses of one host that are tried.",
        },
        Limit {
            part: "providers",
            name: "secret_bytes_max",
            value: libos_providers::limits::SECRET_BYTES_MAX as u64,
            unit: "bytes",
            reason:
                "Bytes of a secret: a key of 4,096 bits as text is shorter.",
        },
        Limit {
            part: "providers",
            name: "secret_uses_max",
            value: libos_providers::limits::SECRET_USES_MAX as u64,
            unit: "uses",
            reason:
                "Secrets in one call.",
        },
        Limit {
            part: "providers",
            name: "secret_values_max",
            value: libos_providers::limits::SECRET_VALUES_MAX as u64,
            unit: "values",
            reason:
                "Values of secrets that are looked for in what comes back, those that were replaced among them.",
        },
        Limit {
            part: "providers",
            name: "secret_command_ms_max",
            value: libos_providers::limits::SECRET_COMMAND_MS_MAX,
            unit: "milliseconds",
            reason:
                "How long a command that writes a secret may take, in milliseconds: it may ask a person.",
        },
        Limit {
            part: "providers",
            name: "rpc_message_chars_max",
            value: libos_providers::limits::RPC_MESSAGE_CHARS_MAX as u64,
            unit: "characters",
            reason:
                "Characters of what an endpoint says of a failure that a caller is told.",
        },
        Limit {
            part: "sandbox",
            name: "slots",
            value: libos_sandbox::Limits::STANDARD.slots as u64,
            unit: "slots",
            reason:
                "How many tools run at the same time; more wait for one to end. Each takes a slot of memory from the pool: address space for all of them, pages only for those in use.",
        },
        Limit {
            part: "sandbox",
            name: "memories_max",
            value: libos_sandbox::Limits::STANDARD.memories_max as u64,
            unit: "memories",
            reason:
                "Memories of one tool: a component may bring an adapter with one of its own.",
        },
        Limit {
            part: "sandbox",
            name: "tables_max",
            value: libos_sandbox::Limits::STANDARD.tables_max as u64,
            unit: "tables",
            reason:
                "Tables of one tool.",
        },
        Limit {
            part: "sandbox",
            name: "stack_bytes",
            value: libos_sandbox::Limits::STANDARD.stack_bytes as u64,
            unit: "bytes",
            reason:
                "The stack of compiled code, in bytes. The scripts' own limit lies below it, so that a recursion of theirs ends as an error that they can catch.",
        },
        Limit {
            part: "sandbox",
            name: "host_stack_bytes",
            value: libos_sandbox::Limits::STANDARD.host_stack_bytes as u64,
            unit: "bytes",
            reason:
                "The host's part of the stack that a tool runs on, in bytes: what a call of the host takes.",
        },
        Limit {
            part: "sandbox",
            name: "tick_ms",
            value: libos_sandbox::Limits::STANDARD.tick_ms,
            unit: "milliseconds",
            reason:
                "How often a tool that computes makes room for others, in milliseconds.",
        },
        Limit {
            part: "sandbox",
            name: "script_bytes_max",
            value: libos_sandbox::Limits::STANDARD.script_bytes_max as u64,
            unit: "bytes",
            reason:
                "The most bytes of a script. A parser works on them in the sandbox.",
        },
        Limit {
            part: "sandbox",
            name: "typescript_bytes_max",
            value: libos_sandbox::Limits::STANDARD.typescript_bytes_max as u64,
            unit: "bytes",
            reason:
                "The most bytes of a TypeScript source. Its types are stripped outside of the sandbox, by a parser whose stack grows with the source.",
        },
        Limit {
            part: "sandbox",
            name: "typescript_depth_max",
            value: libos_sandbox::Limits::STANDARD.typescript_depth_max as u64,
            unit: "levels",
            reason:
                "How deep brackets may nest in a TypeScript source: where the parser guesses and takes its guess back, its time and memory grow with a power of the depth.",
        },
        Limit {
            part: "sandbox",
            name: "typescript_angles_max",
            value: libos_sandbox::Limits::STANDARD.typescript_angles_max as u64,
            unit: "angles",
            reason:
                "How many `<` may be open in one statement of a TypeScript source, for the same reason.",
        },
        Limit {
            part: "sandbox",
            name: "module_bytes_max",
            value: libos_sandbox::Limits::STANDARD.module_bytes_max as u64,
            unit: "bytes",
            reason:
                "The most bytes of a module, as text or binary: nothing interrupts its compiler.",
        },
        Limit {
            part: "sandbox",
            name: "component_bytes_max",
            value: libos_sandbox::Limits::STANDARD.component_bytes_max as u64,
            unit: "bytes",
            reason:
                "The most bytes of a component, which carries the libraries of its language.",
        },
        Limit {
            part: "sandbox",
            name: "cache_bytes_max",
            value: libos_sandbox::Limits::STANDARD.cache_bytes_max,
            unit: "bytes",
            reason:
                "The most bytes of compiled artifacts on disk; the oldest go first.",
        },
        Limit {
            part: "sandbox",
            name: "fuel",
            value: libos_sandbox::Limits::STANDARD.run.fuel,
            unit: "units of fuel",
            reason:
                "Instructions, roughly. The same run takes the same number every time, so this is the limit that a run normally meets; at full speed it is some seconds.",
        },
        Limit {
            part: "sandbox",
            name: "compute_ms",
            value: libos_sandbox::Limits::STANDARD.run.compute_ms,
            unit: "milliseconds",
            reason:
                "How long it may compute, in milliseconds; waiting for a call does not count. It stops what burns little fuel for much time.",
        },
        Limit {
            part: "sandbox",
            name: "memory_bytes_max",
            value: libos_sandbox::Limits::STANDARD.run.memory_bytes_max as u64,
            unit: "bytes",
            reason:
                "Linear memory in bytes, all memories together: the size of a slot at the most.",
        },
        Limit {
            part: "sandbox",
            name: "table_elements_max",
            value: libos_sandbox::Limits::STANDARD.run.table_elements_max as u64,
            unit: "elements",
            reason:
                "Elements of all tables together.",
        },
        Limit {
            part: "sandbox",
            name: "instances_max",
            value: libos_sandbox::Limits::STANDARD.run.instances_max as u64,
            unit: "instances",
            reason:
                "Instances of core modules: a component is several.",
        },
        Limit {
            part: "sandbox",
            name: "syscalls_max",
            value: libos_sandbox::Limits::STANDARD.run.syscalls_max as u64,
            unit: "syscalls",
            reason:
                "System calls, refused ones included.",
        },
        Limit {
            part: "sandbox",
            name: "batch_calls_max",
            value: libos_sandbox::Limits::STANDARD.run.batch_calls_max as u64,
            unit: "calls",
            reason:
                "System calls of one batch, which are under way at the same time.",
        },
        Limit {
            part: "sandbox",
            name: "request_bytes_max",
            value: libos_sandbox::Limits::STANDARD.run.request_bytes_max as u64,
            unit: "bytes",
            reason:
                "Bytes of one request to the host. What the host makes of it takes many times as much.",
        },
        Limit {
            part: "sandbox",
            name: "reply_bytes_max",
            value: libos_sandbox::Limits::STANDARD.run.reply_bytes_max as u64,
            unit: "bytes",
            reason:
                "Bytes of one reply of the host.",
        },
        Limit {
            part: "sandbox",
            name: "crossing_bytes_max",
            value: libos_sandbox::Limits::STANDARD.run.crossing_bytes_max,
            unit: "bytes",
            reason:
                "Bytes of all requests and replies of a run: the host's work on them takes no fuel.",
        },
        Limit {
            part: "sandbox",
            name: "args_bytes_max",
            value: libos_sandbox::Limits::STANDARD.run.args_bytes_max as u64,
            unit: "bytes",
            reason:
                "Bytes of the arguments of a run.",
        },
        Limit {
            part: "sandbox",
            name: "output_bytes_max",
            value: libos_sandbox::Limits::STANDARD.run.output_bytes_max as u64,
            unit: "bytes",
            reason:
                "Bytes of what a run gives back, with what it printed.",
        },
        Limit {
            part: "scheduler",
            name: "children_live_max",
            value: libos_scheduler::LIMITS.children_live_max as u64,
            unit: "children",
            reason:
                "Live children of one process: more is a pool, and a pool wants a parent of its own.",
        },
        Limit {
            part: "scheduler",
            name: "depth_max",
            value: libos_scheduler::LIMITS.depth_max as u64,
            unit: "levels",
            reason:
                "Levels of processes, the root included: budgets climb them on every call.",
        },
        Limit {
            part: "scheduler",
            name: "tasks_of_root_max",
            value: libos_scheduler::LIMITS.tasks_of_root_max as u64,
            unit: "tasks",
            reason:
                "Live background tasks below one root: they run beside the processes that do the work.",
        },
        Limit {
            part: "scheduler",
            name: "tasks_of_object_max",
            value: libos_scheduler::LIMITS.tasks_of_object_max as u64,
            unit: "tasks",
            reason:
                "Live background tasks of one object: whoever may write it must not fill its root's share.",
        },
        Limit {
            part: "scheduler",
            name: "task_args_bytes_max",
            value: libos_scheduler::LIMITS.task_args_bytes_max,
            unit: "bytes",
            reason:
                "Bytes of a background task's arguments: they stand in its program, which is kernel state, and so must stay inline.",
        },
        Limit {
            part: "scheduler",
            name: "task_tool_bytes_max",
            value: libos_scheduler::LIMITS.task_tool_bytes_max,
            unit: "bytes",
            reason:
                "Bytes of the name of a background task's tool, which is in its program too.",
        },
        Limit {
            part: "scheduler",
            name: "fork_roots_max",
            value: libos_scheduler::LIMITS.fork_roots_max as u64,
            unit: "objects",
            reason:
                "Objects that a fork names for a worker: each becomes a capability.",
        },
        Limit {
            part: "scheduler",
            name: "tool_groups_max",
            value: libos_scheduler::LIMITS.tool_groups_max as u64,
            unit: "groups",
            reason:
                "Tool groups that one process has active: they are kernel state.",
        },
        Limit {
            part: "scheduler",
            name: "weight_max",
            value: libos_scheduler::LIMITS.weight_max as u64,
            unit: "shares",
            reason:
                "The largest weight: shares are exact to one run up to here.",
        },
        Limit {
            part: "scheduler",
            name: "weight_default",
            value: libos_scheduler::LIMITS.weight_default as u64,
            unit: "shares",
            reason:
                "The weight of a process that names none.",
        },
        Limit {
            part: "scheduler",
            name: "mailbox_messages_max",
            value: libos_scheduler::LIMITS.mailbox_messages_max as u64,
            unit: "messages",
            reason:
                "Messages in one mailbox that were not taken, interrupts included: a receiver that does not read must slow its senders down.",
        },
        Limit {
            part: "scheduler",
            name: "mailbox_interrupts_max",
            value: libos_scheduler::LIMITS.mailbox_interrupts_max as u64,
            unit: "interrupts",
            reason:
                "Interrupts in one mailbox that were not delivered: each stops one call.",
        },
        Limit {
            part: "scheduler",
            name: "received_messages_max",
            value: libos_scheduler::LIMITS.received_messages_max as u64,
            unit: "messages",
            reason:
                "Messages a process has taken of which it can still answer to any sender: the last ones.",
        },
        Limit {
            part: "scheduler",
            name: "list_max",
            value: libos_scheduler::LIMITS.list_max as u64,
            unit: "processes",
            reason:
                "Processes listed at a time: so many fit a reply, however long their goals.",
        },
        Limit {
            part: "scheduler",
            name: "receive_messages_max",
            value: libos_scheduler::LIMITS.receive_messages_max as u64,
            unit: "messages",
            reason:
                "Messages one `message.receive` or `message.peek` gives, whatever it asks for: a reply is one frame.",
        },
        Limit {
            part: "scheduler",
            name: "receive_messages_default",
            value: libos_scheduler::LIMITS.receive_messages_default as u64,
            unit: "messages",
            reason:
                "Messages one `message.receive` or `message.peek` gives when it does not say.",
        },
        Limit {
            part: "scheduler",
            name: "subject_bytes_max",
            value: libos_scheduler::LIMITS.subject_bytes_max,
            unit: "bytes",
            reason:
                "Bytes of a message's subject, which stays in kernel state.",
        },
        Limit {
            part: "scheduler",
            name: "channel_bytes_max",
            value: libos_scheduler::LIMITS.channel_bytes_max,
            unit: "bytes",
            reason:
                "Bytes of a channel and of a correlation, which stay in kernel state.",
        },
        Limit {
            part: "scheduler",
            name: "body_bytes_max",
            value: libos_scheduler::LIMITS.body_bytes_max,
            unit: "bytes",
            reason:
                "Bytes of a message's body.",
        },
        Limit {
            part: "scheduler",
            name: "interrupt_bytes_max",
            value: libos_scheduler::LIMITS.interrupt_bytes_max,
            unit: "bytes",
            reason:
                "Bytes of an interrupt's body: it is delivered as the text of an error, so it stays inline.",
        },
        Limit {
            part: "scheduler",
            name: "payload_bytes_max",
            value: libos_scheduler::LIMITS.payload_bytes_max,
            unit: "bytes",
            reason:
                "Bytes of a message's payload.",
        },
        Limit {
            part: "scheduler",
            name: "word_bytes_max",
            value: libos_scheduler::LIMITS.word_bytes_max,
            unit: "bytes",
            reason:
                "Bytes of a last word or of a signal's reason, which stay with an ended process.",
        },
        Limit {
            part: "scheduler",
            name: "code_bytes_max",
            value: libos_scheduler::LIMITS.code_bytes_max,
            unit: "bytes",
            reason:
                "Bytes of an error code, which stays with an ended process.",
        },
        Limit {
            part: "scheduler",
            name: "sleep_ms_max",
            value: libos_scheduler::LIMITS.sleep_ms_max,
            unit: "milliseconds",
            reason:
                "The longest sleep, in milliseconds: 30 days.",
        },
        Limit {
            part: "tools",
            name: "file_bytes_max",
            value: libos_tools::Limits::STANDARD.file_bytes_max as u64,
            unit: "bytes",
            reason:
                "The most bytes of a file that a tool takes in one piece: the limit of `fs.read`.",
        },
        Limit {
            part: "tools",
            name: "folder_entries_max",
            value: libos_tools::Limits::STANDARD.folder_entries_max as u64,
            unit: "entries",
            reason:
                "The most entries of one folder that a tool looks at: the limit of `fs.list`.",
        },
        Limit {
            part: "tools",
            name: "survey_files_default",
            value: libos_tools::Limits::STANDARD.survey_files_default as u64,
            unit: "files",
            reason:
                "The most files that a survey reads when its caller does not say.",
        },
        Limit {
            part: "tools",
            name: "survey_files_max",
            value: libos_tools::Limits::STANDARD.survey_files_max as u64,
            unit: "files",
            reason:
                "The most files that a survey reads, whatever its caller says: each is a system call.",
        },
        Limit {
            part: "tools",
            name: "survey_largest_max",
            value: libos_tools::Limits::STANDARD.survey_largest_max as u64,
            unit: "files",
            reason:
                "How many of the largest files a survey names.",
        },
        Limit {
            part: "tools",
            name: "survey_depth_max",
            value: libos_tools::Limits::STANDARD.survey_depth_max as u64,
            unit: "levels",
            reason:
                "How many folders may lie one in the other before a survey leaves the rest out.",
        },
        Limit {
            part: "tools",
            name: "argument_faults_max",
            value: libos_tools::Limits::STANDARD.argument_faults_max as u64,
            unit: "faults",
            reason:
                "The most faults of its arguments that one failure of a tool names.",
        },
        Limit {
            part: "tools",
            name: "argument_fault_chars_max",
            value: libos_tools::Limits::STANDARD.argument_fault_chars_max as u64,
            unit: "characters",
            reason:
                "The most characters of one such fault: it may quote the argument.",
        },
    ]
}
