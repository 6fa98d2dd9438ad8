// Written by `cargo xtask abi` from the tables in `crates/abi/src/services`.
//
// A tool is a module with a default export:
//
//     export default async function run(args: { path: string }, libos: Libos) {
//       const file = await libos.fs.read({ path: args.path });
//       return { lines: file.text.split("\n").length };
//     }
//
// What it gives back becomes JSON. Calls that are made before one of them is awaited reach the host
// together and are under way together. A call that is refused or fails rejects with a
// `SyscallError`. `Date` stands still at 1970; `libos.clock.now()` tells the time.

/** Types of the system calls, version 2. */
declare namespace Abi {
  /** A skill that a process has taken up. */
  type ActiveSkill = {
    /** The only tools that its process can call meanwhile; absent narrows nothing. */
    allowed_tools?: Array<string> | null;
    /** The digest of its package as it was then. */
    digest: Abi.Digest;
    /** Its name. */
    name: string;
  };

  /** Where an object of a child went. */
  type Adopted = {
    /** What it was. */
    from: Abi.ObjectId;
    /** What it is now. */
    to: Abi.ObjectId;
  };

  /** One event of the journal, in words. */
  type AuditEntry = {
    /** When, in milliseconds since the epoch. */
    at_ms: number;
    /** The event. */
    event: Abi.Json;
    /** The record's position. */
    seq: number;
  };

  /** What ties an approval to what was approved. */
  type Binding = {
    /** The grants whose question it answers; it answers no other. */
    answers: Array<Abi.CapId>;
    /** The digest of the canonical call. */
    digest: Abi.Digest;
    /** The one operation it is good for, if it is good for one only. */
    op?: Abi.OpId | null;
    /** The request that was approved. */
    request: Abi.RequestId;
    /** Whether processes below the subject may use it as well. */
    subtree: boolean;
  };

  /** Rights over resources, as a bound. */
  type Bound = {
    /** The resources. */
    on: Abi.Pattern;
    /** The rights. */
    rights: Abi.Rights;
  };

  /** Limits of a process and all below it. Absent is without limit. */
  type Budget = {
    /** Bytes moved in and out by effects: files read and written, output of programs. */
    bytes?: number | null;
    /** Processes below it, over its life. */
    children?: number | null;
    /** Money, in millionths of the unit that the host counts in. */
    cost?: number | null;
    /** System calls. */
    syscalls?: number | null;
    /** Tokens of models, in and out. */
    tokens?: number | null;
    /** Calls of tools. */
    tool_calls?: number | null;
    /** Time since the process began. */
    wall?: Abi.Millis | null;
  };

  type CapId = string;

  /** A capability that is not as it was. */
  type CapabilityChange = {
    /** The capability. */
    capability: Abi.CapId;
    /** What has become of it: made since, or out of force since. */
    change: Abi.Change;
    /** For these resources; absent where it is not known any more. */
    on?: Abi.Pattern | null;
    /** These rights. */
    rights: Abi.Rights;
    /** Whose it is. */
    subject: Abi.Pid;
  };

  /** A capability as its holder and the host see it. */
  type CapabilityInfo = {
    /** For an approval: what it is tied to. */
    binding?: Abi.Binding | null;
    /** Calls left over its life. */
    calls_left?: number | null;
    /** How many times more it may be handed on. */
    delegable: number;
    /** `allow`, `ask` or `deny`. */
    effect: Abi.Effect;
    /** When it ends, in milliseconds since the epoch. */
    expires_at_ms?: number | null;
    /** Its id. */
    id: Abi.CapId;
    /** The resources it speaks of. */
    on: Abi.Pattern;
    /** Where it came from. */
    origin: Abi.Origin;
    /** The capability it was cut from. */
    parent?: Abi.CapId | null;
    /** The rights it speaks of. */
    rights: Abi.Rights;
    /** Whether it can still be used. */
    status: Abi.Status;
    /** The only process it works for. */
    subject: Abi.Pid;
    /** Uses left, not counting those reserved. */
    uses_left?: number | null;
    /** Its conditions. */
    when: Abi.Conditions;
  };

  /** What has become of something since a checkpoint. */
  type Change = "made" | "changed" | "gone";

  type CheckpointId = string;

  /** A checkpoint. */
  type CheckpointInfo = {
    /** When, in milliseconds since the epoch. */
    at_ms: number;
    /** Who made it; absent is the host. */
    by?: Abi.Pid | null;
    /** The capabilities they held that were in force. */
    capabilities: number;
    /** Its id. */
    id: Abi.CheckpointId;
    /** The objects in their memories. */
    objects: number;
    /** The call that made it. */
    op: Abi.OpId;
    /** The processes in it: those that had not ended. */
    processes: number;
    /** Why it was made. */
    reason: string;
  };

  /** Which objects come first when not all fit. */
  type Choice = "order" | "recency" | "evidence" | "plan_first";

  /** What must hold of one argument. Every part that is present must hold. */
  type Condition = {
    /** It is this value. */
    equals?: Abi.Value | null;
    /** The whole text matches this regular expression. */
    matches?: string | null;
    /** The number (of a text or list: its length, in bytes or items) is at most this. */
    max?: number | null;
    /** The number (of a text or list: its length, in bytes or items) is at least this. */
    min?: number | null;
    /** It is one of these values. */
    one_of?: Array<Abi.Value> | null;
    /** The text begins with this text, or the list with this list. */
    prefix?: Abi.Value | null;
    /** The sum of this number (of a text: of its bytes) over the grant's life stays within this. */
    sum_max?: number | null;
  };

  /**
   * Conditions by argument name. Those named `sensitivity`, `integrity` and `origin` are about the
   * label of what the caller has taken in. A condition may be written as the one value that it is
   * to equal.
   */
  type Conditions = Record<string, Abi.Written>;

  /** A process that was copied for another one. */
  type Copied = {
    /** The one in the checkpoint. */
    from: Abi.Pid;
    /** The parent of the new one. */
    parent?: Abi.Pid | null;
    /** The new one. */
    to: Abi.Pid;
  };

  /** A tool as an agent writes it. */
  type Definition = {
    /** What it does. */
    description?: string;
    /** The JSON schema of its arguments. */
    input: Abi.Json;
    /** The language of its source. */
    language: Abi.Language;
    /** Tighter limits than those of the sandbox. */
    limits?: Abi.ToolLimits | null;
    /** Its name, a word of a-z, 0-9 and `_`. */
    name: string;
    /** The calls it may make, each as far as its process may. Any other is denied. */
    needs?: Array<Abi.ToolNeed>;
    /** The JSON schema of its result. */
    output?: Abi.Json | null;
    /** Its source. Binary forms of `wat` and `component` are written `base64:` and their bytes. */
    source: Abi.Text;
    /** Its tests. */
    tests?: Array<Abi.ToolTest>;
  };

  /** Why a call was denied. */
  type DenyReason = "no_grant" | { deny_rule: Abi.CapId } | { conditions: Abi.CapId } | { exhausted: Abi.CapId } | { limit: Abi.CapId } | { expired: Abi.CapId } | { revoked: Abi.CapId } | "human" | "not_for_processes" | { attenuation: string } | { not_in_tool_table: string } | { manifest: string } | { not_declared: string } | { clearance: {
    /** The clearance of the sink, which the need names. */
    clearance: Abi.Label;
    /** The label of the data. */
    label: Abi.Label;
    /** Whether a human may release this one call. */
    releasable: boolean;
  } } | { not_in_skill: string };

  /** What is not as it was. */
  type Difference = {
    /** Capabilities. */
    capabilities: Array<Abi.CapabilityChange>;
    /** Since when. */
    checkpoint: Abi.CheckpointId;
    /** Objects. */
    objects: Array<Abi.ObjectChange>;
    /** Processes. */
    processes: Array<Abi.ProcessChange>;
    /** How many changes are not shown. */
    truncated: number;
  };

  type Digest = string;

  /** An entry of a folder. */
  type DirEntry = {
    /** Its size in bytes, for a file. */
    bytes: number;
    /** What it is. */
    kind: Abi.FileKind;
    /** Its name. */
    name: string;
  };

  /** What a matching grant says. */
  type Effect = "allow" | "ask" | "deny";

  /** How a process ended. */
  type Ending = {
    /** When, in milliseconds since the epoch. */
    at_ms: number;
    /** The code of the error it failed with, as in `denied`. */
    code?: string | null;
    /** What it, or whoever ended it, said. */
    message?: string | null;
    /** The object it leaves as its result. */
    result?: Abi.ObjectId | null;
    /** Exited, failed or killed. */
    state: Abi.ProcessState;
  };

  /** A name and what it stands for. */
  type Entry = {
    /** The object. */
    id: Abi.ObjectId;
    /** The name. */
    name: string;
  };

  /** A kind of event. */
  type EventKind = "child_made" | "child_ended" | "message_came" | "object_changed" | "object_gone" | "capability_granted" | "capability_revoked" | "request_answered";

  /**
   * A part of a conversation that is kept as an object: each entry of it is a message, or a list of
   * messages. The call takes them as they are when it is decided.
   */
  type Excerpt = {
    /**
     * The bytes of these entries; the call fails if they are others. So what it may take is known
     * before it is looked at.
     */
    bytes: number;
    /** The object. */
    object: Abi.ObjectId;
    /** What of it, in the order in which it is said. */
    spans: Array<Abi.Span>;
  };

  /** The kind of a directory entry. */
  type FileKind = "file" | "dir" | "symlink" | "other";

  /** Why an answer ended. */
  type Finish = "stop" | "tool_calls" | "length";

  /** A folder that is the process's working directory when it is not given. */
  type Folder = Abi.FsPath | null;

  /** How a forked process stands to the memory of its parent. */
  type ForkMode = "worker" | "copy" | "speculative";

  /**
   * A path in a mount. A caller writes it relative to its working directory, or from a mount on
   * (`fs:data/a.csv`); the kernel makes it canonical (`workspace/src/a.rs`: mount first, no `.`, no
   * `..`) before anything looks at it.
   */
  type FsPath = string;

  /** A grant as it is written in a task file, a spawn or a delegation. */
  type GrantSpec = {
    /** How many calls it admits over its life, those of everyone it was handed to included. */
    calls_max?: number | null;
    /** How many times it may be handed on, one below the other; 0 (the default) is not at all. */
    delegable?: number;
    /** `allow` (the default), `ask` or `deny`. */
    effect?: Abi.Effect;
    /** How long it lives from now on; absent is for ever. */
    expires?: Abi.Millis | null;
    /** The resources it speaks of. */
    on: Abi.Pattern;
    /** The rights it speaks of. */
    rights: Abi.Rights;
    /** How often it may be used; absent is without limit. A finite grant cannot be delegated. */
    uses?: number | null;
    /** Conditions on arguments, by the argument's name. All must hold. */
    when?: Abi.Conditions;
  };

  /** A group of tools. */
  type Group = {
    /** Whether the caller has activated it. */
    active: boolean;
    /** What its tools are for. */
    description: string;
    /** Its name. */
    name: string;
    /** Its tools. */
    tools: Array<string>;
  };

  /**
   * What happened. It says what, never the content: that takes a call with authority of its own.
   */
  type Happened = { child_made: {
    /** The child. */
    pid: Abi.Pid;
  } } | { child_ended: {
    /** The child. */
    pid: Abi.Pid;
  } } | { message_came: {
    /** From whom; absent is the host. */
    from?: Abi.Pid | null;
  } } | { object_changed: {
    /** The object. */
    id: Abi.ObjectId;
    /** Its version now. */
    version: number;
  } } | { object_gone: {
    /** The object. */
    id: Abi.ObjectId;
  } } | { capability_granted: {
    /** The capability. */
    capability: Abi.CapId;
  } } | { capability_revoked: {
    /** The capability. */
    capability: Abi.CapId;
  } } | { request_answered: {
    /** The request. */
    request: Abi.RequestId;
  } };

  /** A header of a request or of a reply. */
  type Header = {
    /** Its name. */
    name: string;
    /** Its value. */
    value: string;
  };

  /** An image: a declaration, which grants nothing. */
  type Image = {
    /** The limits of a process that is made without its own. */
    budget?: Abi.Budget;
    /** How a planner chooses what a model is shown. It is handed to the planner as it is. */
    context?: Abi.Json | null;
    /** What it is for. */
    description?: string;
    /** Generated tools among those of its table and its groups. */
    generated?: Array<Abi.Definition>;
    /** Its name. */
    name: string;
    /** Who plans for its processes by default. */
    planner?: Abi.PlannerSpec | null;
    /** What a model is told first. */
    prompt?: Abi.Text;
    /** What its processes will need. Shown to people; **never granted**. */
    required_capabilities?: Array<Abi.GrantSpec>;
    /** What a workspace begins with that is empty. */
    seed?: Array<Abi.PackageFile>;
    /** Skills that its processes may be told of. Who takes one up needs `execute` on it. */
    skills?: Array<Abi.SkillPin>;
    /**
     * Tools shown on request only, so that a model chooses among few. They can be called whether
     * they are shown or not.
     */
    tool_groups?: Array<Abi.ToolGroup>;
    /** The tools in its table. */
    tools?: Array<string>;
    /** Its version. */
    version: string;
  };

  /** Whether an object is in a rendering, and why. */
  type Inclusion = "pinned" | "chosen" | "over_budget" | "denied" | "released";

  /** How far data can be trusted to say what its reader is to do. */
  type Integrity = "trusted" | "untrusted";

  type Json = any;

  /** A content that was kept as an object. */
  type KeptContent = {
    /** How many bytes are kept. */
    bytes: number;
    /** The object, in the memory of the caller. */
    id: Abi.ObjectId;
  };

  /**
   * The label of some data, or the clearance of a place that data may go to. A part that is left
   * out is the lowest.
   */
  type Label = {
    /** How far it can be trusted. */
    integrity?: Abi.Integrity;
    /** Where it came from. */
    origins?: Abi.Sources;
    /** How far it may spread. */
    sensitivity?: Abi.Sensitivity;
  };

