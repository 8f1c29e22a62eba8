//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends at once.

use std::{io, thread};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use tokio::sync::watch;

/// What a process exits with when a signal ended it: 128 + the signal's number.
const EXIT_BASE: i32 = 128;

/// Tells whether the process was asked to end. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Shutdown {
    asked: watch::Receiver<bool>,
}

impl Shutdown {
    /// Listens to the signals of this process from now on.
    pub fn on_signals() -> io::Result<Self> {
        let signals = Signals::new([SIGTERM, SIGINT])?;
        let (ask, shutdown) = Self::new();
        thread::Builder::new().name("signals".to_owned()).spawn(move || listen(signals, &ask))?;
        Ok(shutdown)
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

/// Listens in a thread of its own, because the one of the runtime may be stuck in a write that nobody reads.
fn listen(mut signals: Signals, ask: &watch::Sender<bool>) {
    let mut asked_before = false;
    for signal in signals.forever() {
        if asked_before {
            // Nothing is tidied up: that could wait for whatever the program is stuck in.
            low_level::exit(EXIT_BASE + signal);
        }
        asked_before = true;
        tracing::info!("asked to end; a second signal ends at once");
        ask.send_replace(true);
    }
}
