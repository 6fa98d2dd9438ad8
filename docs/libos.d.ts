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

/** Types of the system calls, version 1. */
declare namespace Abi {
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

  /** Limits of a process and all below it. Absent is without limit. */
  type Budget = {
    /** Processes below it, over its life. */
    children?: number | null;
    /** System calls. */
    syscalls?: number | null;
    /** Time since the process began. */
    wall?: Abi.Millis | null;
  };

  type CapId = string;

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

  /** Conditions by argument name. */
  type Conditions = Record<string, Abi.Condition>;

  /** Why a call was denied. */
  type DenyReason = "no_grant" | { deny_rule: Abi.CapId } | { conditions: Abi.CapId } | { exhausted: Abi.CapId } | { limit: Abi.CapId } | { expired: Abi.CapId } | { revoked: Abi.CapId } | "human" | "not_for_processes" | { attenuation: string } | { not_in_tool_table: string };

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

  /** The kind of a directory entry. */
  type FileKind = "file" | "dir" | "symlink" | "other";

  /** A folder that is the process's working directory when it is not given. */
  type Folder = Abi.FsPath | null;

  /**
   * A path in a mount. A caller writes it relative to its working directory; the kernel makes it
   * canonical (`workspace/src/a.rs`: mount first, no `.`, no `..`) before anything looks at it.
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

  /** An image: a declaration, which grants nothing. */
  type Image = {
    /** What it is for. */
    description?: string;
    /** Its name. */
    name: string;
    /** Who plans for its processes by default. */
    planner?: Abi.PlannerSpec | null;
    /** What a model is told first. */
    prompt?: Abi.Text;
    /** What its processes will need. Shown to people; **never granted**. */
    required_capabilities?: Array<Abi.GrantSpec>;
    /** The tools in its table. */
    tools?: Array<string>;
    /** Its version. */
    version: string;
  };

  type Json = any;

  /** A message. */
  type Message = {
    /** Its text. */
    body: Abi.Text;
    /** Who sent it; absent is the host. The kernel wrote this, the sender cannot. */
    from?: Abi.Pid | null;
    /** Its id. */
    id: Abi.MessageId;
    /** Its data. */
    payload?: Abi.Json | null;
    /** When it was sent, in milliseconds since the epoch. */
    sent_at_ms: number;
    /** A word for what it is about. */
    subject?: string | null;
    /** To whom. */
    to: Abi.Pid;
  };

  type MessageId = string;

  /** milliseconds, or text such as 250ms, 30s, 10m, 1h, 2d */
  type Millis = number | string;

  /** A right over a resource that a call needs. */
  type Need = {
    /** The resource, canonical. */
    on: Abi.Resource;
    /** The right. */
    right: Abi.Right;
  };

  type ObjectId = string;

  /** An object without its payload. */
  type ObjectInfo = {
    /** The payload's length in bytes. */
    bytes: number;
    /** When it was made, in milliseconds since the epoch. */
    created_at_ms: number;
    /** The digest of its payload's canonical JSON. */
    digest: Abi.Digest;
    /** Its id. */
    id: Abi.ObjectId;
    /** Its name there. */
    name?: string | null;
    /** The namespace it is named in. */
    namespace?: string | null;
    /** Who owns it. */
    owner: Abi.Pid;
    /** The objects it was made from. */
    parents: Array<Abi.ObjectId>;
    /** Its type, a word the maker chose. */
    type: string;
    /** When it was last changed. */
    updated_at_ms: number;
    /** Its version, from 1. */
    version: number;
  };

  type OpId = string;