  /** The language of a tool's source. */
  type Language = "javascript" | "typescript" | "wat" | "component";

  /** A line that a search found. */
  type LineFound = {
    /** The line's number; the first is 1. */
    line: number;
    /** The file. Canonical; `fs:` before it makes it a path to call with. */
    path: Abi.FsPath;
    /** Its text, cut at a character boundary within 256 bytes. */
    text: string;
  };

  /** A link between objects. */
  type Link = {
    /** Where it begins. */
    from: Abi.ObjectId;
    /** What it says, a word the maker chose. */
    relation: string;
    /** Where it ends. */
    to: Abi.ObjectId;
  };

  /** Methods that change nothing on the server. */
  type Looking = "GET" | "HEAD";

  /**
   * What bounds a process and all below it, whatever they are granted. A part that is absent bounds
   * nothing; one that is there and empty admits nothing. A child is bound by its own manifest and
   * by all above it, so bounds only ever get tighter.
   */
  type Manifest = {
    /** What may be granted, by the host or by a human's answer. */
    authority?: Array<Abi.Bound> | null;
    /**
     * The calls that may be made, as `fs.read`, or as `fs.*` for a whole service. Calls that demand
     * no right are not bounded.
     */
    calls?: Array<string> | null;
    /** What its processes may ask a human for. */
    requestable?: Array<Abi.Bound> | null;
  };

  /** What a rendering says of one object. */
  type ManifestEntry = {
    /** The object. */
    id: Abi.ObjectId;
    /** Whether it is in, and why. */
    reason: Abi.Inclusion;
    /** What it takes, estimated at four bytes a token. */
    tokens: number;
    /** Its version; 0 where it could not be seen. */
    version: number;
  };

  /** A message. */
  type Message = {
    /** Its text. */
    body: Abi.Text;
    /** The channel it was sent on. */
    channel?: string | null;
    /** What ties messages of one conversation together; chosen by whoever began it. */
    correlation?: string | null;
    /** Who sent it; absent is the host. The kernel wrote this, the sender cannot. */
    from?: Abi.Pid | null;
    /** Its id. */
    id: Abi.MessageId;
    /** How it is delivered. */
    kind: Abi.MessageKind;
    /** Its data. */
    payload?: Abi.Json | null;
    /** The message it answers. */
    reply_to?: Abi.MessageId | null;
    /** When it was sent, in milliseconds since the epoch. */
    sent_at_ms: number;
    /** A word for what it is about. */
    subject?: string | null;
    /** To whom. */
    to: Abi.Pid;
  };

  type MessageId = string;

  /** How a message is delivered. */
  type MessageKind = "letter" | "interrupt";

  /** milliseconds, or text such as 250ms, 30s, 10m, 1h, 2d */
  type Millis = number | string;

  /** A right over a resource that a call needs. */
  type Need = {
    /** The resource, canonical. */
    on: Abi.Resource;
    /** The right. */
    right: Abi.Right;
  };

  /** An object that is not as it was. */
  type ObjectChange = {
    /** What has become of it. */
    change: Abi.Change;
    /** The digest of its content, now or else then. */
    digest: Abi.Digest;
    /** The object. */
    id: Abi.ObjectId;
    /** Its version now; 0 if it is not there. */
    now: number;
    /** Its version then; 0 if it was not there. */
    was: number;
  };

  type ObjectId = string;

  /** An object without its payload. */
  type ObjectInfo = {
    /** The payload's length in bytes, appended entries included. */
    bytes: number;
    /** When it was made, in milliseconds since the epoch. */
    created_at_ms: number;
    /**
     * The digest of its payload's canonical JSON; after an append, of the digest before and the
     * entry's.
     */
    digest: Abi.Digest;
    /** Its id. */
    id: Abi.ObjectId;
    /** Whether it never changes. */
    immutable: boolean;
    /** Its name there. */
    name?: string | null;
    /** The namespace it is named in. */
    namespace?: string | null;
    /** Who owns it. */
    owner: Abi.Pid;
    /** The objects it was made from. */
    parents: Array<Abi.ObjectId>;
    /** Whether its payload was given up; what it was made from and its digest stay. */
    released: boolean;
    /** Words to find it by. */
    tags: Array<string>;
    /** Its type, a word the maker chose. */
    type: string;
    /** When it was last changed. */
    updated_at_ms: number;
    /** Its version, from 1. */
    version: number;
  };

  /** Something that happened. */
  type Occurrence = {
    /** When, in milliseconds since the epoch. */
    at_ms: number;
    /** Its number for the subscriber, from 1. */
    number: number;
    /** What. */
    what: Abi.Happened;
  };

  /** What a merge does with an object that parent and child have both changed. */
  type OnConflict = "fail" | "child" | "parent";

  type OpId = string;

  /** Where a capability came from. */
  type Origin = "host" | "kernel" | { delegated: {
    /** By whom. */
    by: Abi.Pid;
  } } | { human: {
    /** The request. */
    request: Abi.RequestId;
  } };

  /** A file of a package. */
  type PackageFile = {
    /** Whether that is no text, but bytes written in base64. */
    base64?: boolean;
    /** Where it is in its folder, with `/` between names. */
    path: string;
    /** What it says. */
    text: Abi.Text;
  };

  /** A file or folder that a pattern fits. */
  type PathFound = {
    /** Its size in bytes, for a file. */
    bytes: number;
    /** What it is. */
    kind: Abi.FileKind;
    /** Where it is. Canonical; `fs:` before it makes it a path to call with. */
    path: Abi.FsPath;
  };

  type Pattern = string;

  type Pid = string;

  /** Who plans for a process: a kind the host has composed in, and its program. */
  type PlannerSpec = {
    /** The planner: `script`, `workflow`, ... */
    kind: string;
    /** What it runs, in the planner's own form. */
    program: Abi.Text;
  };

  /** A standing answer to a request for permission. */
  type Policy = "always" | "ask_each_time" | "never";

  /** A process that is not as it was. */
  type ProcessChange = {
    /** What has become of it. */
    change: Abi.Change;
    /** Its state now. */
    now: Abi.ProcessState;
    /** The process. */
    pid: Abi.Pid;
    /** Its runs so far. */
    runs: number;
    /** The messages it has not taken now. */
    unread: Array<Abi.MessageId>;
    /** Its state then. */
    was?: Abi.ProcessState | null;
  };

  /** A process as its parent and the host see it. */
  type ProcessInfo = {
    /** Its limits. */
    budget: Abi.Budget;
    /** Its working directory. */
    cwd: Abi.FsPath;
    /** How it ended. */
    ending?: Abi.Ending | null;
    /** What it is to achieve. */
    goal: Abi.Text;
    /** The image it was made from. */
    image: string;
    /** How it was forked, if it was. */
    mode?: Abi.ForkMode | null;
    /** The object that owns it, for a background task. */
    owner?: Abi.ObjectId | null;
    /** Its parent; the root of a task has none. */
    parent?: Abi.Pid | null;
    /** Its id. */
    pid: Abi.Pid;
    /** The kind of its planner. */
    planner: string;
    /** The root of its task. */
    root: Abi.Pid;
    /** When it began, in milliseconds since the epoch. */
    started_at_ms: number;
    /** Its state. */
    state: Abi.ProcessState;
    /** The tool groups it has activated. */
    tool_groups: Array<string>;
    /** Messages that it has not taken. */
    unread: number;
    /** What it has used. */
    usage: Abi.Usage;
    /** What it waits for, when waiting. */
    wait?: Abi.Wait | null;
    /** The host folder behind `fs:workspace`, shown to the host only. */
    workspace?: string | null;
  };

  /** The state of a process. */
  type ProcessState = "runnable" | "running" | "waiting" | "paused" | "exited" | "failed" | "killed";

  /** One object as it is rendered. */
  type Rendered = {
    /** The entries appended to it. */
    appended: Array<Abi.Json>;
    /** The object. */
    id: Abi.ObjectId;
    /** Its payload. */
    payload: Abi.Json;
    /** Its type. */
    type: string;
    /** Its version. */
    version: number;
  };

  /** Methods that may be repeated and change nothing more. */
  type Replacing = "PUT" | "DELETE";

  type RequestId = string;

  type Resource = string;

  /** One thing that may be done to a resource. No right implies another. */
  type Right = "read" | "write" | "execute" | "delete" | "link" | "diff" | "materialize" | "grant" | "revoke" | "approve" | "admin" | "use";

  type Rights = Array<Abi.Right>;

  /**
   * What a scheduling policy is told of a process. A child is never ahead of its parent: its weight
   * is at most its parent's, its deadline no earlier.
   */
  type Schedule = {
    /** By when it should be done, counted from when it was made. */
    deadline?: Abi.Millis | null;
    /** Its share against others, from 1; 100 if absent. */
    weight?: number | null;
  };

  /** A call that a test expects, and its answer: a reply or an error. */
  type ScriptedCall = {
    /** Its arguments. */
    args: Abi.Json;
    /** The call, as in `fs.read`. */
    call: string;
    /** Its error. */
    error?: Abi.ScriptedError | null;
    /** Its reply. */
    reply?: Abi.Json | null;
  };

  /** An error that a test answers a call with. */
  type ScriptedError = {
    /** The code: `denied`, or one of the failures of the call's service. */
    code: string;
    /** The message. */
    message?: string;
  };

  /** The use of a secret in a call. Whoever performs the call puts the value there. */
  type SecretUse = {
    /** Where it goes: the name of a header, or of a variable of a program's environment. */
    at: string;
    /** The name under which the host registered it. */
    name: string;
    /** What stands before it there, as in `Bearer `. */
    prefix?: string | null;
  };

  /** Methods of which nobody can tell afterwards what they did. */
  type Sending = "POST" | "PATCH";

  /** How far data may spread. */
  type Sensitivity = "public" | "internal" | "confidential" | "secret";

  /** A signal. */
  type Signal = "pause" | "resume" | "terminate" | "cancel";

  /** A skill as its package has it: a `SKILL.md` and the files beside it. It grants nothing. */
  type Skill = {
    /** The only tools that a process can call while the skill is active; absent narrows nothing. */
    allowed_tools?: Array<string> | null;
    /** What it needs of where it is used, in words. */
    compatibility?: string | null;
    /** What it is for, and when to take it up. */
    description: string;
    /** The files beside it. */
    files?: Array<Abi.PackageFile>;
    /** Under which terms it may be used. */
    license?: string | null;
    /** What its author says besides. */
    metadata?: Abi.Json | null;
    /** Its name. */
    name: string;
    /** What a model is told that takes it up. */
    text: Abi.Text;
  };

  /** A skill in a list. */
  type SkillInfo = {
    /** Whether the caller has taken it up. */
    active: boolean;
    /** The only tools that a process can call while it is active; absent narrows nothing. */
    allowed_tools?: Array<string> | null;
    /** What it is for, and when to take it up. */
    description: string;
    /** The digest of all of its package. */
    digest: Abi.Digest;
    /** Its name. */
    name: string;
  };

  /** A skill of an image: this package and no other. */
  type SkillPin = {
    /** The digest of its package. */
    digest: Abi.Digest;
    /** Its name. */
    name: string;
  };

  /** Where data came from: the kind of the resource that was read. */
  type Source = "fs" | "shell" | "net" | "llm" | "mcp" | "human" | "other";

  type Sources = Array<Abi.Source>;

  /** Entries of an object one behind the other. */
  type Span = {
    /** The first, counted from 0. */
    from: number;
    /** Behind the last. */
    to: number;
  };

  /** How far a generated tool has come. */
  type Stage = "proposed" | "rejected" | "validated" | "registered";

  /** Whether a capability can still be used. */
  type Status = "active" | "revoked" | "expired" | "exhausted" | "ended";

  /** One subscription. */
  type Subscription = {
    /** What kind of event. */
    kind: Abi.EventKind;
    /** Only of this object. */
    object?: Abi.ObjectId | null;
  };

  /** How one test of a tool ended. */
  type TestResult = {
    /** What it did instead. */
    message?: string | null;
    /** The test. */
    name: string;
    /** Whether the tool did what the test expects. */
    passed: boolean;
  };

  type Text = string;

  /**
   * What an exchange took. Where the endpoint does not say, it is what texts of that length take.
   */
  type Tokens = {
    /** Those of them that it had seen before and that cost less. */
    cached: number;
    /** Tokens that went to the model, those below included. */
    input: number;
    /** Tokens that came from it. */
    output: number;
  };

  /** Tools that a process is shown once it activates the group. */
  type ToolGroup = {
    /** What its tools are for. */
    description?: string;
    /** Its name. */
    name: string;
    /** The tools in it. */
    tools: Array<string>;
  };

  /**
   * What one run of a generated tool may take. Each part tightens the limit of the sandbox, and
   * widens none.
   */
  type ToolLimits = {
    /** How long it may compute; waiting for a call does not count. */
    compute?: Abi.Millis | null;
    /** Instructions, roughly. */
    fuel?: number | null;
    /** Memory, in bytes. */
    memory_bytes?: number | null;
    /** What it gives back, in bytes. */
    output_bytes?: number | null;
    /** System calls. */
    syscalls?: number | null;
  };

  /** A call that a generated tool declares to make. */
  type ToolNeed = {
    /** The call, as in `fs.read`. */
    call: string;
    /** The resources that it may be about; absent is any that the process may. */
    on?: Array<Abi.Pattern> | null;
  };

  /** Why a source or a schema makes no tool. */
  type ToolProblem = {
    /** A code, as in `syntax`. */
    code: string;
    /** The column, in characters, from 1. */
    column?: number | null;
    /** The line of the source, from 1. */
    line?: number | null;
    /** What is wrong. */
    message: string;
  };

  /** What the sandbox found out about a tool. */
  type ToolReport = {
    /** The digest of what was looked at. */
    digest: Abi.Digest;
    /** The tool. */
    name: string;
    /** Whether it compiles, its schemas hold and every test passed. */
    passed: boolean;
    /** Why it makes no tool. */
    problem?: Abi.ToolProblem | null;
    /** Its tests, in order. */
    tests: Array<Abi.TestResult>;
  };

