//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What a process exits with when a signal ended it: 128 + the signal's number.
const EXIT_BASE: i32 = 128;

/// Tells whether the process was asked to end. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Shutdown {
    asked: watch::Receiver<bool>,
}

impl Shutdown {
    /// Listens to the signals of this process from now on. Needs a running tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(listen(terminate, interrupt, ask));
        Ok(Self { asked })
    }

    /// For programs that have other ways to be ended: whoever holds the sender sends `true`.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (ask, asked) = watch::channel(false);
        (ask, Self { asked })
    }

    /// Comes back when the process was asked to end; at once if that was before.
    pub async fn requested(&self) {
        if self.asked.clone().wait_for(|asked| *asked).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

async fn listen(mut terminate: Signal, mut interrupt: Signal, ask: watch::Sender<bool>) {
    let mut asked_before = false;
    loop {
        let number = tokio::select! {
            _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        };
        if asked_before {
            std::process::exit(EXIT_BASE + number);
        }
        asked_before = true;
        tracing::info!("asked to end; a second signal ends at once");
        ask.send_replace(true);
    }
}
