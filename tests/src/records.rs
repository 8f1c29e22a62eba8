//! The append-only file as the server writes it: one record per command.

use std::{fs, io::Write as _, path::PathBuf};

use crate::{Server, Words, conn::packed, until};

/// A command as it stands in the append-only file.
pub type Record = Vec<Vec<u8>>;

/// For a server with `appendonly yes` and `appendfsync always`. All panic when its file is missing, or is not as Redis writes it.
impl Server {
    /// What has been written since the last rewrite.
    #[must_use]
    #[track_caller]
    pub fn records(&self) -> Vec<Record> {
        let log = fs::read(self.log_file("incr")).expect("the log can be read");
        let mut rest = log.as_slice();
        let mut records = Vec::new();
        while !rest.is_empty() {
            records.push((0..number(&mut rest, b'*')).map(|_| word(&mut rest)).collect());
        }
        records
    }

    /// Adds a record by hand to the file of a server that has ended.
    #[track_caller]
    pub fn append_record(&self, command: impl Words) {
        let file = fs::OpenOptions::new().append(true).open(self.log_file("incr"));
        file.and_then(|mut file| file.write_all(&packed(&command))).expect("the log can be written to");
    }

    /// Rewrites the file and waits for the end of it.
    #[track_caller]
    pub fn rewrite_log(&self) {
        let mut c = self.connect();
        let rewrites = |c: &mut crate::Conn| {
            ["aof_rewrite_in_progress", "aof_rewrite_scheduled"].map(|name| c.server_count("persistence", name))
        };
        until("no rewrite is under way", || rewrites(&mut c) == [0, 0]);
        c.ok("BGREWRITEAOF");
        until("the log is rewritten", || rewrites(&mut c) == [0, 0]);
        assert_eq!(c.server_info("persistence", "aof_last_bgrewrite_status"), "ok");
    }

    /// The newest file of this kind, `base` or `incr`.
    fn log_file(&self, kind: &str) -> PathBuf {
        let dir = fs::read_dir(self.dir().join("appendonlydir")).expect("the log's directory");
        let files = dir.map(|file| file.expect("a file").path());
        let mut files: Vec<_> = files.filter(|path| path.to_string_lossy().contains(&format!(".{kind}."))).collect();
        // By number, then by length of the number.
        files.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
        files.pop().expect("a file of that kind")
    }
}

/// Takes a line that is `kind` and a number.
fn number(rest: &mut &[u8], kind: u8) -> usize {
    let end = rest.iter().position(|byte| *byte == b'\n').expect("a whole line");
    let line = String::from_utf8_lossy(&rest[1..end]).trim_end().to_owned();
    assert_eq!(rest[0], kind, "{line}");
    *rest = &rest[end + 1..];
    line.parse().expect("a number")
}

/// Takes a string.
fn word(rest: &mut &[u8]) -> Vec<u8> {
    let length = number(rest, b'$');
    let word = rest[..length].to_vec();
    *rest = &rest[length + 2..];
    word
}