  /** A generated tool in a list. */
  type ToolStatus = {
    /** What it does. */
    description: string;
    /** The digest of everything it was proposed with. */
    digest: Abi.Digest;
    /** The language of its source. */
    language: Abi.Language;
    /** Its name. */
    name: string;
    /** The process that it is private to. */
    of: Abi.Pid;
    /** How far it has come. */
    stage: Abi.Stage;
  };

  /** A test of a generated tool. It makes no call of the host: each is answered from here. */
  type ToolTest = {
    /** The arguments of the tool. */
    args: Abi.Json;
    /** The calls that the tool must make, in this order and no other. */
    calls?: Array<Abi.ScriptedCall>;
    /** The code of the error that it must end in instead. */
    error?: string | null;
    /** Its name. */
    name: string;
    /** The result that it must give. */
    result?: Abi.Json | null;
  };

  /** an http or https address without credentials or fragment */
  type Url = string;

  /** What a process and all below it have used, what is set aside for calls under way included. */
  type Usage = {
    /** Bytes moved in and out by effects. */
    bytes: number;
    /** Processes started below it. */
    children: number;
    /** Money, in millionths. */
    cost: number;
    /** System calls. */
    syscalls: number;
    /** Tokens of models. */
    tokens: number;
    /** Calls of tools. */
    tool_calls: number;
  };

  /** A value an argument is compared with. */
  type Value = boolean | number | string | Array<string>;

  /** A view: which objects belong into a context, in which order. It opens nothing. */
  type View = {
    /** When it was made, in milliseconds since the epoch. */
    at_ms: number;
    /** The view it was made from: compaction can be undone. */
    from?: Abi.ViewId | null;
    /** Its id. */
    id: Abi.ViewId;
    /** Its objects. */
    items: Array<Abi.ViewItem>;
    /** Whose it is. */
    owner: Abi.Pid;
  };

  type ViewId = string;

  /** One object of a view. */
  type ViewItem = {
    /** The object. */
    id: Abi.ObjectId;
    /** Whether it is in every rendering, whatever the policy. */
    pinned?: boolean;
  };

  /** What a waiting process waits for. */
  type Wait = {
    /** The thing. */
    on: Abi.WaitOn;
    /** When it gives up, in milliseconds since the epoch. */
    until_ms?: number | null;
  };

  /** The thing a process waits for. */
  type WaitOn = { child: Abi.Pid } | { message: Abi.Pid } | { human: Abi.RequestId } | "time" | { event: Abi.Pid };

  /** A condition as it is written. */
  type Written = Abi.Value | Abi.Condition;
}

/** Processes: launch, spawn, wait, end. */
interface LibosProcess {
  /**
   * Makes a child. Its authority is cut from the caller's and can only be narrower; denials and
   * questions that bind the caller bind the child too. Parent and child may message each other. It
   * takes `write` on `process:`. It fails with `unknown_image`.
   */
  spawn(args: {
    /** What it is to achieve. */
    goal: Abi.Text;
    /** The image it is made from; the caller's if absent. */
    image?: string | null;
    /** Who plans for it; the image's default if absent. */
    planner?: Abi.PlannerSpec | null;
    /** What it may do; nothing if absent. */
    grants?: Array<Abi.GrantSpec> | null;
    /** Its working directory. */
    cwd?: Abi.Folder;
    /** Its limits, within the caller's. */
    budget?: Abi.Budget | null;
    /** What bounds it further; the caller's bounds hold in any case. */
    manifest?: Abi.Manifest | null;
    /** What the scheduling policy is told. */
    schedule?: Abi.Schedule | null;
  }): Promise<{
    /** Its capabilities, in the order of the grants asked for. */
    capabilities: Array<Abi.CapId>;
    /** Its id. */
    pid: Abi.Pid;
  }>;
  /**
   * Waits until a child has ended and tells how. The caller may read the result it left. It fails
   * with `not_a_child`, `timed_out`.
   */
  wait(args: {
    /** The child. */
    pid: Abi.Pid;
    /** How long to wait; absent is without limit, 0 not at all. */
    timeout_ms?: Abi.Millis | null;
  }): Promise<{
    /** The code of the error it failed with, as in `denied`. */
    code?: string | null;
    /** What it said. */
    message?: string | null;
    /** The child. */
    pid: Abi.Pid;
    /** The object it left as its result. The parent may read it. */
    result?: Abi.ObjectId | null;
    /** Its state. */
    state: Abi.ProcessState;
  }>;
  /**
   * Ends the caller (of the host: any process), and nothing below it. It takes `read` on `object:`.
   */
  exit(args?: {
    /** The object it leaves as its result; the caller must be able to read it. */
    result?: Abi.ObjectId | null;
    /** A last word. */
    message?: string | null;
    /** Whether it ends badly. */
    failed?: boolean | null;
    /** The code of the error it failed with, as in `denied`. */
    code?: string | null;
    /** The process, for the host; the caller if absent. */
    pid?: Abi.Pid | null;
  }): Promise<{
    /** Its state after the call. */
    state: Abi.ProcessState;
  }>;
  /**
   * Holds, releases, cancels or ends a child (of the host: any process). It fails with
   * `not_a_child`, `already_ended`, `held_by_host`.
   */
  signal(args: {
    /** The process. */
    pid: Abi.Pid;
    /** The signal. */
    signal: Abi.Signal;
    /** Why. */
    reason?: string | null;
  }): Promise<{
    /** Its state after the call. */
    state: Abi.ProcessState;
  }>;
  /** Lists the caller's children (of the host: every process), a part at a time. */
  list(args?: {
    /** Behind this one, to go on. */
    after?: Abi.Pid | null;
    /** Only those that have not ended; false if absent. */
    live?: boolean | null;
    /** How many at most; 256 if absent and at the most. */
    limit?: number | null;
  }): Promise<{
    /** The last of them, where there are more behind it. */
    more_after?: Abi.Pid | null;
    /** In the order of their ids. */
    processes: Array<Abi.ProcessInfo>;
  }>;
  /**
   * Shows one process: the caller, or a child (of the host: any). It fails with `not_a_child`,
   * `not_found`.
   */
  inspect(args: {
    /** The process. */
    pid: Abi.Pid;
  }): Promise<{
    /** Its limits. */
    budget: Abi.Budget;
    /** Its working directory. */
    cwd: Abi.FsPath;
    /** How it ended. */
    ending?: Abi.Ending | null;
    /** What it is to achieve. */
    goal: Abi.Text;
    /** The image it was made from. */
    image: string;
    /** How it was forked, if it was. */
    mode?: Abi.ForkMode | null;
    /** The object that owns it, for a background task. */
    owner?: Abi.ObjectId | null;
    /** Its parent; the root of a task has none. */
    parent?: Abi.Pid | null;
    /** Its id. */
    pid: Abi.Pid;
    /** The kind of its planner. */
    planner: string;
    /** The root of its task. */
    root: Abi.Pid;
    /** When it began, in milliseconds since the epoch. */
    started_at_ms: number;
    /** Its state. */
    state: Abi.ProcessState;
    /** The tool groups it has activated. */
    tool_groups: Array<string>;
    /** Messages that it has not taken. */
    unread: number;
    /** What it has used. */
    usage: Abi.Usage;
    /** What it waits for, when waiting. */
    wait?: Abi.Wait | null;
    /** The host folder behind `fs:workspace`, shown to the host only. */
    workspace?: string | null;
  }>;
  /** Tells the working directory. */
  cwd(): Promise<{
    /** Canonical: the mount first. */
    path: Abi.FsPath;
  }>;
  /**
   * Moves to another working directory. It need not exist yet: the next call that uses it tells. It
   * takes `read` on `fs:`.
   */
  chdir(args: {
    /** The folder. */
    path: Abi.FsPath;
  }): Promise<{
    /** Canonical: the mount first. */
    path: Abi.FsPath;
  }>;
  /** Ends the quantum: what the planner keeps is recorded, finished steps are forgotten. */
  commit(args: {
    /** What the planner needs to go on. */
    state: Abi.Text;
  }): Promise<{
    /** Its state after the call. */
    state: Abi.ProcessState;
  }>;
  /**
   * Makes a child that shares the caller's memory, image and folder as `mode` says, and gets only
   * the authority that is listed. Costs the same whatever the caller holds in memory. It takes
   * `write` on `process:`.
   */
  fork(args: {
    /** What it is to achieve. */
    goal: Abi.Text;
    /** How it stands to the caller's memory. */
    mode: Abi.ForkMode;
    /** For a worker: the objects it may read; all of the caller's if absent. */
    roots?: Array<Abi.ObjectId> | null;
    /** Who plans for it; the caller's planner with its program if absent. */
    planner?: Abi.PlannerSpec | null;
    /** What it may do besides; nothing if absent. */
    grants?: Array<Abi.GrantSpec> | null;
    /** Its working directory. */
    cwd?: Abi.Folder;
    /** Its limits, within the caller's. */
    budget?: Abi.Budget | null;
    /** What bounds it further. */
    manifest?: Abi.Manifest | null;
    /** What the scheduling policy is told. */
    schedule?: Abi.Schedule | null;
    /** The process, for the host; the caller if absent. */
    pid?: Abi.Pid | null;
  }): Promise<{
    /** Its capabilities, in the order of the grants asked for. */
    capabilities: Array<Abi.CapId>;
    /** Its id. */
    pid: Abi.Pid;
  }>;
  /**
   * Goes on as another image. Authority only shrinks: what is not kept is given up for good,
   * denials and questions stay. The quantum ends; the new planner begins with nothing kept. It
   * takes `execute` on `image:`. It fails with `unknown_image`, `not_held`.
   */
  exec(args: {
    /** The image. */
    image: string;
    /** What it is to achieve; the goal it has if absent. */
    goal?: Abi.Text | null;
    /** Who plans for it; the image's default if absent. */
    planner?: Abi.PlannerSpec | null;
    /** The capabilities to keep, besides those over its own memory, children and parent. */
    keep?: Array<Abi.CapId> | null;
    /** Whether to keep its objects; true if absent. */
    keep_objects?: boolean | null;
    /** The process, for the host; the caller if absent. */
    pid?: Abi.Pid | null;
  }): Promise<{
    /** Its state after the call. */
    state: Abi.ProcessState;
  }>;
  /**
   * Starts one call of a tool in the background, as a child that an object owns: it ends when the
   * object is removed. `process.wait` tells its result, `process.signal` cancels it. It takes
   * `write` on `process:`.
   */
  start_task(args: {
    /** The object that owns it. */
    owner: Abi.ObjectId;
    /** The tool. */
    tool: string;
    /** Its arguments. */
    args: Abi.Json;
    /** What it may do; nothing if absent. */
    grants?: Array<Abi.GrantSpec> | null;
    /** Its limits, within the caller's. */
    budget?: Abi.Budget | null;
  }): Promise<{
    /** Its capabilities, in the order of the grants asked for. */
    capabilities: Array<Abi.CapId>;
    /** Its id. */
    pid: Abi.Pid;
  }>;
  /** Lists the background tasks that an object owns. It takes `read` on `object:`. */
  tasks(args: {
    /** The object. */
    owner: Abi.ObjectId;
  }): Promise<{
    /** The last of them, where there are more behind it. */
    more_after?: Abi.Pid | null;
    /** In the order of their ids. */
    processes: Array<Abi.ProcessInfo>;
  }>;
  /**
   * Takes the objects of a child that has ended into the caller's memory. Of a child that was
   * forked with a copy, what it changed replaces the caller's version. It fails with `not_a_child`,
   * `still_running`, `merge_conflict`.
   */
  merge(args: {
    /** The child. */
    pid: Abi.Pid;
    /** What to do with what both have changed; `fail` if absent. */
    on_conflict?: Abi.OnConflict | null;
  }): Promise<{
    /** New objects. */
    adopted: Array<Abi.Adopted>;
    /** Objects that both had changed and that kept the caller's version. */
    kept: Array<Abi.ObjectId>;
    /** Objects of the caller that took the child's version. */
    updated: Array<Abi.ObjectId>;
  }>;
  /** Drops the objects of a child that has ended. It fails with `not_a_child`, `still_running`. */
  discard(args: {
    /** The child. */
    pid: Abi.Pid;
  }): Promise<{
    /** How many objects. */
    objects: number;
  }>;
  /**
   * Shows the caller the tools of a group of its image from now on. Showing grants nothing. It
   * fails with `unknown_group`.
   */
  activate_tools(args: {
    /** The group. */
    group: string;
  }): Promise<{
    /** In the order of their activation. */
    groups: Array<string>;
  }>;
}

/**
 * Object Memory: typed, versioned, content-addressed objects. Every process has a space of its own,
 * `object:p7/*`, over which it holds every right once it has made an object. A denied object cannot
 * be told from a missing one: authority is decided before the object is looked for.
 */
