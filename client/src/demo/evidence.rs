//! Where the evidence comes from: the ledger in Redis (read with GETRANGE, no MQ command), or a directory.

use std::path::Path;
use std::time::Duration;

use redis::Value;

use super::verdict::Evidence;
use super::{Failure, Outcome};
use crate::connection::Connection;
use crate::error::{Brief, Error, Result};
use crate::ledger::Ledger;

/// Bytes of a bitfield per command.
const CHUNK: usize = 8 << 20;

/// The files of a directory of evidence; the last holds a decimal number.
const FILES: [&str; 4] = ["processed", "failed", "errors", "generated"];

/// Both halves of the ledger, as they are in Redis.
pub(super) async fn read_ledger(connection: &Connection, ledger: &Ledger) -> Result<(Vec<u8>, Vec<u8>)> {
    let processed = read_string(connection, ledger.processed_key()).await?;
    let failed = read_string(connection, &ledger.failed_key()).await?;
    Ok((processed, failed))
}

async fn read_string(connection: &Connection, key: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut command = redis::cmd("GETRANGE");
        command.arg(key).arg(bytes.len()).arg(bytes.len() + CHUNK - 1);
        match connection.ask(&command, Duration::ZERO).await? {
            Value::BulkString(chunk) => {
                bytes.extend_from_slice(&chunk);
                if chunk.len() < CHUNK {
                    return Ok(bytes);
                }
            }
            other => return Err(Error::Unexpected(format!("GETRANGE {key}: {}", Brief(&other)))),
        }
    }
}

/// Writes the evidence into `directory`, one file for each part of it.
pub(super) fn save(directory: &Path, evidence: &Evidence) -> Outcome<()> {
    let generated = format!("{}\n", evidence.generated).into_bytes();
    let parts = [&evidence.processed, &evidence.failed, &evidence.errors, &generated];
    std::fs::create_dir_all(directory).map_err(|error| at(directory, error))?;
    for (name, bytes) in FILES.iter().zip(parts) {
        let path = directory.join(name);
        std::fs::write(&path, bytes).map_err(|error| at(&path, error))?;
    }
    Ok(())
}

/// Reads what [`save`] wrote.
pub(super) fn load(directory: &Path) -> Outcome<Evidence> {
    let [processed, failed, errors, generated] = FILES.map(|name| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|error| at(&path, error))
    });
    let (processed, failed, errors) = (processed?, failed?, errors?);
    let generated = String::from_utf8_lossy(&generated?).trim().parse();
    let generated = generated.map_err(|error| Failure::new(format!("{}/generated: {error}", directory.display())))?;
    Ok(Evidence { generated, processed, failed, errors })
}

fn at(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_what_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let evidence = Evidence { generated: 2, processed: vec![1, 0], failed: vec![0, 1], errors: b"1\n".to_vec() };
        save(&directory.path().join("new"), &evidence).unwrap();
        let loaded = load(&directory.path().join("new")).unwrap();
        assert_eq!(
            (loaded.generated, loaded.processed, loaded.failed, loaded.errors),
            (evidence.generated, evidence.processed, evidence.failed, evidence.errors)
        );
        assert!(load(directory.path()).unwrap_err().to_string().contains("processed"));
    }
}
