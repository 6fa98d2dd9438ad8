//! The rows.

/// What must refuse a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    Landlock,
    Seccomp,
    /// Read-only mounts and covers.
    Mounts,
    /// The namespace of processes, and its init.
    Namespaces,
    /// What is given up before a program starts.
    Supervisor,
    /// The scrubbed environment.
    Environment,
}

/// A way around.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Where the idea comes from.
    pub(crate) source: &'static str,
    pub(crate) tries: &'static str,
    pub(crate) layer: Layer,
    /// What runs the script; anything but an interpreter is used by a script of the shell.
    pub(crate) program: &'static str,
    /// Whether it does what it tries where nothing confines it, and no harm beyond the stage.
    pub(crate) bare: bool,
    /// Words of the refusal, one of which it prints.
    pub(crate) says: &'static [&'static str],
    pub(crate) script: &'static str,
}

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "absolute_path",
        source: "CWE-22, agent trackers: absolute path in a command",
        tries: "reads a file by its absolute path",
        layer: Layer::Landlock, program: "cat", bare: true,
        says: &["Permission denied"],
        script: "cat {out}/secret.txt",
    },
    Case {
        name: "dot_dot",
        source: "CWE-23",
        tries: "climbs out of the workspace",
        layer: Layer::Landlock, program: "cat", bare: true,
        says: &["Permission denied"],
        script: "cat ../out/secret.txt",
    },
    Case {
        name: "many_dot_dots",
        source: "CWE-23",
        tries: "climbs above the root",
        layer: Layer::Landlock, program: "cat", bare: true,
        says: &["Permission denied"],
        script: "cat ../../../../../../../../../..{out}/secret.txt",
    },
    Case {
        name: "doubled_slashes",
        source: "CWE-41",
        tries: "writes the path in another way",
        layer: Layer::Landlock, program: "cat", bare: true,
        says: &["Permission denied"],
        script: "cat //{out}//.//below/../secret.txt",
    },
    Case {
        name: "a_folder_outside_is_listed",
        source: "CWE-548",
        tries: "lists a folder outside",
        layer: Layer::Landlock, program: "ls", bare: true,
        says: &["Permission denied"],
        script: "ls {out} && cat {out}/*",
    },
    Case {
        name: "symlink_to_a_file",
        source: "CWE-59, CVE-2025-53109 (MCP filesystem)",
        tries: "makes a link and reads it",
        layer: Layer::Landlock, program: "ln", bare: true,
        says: &["Permission denied"],
        script: "ln -s {out}/secret.txt l && cat l",
    },
    Case {
        name: "symlink_to_a_folder",
        source: "CWE-59, CVE-2025-53109",
        tries: "makes a link to a folder",
        layer: Layer::Landlock, program: "ln", bare: true,
        says: &["Permission denied"],
        script: "ln -s {out} d; cat d/secret.txt",
    },
    Case {
        name: "symlink_chain",
        source: "CWE-61",
        tries: "makes links to links",
        layer: Layer::Landlock, program: "ln", bare: true,
        says: &["Permission denied"],
        script: "ln -s b a; ln -s c b; ln -s {out} c; cat a/below/secret.txt",
    },
    Case {
        name: "symlink_is_written",
        source: "CVE-2021-32803 (tar)",
        tries: "writes through a link",
        layer: Layer::Mounts, program: "ln", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "ln -s {out}/victim.txt l; echo planted > l",
    },
    Case {
        name: "proc_self_root",
        source: "CVE-2019-5736 kin",
        tries: "goes by the magic link to the root",
        layer: Layer::Landlock, program: "cat", bare: true,
        says: &["Permission denied"],
        script: "cat /proc/self/root{out}/secret.txt",
    },
    Case {
        name: "proc_self_cwd",
        source: "proc(5)",
        tries: "goes by the magic link to the folder",
        layer: Layer::Landlock, program: "cat", bare: true,
        says: &["Permission denied"],
        script: "cat /proc/self/cwd/../out/secret.txt",
    },
    Case {
        name: "proc_thread_self",
        source: "proc(5)",
        tries: "goes by the link of the thread",
        layer: Layer::Landlock, program: "cat", bare: true,
        says: &["Permission denied"],
        script: "cat /proc/thread-self/root{out}/secret.txt",
    },
    Case {
        name: "proc_root_of_another",
        source: "CVE-2024-21626 kin",
        tries: "goes by the root of another process",
        layer: Layer::Landlock, program: "cat", bare: true,
        says: &["Permission denied", "No such file"],
        script: "cat /proc/{pid}/root{out}/secret.txt",
    },
    Case {
        name: "proc_environ_of_another",
        source: "CWE-526",
        tries: "reads the variables of another process",
        layer: Layer::Landlock, program: "cat", bare: true,
        says: &["Permission denied", "No such file"],
        script: "cat /proc/{pid}/environ",
    },
    Case {
        name: "proc_fd_of_another",
        source: "CVE-2024-21626 (runc)",
        tries: "reads what another process holds open",
        layer: Layer::Landlock, program: "cat", bare: true,
        says: &["Permission denied", "No such file"],
        script: "cat /proc/{pid}/fd/0",
    },
    Case {
        name: "proc_mem_of_another",
        source: "CVE-2012-0056",
        tries: "reads the memory of another process",
        layer: Layer::Landlock, program: "python3", bare: true,
        says: &["Permission denied", "No such file"],
        script: r#"import re
regions = open("/proc/{pid}/maps").read().splitlines()
memory = open("/proc/{pid}/mem", "rb", 0)
for region in regions:
    if "rw" in region.split()[1]:
        low, high = (int(end, 16) for end in region.split()[0].split("-"))
        memory.seek(low)
        print(re.findall(rb"c0ffee[a-z-]+", memory.read(high - low)))"#,
    },
    Case {
        name: "hard_link_in",
        source: "CVE-2017-1000364 kin, CWE-62",
        tries: "gives a file outside a name inside",
        layer: Layer::Landlock, program: "ln", bare: true,
        says: &["cross-device", "Permission denied", "not permitted"],
        script: "ln {out}/secret.txt h && cat h",
    },
    Case {
        name: "rename_in",
        source: "CWE-59",
        tries: "moves a file in",
        layer: Layer::Mounts, program: "mv", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "mv {out}/victim.txt in-again && cat in-again",
    },
    Case {
        name: "rename_out",
        source: "CWE-73",
        tries: "moves a file out",
        layer: Layer::Mounts, program: "mv", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "echo x > planted; mv planted {out}/planted",
    },
    Case {
        name: "write_absolute",
        source: "CWE-22, agent trackers: absolute path in a command",
        tries: "overwrites a file outside",
        layer: Layer::Mounts, program: "sh", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "echo planted > {out}/victim.txt",
    },
    Case {
        name: "append_absolute",
        source: "CWE-22, agent trackers: absolute path in a command",
        tries: "appends to a file outside",
        layer: Layer::Mounts, program: "sh", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "echo planted >> {out}/victim.txt",
    },
    Case {
        name: "truncate_absolute",
        source: "CWE-73",
        tries: "empties a file outside",
        layer: Layer::Mounts, program: "sh", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: ": > {out}/victim.txt",
    },
    Case {
        name: "remove_outside",
        source: "agent trackers: rm of a home folder",
        tries: "removes a file outside",
        layer: Layer::Mounts, program: "rm", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "rm -f {out}/victim.txt",
    },
    Case {
        name: "remove_all",
        source: "agent trackers: rm -rf",
        tries: "removes a folder outside",
        layer: Layer::Mounts, program: "rm", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "rm -rf {out}/below",
    },
    Case {
        name: "folder_outside",
        source: "CWE-73",
        tries: "makes a folder outside",
        layer: Layer::Mounts, program: "mkdir", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "mkdir {out}/planted",
    },
    Case {
        name: "shared_temporary_folder",
        source: "CWE-377",
        tries: "leaves a file where others look",
        layer: Layer::Mounts, program: "sh", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "echo x > /tmp/planted-{name}",
    },
    Case {
        name: "here_document",
        source: "agent trackers: deny rules that match words",
        tries: "writes with a here-document",
        layer: Layer::Mounts, program: "sh", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: r#"cat <<END > {out}/planted
x
END"#,
    },
    Case {
        name: "redirected_descriptor",
        source: "agent trackers: deny rules that match words",
        tries: "opens a descriptor for it",
        layer: Layer::Mounts, program: "sh", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "exec 3>{out}/planted; echo x >&3",
    },
    Case {
        name: "dd_and_tee",
        source: "GTFOBins",
        tries: "writes with tools that write",
        layer: Layer::Mounts, program: "dd", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "echo x | tee {out}/planted; echo x | dd of={out}/planted2",
    },
    Case {
        name: "sed_writes",
        source: "GTFOBins",
        tries: "writes with a stream editor",
        layer: Layer::Mounts, program: "sed", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: r#"sed -n "w {out}/planted" in.txt"#,
    },
    Case {
        name: "mode_outside",
        source: "landlock(7): chmod is not restricted",
        tries: "changes a mode outside",
        layer: Layer::Mounts, program: "chmod", bare: true,
        says: &["Read-only file system", "not permitted"],
        script: "chmod 777 {out}/secret.txt",
    },
    Case {
        name: "mode_by_descriptor",
        source: "landlock(7): fchmod is not restricted",
        tries: "changes a mode by an opened folder",
        layer: Layer::Mounts, program: "python3", bare: true,
        says: &["Read-only file system", "Permission denied", "not permitted"],
        script: r#"import os; os.chmod("victim.txt", 0o777, dir_fd=os.open("{out}", os.O_PATH))"#,
    },
    Case {
        name: "times_outside",
        source: "landlock(7): utime is not restricted",
        tries: "changes times outside",
        layer: Layer::Mounts, program: "touch", bare: true,
        says: &["Read-only file system", "Permission denied", "not permitted"],
        script: "touch -d @0 {out}/secret.txt",
    },
    Case {
        name: "attribute_outside",
        source: "landlock(7): setxattr is not restricted",
        tries: "sets an attribute outside",
        layer: Layer::Mounts, program: "python3", bare: true,
        says: &["Read-only file system", "not permitted", "Permission denied"],
        script: r#"import os; os.setxattr("{out}/victim.txt", "user.planted", b"x")"#,
    },
    Case {
        name: "owner_outside",
        source: "landlock(7): chown is not restricted",
        tries: "changes an owner outside",
        layer: Layer::Mounts, program: "python3", bare: true,
        says: &["Read-only file system", "not permitted"],
        script: r#"import os; os.chown("{out}/victim.txt", os.getuid(), os.getgid())"#,
    },
    Case {
        name: "device_node",
        source: "mknod(2)",
        tries: "makes a node of the disk",
        layer: Layer::Landlock, program: "python3", bare: false,
        says: &["not permitted", "Permission denied"],
        script: r#"import os, stat; os.mknod("disk", 0o600 | stat.S_IFBLK, os.makedev(8, 0))"#,
    },
    Case {
        name: "tar_absolute",
        source: "CVE-2007-4559 (tarfile)",
        tries: "unpacks to an absolute path",
        layer: Layer::Mounts, program: "python3", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: r#"import io, tarfile
with tarfile.open("a.tar", "w") as tar:
    it = tarfile.TarInfo("{out}/planted"); it.size = 1
    tar.addfile(it, io.BytesIO(b"x"))
import subprocess
subprocess.run(["tar", "-xPf", "a.tar"])"#,
    },
    Case {
        name: "tar_through_a_link",
        source: "CVE-2021-37701 (tar)",
        tries: "unpacks through a link",
        layer: Layer::Mounts, program: "python3", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: r#"import io, tarfile, subprocess
with tarfile.open("a.tar", "w") as tar:
    link = tarfile.TarInfo("d"); link.type = tarfile.SYMTYPE; link.linkname = "{out}"
    tar.addfile(link)
subprocess.run(["tar", "-xf", "a.tar"])
open("d/planted", "w").write("x")"#,
    },
    Case {
        name: "find_exec",
        source: "GTFOBins",
        tries: "has a finder run a reader",
        layer: Layer::Landlock, program: "find", bare: true,
        says: &["Permission denied"],
        script: "find {out} -type f -exec cat {} +",
    },
    Case {
        name: "xargs",
        source: "GTFOBins",
        tries: "has a reader started with what is read",
        layer: Layer::Landlock, program: "xargs", bare: true,
        says: &["Permission denied"],
        script: "echo {out}/secret.txt | xargs cat",
    },
    Case {
        name: "env",
        source: "GTFOBins",
        tries: "goes by env",
        layer: Layer::Landlock, program: "env", bare: true,
        says: &["Permission denied"],
        script: "env -i cat {out}/secret.txt",
    },
    Case {
        name: "timeout_and_nice",
        source: "GTFOBins",
        tries: "goes by what runs others",
        layer: Layer::Landlock, program: "timeout", bare: true,
        says: &["Permission denied"],
        script: "timeout 5 nice cat {out}/secret.txt",
    },
    Case {
        name: "nested_shells",
        source: "agent trackers: deny rules that match words",
        tries: "nests shells",
        layer: Layer::Landlock, program: "sh", bare: true,
        says: &["Permission denied"],
        script: r#"sh -c "sh -c 'sh -c \"cat {out}/secret.txt\"'""#,
    },
    Case {
        name: "words_put_together",
        source: "agent trackers: deny rules that match words",
        tries: "hides the words",
        layer: Layer::Landlock, program: "sh", bare: true,
        says: &["Permission denied"],
        script: r#"c=c; a=at; "$c$a" "$(printf %s {out}/sec)ret.txt""#,
    },
    Case {
        name: "encoded_script",
        source: "agent trackers: deny rules that match words",
        tries: "decodes a script and runs it",
        layer: Layer::Landlock, program: "base64", bare: true,
        says: &["Permission denied"],
        script: "printf 'cat {out}/secret.txt' | base64 | base64 -d | sh",
    },
    Case {
        name: "script_of_its_own",
        source: "agent trackers: scripts instead of commands",
        tries: "writes a program and runs it",
        layer: Layer::Landlock, program: "chmod", bare: true,
        says: &["Permission denied"],
        script: r#"printf '#!/bin/sh\ncat {out}/secret.txt\n' > s; chmod +x s; ./s"#,
    },
    Case {
        name: "python",
        source: "agent trackers: interpreters",
        tries: "reads in Python",
        layer: Layer::Landlock, program: "python3", bare: true,
        says: &["Permission denied"],
        script: r#"print(open("{out}/secret.txt").read())"#,
    },
    Case {
        name: "perl",
        source: "agent trackers: interpreters",
        tries: "reads in Perl",
        layer: Layer::Landlock, program: "perl", bare: true,
        says: &["Permission denied"],
        script: r#"open(F, "<", "{out}/secret.txt") or die "$!"; print <F>;"#,
    },
    Case {
        name: "node",
        source: "agent trackers: interpreters",
        tries: "reads in Node",
        layer: Layer::Landlock, program: "node", bare: true,
        says: &["EACCES", "Permission denied"],
        script: r#"console.log(require("fs").readFileSync("{out}/secret.txt", "utf8"))"#,
    },
    Case {
        name: "awk",
        source: "GTFOBins",
        tries: "reads in awk",
        layer: Layer::Landlock, program: "awk", bare: true,
        says: &["Permission denied", "cannot open"],
        script: "awk '{ print }' {out}/secret.txt",
    },
    Case {
        name: "python_starts_others",
        source: "agent trackers: interpreters",
        tries: "starts a reader from Python",
        layer: Layer::Landlock, program: "python3", bare: true,
        says: &["Permission denied"],
        script: r#"import subprocess; subprocess.run(["cat", "{out}/secret.txt"])"#,
    },
    Case {
        name: "git_hook",
        source: "CVE-2024-32002 (git)",
        tries: "has a hook run",
        layer: Layer::Landlock, program: "git", bare: true,
        says: &["Permission denied"],
        script: r#"git init -q r && cd r || exit; printf '#!/bin/sh\ncat {out}/secret.txt\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x"#,
    },
    Case {
        name: "git_filter",
        source: "CVE-2022-24765 kin",
        tries: "has a filter run",
        layer: Layer::Landlock, program: "git", bare: true,
        says: &["Permission denied"],
        script: "git init -q r && cd r || exit; echo '* filter=x' > .gitattributes; git config filter.x.clean 'cat {out}/secret.txt'; git add .; git cat-file -p :.gitattributes",
    },
    Case {
        name: "git_alias",
        source: "GTFOBins",
        tries: "has an alias run",
        layer: Layer::Landlock, program: "git", bare: true,
        says: &["Permission denied"],
        script: "git init -q r && cd r || exit; git -c alias.x='!cat {out}/secret.txt' x",
    },
    Case {
        name: "git_elsewhere",
        source: "CWE-73",
        tries: "makes a repository outside",
        layer: Layer::Mounts, program: "git", bare: true,
        says: &["Read-only file system", "Permission denied"],
        script: "git init -q {out}/planted",
    },
    Case {
        name: "hooks_of_the_workspace",
        source: "CVE-2021-21300 kin",
        tries: "plants a hook that the user runs later",
        layer: Layer::Mounts, program: "sh", bare: true,
        says: &["Read-only file system"],
        script: "echo 'cat /etc/passwd' > .git/hooks/pre-commit",
    },
    Case {
        name: "hooks_are_replaced",
        source: "CVE-2021-21300 kin",
        tries: "replaces the folder of hooks",
        layer: Layer::Mounts, program: "mv", bare: true,
        says: &["busy", "Read-only file system"],
        script: "mv .git/hooks .git/old; mkdir .git/hooks; echo x > .git/hooks/pre-commit",
    },
    Case {
        name: "settings_of_the_operator",
        source: "agent trackers: own settings",
        tries: "writes what configures the host",
        layer: Layer::Mounts, program: "sh", bare: true,
        says: &["Read-only file system"],
        script: r#"echo 'operator = "me"' > libos.toml"#,
    },
    Case {
        name: "makefile",
        source: "agent trackers: build files",
        tries: "has a rule run",
        layer: Layer::Landlock, program: "make", bare: true,
        says: &["Permission denied"],
        script: r#"printf 'all:\n\t@cat {out}/secret.txt\n' > Makefile; make"#,
    },
    Case {
        name: "compiler_includes",
        source: "GTFOBins (gcc)",
        tries: "has a compiler show a file",
        layer: Layer::Landlock, program: "cc", bare: true,
        says: &["Permission denied"],
        script: r#"echo '#include "{out}/secret.txt"' > a.c; cc -E a.c; cc -c a.c"#,
    },
    Case {
        name: "compiled_system_calls",
        source: "agent trackers: build scripts",
        tries: "makes the calls itself",
        layer: Layer::Landlock, program: "cc", bare: true,
        says: &["Permission denied"],
        script: r#"cat > a.c <<END
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/syscall.h>
int main(void) {
  char b[64]; int f = syscall(SYS_openat, AT_FDCWD, "{out}/secret.txt", O_RDONLY);
  if (f < 0) { perror("open"); return 1; }
  write(1, b, read(f, b, sizeof b)); return 0;
}
END
cc a.c -o a && ./a"#,
    },
    Case {
        name: "preloaded_library",
        source: "CVE-2009-3555 kin, LD_PRELOAD",
        tries: "loads a library first",
        layer: Layer::Landlock, program: "cc", bare: true,
        says: &["Permission denied"],
        script: r#"cat > e.c <<END
#include <stdlib.h>
__attribute__((constructor)) static void go(void) { unsetenv("LD_PRELOAD"); system("cat {out}/secret.txt"); }
END
cc -shared -fPIC e.c -o e.so && LD_PRELOAD=./e.so cat in.txt"#,
    },
    Case {
        name: "loader_as_program",
        source: "ld.so(8)",
        tries: "runs a program by its loader",
        layer: Layer::Landlock, program: "sh", bare: true,
        says: &["Permission denied"],
        script: "for l in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*; do [ -e $l ] && exec $l /usr/bin/cat {out}/secret.txt; done",
    },
    Case {
        name: "program_in_memory",
        source: "memfd_create(2), ddexec",
        tries: "runs what no file holds",
        layer: Layer::Landlock, program: "python3", bare: true,
        says: &["Permission denied"],
        script: r#"import os
f = os.memfd_create("m"); os.write(f, open("/usr/bin/cat", "rb").read())
os.execve(f, ["cat", "{out}/secret.txt"], os.environ)"#,
    },
    Case {
        name: "folder_by_path_only",
        source: "open(2) O_PATH",
        tries: "walks from a folder it may not read",
        layer: Layer::Landlock, program: "python3", bare: true,
        says: &["Permission denied"],
        script: r#"import os
root = os.open("/", os.O_PATH)
print(os.read(os.open("{out}/secret.txt"[1:], os.O_RDONLY, dir_fd=root), 99))"#,
    },
    Case {
        name: "descriptor_is_passed",
        source: "unix(7) SCM_RIGHTS",
        tries: "passes a place and opens there",
        layer: Layer::Landlock, program: "python3", bare: true,
        says: &["Permission denied"],
        script: r#"import os, socket
a, b = socket.socketpair()
socket.send_fds(a, [b"x"], [os.open("{out}", os.O_PATH)])
_, [f], _, _ = socket.recv_fds(b, 1, 1)
print(os.read(os.open("secret.txt", os.O_RDONLY, dir_fd=f), 99))"#,
    },
    Case {
        name: "kept_out_folder",
        source: "agent trackers: deny rules",
        tries: "reads what a rule keeps out",
        layer: Layer::Mounts, program: "cat", bare: true,
        says: &["No such file", "Permission denied"],
        script: "cat private/secret.txt private/deep/secret.txt",
    },
    Case {
        name: "kept_out_is_moved",
        source: "agent trackers: deny rules",
        tries: "moves what a rule keeps out",
        layer: Layer::Mounts, program: "mv", bare: true,
        says: &["busy", "Device or resource", "Read-only file system"],
        script: "mv private public; cat public/secret.txt",
    },
    Case {
        name: "kept_out_is_linked",
        source: "CWE-62",
        tries: "links to what a rule keeps out",
        layer: Layer::Mounts, program: "ln", bare: true,
        says: &["No such file", "Permission denied"],
        script: "ln private/secret.txt h; cat h",
    },
    Case {
        name: "asked_file",
        source: "agent trackers: approvals",
        tries: "reads what a human is asked about",
        layer: Layer::Mounts, program: "cat", bare: true,
        says: &["No such file", "Permission denied"],
        script: "cat asked/secret.txt",
    },
    Case {
        name: "read_only_folder",
        source: "agent trackers: deny rules",
        tries: "writes where it may only read",
        layer: Layer::Mounts, program: "sh", bare: true,
        says: &["Read-only file system"],
        script: "echo x > ro/kept.txt; echo x > ro/planted",
    },
    Case {
        name: "read_only_is_linked",
        source: "CWE-62",
        tries: "writes by a second name",
        layer: Layer::Mounts, program: "ln", bare: true,
        says: &["cross-device"],
        script: "ln ro/kept.txt h && echo x > h",
    },
    Case {
        name: "read_only_mode",
        source: "landlock(7): chmod is not restricted",
        tries: "changes a mode where it may only read",
        layer: Layer::Mounts, program: "chmod", bare: true,
        says: &["Read-only file system"],
        script: "chmod 777 ro/kept.txt",
    },
    Case {
        name: "store_is_read",
        source: "own threat model",
        tries: "reads the journal",
        layer: Layer::Mounts, program: "cat", bare: true,
        says: &["No such file"],
        script: "cat .store/journal.db",
    },
    Case {
        name: "store_is_removed",
        source: "own threat model",
        tries: "removes the journal",
        layer: Layer::Mounts, program: "rm", bare: false,
        says: &["busy", "Device or resource"],
        script: "rm -rf .store",
    },
    Case {
        name: "cover_is_taken_off",
        source: "mount_namespaces(7)",
        tries: "unmounts what covers the store",
        layer: Layer::Seccomp, program: "python3", bare: true,
        says: &["not permitted"],
        script: r#"import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
print(c.umount2(b"{ws}/.store", 2), os.strerror(ctypes.get_errno()))
print(open(".store/journal.db").read())"#,
    },
    Case {
        name: "io_uring",
        source: "CVE-2023-2598 kin; io_uring hides calls",
        tries: "sets up a ring",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (425, 425)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 8, ctypes.create_string_buffer(256)), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "ptrace",
        source: "ptrace(2)",
        tries: "attaches to the victim",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (101, 117)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0x4206, {pid}, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "process_vm_readv",
        source: "process_vm_readv(2)",
        tries: "reads the memory of the victim",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (310, 270)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, {pid}, 0, 0, 0, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "pidfd_getfd",
        source: "pidfd_getfd(2)",
        tries: "takes a descriptor of the victim",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (438, 438)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 3, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "new_user_namespace",
        source: "CVE-2022-0185 (needs one)",
        tries: "becomes root of a namespace",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (272, 97)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0x10000000), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "clone_a_namespace",
        source: "clone(2)",
        tries: "makes a child in a namespace",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (56, 220)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0x10000000 | 17, 0, 0, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "clone3",
        source: "clone3(2): filters do not see its flags",
        tries: "makes a child by the newer call",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not implemented"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (435, 435)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "setns",
        source: "setns(2)",
        tries: "enters another namespace",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (308, 268)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "mount",
        source: "mount(2)",
        tries: "mounts",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (165, 40)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, b"none", b"/mnt", b"tmpfs", 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "new_mount_calls",
        source: "open_tree(2)",
        tries: "mounts by the newer calls",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (428, 428)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, -100, b"/", 1), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "pivot_root",
        source: "pivot_root(2)",
        tries: "changes the root",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (155, 41)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, b".", b"."), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "chroot",
        source: "chroot(2), escape by a second chroot",
        tries: "changes the root",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (161, 51)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, b"."), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "open_by_handle",
        source: "CVE-2014-3519, shocker",
        tries: "opens a file by its handle",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (304, 265)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, -100, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "bpf",
        source: "CVE-2021-3490",
        tries: "loads a program into the kernel",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (321, 280)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "perf_event",
        source: "CVE-2013-2094",
        tries: "watches the kernel",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (298, 241)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0, 0, -1, -1, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "userfaultfd",
        source: "userfaultfd(2), used to win races",
        tries: "stops the kernel at a page",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (323, 282)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "keyring",
        source: "CVE-2016-0728",
        tries: "reads keys of the session",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (250, 219)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0, -3, 0, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "module",
        source: "init_module(2)",
        tries: "loads a module",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (175, 105)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "kexec",
        source: "kexec_load(2)",
        tries: "loads a kernel",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (246, 104)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0, 0, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "kernel_log",
        source: "CVE-2010-4347 kin",
        tries: "reads the log of the kernel",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (103, 116)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 3, 0, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "shared_memory",
        source: "shmget(2)",
        tries: "finds memory by a name",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (29, 194)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0x1234, 4096, 0o1600), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "terminal_input",
        source: "CVE-2017-5226 (TIOCSTI)",
        tries: "types for whoever reads next",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not permitted"],
        script: r#"import ctypes, os, platform