  /** Where a capability came from. */
  type Origin = "host" | "kernel" | { delegated: {
    /** By whom. */
    by: Abi.Pid;
  } } | { human: {
    /** The request. */
    request: Abi.RequestId;
  } };

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
    /** What it has used. */
    usage: Abi.Usage;
    /** What it waits for, when waiting. */
    wait?: Abi.Wait | null;
    /** The host folder behind `fs:workspace`, shown to the host only. */
    workspace?: string | null;
  };

  /** The state of a process. */
  type ProcessState = "runnable" | "running" | "waiting" | "paused" | "exited" | "failed" | "killed";

  type RequestId = string;

  type Resource = string;

  /** One thing that may be done to a resource. No right implies another. */
  type Right = "read" | "write" | "execute" | "delete" | "link" | "diff" | "materialize" | "grant" | "revoke" | "approve" | "admin";

  type Rights = Array<Abi.Right>;

  /** A signal. */
  type Signal = "pause" | "resume" | "terminate";

  /** Whether a capability can still be used. */
  type Status = "active" | "revoked" | "expired" | "exhausted" | "ended";

  type Text = string;

  /** What a process and all below it have used. */
  type Usage = {
    /** Processes started below it. */
    children: number;
    /** System calls. */
    syscalls: number;
  };

  /** A value an argument is compared with. */
  type Value = boolean | number | string | Array<string>;

  /** What a waiting process waits for. */
  type Wait = {
    /** The thing. */
    on: Abi.WaitOn;
    /** When it gives up, in milliseconds since the epoch. */
    until_ms?: number | null;
  };

  /** The thing a process waits for. */
  type WaitOn = { child: Abi.Pid } | { message: Abi.Pid } | { human: Abi.RequestId } | "time";
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
  /** Ends the caller. It takes `read` on `object:`. */
  exit(args?: {
    /** The object it leaves as its result; the caller must be able to read it. */
    result?: Abi.ObjectId | null;
    /** A last word. */
    message?: string | null;
    /** Whether it ends badly. */
    failed?: boolean | null;
    /** The code of the error it failed with, as in `denied`. */
    code?: string | null;
  }): Promise<{
    /** Its state after the call. */
    state: Abi.ProcessState;
  }>;
  /**
   * Holds, releases or ends a child (of the host: any process). It fails with `not_a_child`,
   * `already_ended`, `held_by_host`.
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
  /** Lists the caller's children (of the host: every process). */
  list(): Promise<{
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
}

/**
 * Object Memory: typed, versioned, content-addressed objects. A denied object cannot be told from a
 * missing one: authority is decided before the object is looked for.
 */