interface LibosObject {
  /**
   * Makes an object, private to the caller, who holds every right over its own memory. It takes
   * `write` on `namespace:`. It fails with `name_taken`, `unknown_namespace`, `too_large`.
   */
  create(args: {
    /** A word for what it is. */
    type: string;
    /** Its content. */
    payload: Abi.Json;
    /** A name; needs a namespace. */
    name?: string | null;
    /** Where to name it; the caller needs write on it. */
    namespace?: string | null;
    /** The objects it was made from; the caller must be able to read them. */
    parents?: Array<Abi.ObjectId> | null;
    /** Words to find it by. */
    tags?: Array<string> | null;
    /** Whether it never changes; false if absent. */
    immutable?: boolean | null;
  }): Promise<{
    /** The digest of its payload. */
    digest: Abi.Digest;
    /** The object. */
    id: Abi.ObjectId;
    /** Its version after the call. */
    version: number;
  }>;
  /**
   * Reads an object of at most 1 MiB. It takes `read` on `object:`. It fails with `not_found`,
   * `too_large`, `released`.
   */
  read(args: {
    /** The object. */
    id: Abi.ObjectId;
  }): Promise<{
    /** The entries appended to it since, in order. */
    appended: Array<Abi.Json>;
    /** Its id. */
    id: Abi.ObjectId;
    /** Its payload as it was last written. */
    payload: Abi.Json;
    /** Its type. */
    type: string;
    /** Its version. */
    version: number;
  }>;
  /**
   * Replaces an object's payload: a new version. It takes `write` on `object:`. It fails with
   * `not_found`, `version_conflict`, `too_large`, `immutable`, `released`.
   */
  update(args: {
    /** The object. */
    id: Abi.ObjectId;
    /** Its new content. */
    payload: Abi.Json;
    /** The version it must have now. */
    expected_version?: number | null;
  }): Promise<{
    /** The digest of its payload. */
    digest: Abi.Digest;
    /** The object. */
    id: Abi.ObjectId;
    /** Its version after the call. */
    version: number;
  }>;
  /** Lists the objects the caller owns (of the host: every object), a part at a time. */
  list(args?: {
    /** Only those of this type. */
    type?: string | null;
    /** Behind this one, to go on. */
    after?: Abi.ObjectId | null;
    /** How many at most; 256 if absent and at the most. */
    limit?: number | null;
  }): Promise<{
    /** The last of them, where there are more behind it. */
    more_after?: Abi.ObjectId | null;
    /** In the order of their ids. */
    objects: Array<Abi.ObjectInfo>;
  }>;
  /**
   * Removes an object. Background tasks that it owns end. It takes `delete` on `object:`. It fails
   * with `not_found`.
   */
  delete(args: {
    /** The object. */
    id: Abi.ObjectId;
  }): Promise<{
    /** Its id. */
    id: Abi.ObjectId;
  }>;
  /**
   * Shows an object without its payload. It takes `read` on `object:`. It fails with `not_found`.
   */
  stat(args: {
    /** The object. */
    id: Abi.ObjectId;
  }): Promise<{
    /** The payload's length in bytes, appended entries included. */
    bytes: number;
    /** When it was made, in milliseconds since the epoch. */
    created_at_ms: number;
    /**
     * The digest of its payload's canonical JSON; after an append, of the digest before and the
     * entry's.
     */
    digest: Abi.Digest;
    /** Its id. */
    id: Abi.ObjectId;
    /** Whether it never changes. */
    immutable: boolean;
    /** Its name there. */
    name?: string | null;
    /** The namespace it is named in. */
    namespace?: string | null;
    /** Who owns it. */
    owner: Abi.Pid;
    /** The objects it was made from. */
    parents: Array<Abi.ObjectId>;
    /** Whether its payload was given up; what it was made from and its digest stay. */
    released: boolean;
    /** Words to find it by. */
    tags: Array<string>;
    /** Its type, a word the maker chose. */
    type: string;
    /** When it was last changed. */
    updated_at_ms: number;
    /** Its version, from 1. */
    version: number;
  }>;
  /**
   * Adds an entry to an object whose payload is a list of less than 4 KiB: a new version that costs
   * what the entry costs. It takes `write` on `object:`. It fails with `not_found`, `not_a_list`,
   * `version_conflict`, `too_large`, `immutable`, `released`.
   */
  append(args: {
    /** The object. */
    id: Abi.ObjectId;
    /** The entry. */
    entry: Abi.Json;
    /** The version it must have now. */
    expected_version?: number | null;
  }): Promise<{
    /** The digest of its payload. */
    digest: Abi.Digest;
    /** The object. */
    id: Abi.ObjectId;
    /** Its version after the call. */
    version: number;
  }>;
  /**
   * Connects two objects. Doing so again changes nothing. It takes `link` on `object:`. It fails
   * with `not_found`, `too_large`.
   */
  link(args: {
    /** Where the link begins. */
    from: Abi.ObjectId;
    /** A word for what it says. */
    relation: string;
    /** Where it ends. */
    to: Abi.ObjectId;
  }): Promise<{
    /** In the order of their ends. */
    links: Array<Abi.Link>;
  }>;
  /** Removes a link. It takes `link` on `object:`. It fails with `not_found`. */
  unlink(args: {
    /** Where it begins. */
    from: Abi.ObjectId;
    /** What it says. */
    relation: string;
    /** Where it ends. */
    to: Abi.ObjectId;
  }): Promise<{
    /** In the order of their ends. */
    links: Array<Abi.Link>;
  }>;
  /**
   * Lists the links of an object, both ways. It takes `read` on `object:`. It fails with
   * `not_found`.
   */
  links(args: {
    /** The object. */
    id: Abi.ObjectId;
  }): Promise<{
    /** In the order of their ends. */
    links: Array<Abi.Link>;
  }>;
  /**
   * Finds objects in the memory of one process. Everything given must fit. It takes `read` on
   * `object:`.
   */
  query(args?: {
    /** Whose memory; the caller's if absent. */
    space?: Abi.Pid | null;
    /** Of this type. */
    type?: string | null;
    /** With this tag. */
    tag?: string | null;
    /** Whose name begins so. */
    name_prefix?: string | null;
    /** Made from this object. */
    parent?: Abi.ObjectId | null;
    /** Changed since then, in milliseconds since the epoch. */
    since_ms?: number | null;
    /** After this one, to go on. */
    after?: Abi.ObjectId | null;
    /** How many at most; 100 if absent, 1,000 at the most. */
    limit?: number | null;
  }): Promise<{
    /** The last of them, where there are more behind it. */
    more_after?: Abi.ObjectId | null;
    /** In the order of their ids. */
    objects: Array<Abi.ObjectInfo>;
  }>;
  /**
   * Hands an object over: it moves into the memory of a child or the parent, under a new id, and
   * the caller's authority over it ends. It takes `grant` on `object:`. It fails with `not_found`,
   * `receiver_ended`.
   */
  transfer(args: {
    /** The object. */
    id: Abi.ObjectId;
    /** To whom; the caller needs write on it. */
    to: Abi.Pid;
  }): Promise<{
    /** The digest of its payload. */
    digest: Abi.Digest;
    /** The object. */
    id: Abi.ObjectId;
    /** Its version after the call. */
    version: number;
  }>;
  /**
   * Gives up an object's payload. What it was made from, its links and its digest stay. It takes
   * `delete` on `object:`. It fails with `not_found`, `released`.
   */
  release(args: {
    /** The object. */
    id: Abi.ObjectId;
  }): Promise<{
    /** The digest of its payload. */
    digest: Abi.Digest;
    /** The object. */
    id: Abi.ObjectId;
    /** Its version after the call. */
    version: number;
  }>;
  /** Makes a view, private to the caller. It fails with `no_view`, `too_large`. */
  make_view(args: {
    /** Its objects, in order, each once. */
    items: Array<Abi.ViewItem>;
    /** The view it is made from; its pinned objects stay pinned in the new one. */
    from?: Abi.ViewId | null;
  }): Promise<{
    /** When it was made, in milliseconds since the epoch. */
    at_ms: number;
    /** The view it was made from: compaction can be undone. */
    from?: Abi.ViewId | null;
    /** Its id. */
    id: Abi.ViewId;
    /** Its objects. */
    items: Array<Abi.ViewItem>;
    /** Whose it is. */
    owner: Abi.Pid;
  }>;
  /** Shows a view of the caller (of the host: any). It fails with `no_view`. */
  view(args: {
    /** The view. */
    view: Abi.ViewId;
  }): Promise<{
    /** When it was made, in milliseconds since the epoch. */
    at_ms: number;
    /** The view it was made from: compaction can be undone. */
    from?: Abi.ViewId | null;
    /** Its id. */
    id: Abi.ViewId;
    /** Its objects. */
    items: Array<Abi.ViewItem>;
    /** Whose it is. */
    owner: Abi.Pid;
  }>;
  /** Lists the views of the caller (of the host: all). */
  views(): Promise<{
    /** In the order of their ids. */
    views: Array<Abi.View>;
  }>;
  /** Drops a view of the caller. It fails with `no_view`. */
  drop_view(args: {
    /** The view. */
    view: Abi.ViewId;
  }): Promise<{
    /** In the order of their ids. */
    views: Array<Abi.View>;
  }>;
  /**
   * Renders the objects of a view within a budget of tokens. Each needs `materialize`; what may not
   * be rendered is left out and named. It fails with `no_view`, `pinned_over_budget`.
   */
  materialize(args: {
    /** The view. */
    view: Abi.ViewId;
    /** How many tokens at most; 8,000 if absent. */
    tokens?: number | null;
    /** Which come first when not all fit; `order` if absent. */
    choice?: Abi.Choice | null;
  }): Promise<{
    /** What is in, in the order of the view. */
    items: Array<Abi.Rendered>;
    /** Every object of the view: what is in, what is not, and why. */
    manifest: Array<Abi.ManifestEntry>;
    /** What is in, in estimated tokens. */
    tokens: number;
  }>;
  /**
   * Reads entries that were appended to an object, as many as fit 1 MiB: so a content that was kept
   * as an object is read in parts. It takes `read` on `object:`. It fails with `not_found`,
   * `released`.
   */
  entries(args: {
    /** The object. */
    id: Abi.ObjectId;
    /** How many to pass over; none if absent. */
    skip?: number | null;
  }): Promise<{
    /** The entries, in order. */
    entries: Array<Abi.Json>;
    /** How many are before what comes next, where there is more. */
    next?: number | null;
    /** The version of the object. */
    version: number;
  }>;
}

/**
 * Namespaces: names for objects. A name is no authority: reading what it stands for is checked on
 * the object.
 */
interface LibosNamespace {
  /** Makes a namespace. It takes `write` on `namespace:`. It fails with `exists`, `bad_name`. */
  create(args: {
    /** Its name. */
    namespace: string;
  }): Promise<{
    /** The names in it, in order. */
    entries: Array<Abi.Entry>;
    /** Its name. */
    namespace: string;
  }>;
  /** Lists the names in a namespace. It takes `read` on `namespace:`. It fails with `not_found`. */
  list(args: {
    /** The namespace. */
    namespace: string;
  }): Promise<{
    /** The names in it, in order. */
    entries: Array<Abi.Entry>;
    /** Its name. */
    namespace: string;
  }>;
  /** Finds what a name stands for. It takes `read` on `namespace:`. It fails with `not_found`. */
  lookup(args: {
    /** The namespace. */
    namespace: string;
    /** The name. */
    name: string;
  }): Promise<{
    /** The object. */
    id: Abi.ObjectId;
    /** The name. */
    name: string;
  }>;
}

/** Capabilities: look, hand on, take back, explain. */
interface LibosCapability {
  /** Lists the caller's capabilities (of the host: a process's, or all), a part at a time. */
  list(args?: {
    /** The process, for the host. */
    pid?: Abi.Pid | null;
    /** Those out of force too. */
    all?: boolean | null;
    /** Behind this one, to go on. */
    after?: Abi.CapId | null;
    /** How many at most; 256 if absent and at the most, and fewer where they are large. */
    limit?: number | null;
  }): Promise<{
    /** In the order of their ids. */
    capabilities: Array<Abi.CapabilityInfo>;
    /** The last of them, where there are more behind it. */
    more_after?: Abi.CapId | null;
  }>;
  /** Shows one of the caller's capabilities (of the host: any). It fails with `not_found`. */
  inspect(args: {
    /** The capability. */
    capability: Abi.CapId;
  }): Promise<{
    /** For an approval: what it is tied to. */
    binding?: Abi.Binding | null;
    /** Calls left over its life. */
    calls_left?: number | null;
    /** How many times more it may be handed on. */
    delegable: number;
    /** `allow`, `ask` or `deny`. */
    effect: Abi.Effect;
    /** When it ends, in milliseconds since the epoch. */
    expires_at_ms?: number | null;
    /** Its id. */
    id: Abi.CapId;
    /** The resources it speaks of. */
    on: Abi.Pattern;
    /** Where it came from. */
    origin: Abi.Origin;
    /** The capability it was cut from. */
    parent?: Abi.CapId | null;
    /** The rights it speaks of. */
    rights: Abi.Rights;
    /** Whether it can still be used. */
    status: Abi.Status;
    /** The only process it works for. */
    subject: Abi.Pid;
    /** Uses left, not counting those reserved. */
    uses_left?: number | null;
    /** Its conditions. */
    when: Abi.Conditions;
  }>;
  /**
   * Hands part of the caller's authority to a child. Only ever narrower. It fails with `bad_grant`,
   * `not_a_child`, `outside_manifest`.
   */
  delegate(args: {
    /** The child. */
    to: Abi.Pid;
    /** What. */
    grant: Abi.GrantSpec;
  }): Promise<{
    /** Its id. */
    capability: Abi.CapId;
  }>;
  /**
   * Takes a capability back, and every one cut from it: one that the caller handed on (of the host:
   * any). It fails with `not_found`.
   */
  revoke(args: {
    /** The capability. */
    capability: Abi.CapId;
    /** Why. */
    reason?: string | null;
  }): Promise<{
    /** The one named and every one cut from it. */
    capabilities: Array<Abi.CapId>;
  }>;
  /** Explains what would be decided, and why. */
  explain(args: {
    /** The process, for the host; the caller if absent. */
    pid?: Abi.Pid | null;
    /** The right. */
    right: Abi.Right;
    /** The resource. */
    on: Abi.Resource;
  }): Promise<{
    /** What would be decided for a call without conditions on arguments. */
    effect: Abi.Effect;
    /** The right and the resource. */
    need: Abi.Need;
    /** Why, when it would be denied. */
    reason?: Abi.DenyReason | null;
    /** In words, with what would have to be granted. */
    text: string;
    /** Every capability of the subject that speaks of it, in the order they were weighed. */
    weighed: Array<Abi.CapabilityInfo>;
  }>;
}

