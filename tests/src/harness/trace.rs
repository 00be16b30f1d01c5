//! Reads what `strace -f -y` wrote, and judges the order of system calls in it.
//!
//! A call that another thread's call interrupted stands there in two parts, `<unfinished ...>` and `<... resumed>`; they are put
//! together by thread. strace holds a thread at the begin and at the end of each call until it has written that down: what the trace
//! shows as ended before something else began was so, and a thread that waits for another can't be shown before it.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

const TRACED: &str =
    "trace=openat,pwrite64,pwritev,fdatasync,fsync,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg";
const READS: [&str; 4] = ["read", "readv", "recvfrom", "recvmsg"];
const WRITES: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];
const RECORDS: [&str; 3] = ["pwrite64", "pwritev", "write"];

/// `inner` under strace. `-D`: it is the child and the tracer stands aside, so that ending the child ends it.
pub(crate) fn traced(strace: &Path, inner: &Command, options: &[&str], output: &Path) -> Command {
    let mut command = Command::new(strace);
    // Strings as long as the largest write of the store (a segment of sled, 512 KiB): what is looked for must not be cut off.
    command.args(["-D", "-f", "-y", "-s", "1048576"]).args(options).arg("-o").arg(output);
    command.arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// The system calls that [`Trace::acknowledged_in_order`] has to see.
pub(crate) fn of_acknowledgements() -> [&'static str; 2] {
    ["-e", TRACED]
}

#[derive(Clone, Debug)]
struct Call {
    name: String,
    arguments: String,
    result: String,
    /// Lines of the trace.
    began: usize,
    ended: usize,
}

impl Call {
    /// What its first argument is open on: `12</path>` or `46<socket:[187053]>`.
    fn file(&self) -> Option<&str> {
        let (number, rest) = self.arguments.split_once('<')?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| rest.split_once('>'))?.map(|(file, _)| file)
    }

    fn succeeded(&self) -> bool {
        !self.result.starts_with('-') && !self.result.starts_with('?')
    }

    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str()) && self.succeeded()
    }

    fn before(&self, other: &Call) -> bool {
        self.ended < other.began
    }

    fn holds(&self, needles: &[&str]) -> bool {
        needles.iter().all(|needle| self.arguments.contains(needle))
    }
}

pub(crate) struct Trace {
    calls: Vec<Call>,
    /// Whether the last process's end stands there: nothing is missing then.
    pub(crate) is_whole: bool,
}

impl Trace {
    pub(crate) fn parse(text: &str) -> Self {
        let mut calls: Vec<Call> = Vec::new();
        let mut unfinished: HashMap<&str, (String, String, usize)> = HashMap::new();
        let mut is_whole = false;
        for (line, written) in text.lines().enumerate() {
            let Some((thread, what)) = written.split_once(' ') else { continue };
            let what = what.trim_start();
            is_whole = what.starts_with("+++ ");
            if what.starts_with("+++ ") || what.starts_with("--- ") {
                continue;
            }
            if let Some(resumed) = what.strip_prefix("<... ") {
                let Some((_, rest)) = resumed.split_once(" resumed>") else { continue };
                // A thread that began its call before the tracer came.
                let Some((name, before, began)) = unfinished.remove(thread) else { continue };
                if let Some((after, result)) = split_result(rest) {
                    calls.push(Call { name, arguments: before + after, result, began, ended: line });
                }
                continue;
            }
            let Some((name, rest)) = what.split_once('(') else { continue };
            if let Some(arguments) = rest.strip_suffix("<unfinished ...>") {
                unfinished.insert(thread, (name.to_owned(), arguments.trim_end().to_owned(), line));
            } else if let Some((arguments, result)) = split_result(rest) {
                let arguments = arguments.to_owned();
                calls.push(Call { name: name.to_owned(), arguments, result, began: line, ended: line });
            }
        }
        calls.sort_by_key(|call| call.began);
        Trace { calls, is_whole }
    }

    pub(crate) fn read(path: &Path) -> Self {
        Trace::parse(&String::from_utf8_lossy(&std::fs::read(path).unwrap()))
    }

    /// How many calls of that name failed.
    pub(crate) fn failed(&self, name: &str) -> usize {
        self.calls.iter().filter(|call| call.name == name && !call.succeeded()).count()
    }

    /// Whether the request that holds `request` was answered with a success, on the connection on which it came, only after the first
    /// write that holds all of `record` to one of `stores` (a file, or one of a folder) had ended, and behind that an fdatasync of that
    /// same file had begun and succeeded.
    ///
    /// # Errors
    /// What is missing, with the calls between request and answer.
    pub(crate) fn acknowledged_in_order(&self, stores: &[&Path], request: &str, record: &[&str]) -> Result<(), String> {
        let is_socket = |call: &&Call| call.file().is_some_and(|file| file.starts_with("socket:"));
        let asked = self.calls.iter().filter(is_socket).find(|call| call.is(&READS) && call.holds(&[request]));
        let asked = asked.ok_or_else(|| format!("no request that holds `{request}`"))?;
        let on_it = |call: &&Call| call.file() == asked.file() && asked.before(call);
        let answer = self.calls.iter().filter(on_it).find(|call| call.is(&WRITES));
        let answer = answer.ok_or_else(|| format!("no answer to the request that holds `{request}`"))?;
        let failure = |reason: &str| {
            let between = self.calls.iter().filter(|call| asked.began <= call.began && call.began <= answer.ended);
            let lines: Vec<String> = between.map(Call::shortened).collect();
            format!("`{request}`: {reason}:\n{}", lines.join("\n"))
        };
        if !answer.holds(&["HTTP/1.1 20"]) {
            return Err(failure("it was not answered with a success"));
        }
        let on_store = |call: &&Call| {
            call.file().is_some_and(|file| stores.iter().any(|store| Path::new(file).starts_with(store)))
        };
        let mut records = self.calls.iter().filter(on_store).filter(|call| call.is(&RECORDS) && asked.before(call));
        let record = records.find(|call| call.holds(record));
        let record = record.filter(|record| record.before(answer));
        let record = record.ok_or_else(|| failure("it was answered before its record was written"))?;
        let mut syncs = self
            .calls
            .iter()
            .filter(|call| call.file() == record.file() && call.is(&["fdatasync"]) && record.before(call));
        match syncs.find(|sync| sync.before(answer)) {
            Some(_) => Ok(()),
            None => Err(failure("it was answered before an fdatasync that began behind its record's write had ended")),
        }
    }
}