interface LibosObject {
  /**
   * Makes an object, private to the caller, who gets every right on it. It takes `write` on
   * `namespace:`. It fails with `name_taken`, `unknown_namespace`, `too_large`.
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
  }): Promise<{
    /** The digest of its payload. */
    digest: Abi.Digest;
    /** The object. */
    id: Abi.ObjectId;
    /** Its version after the call. */
    version: number;
  }>;
  /** Reads an object. It takes `read` on `object:`. It fails with `not_found`. */
  read(args: {
    /** The object. */
    id: Abi.ObjectId;
  }): Promise<{
    /** Its id. */
    id: Abi.ObjectId;
    /** Its payload. */
    payload: Abi.Json;
    /** Its type. */
    type: string;
    /** Its version. */
    version: number;
  }>;
  /**
   * Replaces an object's payload: a new version. It takes `write` on `object:`. It fails with
   * `not_found`, `version_conflict`, `too_large`.
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
  /** Lists the objects the caller owns (of the host: every object). */
  list(args?: {
    /** Only those of this type. */
    type?: string | null;
  }): Promise<{
    /** In the order of their ids. */
    objects: Array<Abi.ObjectInfo>;
  }>;
  /** Removes an object. It takes `delete` on `object:`. It fails with `not_found`. */
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
    /** The payload's length in bytes. */
    bytes: number;
    /** When it was made, in milliseconds since the epoch. */
    created_at_ms: number;
    /** The digest of its payload's canonical JSON. */
    digest: Abi.Digest;
    /** Its id. */
    id: Abi.ObjectId;
    /** Its name there. */
    name?: string | null;
    /** The namespace it is named in. */
    namespace?: string | null;
    /** Who owns it. */
    owner: Abi.Pid;
    /** The objects it was made from. */
    parents: Array<Abi.ObjectId>;
    /** Its type, a word the maker chose. */
    type: string;
    /** When it was last changed. */
    updated_at_ms: number;
    /** Its version, from 1. */
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
  /** Lists the caller's capabilities (of the host: a process's, or all). */
  list(args?: {
    /** The process, for the host. */
    pid?: Abi.Pid | null;
    /** Those out of force too. */
    all?: boolean | null;
  }): Promise<{
    /** In the order of their ids. */
    capabilities: Array<Abi.CapabilityInfo>;
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
   * `not_a_child`.
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
   * `mailbox_full`.
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
    /** What it is for. */
    description?: string;
    /** Its name. */
    name: string;
    /** Who plans for its processes by default. */
    planner?: Abi.PlannerSpec | null;
    /** What a model is told first. */
    prompt?: Abi.Text;
    /** What its processes will need. Shown to people; **never granted**. */
    required_capabilities?: Array<Abi.GrantSpec>;
    /** The tools in its table. */
    tools?: Array<string>;
    /** Its version. */
    version: string;
  }>;
  /** Registers an image. It takes `write` on `image:`. It fails with `exists`, `bad_image`. */
  register(args: {
    /** The image. */
    image: Abi.Image;
    /** Whether it may replace one of the same name. */
    replace?: boolean | null;
  }): Promise<{
    /** What it is for. */
    description?: string;
    /** Its name. */
    name: string;
    /** Who plans for its processes by default. */
    planner?: Abi.PlannerSpec | null;
    /** What a model is told first. */
    prompt?: Abi.Text;
    /** What its processes will need. Shown to people; **never granted**. */
    required_capabilities?: Array<Abi.GrantSpec>;
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
  /** Lists the tools in the caller's tool table. */
  list(): Promise<{
    /** The names, in the order of the image's table. */
    tools: Array<string>;
  }>;
  /**
   * Calls a tool of the caller's tool table. It fails with `bad_arguments`, `tool_failed`,
   * `unknown_tool`.
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
}

/**
 * Files of a mounted folder. Paths are relative to the working directory and never lead out of the
 * mount. Authority is decided before anything is looked at, so a denial does not tell whether a
 * file exists.
 */
interface LibosFs {
  /**
   * Reads a file as UTF-8 text. It takes `read` on `fs:`. It fails with `not_found`, `not_a_file`,
   * `not_text`, `too_large`, `not_permitted`, `bad_target`.
   */
  read(args: {
    /** The file. */
    path: Abi.FsPath;
    /** How many bytes at most; 65,536 if absent, 1,048,576 at the most. */
    max_bytes?: number | null;
  }): Promise<{
    /** Bytes read. */
    bytes: number;
    /** The digest of the bytes read. */
    digest: Abi.Digest;
    /** The text, cut at a character boundary within `max_bytes`. */
    text: Abi.Text;
    /** Whether the file has more. */
    truncated: boolean;
  }>;
  /**
   * Writes a file as a whole: a reader sees the old content or the new, never a part. It takes
   * `write` on `fs:`. It fails with `not_found`, `exists`, `not_a_file`, `too_large`,
   * `not_permitted`, `bad_target`.
   */
  write(args: {
    /** The file. */
    path: Abi.FsPath;
    /** Its new content; 1,048,576 bytes at the most. */
    text: Abi.Text;
    /** Whether an existing file may be replaced; true if absent. */
    overwrite?: boolean | null;
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
   * `not_empty`, `not_permitted`, `bad_target`.
   */
  delete(args: {
    /** The file or folder. */
    path: Abi.FsPath;
    /** Whether it is no failure that nothing is there; false if absent. */
    missing_ok?: boolean | null;
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
}

/** Programs of the host. A program is started from an argument list, never from a command line. */
interface LibosShell {
  /**
   * Runs a program to its end. It takes `execute` on `shell:`. It fails with `not_found`,
   * `timed_out`, `bad_arguments`, `bad_folder`, `not_permitted`.
   */
  run(args: {
    /** The program and its arguments. */
    argv: Array<string>;
    /** Its working directory; the process's own if absent. */
    cwd?: Abi.Folder;
    /** How long it may run; 30 s if absent, 5 min at the most. */
    timeout_ms?: Abi.Millis | null;
    /** What it reads from standard input; nothing if absent. */
    stdin?: Abi.Text | null;
  }): Promise<{
    /** Its exit code; absent when a signal ended it. */
    exit_code?: number | null;
    /** The signal that ended it. */
    signal?: number | null;
    /** What it wrote to standard error, likewise. */
    stderr: Abi.Text;
    /** What it wrote to standard output, within the limit; bytes that are not UTF-8 replaced. */
    stdout: Abi.Text;
    /** Whether output was cut. */
    truncated: boolean;
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

/** The journal, read as audit. */
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
   * Object Memory: typed, versioned, content-addressed objects. A denied object cannot be told from
   * a missing one: authority is decided before the object is looked for.
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
   * Files of a mounted folder. Paths are relative to the working directory and never lead out of
   * the mount. Authority is decided before anything is looked at, so a denial does not tell whether
   * a file exists.
   */
  readonly fs: LibosFs;
  /**
   * Programs of the host. A program is started from an argument list, never from a command line.
   */
  readonly shell: LibosShell;
  /** Time. The kernel's time is that of the journal; a sleeping process is data. */
  readonly clock: LibosClock;
  /** The journal, read as audit. */
  readonly audit: LibosAudit;
  /** Makes the call of a name, as in `fs.read`. */
  syscall(call: string, args?: object): Promise<unknown>;
  /** For `instanceof`. */
  readonly SyscallError: abstract new () => SyscallError;
}