/** Questions, approvals and messages to humans. A request is answered exactly once. */
interface LibosHuman {
  /**
   * Asks a human a question and waits for the answer. It takes `write` on `human:`. It fails with
   * `refused`.
   */
  ask(args: {
    /** The question. */
    question: Abi.Text;
    /** What helps to answer it. */
    context?: Abi.Text | null;
    /** Who is asked; `owner` if absent. */
    human?: string | null;
  }): Promise<{
    /** The text. */
    answer: Abi.Text;
  }>;
  /** Tells a human something. It takes `write` on `human:`. */
  output(args: {
    /** The message. */
    message: Abi.Text;
    /** To whom; `owner` if absent. */
    human?: string | null;
  }): Promise<{
    /** To whom. */
    human: string;
  }>;
  /**
   * Asks a human for a standing permission and waits for the answer. It takes `write` on `human:`.
   * It fails with `refused`, `not_requestable`.
   */
  request_permission(args: {
    /** For these resources. */
    on: Abi.Pattern;
    /** These rights. */
    rights: Abi.Rights;
    /** Why it is needed. */
    reason: string;
    /** Who is asked; `owner` if absent. */
    human?: string | null;
  }): Promise<{
    /** The capability it made. */
    capability?: Abi.CapId | null;
    /** The standing answer. */
    policy: Abi.Policy;
  }>;
}

/**
 * Messages between processes. A parent and its child may message each other from the start; anyone
 * else needs write on `process:<pid>`.
 */
interface LibosMessage {
  /**
   * Sends a message. It takes `write` on `process:`. It fails with `receiver_ended`,
   * `mailbox_full`, `not_received`.
   */
  send(args: {
    /** To whom. */
    to: Abi.Pid;
    /** Its text. */
    body: Abi.Text;
    /** A word for what it is about. */
    subject?: string | null;
    /** Data. */
    payload?: Abi.Json | null;
    /** How it is delivered; as a letter if absent. */
    kind?: Abi.MessageKind | null;
    /** A channel: a word by which the receiver can sort. */
    channel?: string | null;
    /** What ties messages of one conversation together. */
    correlation?: string | null;
    /** The message it answers: one that the receiver sent to the caller. */
    reply_to?: Abi.MessageId | null;
  }): Promise<{
    /** Its id. */
    id: Abi.MessageId;
  }>;
  /**
   * Takes messages out of the caller's mailbox, waiting until there is one. It fails with
   * `timed_out`.
   */
  receive(args?: {
    /** Only those of this sender. */
    from?: Abi.Pid | null;
    /** Only those with this subject. */
    subject?: string | null;
    /** How many at most; 100 if absent. */
    limit?: number | null;
    /** How long to wait; absent is without limit, 0 not at all. */
    timeout_ms?: Abi.Millis | null;
    /** Only those of this channel. */
    channel?: string | null;
    /** Only those of this conversation. */
    correlation?: string | null;
    /** Only answers to this message. */
    reply_to?: Abi.MessageId | null;
  }): Promise<{
    /** In the order they were sent. */
    messages: Array<Abi.Message>;
  }>;
  /** Looks at messages in the caller's mailbox and leaves them there. */
  peek(args?: {
    /** Only those of this sender. */
    from?: Abi.Pid | null;
    /** Only those of this channel. */
    channel?: string | null;
    /** How many at most; 100 if absent. */
    limit?: number | null;
  }): Promise<{
    /** In the order they were sent. */
    messages: Array<Abi.Message>;
  }>;
}

/** Images: what a process is made from. Nothing in an image grants anything. */
interface LibosImage {
  /** Lists the images. It takes `read` on `image:`. */
  list(): Promise<{
    /** In the order of their names. */
    images: Array<Abi.Image>;
  }>;
  /** Shows an image. It takes `read` on `image:`. It fails with `not_found`. */
  inspect(args: {
    /** Its name. */
    image: string;
  }): Promise<{
    /** The limits of a process that is made without its own. */
    budget?: Abi.Budget;
    /** How a planner chooses what a model is shown. It is handed to the planner as it is. */
    context?: Abi.Json | null;
    /** What it is for. */
    description?: string;
    /** Generated tools among those of its table and its groups. */
    generated?: Array<Abi.Definition>;
    /** Its name. */
    name: string;
    /** Who plans for its processes by default. */
    planner?: Abi.PlannerSpec | null;
    /** What a model is told first. */
    prompt?: Abi.Text;
    /** What its processes will need. Shown to people; **never granted**. */
    required_capabilities?: Array<Abi.GrantSpec>;
    /** What a workspace begins with that is empty. */
    seed?: Array<Abi.PackageFile>;
    /** Skills that its processes may be told of. Who takes one up needs `execute` on it. */
    skills?: Array<Abi.SkillPin>;
    /**
     * Tools shown on request only, so that a model chooses among few. They can be called whether
     * they are shown or not.
     */
    tool_groups?: Array<Abi.ToolGroup>;
    /** The tools in its table. */
    tools?: Array<string>;
    /** Its version. */
    version: string;
  }>;
  /**
   * Registers an image. To replace one needs `delete` on it as well. Only the host registers one
   * with generated tools or with files for a workspace. It takes `write` on `image:`. It fails with
   * `exists`, `bad_image`, `built_in`.
   */
  register(args: {
    /** The image. */
    image: Abi.Image;
    /** Whether it may replace one of the same name. */
    replace?: boolean | null;
  }): Promise<{
    /** The limits of a process that is made without its own. */
    budget?: Abi.Budget;
    /** How a planner chooses what a model is shown. It is handed to the planner as it is. */
    context?: Abi.Json | null;
    /** What it is for. */
    description?: string;
    /** Generated tools among those of its table and its groups. */
    generated?: Array<Abi.Definition>;
    /** Its name. */
    name: string;
    /** Who plans for its processes by default. */
    planner?: Abi.PlannerSpec | null;
    /** What a model is told first. */
    prompt?: Abi.Text;
    /** What its processes will need. Shown to people; **never granted**. */
    required_capabilities?: Array<Abi.GrantSpec>;
    /** What a workspace begins with that is empty. */
    seed?: Array<Abi.PackageFile>;
    /** Skills that its processes may be told of. Who takes one up needs `execute` on it. */
    skills?: Array<Abi.SkillPin>;
    /**
     * Tools shown on request only, so that a model chooses among few. They can be called whether
     * they are shown or not.
     */
    tool_groups?: Array<Abi.ToolGroup>;
    /** The tools in its table. */
    tools?: Array<string>;
    /** Its version. */
    version: string;
  }>;
  /**
   * Removes an image. Processes made from it go on, but have no tools any more. It takes `delete`
   * on `image:`. It fails with `not_found`, `built_in`.
   */
  unregister(args: {
    /** Its name. */
    image: string;
  }): Promise<{
    /** The limits of a process that is made without its own. */
    budget?: Abi.Budget;
    /** How a planner chooses what a model is shown. It is handed to the planner as it is. */
    context?: Abi.Json | null;
    /** What it is for. */
    description?: string;
    /** Generated tools among those of its table and its groups. */
    generated?: Array<Abi.Definition>;
    /** Its name. */
    name: string;
    /** Who plans for its processes by default. */
    planner?: Abi.PlannerSpec | null;
    /** What a model is told first. */
    prompt?: Abi.Text;
    /** What its processes will need. Shown to people; **never granted**. */
    required_capabilities?: Array<Abi.GrantSpec>;
    /** What a workspace begins with that is empty. */
    seed?: Array<Abi.PackageFile>;
    /** Skills that its processes may be told of. Who takes one up needs `execute` on it. */
    skills?: Array<Abi.SkillPin>;
    /**
     * Tools shown on request only, so that a model chooses among few. They can be called whether
     * they are shown or not.
     */
    tool_groups?: Array<Abi.ToolGroup>;
    /** The tools in its table. */
    tools?: Array<string>;
    /** Its version. */
    version: string;
  }>;
  /** Shows the image that the caller was made from. It fails with `not_found`. */
  own(): Promise<{
    /** The limits of a process that is made without its own. */
    budget?: Abi.Budget;
    /** How a planner chooses what a model is shown. It is handed to the planner as it is. */
    context?: Abi.Json | null;
    /** What it is for. */
    description?: string;
    /** Generated tools among those of its table and its groups. */
    generated?: Array<Abi.Definition>;
    /** Its name. */
    name: string;
    /** Who plans for its processes by default. */
    planner?: Abi.PlannerSpec | null;
    /** What a model is told first. */
    prompt?: Abi.Text;
    /** What its processes will need. Shown to people; **never granted**. */
    required_capabilities?: Array<Abi.GrantSpec>;
    /** What a workspace begins with that is empty. */
    seed?: Array<Abi.PackageFile>;
    /** Skills that its processes may be told of. Who takes one up needs `execute` on it. */
    skills?: Array<Abi.SkillPin>;
    /**
     * Tools shown on request only, so that a model chooses among few. They can be called whether
     * they are shown or not.
     */
    tool_groups?: Array<Abi.ToolGroup>;
    /** The tools in its table. */
    tools?: Array<string>;
    /** Its version. */
    version: string;
  }>;
}

/**
 * Tools: libc-like wrappers over system calls. A tool has no authority of its own: whatever it does
 * is a system call of its process, numbered under the step that called the tool.
 */
interface LibosTool {
  /**
   * Lists the tools that the caller is shown: those of its image's table and of the groups it has
   * activated.
   */
  list(): Promise<{
    /** The names, in the order of the image: its table, then its groups. */
    tools: Array<string>;
  }>;
  /**
   * Calls a tool of the caller's image, of its table or of any group, or one that the caller
   * registered. It fails with `bad_arguments`, `tool_failed`, `unknown_tool`, `nested`.
   */
  call(args: {
    /** Its name. */
    name: string;
    /** Its arguments. */
    args: Abi.Json;
  }): Promise<{
    /** Its result. */
    result: Abi.Json;
  }>;
  /** Lists the tool groups of the caller's image. `process.activate_tools` shows one's tools. */
  groups(): Promise<{
    /** In the order of the image. */
    groups: Array<Abi.Group>;
  }>;
  /**
   * Proposes a tool that the caller wrote. It takes the place of one of the same name that is not
   * registered. It fails with `exists`, `bad_tool`, `nested`.
   */
  propose(args: {
    /** The tool. */
    tool: Abi.Definition;
  }): Promise<{
    /** What it does. */
    description: string;
    /** The digest of everything it was proposed with. */
    digest: Abi.Digest;
    /** The language of its source. */
    language: Abi.Language;
    /** Its name. */
    name: string;
    /** The process that it is private to. */
    of: Abi.Pid;
    /** How far it has come. */
    stage: Abi.Stage;
  }>;
  /**
   * Compiles a tool, checks its schemas and runs its tests in the sandbox. What it comes to is kept
   * with the tool. It fails with `not_found`, `nested`.
   */
  validate(args: {
    /** Its name. */
    name: string;
    /** Whose tool; only the host names a process. */
    pid?: Abi.Pid | null;
  }): Promise<{
    /** The digest of what was looked at. */
    digest: Abi.Digest;
    /** The tool. */
    name: string;
    /** Whether it compiles, its schemas hold and every test passed. */
    passed: boolean;
    /** Why it makes no tool. */
    problem?: Abi.ToolProblem | null;
    /** Its tests, in order. */
    tests: Array<Abi.TestResult>;
  }>;
  /**
   * Registers a tool that was validated: from now on the caller can call it. It fails with
   * `not_found`, `exists`, `not_validated`, `nested`.
   */
  register(args: {
    /** Its name. */
    name: string;
  }): Promise<{
    /** What it does. */
    description: string;
    /** The digest of everything it was proposed with. */
    digest: Abi.Digest;
    /** The language of its source. */
    language: Abi.Language;
    /** Its name. */
    name: string;
    /** The process that it is private to. */
    of: Abi.Pid;
    /** How far it has come. */
    stage: Abi.Stage;
  }>;
  /** Removes a tool, registered or not. It fails with `not_found`, `nested`. */
  unregister(args: {
    /** Its name. */
    name: string;
  }): Promise<{
    /** What it does. */
    description: string;
    /** The digest of everything it was proposed with. */
    digest: Abi.Digest;
    /** The language of its source. */
    language: Abi.Language;
    /** Its name. */
    name: string;
    /** The process that it is private to. */
    of: Abi.Pid;
    /** How far it has come. */
    stage: Abi.Stage;
  }>;
  /**
   * Shows a generated tool with its source, its needs and what its validation came to. It fails
   * with `not_found`.
   */
  inspect(args: {
    /** Its name. */
    name: string;
    /** Whose tool; only the host names a process. */
    pid?: Abi.Pid | null;
  }): Promise<{
    /** What its validation came to. */
    report?: Abi.ToolReport | null;
    /** How far it has come. */
    status: Abi.ToolStatus;
    /** As it was proposed. */
    tool: Abi.Definition;
  }>;
  /** Lists the generated tools of the caller; for the host, those of one process or of all. */
  generated(args?: {
    /** Whose tools; only the host names a process. */
    pid?: Abi.Pid | null;
  }): Promise<{
    /** By process, then by name. */
    tools: Array<Abi.ToolStatus>;
  }>;
  /**
   * Puts a validated tool into an image: a new version of one that is registered, or else a copy of
   * the caller's image under that name. A human is asked, whatever was granted. It fails with
   * `not_found`, `exists`, `bad_tool`, `not_validated`, `nested`.
   */
  promote(args: {
    /** Its name. */
    name: string;
    /** The digest that `tool.inspect` tells: what is put there is exactly this. */
    digest: Abi.Digest;
    /** The image. */
    image: string;
    /** The version that the image is to have. */
    version: string;
  }): Promise<{
    /** The limits of a process that is made without its own. */
    budget?: Abi.Budget;
    /** How a planner chooses what a model is shown. It is handed to the planner as it is. */
    context?: Abi.Json | null;
    /** What it is for. */
    description?: string;
    /** Generated tools among those of its table and its groups. */
    generated?: Array<Abi.Definition>;
    /** Its name. */
    name: string;
    /** Who plans for its processes by default. */
    planner?: Abi.PlannerSpec | null;
    /** What a model is told first. */
    prompt?: Abi.Text;
    /** What its processes will need. Shown to people; **never granted**. */
    required_capabilities?: Array<Abi.GrantSpec>;
    /** What a workspace begins with that is empty. */
    seed?: Array<Abi.PackageFile>;
    /** Skills that its processes may be told of. Who takes one up needs `execute` on it. */
    skills?: Array<Abi.SkillPin>;
    /**
     * Tools shown on request only, so that a model chooses among few. They can be called whether
     * they are shown or not.
     */
    tool_groups?: Array<Abi.ToolGroup>;
    /** The tools in its table. */
    tools?: Array<string>;
    /** Its version. */
    version: string;
  }>;
}

