//! The image's health check judges servers, and nothing else.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

const CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docker/healthcheck");

/// Whether the check calls a container healthy whose process 1 was started as `command`, where redis-cli answers like that.
fn is_healthy(command: &[&str], redis_cli: &str) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    let (cli, line) = (directory.path().join("redis-cli"), directory.path().join("cmdline"));
    fs::write(&cli, format!("#!/bin/sh\n{redis_cli}\n")).expect("a file");
    fs::set_permissions(&cli, fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::write(&line, command.join("\0") + "\0").expect("a file");
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").expect("a path"));
    Command::new(CHECK).arg(&line).env("PATH", path).status().expect("the check starts").success()
}

const ANSWERS: &str = "echo ready; echo 5";
const REFUSED: &str = "echo 'Could not connect to Redis at 127.0.0.1:6379: Connection refused' >&2; exit 1";
const NO_MODULE: &str = "echo \"ERR unknown command 'MQ.INFO', with args beginning with: 'healthcheck'\"";
const PASSWORD: &str = "echo 'NOAUTH Authentication required.'";

#[test]
fn a_container_without_a_server_is_healthy() {
    for command in [
        &["client"][..],
        &["/sbin/docker-init", "--", "client", "getErrors"],
        &["client", "demo", "--server", "/usr/bin/redis-server"],
        &["client", "--name", "docker-init", "--", "redis-server"],
        &["sh", "-c", "sleep 5 && redis-server --version"],
    ] {
        assert!(is_healthy(command, REFUSED), "{command:?}");
    }
}

#[test]
fn a_container_with_a_server_is_as_healthy_as_that() {
    for command in [
        &["redis-server *:6379"][..],
        &["/usr/bin/redis-server", "/etc/redis/mq.conf"],
        &["/sbin/docker-init", "--", "redis-server", "/etc/redis/mq.conf", "--requirepass", "secret"],
        &["/run/podman-init", "--", "redis-server"],
    ] {
        let healthy = [ANSWERS, PASSWORD, REFUSED, NO_MODULE].map(|redis_cli| is_healthy(command, redis_cli));
        assert_eq!(healthy, [true, true, false, false], "{command:?}");
    }
}

#[test]
fn the_image_has_the_check() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| fs::read_to_string(top.join(path)).expect(path);
    assert!(read("docker/Dockerfile").contains("COPY docker/healthcheck /usr/local/bin/mq-healthcheck"));
    assert!(read("docker/Dockerfile").contains(r#"CMD ["mq-healthcheck"]"#));
    assert!(read(".dockerignore").lines().any(|line| line == "!docker/healthcheck"));
}