c = ctypes.CDLL(None, use_errno=True)
nr = (16, 29)[0 if platform.machine() == "x86_64" else 1]
print(c.syscall(nr, 0, 0x5412, b"x"), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "second_table_of_calls",
        source: "seccomp(2): the x32 table",
        tries: "makes a socket by a number of the other table",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["not implemented", "not permitted"],
        script: r#"import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
print(c.syscall(0x40000000 + 41, 2, 1, 0), os.strerror(ctypes.get_errno()))"#,
    },
    Case {
        name: "core_pattern",
        source: "CVE-2022-0811 (core_pattern)",
        tries: "has the kernel start a program",
        layer: Layer::Mounts, program: "sh", bare: false,
        says: &["Read-only file system", "Permission denied"],
        script: "echo '|/bin/false' > /proc/sys/kernel/core_pattern",
    },
    Case {
        name: "sysrq",
        source: "proc(5)",
        tries: "has the kernel act",
        layer: Layer::Mounts, program: "sh", bare: false,
        says: &["Read-only file system", "Permission denied", "nonexistent"],
        script: "echo h > /proc/sysrq-trigger",
    },
    Case {
        name: "cgroup_release_agent",
        source: "CVE-2022-0492",
        tries: "writes what the kernel runs",
        layer: Layer::Mounts, program: "sh", bare: false,
        says: &["Read-only file system", "Permission denied"],
        script: "for f in /sys/fs/cgroup/release_agent /sys/fs/cgroup/cgroup.procs; do echo 1 > $f; done; echo x > /sys/kernel/uevent_helper",
    },
    Case {
        name: "kernel_memory",
        source: "mem(4)",
        tries: "reads the memory of the machine",
        layer: Layer::Landlock, program: "sh", bare: false,
        says: &["Permission denied", "No such file"],
        script: "cat /dev/mem /dev/kmsg /proc/kcore /dev/port 2>&1 | head -c 200",
    },
    Case {
        name: "password_file",
        source: "CWE-522",
        tries: "reads the passwords",
        layer: Layer::Landlock, program: "cat", bare: false,
        says: &["Permission denied", "No such file"],
        script: "cat /etc/shadow",
    },
    Case {
        name: "home_folder",
        source: "agent trackers: keys in a home folder",
        tries: "reads keys of the user",
        layer: Layer::Landlock, program: "sh", bare: false,
        says: &["Permission denied", "No such file"],
        script: "ls -a /root/.ssh /home/*/.ssh /root",
    },
    Case {
        name: "dev_tcp",
        source: "GTFOBins (bash)",
        tries: "connects by the shell",
        layer: Layer::Seccomp, program: "bash", bare: true,
        says: &["Permission denied", "not permitted"],
        script: "exec 3<>/dev/tcp/127.0.0.1/{port} && echo hi >&3",
    },
    Case {
        name: "curl",
        source: "agent trackers: exfiltration",
        tries: "connects by a tool",
        layer: Layer::Seccomp, program: "curl", bare: true,
        says: &["curl:", "(7)", "connect"],
        script: "curl -sS -m 5 http://127.0.0.1:{port}/ --data hi",
    },
    Case {
        name: "tcp",
        source: "agent trackers: exfiltration",
        tries: "connects",
        layer: Layer::Seccomp, program: "python3", bare: true,
        says: &["Permission denied", "not permitted"],
        script: r#"import socket; socket.create_connection(("127.0.0.1", {port}), 5)"#,
    },
    Case {
        name: "udp",
        source: "exfiltration by DNS",
        tries: "sends",
        layer: Layer::Seccomp, program: "python3", bare: true,
        says: &["Permission denied", "not permitted"],
        script: r#"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hi", ("127.0.0.1", {port}))"#,
    },
    Case {
        name: "tcp_from_node",
        source: "agent trackers: exfiltration",
        tries: "connects from Node",
        layer: Layer::Seccomp, program: "node", bare: true,
        says: &["EPERM", "EACCES"],
        script: r#"require("net").connect({port}, "127.0.0.1").on("error", e => { console.log(e.code); process.exit() }).on("connect", () => process.exit())"#,
    },
    Case {
        name: "listens",
        source: "backdoors",
        tries: "listens",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["Permission denied", "not permitted"],
        script: r#"import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()"#,
    },
    Case {
        name: "raw_socket",
        source: "raw(7)",
        tries: "sends raw packets",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["Permission denied", "not permitted"],
        script: "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    },
    Case {
        name: "netlink",
        source: "CVE-2023-32233 (needs it)",
        tries: "talks to the kernel",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["Permission denied", "not permitted"],
        script: "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    },
    Case {
        name: "packet_socket",
        source: "CVE-2020-14386",
        tries: "sees all traffic",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["Permission denied", "not permitted"],
        script: "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)",
    },
    Case {
        name: "vsock",
        source: "vsock(7)",
        tries: "talks to the hypervisor",
        layer: Layer::Seccomp, program: "python3", bare: false,
        says: &["Permission denied", "not permitted"],
        script: "import socket; socket.socket(40, socket.SOCK_STREAM, 0)",
    },
    Case {
        name: "control_socket",
        source: "own threat model; docker.sock",
        tries: "talks to the runtime",
        layer: Layer::Seccomp, program: "python3", bare: true,
        says: &["Permission denied", "not permitted"],
        script: r#"import socket; socket.socket(socket.AF_UNIX).connect("{ws}/.store/control.sock")"#,
    },
    Case {
        name: "abstract_socket",
        source: "CVE-2020-15257 (containerd)",
        tries: "connects to a socket without a file",
        layer: Layer::Seccomp, program: "python3", bare: true,
        says: &["Permission denied", "not permitted"],
        script: r#"import socket; socket.socket(socket.AF_UNIX).connect("\0{name}")"#,
    },
    Case {
        name: "git_over_the_network",
        source: "agent trackers: exfiltration",
        tries: "fetches",
        layer: Layer::Seccomp, program: "git", bare: true,
        says: &["fatal", "unable"],
        script: "timeout 5 git clone -q http://127.0.0.1:{port}/x y",
    },
    Case {
        name: "new_session",
        source: "setsid(2)",
        tries: "leaves its session",
        layer: Layer::Namespaces, program: "setsid", bare: true,
        says: &["gone"],
        script: "setsid sleep 1000 & echo gone",
    },
    Case {
        name: "double_fork",
        source: "daemon(7)",
        tries: "leaves its parent",
        layer: Layer::Namespaces, program: "setsid", bare: true,
        says: &["gone"],
        script: r#"(setsid sh -c "sleep 1000 & sleep 1000" </dev/null >/dev/null 2>&1 &) ; echo gone"#,
    },
    Case {
        name: "daemon",
        source: "daemon(7)",
        tries: "becomes a daemon",
        layer: Layer::Namespaces, program: "python3", bare: true,
        says: &["gone"],
        script: r#"import os, sys, time
print("gone", flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/"); os.closerange(0, 256)
        time.sleep(1000)
    os._exit(0)"#,
    },
    Case {
        name: "nohup",
        source: "nohup(1)",
        tries: "survives a hang-up",
        layer: Layer::Namespaces, program: "nohup", bare: true,
        says: &["gone"],
        script: "nohup sleep 1000 >/dev/null 2>&1 & echo gone",
    },
    Case {
        name: "signals_are_ignored",
        source: "signal(7)",
        tries: "ignores what can be ignored",
        layer: Layer::Namespaces, program: "sh", bare: true,
        says: &["gone"],
        script: "(trap '' HUP INT TERM QUIT; exec >/dev/null 2>&1; while :; do sleep 1; done) & echo gone",
    },
    Case {
        name: "many_processes",
        source: "fork bombs",
        tries: "starts many",
        layer: Layer::Namespaces, program: "python3", bare: true,
        says: &["gone"],
        script: r#"import os, time
for _ in range(150):
    if os.fork() == 0:
        os.setsid(); os.closerange(0, 256); time.sleep(1000)
print("gone", flush=True)"#,
    },
    Case {
        name: "hops_from_pid_to_pid",
        source: "processes that outrun a search",
        tries: "is never where it was",
        layer: Layer::Namespaces, program: "python3", bare: false,
        says: &["gone"],
        script: r#"import os, time
print("gone", flush=True)
if os.fork() == 0:
    os.setsid(); os.closerange(0, 256)
    end = time.time() + 30
    while time.time() < end:
        if os.fork(): os._exit(0)"#,
    },
    Case {
        name: "signal_to_the_host",
        source: "kill(2)",
        tries: "ends the host",
        layer: Layer::Namespaces, program: "sh", bare: false,
        says: &["No such process", "not permitted"],
        script: "kill -9 {host}",
    },
    Case {
        name: "signal_to_the_victim",
        source: "kill(2)",
        tries: "stops a process of its user",
        layer: Layer::Namespaces, program: "sh", bare: true,
        says: &["No such process", "not permitted"],
        script: "kill -STOP {pid}",
    },
    Case {
        name: "signal_to_all",
        source: "kill(2)",
        tries: "ends all that it can",
        layer: Layer::Namespaces, program: "python3", bare: false,
        says: &["still here", "No such process"],
        script: r#"import os, signal; signal.signal(15, signal.SIG_IGN); os.kill(-1, 15); print("still here")"#,
    },
    Case {
        name: "signal_to_its_supervisor",
        source: "pid_namespaces(7)",
        tries: "ends its supervisor",
        layer: Layer::Namespaces, program: "sh", bare: false,
        says: &["still here"],
        script: "kill -9 1; kill -STOP 1; kill -9 $PPID; echo still here",
    },
    Case {
        name: "inherited_descriptors",
        source: "CVE-2024-21626 (runc)",
        tries: "uses what was left open",
        layer: Layer::Supervisor, program: "python3", bare: false,
        says: &["none"],
        script: r#"import os
def is_open(number):
    try: os.fstat(number)
    except OSError: return False
    return True
print([number for number in range(3, 256) if is_open(number)] or "none")"#,
    },
    Case {
        name: "inherited_variables",
        source: "CWE-526",
        tries: "prints the variables of the host",
        layer: Layer::Environment, program: "env", bare: true,
        says: &["HOME="],
        script: "env",
    },
    Case {
        name: "variables_of_its_supervisor",
        source: "proc(5)",
        tries: "reads the variables of its supervisor",
        layer: Layer::Landlock, program: "cat", bare: false,
        says: &["Permission denied"],
        script: "cat /proc/1/environ /proc/$PPID/environ",
    },
    Case {
        name: "gets_more_by_a_program",
        source: "CVE-2021-4034 (pkexec)",
        tries: "runs a set-user-id program",
        layer: Layer::Supervisor, program: "python3", bare: false,
        says: &["no new privileges: 1"],
        script: r#"import ctypes; print("no new privileges:", ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"#,
    },
    Case {
        name: "capabilities",
        source: "capabilities(7)",
        tries: "uses what root may",
        layer: Layer::Supervisor, program: "python3", bare: false,
        says: &["bounding 0"],
        script: r#"import ctypes; print("bounding", sum(ctypes.CDLL(None).prctl(23, n, 0, 0, 0) == 1 for n in range(41)) if __import__("os").getuid() == 0 else 0)"#,
    },
];
