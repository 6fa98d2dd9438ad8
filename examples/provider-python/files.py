"""Files in memory, as a provider of Agent libOS in another process: a JSON object a line."""
import json, sys, traceback

LARGEST = 1_048_576
tree = {"": None}  # path below the mount: the text of a file, nothing for a folder


class Failed(Exception):
    """A failure of the call's table. `began` tells whether anything was looked at or done."""
    def __init__(self, code, began=True):
        self.code, self.began = code, began


def target(path, changes):
    mount, _, below = path.partition("/")
    names = below.split("/") if below else []
    if any(name in ("", ".", "..") for name in names):
        raise Failed("outside_mount", began=False)
    if mount != "workspace":
        raise Failed("bad_target", began=False)
    if changes and any(name.lower() == ".git" for name in names):
        raise Failed("not_permitted", began=False)
    return below


def need(fine, code, began=True):
    if not fine:
        raise Failed(code, began)


def above(path): return path.rpartition("/")[0]
def within(path): return {p: t for p, t in tree.items() if p and above(p) == path}
def size(text): return len(text.encode()) if text is not None else 0
def kind(text): return {"kind": "dir" if text is None else "file", "bytes": size(text)}
def was(path):
    if path not in tree: return None
    return {"not_kept": "it was a folder"} if tree[path] is None else {"text": tree[path]}


def perform(call, args, path, at):
    """The reply, and what was there before: the record keeps that and no caller sees it."""
    if call == "fs.write":
        need(at, "not_a_file", began=False)
        need(isinstance(args["text"], str), "provider_failed", began=False)
        need(size(args["text"]) <= LARGEST, "too_large", began=False)
        need(tree.get(at, "") is not None, "not_a_file")
        need(at not in tree or args["overwrite"] is not False, "exists")
        need(tree.get(above(at), "") is None, "not_found")
        before, created, tree[at] = was(at), at not in tree, args["text"]
        return {"path": path, "bytes": size(args["text"]), "created": created}, before
    if call == "fs.delete":
        need(at, "bad_target", began=False)
        need(at in tree or args["missing_ok"], "not_found")
        need(not within(at), "not_empty")
        before, removed = was(at), at in tree
        tree.pop(at, None)
        return {"path": path, "removed": removed}, before
    if call == "fs.mkdir":
        created = False
        for folder in [at[:i] for i in range(len(at)) if at[i] == "/"] + [at]:
            need(tree.get(folder) is None, "exists" if args["parents"] or folder == at else "not_found")
            created = folder not in tree
            need(not created or folder == at or args["parents"], "not_found")
            tree[folder] = None
        return {"path": path, "created": created}, None
    need(at in tree, "not_found")
    if call == "fs.stat":
        return kind(tree[at]) | {"modified_at_ms": 0}, None
    if call == "fs.list":
        need(tree[at] is None, "not_a_folder")
        names = sorted((p.rpartition("/")[2], t) for p, t in within(at).items())
        limit = 1_024 if args["limit"] is None else args["limit"]
        entries = [{"name": name} | kind(text) for name, text in names[:limit]]
        return {"entries": entries, "truncated": len(names) > limit}, None
    need(tree[at] is not None, "not_a_file")
    most = min(65_536 if args["max_bytes"] is None else args["max_bytes"], LARGEST)
    text = tree[at].encode()[:most].decode(errors="ignore")
    return {"text": text, "bytes": size(text), "truncated": size(tree[at]) > most}, None


def reconcile(call, args, path, at):
    """Whether a call happened whose outcome was lost: its reply, or nothing."""
    lost = {"not_kept": "the host ended while the call was under way"}
    if call == "fs.write" and tree.get(at) == args["text"]:
        created = args["overwrite"] is False
        done = {"path": path, "bytes": size(args["text"]), "created": created}
        return done, None if created else lost
    if call == "fs.delete" and at not in tree:
        return {"path": path, "removed": True}, lost


def answer(order):
    call, args, path = order["call"], order["args"], order["args"].get("path") or order["cwd"]
    served = ["fs.read", "fs.write", "fs.list", "fs.mkdir", "fs.delete", "fs.stat"]
    need(call in served and not args.get("expected_digest"), "unsupported", began=False)
    at = target(path, call in ["fs.write", "fs.mkdir", "fs.delete"])
    if "reconcile" in order:
        known = reconcile(call, args, path, at)
        return {"happened": known[0], "before": known[1]} if known else {"did_not_happen": True}
    reply, before = perform(call, args, path, at)
    return {"done": reply, "before": before}


def say(message): print(json.dumps(message), flush=True)


say({"abi": 2, "serves": ["fs"]})
for line in sys.stdin:
    order = json.loads(line)
    if "abandon" in order: continue  # Nothing here takes long enough to be given up.
    try:
        ended = answer(order)
    except Failed as failed:
        ended = {"failed" if failed.began else "not_started": failed.code}
        if "reconcile" in order: ended = {"did_not_happen": True}
    except Exception:  # For the host's log; the caller gets a code and the operation's id.
        ended = {"unknown": traceback.format_exc()}
    say({"id": order.get("perform", order.get("reconcile"))} | ended)
