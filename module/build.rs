//! The revision that is built, for `INFO mq`: of the checkout, or as `MQ_GIT_REVISION` says where there is none.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=MQ_GIT_REVISION");
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=../.git/logs/HEAD");
    let revision = std::env::var("MQ_GIT_REVISION").ok().or_else(of_checkout);
    println!("cargo::rustc-env=MQ_GIT_REVISION={}", revision.as_deref().unwrap_or("unknown"));
}

fn of_checkout() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let revision = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !revision.is_empty()).then_some(revision)
}