/**
 * Files of mounted folders. Paths are relative to the working directory and never lead out of its
 * mount; `fs:data/a.txt` is `a.txt` in the mount `data`. Authority is decided before anything is
 * looked at, so a denial does not tell whether a file exists.
 */
interface LibosFs {
  /**
   * Reads a file as UTF-8 text. It takes `read` on `fs:`. It fails with `not_found`, `not_a_file`,
   * `not_text`, `not_permitted`, `bad_target`.
   */
  read(args: {
    /** The file. */
    path: Abi.FsPath;
    /**
     * How many bytes at most; 65,536 if absent, 1,048,576 at the most. Of what is kept as an object
     * 67,108,864, if absent and at the most.
     */
    max_bytes?: number | null;
    /**
     * The type of an object in the caller's memory that the file is kept as, whatever its bytes.
     * Then the text is its beginning, and empty if that is no text.
     */
    into?: string | null;
  }): Promise<{
    /** Bytes read. */
    bytes: number;
    /** The digest of the bytes read. */
    digest: Abi.Digest;
    /** What was read, if it is kept as an object; the text is its beginning then. */
    object?: Abi.KeptContent | null;
    /** The text, cut at a character boundary within `max_bytes`. */
    text: Abi.Text;
    /** Whether the file has more. */
    truncated: boolean;
  }>;
  /**
   * Writes a file as a whole: a reader sees the old content or the new, never a part. It takes
   * `write` on `fs:`. It fails with `not_found`, `exists`, `not_a_file`, `not_text`, `too_large`,
   * `not_permitted`, `bad_target`, `conflict`.
   */
  write(args: {
    /** The file. */
    path: Abi.FsPath;
    /** Its new content; 1,048,576 bytes at the most. */
    text: Abi.Text;
    /** Whether an existing file may be replaced; true if absent. */
    overwrite?: boolean | null;
    /**
     * The digest that the file must have now, as `read` of all of it gave; any if absent. It takes
     * the right to read.
     */
    expected_digest?: Abi.Digest | null;
    /**
     * An object whose content comes behind the text: texts, or bytes in base64. It needs `read` on
     * the object as well.
     */
    from?: Abi.ObjectId | null;
  }): Promise<{
    /** Bytes written. */
    bytes: number;
    /** Whether it is new. */
    created: boolean;
    /** The digest of its content. */
    digest: Abi.Digest;
    /** Its path. */
    path: Abi.FsPath;
  }>;
  /**
   * Lists a folder. It takes `read` on `fs:`. It fails with `not_found`, `not_a_folder`,
   * `not_permitted`, `bad_target`.
   */
  list(args?: {
    /** The folder; the working directory if absent. */
    path?: Abi.Folder;
    /** How many entries at most; 1,024 if absent, 10,000 at the most. */
    limit?: number | null;
  }): Promise<{
    /** Sorted by name. */
    entries: Array<Abi.DirEntry>;
    /** Whether there are more than the limit. */
    truncated: boolean;
  }>;
  /**
   * Makes a folder. It takes `write` on `fs:`. It fails with `not_found`, `exists`,
   * `not_permitted`, `bad_target`.
   */
  mkdir(args: {
    /** The folder. */
    path: Abi.FsPath;
    /**
     * Whether folders above it are made too; false if absent. If so, each of them needs the same
     * right, whether it exists or not.
     */
    parents?: boolean | null;
  }): Promise<{
    /** Whether it is new. */
    created: boolean;
    /** Its path. */
    path: Abi.FsPath;
  }>;
  /**
   * Removes a file or an empty folder. It takes `delete` on `fs:`. It fails with `not_found`,
   * `not_empty`, `not_permitted`, `bad_target`, `conflict`.
   */
  delete(args: {
    /** The file or folder. */
    path: Abi.FsPath;
    /** Whether it is no failure that nothing is there; false if absent. */
    missing_ok?: boolean | null;
    /** The digest that the file must have now; any if absent. It takes the right to read. */
    expected_digest?: Abi.Digest | null;
  }): Promise<{
    /** Its path. */
    path: Abi.FsPath;
    /** Whether there was something to remove. */
    removed: boolean;
  }>;
  /**
   * Tells what a path leads to. It takes `read` on `fs:`. It fails with `not_found`,
   * `not_permitted`, `bad_target`.
   */
  stat(args: {
    /** The path. */
    path: Abi.FsPath;
  }): Promise<{
    /** Its size in bytes, for a file. */
    bytes: number;
    /** What it is. */
    kind: Abi.FileKind;
    /** When it was last changed, in milliseconds since the epoch. */
    modified_at_ms: number;
  }>;
  /**
   * Replaces a part of a text file, which must be there as often as is said. It needs the right to
   * read too. It takes `write` on `fs:`. It fails with `not_found`, `not_a_file`, `not_text`,
   * `too_large`, `not_permitted`, `bad_target`, `conflict`, `no_match`, `bad_pattern`.
   */
  edit(args: {
    /** The file. */
    path: Abi.FsPath;
    /** The text to be replaced, exactly as it stands in the file. */
    old: Abi.Text;
    /** What stands there then. */
    new: Abi.Text;
    /** How often it must be there, each to be replaced; 1 if absent. */
    count?: number | null;
    /** The digest that the file must have now; any if absent. */
    expected_digest?: Abi.Digest | null;
  }): Promise<{
    /** Bytes written. */
    bytes: number;
    /** Whether it is new. */
    created: boolean;
    /** The digest of its content. */
    digest: Abi.Digest;
    /** Its path. */
    path: Abi.FsPath;
  }>;
  /**
   * Applies a unified diff to a text file: every hunk, with all its lines as they stand in the
   * file, or none. It needs the right to read too. It takes `write` on `fs:`. It fails with
   * `not_found`, `not_a_file`, `not_text`, `too_large`, `not_permitted`, `bad_target`, `conflict`,
   * `no_match`, `bad_pattern`.
   */
  patch(args: {
    /** The file; the names in the diff say nothing. */
    path: Abi.FsPath;
    /** The diff, of this one file. */
    diff: Abi.Text;
    /** The digest that the file must have now; any if absent. */
    expected_digest?: Abi.Digest | null;
  }): Promise<{
    /** Bytes written. */
    bytes: number;
    /** Whether it is new. */
    created: boolean;
    /** The digest of its content. */
    digest: Abi.Digest;
    /** Its path. */
    path: Abi.FsPath;
  }>;
  /**
   * Adds a text at the end of a file, which is made if it is not there. A reader sees the old
   * content or the new. It takes `write` on `fs:`. It fails with `not_found`, `not_a_file`,
   * `too_large`, `not_permitted`, `bad_target`, `conflict`.
   */
  append(args: {
    /** The file; with what is added, 1,048,576 bytes at the most. */
    path: Abi.FsPath;
    /** What is added. */
    text: Abi.Text;
    /** The digest that the file must have now; any if absent. It takes the right to read. */
    expected_digest?: Abi.Digest | null;
  }): Promise<{
    /** Bytes added. */
    bytes: number;
    /** Whether it is new. */
    created: boolean;
    /** Its path. */
    path: Abi.FsPath;
  }>;
  /**
   * Gives a file another name in its mount. It needs the rights to delete and read the old one and
   * to write the new. It takes `write` on `fs:`. It fails with `not_found`, `exists`, `not_a_file`,
   * `not_permitted`, `bad_target`, `conflict`.
   */
  rename(args: {
    /** The file. */
    from: Abi.FsPath;
    /** Its new path, in the same mount. */
    to: Abi.FsPath;
    /** Whether a file that is there may be replaced; false if absent. */
    overwrite?: boolean | null;
    /** The digest that the file must have now; any if absent. */
    expected_digest?: Abi.Digest | null;
  }): Promise<{
    /** Its old path. */
    from: Abi.FsPath;
    /** Whether a file was there that it replaced. */
    replaced: boolean;
    /** Its new path. */
    to: Abi.FsPath;
  }>;
  /**
   * Finds lines of the text files below a folder. What `.gitignore` files name and what is in
   * `.git` is passed over, and no symbolic link is followed. Of what is found the caller gets what
   * it may read. It takes `read` on `fs:`. It fails with `not_found`, `not_a_folder`,
   * `not_permitted`, `bad_target`, `bad_pattern`.
   */
  search(args: {
    /** The folder; the working directory if absent. */
    path?: Abi.Folder;
    /** The regular expression that a line must match, in the syntax of the `regex` crate. */
    pattern: string;
    /** The pattern that a file's path below the folder must fit, as of `glob`; any if absent. */
    glob?: string | null;
    /** Whether letters match in both cases; false if absent. */
    ignore_case?: boolean | null;
    /** How many lines at most; 100 if absent, 1,000 at the most. */
    limit?: number | null;
    /** Where to go on: `next` of the search before. */
    from?: number | null;
  }): Promise<{
    /** By path, then line; only of files that the caller may read. */
    lines: Array<Abi.LineFound>;
    /** Where to go on, if there may be more. */
    next?: number | null;
  }>;
  /**
   * Finds files and folders below a folder by their paths, passing over what `search` does. Of what
   * is found the caller gets what it may read. It takes `read` on `fs:`. It fails with `not_found`,
   * `not_a_folder`, `not_permitted`, `bad_target`, `bad_pattern`.
   */
  glob(args: {
    /** The folder; the working directory if absent. */
    path?: Abi.Folder;
    /**
     * The pattern that a path below the folder must fit: `*` and `?` stand for characters of one
     * name, `**` for any number of folders, `{a,b}` for either.
     */
    pattern: string;
    /** How many at most; 100 if absent, 1,000 at the most. */
    limit?: number | null;
    /** Where to go on: `next` of the call before. */
    from?: number | null;
  }): Promise<{
    /** By path; only what the caller may read. */
    entries: Array<Abi.PathFound>;
    /** Where to go on, if there may be more. */
    next?: number | null;
  }>;
  /**
   * Waits until a file, or what a folder lists, is other than it was seen; what is below the
   * folders in it does not count. There may be nothing at the path yet, or any more. It takes
   * `read` on `fs:`. It fails with `not_permitted`, `bad_target`.
   */
  watch(args: {
    /** The file or folder. */
    path: Abi.FsPath;
    /** `state` of the watch before; if absent, the call tells what is there and does not wait. */
    seen?: Abi.Digest | null;
    /** How long to wait; 60,000 if absent, 3,600,000 at the most. */
    timeout_ms?: Abi.Millis | null;
  }): Promise<{
    /** Whether it is other than `seen`. */
    changed: boolean;
    /** What is there now, as a digest of names, kinds, sizes and times: `seen` of the next. */
    state: Abi.Digest;
  }>;
}

/** Programs of the host. A program is started from an argument list, never from a command line. */
interface LibosShell {
  /**
   * Runs a program to its end. It takes `execute` on `shell:`. It fails with `not_found`,
   * `timed_out`, `bad_arguments`, `bad_folder`, `not_permitted`, `secret_refused`, `unconfined`.
   */
  run(args: {
    /** The program and its arguments. */
    argv: Array<string>;
    /** Its working directory; the process's own if absent. */
    cwd?: Abi.Folder;
    /** How long it may run; 30 s if absent, a day at the most. */
    timeout_ms?: Abi.Millis | null;
    /** What it reads from standard input; nothing if absent. */
    stdin?: Abi.Text | null;
    /**
     * Secrets, each for the variable of its environment that it names. Each needs `use` on
     * `secret:NAME` as well.
     */
    secrets?: Array<Abi.SecretUse> | null;
    /**
     * The type of an object in the caller's memory that standard output is kept as, whatever its
     * bytes; 67,108,864 of them at the most, the rest is read and dropped.
     */
    stdout_into?: string | null;
    /** The same for standard error. */
    stderr_into?: string | null;
    /**
     * An object whose content it reads from standard input behind `stdin`: texts, or bytes in
     * base64. It needs `read` on the object as well.
     */
    stdin_from?: Abi.ObjectId | null;
  }): Promise<{
    /** Its exit code; absent when a signal ended it. */
    exit_code?: number | null;
    /** The most memory that one of them held at a time, in KiB. */
    max_rss_kib: number;
    /**
     * Where its confinement was narrower than what the process may do, or lacked a layer that the
     * host does without.
     */
    notes: Array<string>;
    /** The digest of the executable file that ran. */
    program?: Abi.Digest | null;
    /** The signal that ended it. */
    signal?: number | null;
    /** What it wrote to standard error, likewise. */
    stderr: Abi.Text;
    /** Standard error, likewise. */
    stderr_object?: Abi.KeptContent | null;
    /** What it wrote to standard output, within the limit; bytes that are not UTF-8 replaced. */
    stdout: Abi.Text;
    /** Standard output, if it is kept as an object; `stdout` is its beginning then. */
    stdout_object?: Abi.KeptContent | null;
    /** Processor time that they spent in the kernel. */
    system_ms: number;
    /** Whether output was cut. */
    truncated: boolean;
    /** Processor time that it and all it started spent in their own code. */
    user_ms: number;
    /** How long it ran. */
    wall_ms: number;
  }>;
}