impl Call {
    fn shortened(&self) -> String {
        let arguments: String = self.arguments.chars().take(160).collect();
        format!("{}-{}: {}({arguments}) = {}", self.began, self.ended, self.name, self.result)
    }
}

/// `arguments) = result`, where strace puts blanks before the sign.
fn split_result(rest: &str) -> Option<(&str, String)> {
    let (arguments, result) = rest.rsplit_once(" = ")?;
    Some((arguments.trim_end().strip_suffix(')')?, result.trim().to_owned()))
}

/// A trace that is in order, and ways in which it is not.
#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [&str; 9] = [
        r#"106   recvfrom(46<socket:[7]>,  <unfinished ...>"#,
        r#"115 fdatasync(13</d/db> <unfinished ...>"#,
        r#"106   <... recvfrom resumed>"POST /events HTTP/1.1\r\n\r\n{\"subject\":\"one.\"}", 8192, 0, NULL, NULL) = 57"#,
        r#"108 pwrite64(12</d/db>, "\256\10one.\36evt", 108, 13094 <unfinished ...>"#,
        r#"115 <... fdatasync resumed>)          = 0"#,
        r#"108 <... pwrite64 resumed>)          = 108"#,
        r#"115 fdatasync(13</d/db>) = 0"#,
        r#"106 writev(46<socket:[7]>, [{iov_base="HTTP/1.1 201 Created\r\n", iov_len=22}], 1) = 22"#,
        r#"100 +++ exited with 0 +++"#,
    ];

    fn check(lines: &[&str]) -> Result<(), String> {
        Trace::parse(&lines.join("\n")).acknowledged_in_order(&[Path::new("/d/db")], "one.", &["one."])
    }

    fn without(line: usize) -> Vec<&'static str> {
        GOOD.iter().enumerate().filter(|(at, _)| *at != line).map(|(_, text)| *text).collect()
    }

    fn with(line: usize, text: &'static str) -> Vec<&'static str> {
        let mut lines = GOOD.to_vec();
        lines[line] = text;
        lines
    }

    #[test]
    fn calls_in_two_parts_are_put_together_by_thread() {
        let trace = Trace::parse(&GOOD.join("\n"));
        assert!(trace.is_whole);
        assert!(!Trace::parse(&without(8).join("\n")).is_whole);
        let calls: Vec<_> =
            trace.calls.iter().map(|call| (call.name.as_str(), call.file(), call.result.as_str())).collect();
        let (socket, store) = (Some("socket:[7]"), Some("/d/db"));
        assert_eq!(
            calls,
            [
                ("recvfrom", socket, "57"),
                ("fdatasync", store, "0"),
                ("pwrite64", store, "108"),
                ("fdatasync", store, "0"),
                ("writev", socket, "22"),
            ]
        );
        assert_eq!((trace.calls[2].began, trace.calls[2].ended), (3, 5));
    }

    #[test]
    fn a_record_a_sync_of_it_and_then_the_answer_is_in_order() {
        check(&GOOD).unwrap();
    }

    #[test]
    fn every_other_order_is_told() {
        for (lines, reason) in [
            // The sync that is left had begun before the record was written.
            (without(6), "before an fdatasync"),
            (with(6, r#"115 fdatasync(13</d/other>) = 0"#), "before an fdatasync"),
            (with(6, r#"115 fdatasync(13</d/db>) = -1 EIO (Input/output error) (INJECTED)"#), "before an fdatasync"),
            (with(6, r#"115 fsync(13</d/db>) = 0"#), "before an fdatasync"),
            (with(3, r#"108 pwrite64(12</d/db>, "another", 108, 13094 <unfinished ...>"#), "before its record"),
            (with(3, r#"108 pwrite64(12</d/copy>, "one.", 108, 13094 <unfinished ...>"#), "before its record"),
            (
                with(5, r#"108 <... pwrite64 resumed>)          = -1 ENOSPC (No space left on device)"#),
                "before its record",
            ),
            (with(7, r#"106 writev(47<socket:[8]>, [{iov_base="HTTP/1.1 201 Created\r\n"}], 1) = 22"#), "no answer"),
            (with(7, r#"106 writev(46<socket:[7]>, [{iov_base="HTTP/1.1 507 No\r\n"}], 1) = 22"#), "not answered with"),
            (without(2), "no request"),
        ] {
            let told = check(&lines).unwrap_err();
            assert!(told.contains(reason), "{told}");
        }
        let mut early = GOOD.to_vec();
        early.swap(6, 7);
        assert!(check(&early).unwrap_err().contains("before an fdatasync"));
        early.swap(5, 6);
        assert!(check(&early).unwrap_err().contains("before its record"));
    }
}