/** Time. The kernel's time is that of the journal; a sleeping process is data. */
interface LibosClock {
  /** Tells the time. It takes `read` on `clock:`. */
  now(): Promise<{
    /** The same as `2026-11-22T21:08:28.000Z`. */
    iso8601: string;
    /** Milliseconds since the epoch. */
    unix_ms: number;
  }>;
  /** Sleeps. It takes `read` on `clock:`. It fails with `too_long`. */
  sleep(args: {
    /** How long; 30 days at the most. */
    ms: Abi.Millis;
  }): Promise<{
    /** How long it was. */
    elapsed_ms: number;
    /** How long it was to be. */
    ms: number;
  }>;
}

/** The journal: read as audit, and rid of payloads. */
interface LibosAudit {
  /** Lists events in order. It takes `read` on `audit:`. */
  list(args?: {
    /** From this record on; 0 if absent. */
    from?: number | null;
    /** Only those about this process. */
    pid?: Abi.Pid | null;
    /** How many records at most; 100 if absent, 1,000 at the most. */
    limit?: number | null;
  }): Promise<{
    /** In the order they happened. */
    entries: Array<Abi.AuditEntry>;
    /** Where to go on; absent at the end. */
    next?: number | null;
  }>;
}

/**
 * Events a process can wait for: typed, numbered for each subscriber, with a cursor that survives a
 * restart. An event is an observation and gives no authority.
 */
interface LibosEvent {
  /**
   * Subscribes the caller: to what happens to itself and its children, or to one object that it may
   * read. Doing so again changes nothing. It takes `read` on `object:`. It fails with `too_many`,
   * `needs_object`.
   */
  subscribe(args: {
    /** The kinds of event. */
    kinds: Array<Abi.EventKind>;
    /** The object, for events of objects. */
    object?: Abi.ObjectId | null;
  }): Promise<{
    /** In the order of subscription. */
    subscriptions: Array<Abi.Subscription>;
  }>;
  /** Ends subscriptions of the caller. */
  unsubscribe(args: {
    /** The kinds of event; all if empty. */
    kinds: Array<Abi.EventKind>;
    /** The object, for events of objects. */
    object?: Abi.ObjectId | null;
  }): Promise<{
    /** In the order of subscription. */
    subscriptions: Array<Abi.Subscription>;
  }>;
  /** Lists the caller's subscriptions. */
  subscriptions(): Promise<{
    /** In the order of subscription. */
    subscriptions: Array<Abi.Subscription>;
  }>;
  /**
   * Takes the events behind the caller's cursor, waiting until there is one. It fails with
   * `timed_out`.
   */
  wait(args?: {
    /** How many at most; 100 if absent. */
    limit?: number | null;
    /** How long to wait; absent is without limit, 0 not at all. */
    timeout_ms?: Abi.Millis | null;
  }): Promise<{
    /** The number of the last event given; the cursor stands behind it. */
    cursor: number;
    /** How many were dropped before these because the process did not read them in time. */
    dropped: number;
    /** In order. */
    events: Array<Abi.Occurrence>;
  }>;
  /** Looks at events behind a number without moving the cursor; an unknown number gives none. */
  read(args?: {
    /** Behind this number; behind the cursor if absent. */
    after?: number | null;
    /** How many at most; 100 if absent. */
    limit?: number | null;
    /** The process, for the host; the caller if absent. */
    pid?: Abi.Pid | null;
  }): Promise<{
    /** The number of the last event given; the cursor stands behind it. */
    cursor: number;
    /** How many were dropped before these because the process did not read them in time. */
    dropped: number;
    /** In order. */
    events: Array<Abi.Occurrence>;
  }>;
}

/**
 * Checkpoints: the state of a process and all below it, to look at, compare with and come back to.
 * Making one costs the same whatever is in memory.
 */
interface LibosCheckpoint {
  /**
   * Keeps the state of a process and of all below it. Who makes it may read it. It takes `write` on
   * `checkpoint:`. It fails with `ended`.
   */
  create(args?: {
    /** The process; the caller if absent. */
    pid?: Abi.Pid | null;
    /** What it is for. */
    reason?: string | null;
  }): Promise<{
    /** When, in milliseconds since the epoch. */
    at_ms: number;
    /** Who made it; absent is the host. */
    by?: Abi.Pid | null;
    /** The capabilities they held that were in force. */
    capabilities: number;
    /** Its id. */
    id: Abi.CheckpointId;
    /** The objects in their memories. */
    objects: number;
    /** The call that made it. */
    op: Abi.OpId;
    /** The processes in it: those that had not ended. */
    processes: number;
    /** Why it was made. */
    reason: string;
  }>;
  /**
   * Lists the checkpoints of a process (of the host, if it names none: all), a part at a time. It
   * takes `read` on `checkpoint:`.
   */
  list(args?: {
    /** The process; the caller if absent. */
    pid?: Abi.Pid | null;
    /** Behind this one, to go on. */
    after?: Abi.CheckpointId | null;
    /** How many at most; 100 if absent and at the most. */
    limit?: number | null;
  }): Promise<{
    /** In the order of their ids. */
    checkpoints: Array<Abi.CheckpointInfo>;
    /** Behind which one to go on, if there are more. */
    more_after?: Abi.CheckpointId | null;
  }>;
  /** Shows a checkpoint. It takes `read` on `checkpoint:`. It fails with `not_found`. */
  inspect(args: {
    /** The checkpoint. */
    checkpoint: Abi.CheckpointId;
  }): Promise<{
    /** When, in milliseconds since the epoch. */
    at_ms: number;
    /** Who made it; absent is the host. */
    by?: Abi.Pid | null;
    /** The capabilities they held that were in force. */
    capabilities: number;
    /** Its id. */
    id: Abi.CheckpointId;
    /** The objects in their memories. */
    objects: number;
    /** The call that made it. */
    op: Abi.OpId;
    /** The processes in it: those that had not ended. */
    processes: number;
    /** Why it was made. */
    reason: string;
  }>;
  /**
   * Tells what is not as it was: at most 25 processes, objects and capabilities each. It takes
   * `read` on `checkpoint:`. It fails with `not_found`.
   */
  diff(args: {
    /** The checkpoint. */
    checkpoint: Abi.CheckpointId;
  }): Promise<{
    /** Capabilities. */
    capabilities: Array<Abi.CapabilityChange>;
    /** Since when. */
    checkpoint: Abi.CheckpointId;
    /** Objects. */
    objects: Array<Abi.ObjectChange>;
    /** Processes. */
    processes: Array<Abi.ProcessChange>;
    /** How many changes are not shown. */
    truncated: number;
  }>;
  /**
   * Drops a checkpoint and all that is kept for it. It takes `delete` on `checkpoint:`. It fails
   * with `not_found`.
   */
  drop(args: {
    /** The checkpoint. */
    checkpoint: Abi.CheckpointId;
  }): Promise<{
    /** When, in milliseconds since the epoch. */
    at_ms: number;
    /** Who made it; absent is the host. */
    by?: Abi.Pid | null;
    /** The capabilities they held that were in force. */
    capabilities: number;
    /** Its id. */
    id: Abi.CheckpointId;
    /** The objects in their memories. */
    objects: number;
    /** The call that made it. */
    op: Abi.OpId;
    /** The processes in it: those that had not ended. */
    processes: number;
    /** Why it was made. */
    reason: string;
  }>;
  /**
   * Makes new processes as those of a checkpoint were: with copies of their memories, and with what
   * they held and still hold, but for what is limited to a number of uses and for approvals. Each
   * begins the quantum that it was in from the top. It takes `execute` on `checkpoint:`. It fails
   * with `not_found`, `ended`.
   */
  fork(args: {
    /** The checkpoint. */
    checkpoint: Abi.CheckpointId;
    /** The parent, for the host: a task of its own if absent. Otherwise the caller is. */
    parent?: Abi.Pid | null;
  }): Promise<{
    /** The first of them, which the others are below. */
    pid: Abi.Pid;
    /** Each with the one it is a copy of, parents before their children. */
    processes: Array<Abi.Copied>;
  }>;
  /**
   * Tells what a restore would undo, with a token that stands for exactly that. It takes `admin` on
   * `checkpoint:`. It fails with `not_found`.
   */
  preview(args: {
    /** The checkpoint. */
    checkpoint: Abi.CheckpointId;
  }): Promise<{
    /** What would be undone. */
    difference: Abi.Difference;
    /** Stands for exactly this: a restore takes it. */
    token: Abi.Digest;
  }>;
  /**
   * Comes back to a checkpoint: processes with their mail, their limits and their memories are as
   * they were. What was given since is taken back, what was taken back or spent stays so, and the
   * record says all of it. What happened outside stays. It takes `admin` on `checkpoint:`. It fails
   * with `not_found`, `stale`, `inside`.
   */
  restore(args: {
    /** The checkpoint. */
    checkpoint: Abi.CheckpointId;
    /** What the preview gave. */
    token: Abi.Digest;
  }): Promise<{
    /** The checkpoint. */
    checkpoint: Abi.CheckpointId;
    /** Those that were made since, which have ended now. */
    ended: Array<Abi.Pid>;
    /** The objects that came back to what they were. */
    objects: number;
    /** The processes that are as they were. */
    processes: Array<Abi.Pid>;
    /** Those among them that had ended. */
    revived: Array<Abi.Pid>;
    /** The capabilities that were given since and are taken back. */
    revoked: Array<Abi.CapId>;
  }>;
  /**
   * Registers an image of the process that a checkpoint is of: made of what it was made of, with
   * the tools that it had registered, and requiring what it held. It grants nothing. To replace an
   * image needs `delete` on it as well. It takes `write` on `checkpoint:`. It fails with
   * `not_found`, `bad_image`.
   */
  commit(args: {
    /** The checkpoint. */
    checkpoint: Abi.CheckpointId;
    /** The image's name. */
    image: string;
    /** Its version; 1 if absent. */
    version?: string | null;
    /** Whether it may replace one of the same name. */
    replace?: boolean | null;
  }): Promise<{
    /** The limits of a process that is made without its own. */
    budget?: Abi.Budget;
    /** How a planner chooses what a model is shown. It is handed to the planner as it is. */
    context?: Abi.Json | null;
    /** What it is for. */
    description?: string;
    /** Generated tools among those of its table and its groups. */
    generated?: Array<Abi.Definition>;
    /** Its name. */
    name: string;
    /** Who plans for its processes by default. */
    planner?: Abi.PlannerSpec | null;
    /** What a model is told first. */
    prompt?: Abi.Text;
    /** What its processes will need. Shown to people; **never granted**. */
    required_capabilities?: Array<Abi.GrantSpec>;
    /** What a workspace begins with that is empty. */
    seed?: Array<Abi.PackageFile>;
    /** Skills that its processes may be told of. Who takes one up needs `execute` on it. */
    skills?: Array<Abi.SkillPin>;
    /**
     * Tools shown on request only, so that a model chooses among few. They can be called whether
     * they are shown or not.
     */
    tool_groups?: Array<Abi.ToolGroup>;
    /** The tools in its table. */
    tools?: Array<string>;
    /** Its version. */
    version: string;
  }>;
}

/**
 * Requests over HTTP. A reply that points elsewhere is not followed, nothing is taken from the
 * host's environment, and the connection is made to an address that was checked.
 */
interface LibosHttp {
  /**
   * Asks for what is at an address. It changes nothing on a server that keeps to the standard. It
   * takes `read` on `net:`. It fails with `bad_request`, `unresolved`, `address_refused`,
   * `not_connected`, `timed_out`, `bad_response`, `secret_refused`.
   */
  fetch(args: {
    /** The address. */
    url: Abi.Url;
    /** The method. */
    method: Abi.Looking;
    /** Further headers. */
    headers?: Array<Abi.Header> | null;
    /** Secrets, each for the header that it names. Each needs `use` on `secret:NAME` as well. */
    secrets?: Array<Abi.SecretUse> | null;
    /**
     * How many bytes of the body are given; 262,144 if absent, 1 MiB at the most. Of what is kept
     * as an object 67,108,864, if absent and at the most.
     */
    max_bytes?: number | null;
    /** How long all of it may take; 30 s if absent, 5 min at the most. */
    timeout_ms?: Abi.Millis | null;
    /**
     * The type of an object in the caller's memory that the body of the answer is kept as, whatever
     * its bytes.
     */
    into?: string | null;
  }): Promise<{
    /** Whether the body is in base64. */
    base64: boolean;
    /** The body within the limit, as text, or in base64 when it is not UTF-8. */
    body: Abi.Text;
    /** How many bytes of the body are given. */
    bytes: number;
    /** The digest of these bytes. */
    digest: Abi.Digest;
    /** The headers, names in lower case. */
    headers: Array<Abi.Header>;
    /** The body, if it is kept as an object; what is given of it is its beginning then. */
    object?: Abi.KeptContent | null;
    /** Where the server points to. Nothing was asked there: that is a call of its own. */
    redirect?: Abi.Url | null;
    /** The status. */
    status: number;
    /** Whether the body was cut. */
    truncated: boolean;
  }>;
  /**
   * Puts something at an address, or removes what is there. It takes `write` on `net:`. It fails
   * with `bad_request`, `unresolved`, `address_refused`, `not_connected`, `timed_out`,
   * `bad_response`, `secret_refused`.
   */
  replace(args: {
    /** The address. */
    url: Abi.Url;
    /** The method. */
    method: Abi.Replacing;
    /** Further headers. */
    headers?: Array<Abi.Header> | null;
    /** Secrets, each for the header that it names. Each needs `use` on `secret:NAME` as well. */
    secrets?: Array<Abi.SecretUse> | null;
    /** The body; none if absent. */
    body?: Abi.Text | null;
    /**
     * How many bytes of the body are given; 262,144 if absent, 1 MiB at the most. Of what is kept
     * as an object 67,108,864, if absent and at the most.
     */
    max_bytes?: number | null;
    /** How long all of it may take; 30 s if absent, 5 min at the most. */
    timeout_ms?: Abi.Millis | null;
    /**
     * The type of an object in the caller's memory that the body of the answer is kept as, whatever
     * its bytes.
     */
    into?: string | null;
    /**
     * An object whose content is sent behind the body: texts, or bytes in base64. It needs `read`
     * on the object as well.
     */
    from?: Abi.ObjectId | null;
  }): Promise<{
    /** Whether the body is in base64. */
    base64: boolean;
    /** The body within the limit, as text, or in base64 when it is not UTF-8. */
    body: Abi.Text;
    /** How many bytes of the body are given. */
    bytes: number;
    /** The digest of these bytes. */
    digest: Abi.Digest;
    /** The headers, names in lower case. */
    headers: Array<Abi.Header>;
    /** The body, if it is kept as an object; what is given of it is its beginning then. */
    object?: Abi.KeptContent | null;
    /** Where the server points to. Nothing was asked there: that is a call of its own. */
    redirect?: Abi.Url | null;
    /** The status. */
    status: number;
    /** Whether the body was cut. */
    truncated: boolean;
  }>;
  /**
   * Hands something over to an address. It takes `write` on `net:`. It fails with `bad_request`,
   * `unresolved`, `address_refused`, `not_connected`, `bad_response`, `secret_refused`.
   */
  send(args: {
    /** The address. */
    url: Abi.Url;
    /** The method. */
    method: Abi.Sending;
    /** Further headers. */
    headers?: Array<Abi.Header> | null;
    /** Secrets, each for the header that it names. Each needs `use` on `secret:NAME` as well. */
    secrets?: Array<Abi.SecretUse> | null;
    /** The body; none if absent. */
    body?: Abi.Text | null;
    /**
     * How many bytes of the body are given; 262,144 if absent, 1 MiB at the most. Of what is kept
     * as an object 67,108,864, if absent and at the most.
     */
    max_bytes?: number | null;
    /** How long all of it may take; 30 s if absent, 5 min at the most. */
    timeout_ms?: Abi.Millis | null;
    /**
     * The type of an object in the caller's memory that the body of the answer is kept as, whatever
     * its bytes.
     */
    into?: string | null;
    /**
     * An object whose content is sent behind the body: texts, or bytes in base64. It needs `read`
     * on the object as well.
     */
    from?: Abi.ObjectId | null;
  }): Promise<{
    /** Whether the body is in base64. */
    base64: boolean;
    /** The body within the limit, as text, or in base64 when it is not UTF-8. */
    body: Abi.Text;
    /** How many bytes of the body are given. */
    bytes: number;
    /** The digest of these bytes. */
    digest: Abi.Digest;
    /** The headers, names in lower case. */
    headers: Array<Abi.Header>;
    /** The body, if it is kept as an object; what is given of it is its beginning then. */
    object?: Abi.KeptContent | null;
    /** Where the server points to. Nothing was asked there: that is a call of its own. */
    redirect?: Abi.Url | null;
    /** The status. */
    status: number;
    /** Whether the body was cut. */
    truncated: boolean;
  }>;
}

/**
 * Data labels. The kernel joins them on everything that is made from something else; these calls
 * look at them, and lower them where the host lets somebody do so.
 */
interface LibosLabel {
  /** Shows the label of an object, or the caller's own. It takes `read` on `object:`. */
  show(args?: {
    /** The object; the caller itself if absent. */
    id?: Abi.ObjectId | null;
  }): Promise<{
    /** The label. */
    label: Abi.Label;
  }>;
  /**
   * Lowers the label of an object, of files, of a process, or the caller's own, on the word of
   * whoever was given the right to. The label of a file is not below what the host's rules give its
   * path. It takes `admin` on `label:`. It fails with `not_lower`.
   */
  declassify(args: {
    /** The object. */
    id?: Abi.ObjectId | null;
    /** The file, or the folder with all that is in it. */
    path?: Abi.FsPath | null;
    /** The process. */
    pid?: Abi.Pid | null;
    /** The label from now on. */
    to: Abi.Label;
  }): Promise<{
    /** The label. */
    label: Abi.Label;
  }>;
}

/**
 * Methods of endpoints that the host has registered, each with the shape of its parameters and
 * result. Where an endpoint is and which secret it takes is the host's; nobody else says so.
 */
interface LibosRpc {
  /**
   * Calls a method that is registered as one that changes nothing. It takes `read` on `rpc:`. It
   * fails with `unknown_method`, `bad_params`, `not_connected`, `timed_out`, `bad_result`,
   * `method_failed`.
   */
  query(args: {
    /** The endpoint. */
    endpoint: string;
    /** The method. */
    method: string;
    /** Its parameters; none if absent. */
    params?: Abi.Json | null;
    /** How long all of it may take; 30 s if absent, 5 min at the most. */
    timeout_ms?: Abi.Millis | null;
  }): Promise<{
    /** The result. Secrets of the host in it are replaced. */
    result: Abi.Json;
  }>;
  /**
   * Calls a method, whatever it changes. It takes `execute` on `rpc:`. It fails with
   * `unknown_method`, `bad_params`, `not_connected`, `bad_result`, `method_failed`.
   */
  call(args: {
    /** The endpoint. */
    endpoint: string;
    /** The method. */
    method: string;
    /** Its parameters; none if absent. */
    params?: Abi.Json | null;
    /** How long all of it may take; 30 s if absent, 5 min at the most. */
    timeout_ms?: Abi.Millis | null;
  }): Promise<{
    /** The result. Secrets of the host in it are replaced. */
    result: Abi.Json;
  }>;
}

/**
 * Models at endpoints that the host has registered as profiles. A process names a profile and
 * nothing else: neither address nor key.
 */
interface LibosLlm {
  /**
   * Has a model go on with a conversation. An answer that is recorded is never asked for again; one
   * that a crash cut off is asked for again under the same operation. It takes `execute` on `llm:`.
   * It fails with `unknown_profile`, `bad_request`, `rate_limited`, `refused`, `context_too_long`,
   * `bad_reply`, `unavailable`, `unauthorized`, `not_recorded`.
   */
  complete(args: {
    /** The profile. */
    profile: string;
    /** What goes with the conversation: `tools`, `tool_choice`, `answer`; all may be left out. */
    setup: Abi.Json;
    /** The conversation so far, as JSON lines. */
    messages: Array<Abi.Text>;
    /** How many tokens the answer may have; what the profile says if absent. */
    output_tokens_max?: number | null;
    /**
     * What comes before `messages`: a part of a conversation that is kept as an object. It takes
     * `read` on it.
     */
    excerpt?: Abi.Excerpt | null;
    /** What the caller notes about what it says and what it leaves out, for the record. */
    manifest?: Abi.Json | null;
  }): Promise<{
    /** What that costs in millionths of money, if the host has set prices. */
    cost?: number | null;
    /** Why it ended. */
    finish: Abi.Finish;
    /** The message of the assistant. */
    message: Abi.Json;
    /** The model as the endpoint calls it. */
    model: string;
    /** What it took. */
    tokens: Abi.Tokens;
  }>;
}

/**
 * Skills: instructions with files beside them, which the host has registered and a process takes
 * up. A skill grants nothing; one that names tools takes the others away while it is active.
 */
interface LibosSkill {
  /** Lists the skills. Which of them the caller may take up is a matter of grants. */
  list(): Promise<{
    /** In the order of their names. */
    skills: Array<Abi.SkillInfo>;
  }>;
  /** Shows a skill with its files. It takes `read` on `skill:`. It fails with `not_found`. */
  inspect(args: {
    /** Its name. */
    skill: string;
  }): Promise<{
    /** The only tools that a process can call while the skill is active; absent narrows nothing. */
    allowed_tools?: Array<string> | null;
    /** What it needs of where it is used, in words. */
    compatibility?: string | null;
    /** What it is for, and when to take it up. */
    description: string;
    /** The files beside it. */
    files?: Array<Abi.PackageFile>;
    /** Under which terms it may be used. */
    license?: string | null;
    /** What its author says besides. */
    metadata?: Abi.Json | null;
    /** Its name. */
    name: string;
    /** What a model is told that takes it up. */
    text: Abi.Text;
  }>;
  /**
   * Registers a skill. To replace one needs `delete` on it as well; who has taken that up keeps
   * being bound by it. It takes `write` on `skill:`. It fails with `exists`, `bad_skill`.
   */
  register(args: {
    /** The skill. */
    skill: Abi.Skill;
    /** Whether it may replace one of the same name. */
    replace?: boolean | null;
  }): Promise<{
    /** Whether the caller has taken it up. */
    active: boolean;
    /** The only tools that a process can call while it is active; absent narrows nothing. */
    allowed_tools?: Array<string> | null;
    /** What it is for, and when to take it up. */
    description: string;
    /** The digest of all of its package. */
    digest: Abi.Digest;
    /** Its name. */
    name: string;
  }>;
  /**
   * Removes a skill. Who has taken it up keeps being bound by it. It takes `delete` on `skill:`. It
   * fails with `not_found`.
   */
  unregister(args: {
    /** Its name. */
    skill: string;
  }): Promise<{
    /** Whether the caller has taken it up. */
    active: boolean;
    /** The only tools that a process can call while it is active; absent narrows nothing. */
    allowed_tools?: Array<string> | null;
    /** What it is for, and when to take it up. */
    description: string;
    /** The digest of all of its package. */
    digest: Abi.Digest;
    /** Its name. */
    name: string;
  }>;
  /**
   * Takes up a skill: tells what it says, and from now on the caller can call no tool but those
   * that each of its active skills allows. It takes `execute` on `skill:`. It fails with
   * `not_found`, `changed`.
   */
  activate(args: {
    /** Its name. */
    skill: string;
    /** The digest that it must have. */
    digest?: Abi.Digest | null;
  }): Promise<{
    /** The names of the files beside it, for `skill.read`. */
    files: Array<string>;
    /** The skill. */
    skill: Abi.ActiveSkill;
    /** What it says. */
    text: Abi.Text;
  }>;
  /** Puts down a skill. It takes `execute` on `skill:`. It fails with `not_active`. */
  unload(args: {
    /** Its name. */
    skill: string;
  }): Promise<null>;
  /**
   * Reads a file of a skill that the caller has taken up. It takes `execute` on `skill:`. It fails
   * with `not_found`, `not_active`, `changed`.
   */
  read(args: {
    /** Its name. */
    skill: string;
    /** The file. */
    file: string;
  }): Promise<{
    /** Whether that is no text, but bytes written in base64. */
    base64?: boolean;
    /** Where it is in its folder, with `/` between names. */
    path: string;
    /** What it says. */
    text: Abi.Text;
  }>;
}

/** A call that ended in an error. Only the host makes one. */
interface SyscallError extends Error {
  /** The code of the fault or failure, as in `denied` or `not_found`. */
  readonly code: string;
  /** The call, as in `fs.read`. */
  readonly call: string;
}

/** What a tool can ask for. Whether it may is decided call by call. */
interface Libos {
  /** Processes: launch, spawn, wait, end. */
  readonly process: LibosProcess;
  /**
   * Object Memory: typed, versioned, content-addressed objects. Every process has a space of its
   * own, `object:p7/*`, over which it holds every right once it has made an object. A denied object
   * cannot be told from a missing one: authority is decided before the object is looked for.
   */
  readonly object: LibosObject;
  /**
   * Namespaces: names for objects. A name is no authority: reading what it stands for is checked on
   * the object.
   */
  readonly namespace: LibosNamespace;
  /** Capabilities: look, hand on, take back, explain. */
  readonly capability: LibosCapability;
  /** Questions, approvals and messages to humans. A request is answered exactly once. */
  readonly human: LibosHuman;
  /**
   * Messages between processes. A parent and its child may message each other from the start;
   * anyone else needs write on `process:<pid>`.
   */
  readonly message: LibosMessage;
  /** Images: what a process is made from. Nothing in an image grants anything. */
  readonly image: LibosImage;
  /**
   * Tools: libc-like wrappers over system calls. A tool has no authority of its own: whatever it
   * does is a system call of its process, numbered under the step that called the tool.
   */
  readonly tool: LibosTool;
  /**
   * Files of mounted folders. Paths are relative to the working directory and never lead out of its
   * mount; `fs:data/a.txt` is `a.txt` in the mount `data`. Authority is decided before anything is
   * looked at, so a denial does not tell whether a file exists.
   */
  readonly fs: LibosFs;
  /**
   * Programs of the host. A program is started from an argument list, never from a command line.
   */
  readonly shell: LibosShell;
  /** Time. The kernel's time is that of the journal; a sleeping process is data. */
  readonly clock: LibosClock;
  /** The journal: read as audit, and rid of payloads. */
  readonly audit: LibosAudit;
  /**
   * Events a process can wait for: typed, numbered for each subscriber, with a cursor that survives
   * a restart. An event is an observation and gives no authority.
   */
  readonly event: LibosEvent;
  /**
   * Checkpoints: the state of a process and all below it, to look at, compare with and come back
   * to. Making one costs the same whatever is in memory.
   */
  readonly checkpoint: LibosCheckpoint;
  /**
   * Requests over HTTP. A reply that points elsewhere is not followed, nothing is taken from the
   * host's environment, and the connection is made to an address that was checked.
   */
  readonly http: LibosHttp;
  /**
   * Data labels. The kernel joins them on everything that is made from something else; these calls
   * look at them, and lower them where the host lets somebody do so.
   */
  readonly label: LibosLabel;
  /**
   * Methods of endpoints that the host has registered, each with the shape of its parameters and
   * result. Where an endpoint is and which secret it takes is the host's; nobody else says so.
   */
  readonly rpc: LibosRpc;
  /**
   * Models at endpoints that the host has registered as profiles. A process names a profile and
   * nothing else: neither address nor key.
   */
  readonly llm: LibosLlm;
  /**
   * Skills: instructions with files beside them, which the host has registered and a process takes
   * up. A skill grants nothing; one that names tools takes the others away while it is active.
   */
  readonly skill: LibosSkill;
  /** Makes the call of a name, as in `fs.read`. */
  syscall(call: string, args?: object): Promise<unknown>;
  /** For `instanceof`. */
  readonly SyscallError: abstract new () => SyscallError;
}
